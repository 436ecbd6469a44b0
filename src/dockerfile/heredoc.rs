//! Here-documents: `<<EOF` marks among the words of RUN, COPY, ADD (and ONBUILD of these), and the lines that follow them.
//!
//! A mark is a whole word: digits, `<<`, perhaps `-`, and a name without `<`. A name with a quote or an escape anywhere in it
//! keeps the body as written; otherwise COPY and ADD expand the variables in it. `<<-` drops leading tabs. Marks escape with a
//! backslash whatever the escape directive says, and a line with a quote that is never closed has none. Follows BuildKit.

/// A here-document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter, quotes removed: also the name of the file that COPY makes of it.
    pub name: String,
    /// The lines up to the delimiter, each with its line end, as they are in the file.
    pub body: String,
    /// Whether variables in the body are expanded by COPY and ADD. RUN leaves that to the shell.
    pub variables: Variables,
    /// What becomes of the tabs that begin a line.
    pub tabs: Tabs,
    /// The file descriptor before `<<`; 0 where there is none.
    pub descriptor: u32,
}

/// Whether the delimiter is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variables {
    /// `<<EOF`: variables are expanded.
    Expanded,
    /// `<<"EOF"`: the body is literal.
    Literal,
}

/// Whether tabs that begin a line belong to the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tabs {
    /// `<<EOF`
    Kept,
    /// `<<-EOF`
    Dropped,
}

impl Heredoc {
    /// The body as a file has it: without leading tabs after `<<-`.
    pub fn content(&self) -> String {
        match self.tabs {
            Tabs::Kept => self.body.clone(),
            Tabs::Dropped => self.body.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect(),
        }
    }

    /// Whether the body says what interprets it.
    pub fn has_shebang(&self) -> bool {
        self.content().starts_with("#!")
    }

    /// Whether `line`, without its end, is the delimiter.
    pub(super) fn is_end(&self, line: &str) -> bool {
        let line = if self.tabs == Tabs::Dropped { line.trim_start_matches('\t') } else { line };
        line == self.name
    }

    /// The mark as it can be written: the delimiter quoted where the body is literal.
    pub(super) fn mark(&self) -> String {
        let descriptor = if self.descriptor == 0 { String::new() } else { self.descriptor.to_string() };
        let dash = if self.tabs == Tabs::Dropped { "-" } else { "" };
        let name = match self.variables {
            Variables::Expanded => self.name.clone(),
            Variables::Literal => quote(&self.name),
        };
        format!("{descriptor}<<{dash}{name}")
    }
}

/// Each character that means something outside quotes escaped; the first one in any case, so that the name counts as quoted.
fn quote(name: &str) -> String {
    name.chars().flat_map(|c| ['\\', c]).collect()
}

/// The documents that the words of `text` begin, their bodies still empty.
pub(super) fn marks(text: &str) -> Vec<Heredoc> {
    raw_words(text).unwrap_or_default().into_iter().filter_map(mark).collect()
}

/// The document that `word` begins, if it is a mark.
pub(super) fn mark(word: &str) -> Option<Heredoc> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = word[digits..].strip_prefix("<<")?;
    let (tabs, name) = match rest.strip_prefix('-') {
        Some(name) => (Tabs::Dropped, name),
        None => (Tabs::Kept, rest),
    };
    if name.contains('<') || raw_words(name)?.as_slice() != [name] {
        return None;
    }
    let unquoted = unquote(name);
    let variables = if unquoted == name { Variables::Expanded } else { Variables::Literal };
    let descriptor = word[..digits].parse().unwrap_or(0);
    (!unquoted.is_empty()).then_some(Heredoc { name: unquoted, body: String::new(), variables, tabs, descriptor })
}

/// The words of `text`, quotes and escapes left in them; `None` if a quote is not closed.
pub(super) fn raw_words(text: &str) -> Option<Vec<&str>> {
    let (mut words, mut start, mut quote) = (Vec::new(), None, None);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(start.take().map(|start| &text[start..at]));
            continue;
        }
        start = start.or(Some(at));
        match quote {
            Some(open) if c == open => quote = None,
            None if matches!(c, '\'' | '"') => quote = Some(c),
            _ if c == '\\' && quote != Some('\'') => drop(chars.next()),
            _ => {}
        }
    }
    words.extend(start.map(|start| &text[start..]));
    quote.is_none().then_some(words)
}

fn unquote(name: &str) -> String {
    let (mut out, mut quote) = (String::new(), None);
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match quote {
            Some(open) if c == open => quote = None,
            None if matches!(c, '\'' | '"') => quote = Some(c),
            None if c == '\\' => out.extend(chars.next()),
            Some('"') if c == '\\' => match chars.next() {
                Some(escaped @ ('"' | '\\' | '$')) => out.push(escaped),
                other => out.extend(std::iter::once(c).chain(other)),
            },
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        marks(text).into_iter().map(|document| document.name).collect()
    }

    #[test]
    fn words_that_are_marks() {
        for (text, expected) in [
            ("<<EOF", &["EOF"][..]),
            ("cat <<EOF > a", &["EOF"]),
            ("<<-EOF /a", &["EOF"]),
            ("3<<\"E F\" b", &["E F"]),
            ("a && cat <<'EOF'", &["EOF"]),
            ("<<A <<-B 4<<C /d/", &["A", "B", "C"]),
            ("<<E\\ F", &["E F"]),
            ("<<\"a\\\"b\"", &["a\"b"]),
            ("<<a\"b\"c", &["abc"]),
            ("<<$EOF", &["$EOF"]),
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
    }

    #[test]
    fn words_that_are_none() {
        for text in [
            "cat <<< word",
            "a=$((1<<2))",
            "a=$((1 << 2))",
            "echo \"a <<EOF\"",
            "cat<<EOF",
            "a < b",
            "<<",
            "<<-",
            "\\<<E",
            "<<\"\"",
            "cat <<EOF; echo it's",
            "<< EOF",
            "<<E<F",
        ] {
            assert_eq!(names(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn what_a_mark_says() {
        let check = |word: &str, variables, tabs, descriptor| {
            let document = mark(word).expect(word);
            assert_eq!(
                (document.variables, document.tabs, document.descriptor),
                (variables, tabs, descriptor),
                "{word}"
            );
            assert_eq!(mark(&document.mark()), Some(document), "{word}");
        };
        check("<<EOF", Variables::Expanded, Tabs::Kept, 0);
        check("<<-EOF", Variables::Expanded, Tabs::Dropped, 0);
        check("3<<'EOF'", Variables::Literal, Tabs::Kept, 3);
        check("<<-\"E F\"", Variables::Literal, Tabs::Dropped, 0);
        check("<<E\\OF", Variables::Literal, Tabs::Kept, 0);
        check("<<E'O'F", Variables::Literal, Tabs::Kept, 0);
        check("<<'a\"b'", Variables::Literal, Tabs::Kept, 0);
    }

    #[test]
    fn tabs_are_dropped_from_content_and_delimiter() {
        let body = "\ta\n\t\tb\n c\t\n".to_owned();
        let document = Heredoc { body, ..mark("<<-E").expect("a mark") };
        assert_eq!(document.content(), "a\nb\n c\t\n");
        assert!(document.is_end("\t\tE") && document.is_end("E") && !document.is_end(" E") && !document.is_end("E "));
        let kept = Heredoc { tabs: Tabs::Kept, body: "\t#!x".into(), ..document };
        assert!(!kept.is_end("\tE") && kept.content() == "\t#!x" && !kept.has_shebang());
        assert!(Heredoc { tabs: Tabs::Dropped, ..kept }.has_shebang());
    }
}
