//! Tells sources of ADD that must be fetched from paths of the build context.

/// Whether ADD would fetch `source`: an `http(s)://` address, or a git repository (`git://`, `ssh://`, `user@host:path`).
pub fn is_remote(source: &str) -> bool {
    is_http(source) || has_scheme(source, &["git://", "ssh://"]) || is_scp_like(source)
}

/// Whether `source` is an `http://` or `https://` address.
pub fn is_http(source: &str) -> bool {
    has_scheme(source, &["http://", "https://"])
}

/// Whether an address is that of a git repository: by its scheme or form, or `http(s)://` with a path that ends in `.git`.
pub fn is_git(source: &str) -> bool {
    let address = source.split(['#', '?']).next().unwrap_or_default();
    is_remote(source) && (!is_http(source) || address.ends_with(".git"))
}

fn has_scheme(source: &str, schemes: &[&str]) -> bool {
    schemes.iter().any(|scheme| starts_with_ignoring_case(source, scheme))
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// `user@host:path`, where neither user nor host has a slash.
fn is_scp_like(source: &str) -> bool {
    let Some((host, _)) = source.split_once(':') else { return false };
    let Some((user, host)) = host.split_once('@') else { return false };
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    is_name(user) && is_name(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_sources() {
        for source in ["http://a/b", "HTTPS://a", "git://a/b", "git@github.com:a/b.git", "ssh://git@a/b"] {
            assert!(is_remote(source), "{source}");
        }
        for source in ["", "a", "http:/a", "./git@h:p", "a/b@c:d", "git@host/path", "http", "@h:p", "github.com/a/b"] {
            assert!(!is_remote(source), "{source}");
        }
    }

    #[test]
    fn repositories() {
        for source in
            ["git://a/b", "git@h:a/b", "ssh://h/a", "https://h/a.git", "http://h/a.git#v1:dir", "https://h/a.git?x=y"]
        {
            assert!(is_git(source), "{source}");
        }
        for source in ["https://h/a", "https://h/a.git/b", "https://h/a.gitx", "a.git", "https://h/a#b.git"] {
            assert!(!is_git(source), "{source}");
        }
    }
}
