//! Where submodules come from: `.gitmodules` at the top of a commit (gitmodules(5)), read as text and nothing else.
//!
//! No file is included, no command run, and an address is one that a repository may be fetched from, or relative to such a one.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, ensure};
use gix_hash::ObjectId;

use super::Remote;
use super::checkout::Gitlink;
use super::objects::said;

/// A submodule: which commit of which repository goes where.
pub(super) struct Place {
    pub path: Vec<u8>,
    pub commit: ObjectId,
    pub remote: Remote,
}

impl Place {
    /// The path for messages.
    pub(super) fn shown(&self) -> String {
        format!("{:?}", String::from_utf8_lossy(&self.path))
    }
}

/// What `.gitmodules` says of each of `links`, which are those of a repository at `parent`. Those that are not to be updated are
/// left out.
///
/// # Errors
/// One of them is not in it, or its address is none that is fetched.
pub(super) fn places(modules: &[u8], links: &[Gitlink], parent: &Remote) -> Result<Vec<Place>> {
    let modules = read(modules).context(".gitmodules")?;
    let mut places = Vec::new();
    for link in links {
        let path = String::from_utf8_lossy(&link.path);
        let without = "; submodules=false in the address leaves submodules out";
        let module = modules.get(&link.path);
        let module = module.ok_or_else(|| anyhow!(".gitmodules has no submodule {path:?}{without}"))?;
        if module.update.as_deref() == Some("none") {
            continue;
        }
        let remote = resolve(&module.url, parent).with_context(|| format!("submodule {path:?}"))?;
        places.push(Place { path: link.path.clone(), commit: link.commit, remote });
    }
    Ok(places)
}

struct Module {
    url: String,
    update: Option<String>,
}

/// The submodules by their paths.
fn read(text: &[u8]) -> Result<BTreeMap<Vec<u8>, Module>> {
    let text = std::str::from_utf8(text).context("it is not UTF-8")?;
    let file: gix_config::File = text.parse().map_err(|error: gix_config::parse::Error| said(error))?;
    let mut modules = BTreeMap::new();
    for section in file.sections_by_name("submodule").into_iter().flatten() {
        let value = |key: &str| section.value(key).map(|value| String::from_utf8_lossy(&value).into_owned());
        if let (Some(path), Some(url)) = (value("path"), value("url")) {
            let path = path.trim_end_matches('/').as_bytes().to_vec();
            modules.insert(path, Module { url, update: value("update") });
        }
    }
    Ok(modules)
}

/// An address of `.gitmodules`: one that begins with `./` or `../` is relative to the parent's.
fn resolve(url: &str, parent: &Remote) -> Result<Remote> {
    if !url.starts_with("./") && !url.starts_with("../") {
        return Remote::parse(url);
    }
    let mut names: Vec<&str> = parent.url.path().trim_matches('/').split('/').collect();
    for name in url.split('/') {
        match name {
            "" | "." => {}
            ".." => ensure!(names.pop().is_some(), "its address {url:?} leads above the host"),
            _ => names.push(name),
        }
    }
    let mut relative = parent.clone();
    relative.url.set_path(&format!("/{}", names.join("/")));
    Ok(relative)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_submodules() {
        let parent = Remote::parse("https://u:p@h:8443/group/app.git").expect("an address");
        let check = |url: &str, expected: &str| {
            let found = resolve(url, &parent).map(|remote| remote.to_string());
            assert_eq!(found.unwrap_or_else(|error| format!("{error:#}")), expected, "{url}");
        };
        check("../lib.git", "https://h:8443/group/lib.git");
        check("./lib.git", "https://h:8443/group/app.git/lib.git");
        check("../../other/lib", "https://h:8443/other/lib");
        check("https://x/lib.git", "https://x/lib.git");
        check("../../../lib", "its address \"../../../lib\" leads above the host");
        for refused in ["/etc", "file:///etc/x", "ext::sh -c id", "-u./x", "git@h:x", "ssh://h/x"] {
            assert!(resolve(refused, &parent).is_err(), "{refused}");
        }
        assert!(resolve("../lib.git", &parent).expect("relative").login.is_some(), "the same host");
        assert!(resolve("https://x/lib.git", &parent).expect("another").login.is_none(), "another host");
    }

    #[test]
    fn gitmodules_are_read() {
        let link = |path: &str| Gitlink { path: path.into(), commit: ObjectId::null(gix_hash::Kind::Sha1) };
        let parent = Remote::parse("https://h/a.git").expect("an address");
        let text = "[include]\n\tpath = /etc/passwd\n[submodule \"a\"]\n\tpath = x/y\n\turl = \"../b.git\" # why\n\
                    [submodule \"b\"]\n\tpath = z\n\turl = https://h/c\n\tupdate = none\n";
        let places = places(text.as_bytes(), &[link("x/y"), link("z")], &parent).expect("read");
        assert_eq!(places.len(), 1);
        assert_eq!((places[0].path.as_slice(), places[0].remote.to_string()), (&b"x/y"[..], "https://h/b.git".into()));
        let missing = super::places(text.as_bytes(), &[link("q")], &parent).map(drop).expect_err("missing");
        assert!(missing.to_string().contains("submodules=false"), "{missing}");
        assert!(super::places(b"[submodule", &[link("q")], &parent).is_err());
    }
}
