//! Recognises here-documents, which are not offered yet: reading the body as instructions would be worse than an error.

use super::{Escape, words};

/// The first here-document mark (`<<EOF`, `3<<-"EOF"`) among the words of RUN, COPY or ADD.
pub(super) fn find(text: &str, escape: Escape) -> Option<String> {
    words::quoted(text, escape).into_iter().find(|word| is_mark(word))
}

/// Digits, `<<`, perhaps `-`, then a name without `<`.
fn is_mark(word: &str) -> bool {
    let Some(name) = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<") else { return false };
    let name = name.strip_prefix('-').unwrap_or(name);
    !name.is_empty() && !name.contains('<')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks() {
        for text in ["<<EOF", "cat <<EOF > a", "<<-EOF /a", "3<<\"E F\" b", "a && cat <<'EOF'"] {
            assert!(find(text, Escape::Backslash).is_some(), "{text}");
        }
        for text in
            ["cat <<< word", "a=$((1<<2))", "a=$((1 << 2))", "echo \"a <<EOF\"", "cat<<EOF", "a < b", "<<", "\\<<E"]
        {
            assert_eq!(find(text, Escape::Backslash), None, "{text}");
        }
    }
}
