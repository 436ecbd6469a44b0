//! What people are shown of an instruction: addresses without what may be a secret in them.

/// Where a word ends in which an address stands.
const ENDS: [char; 9] = [' ', '\t', '\n', '\r', '"', '\'', '`', '<', '>'];

/// The text of an instruction for a log: addresses have no user and no password, and in ADD, which fetches
/// them, no query either.
pub fn shown(text: &str) -> String {
    shown_of(text, text)
}

/// The same for a part of `instruction`, or for what is said about it.
pub fn shown_of(instruction: &str, text: &str) -> String {
    let mut words = instruction.split_whitespace().map(str::to_ascii_uppercase).skip_while(|word| word == "ONBUILD");
    rewritten(text, words.next().is_some_and(|word| word == "ADD"))
}

/// `text` without user and password in the addresses that stand in it.
pub fn without_logins(text: &str) -> String {
    rewritten(text, false)
}

fn rewritten(text: &str, without_queries: bool) -> String {
    let (mut done, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("://") {
        done.push_str(before);
        done.push_str("://");
        let word = after.split(ENDS).next().unwrap_or_default();
        rest = &after[word.len()..];
        let authority = word.split(['/', '?', '#']).next().unwrap_or_default();
        let path = &word[authority.len()..];
        match authority.rsplit_once('@') {
            Some((_, host)) => done.extend(["***@", host]),
            None => done.push_str(authority),
        }
        match path.split_once('?').filter(|_| without_queries) {
            Some((path, query)) => {
                done.extend([path, "?***"]);
                done.extend(query.split_once('#').into_iter().flat_map(|(_, fragment)| ["#", fragment]));
            }
            None => done.push_str(path),
        }
    }
    done + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_addresses_are_not_shown() {
        for (text, expected) in [
            ("ADD https://u:p@h/a?t=s /b", "ADD https://***@h/a?*** /b"),
            (
                "add --checksum=x http://h:8/a?b://c@d#e 'git://u@g/x' y",
                "add --checksum=x http://h:8/a?***#e 'git://***@g/x' y",
            ),
            ("ONBUILD ADD [\"https://h?t\", \"/\"]", "ONBUILD ADD [\"https://h?***\", \"/\"]"),
            ("ADD https://${U}:${P:-p@q}@h/x@1 .", "ADD https://***@h/x@1 ."),
            ("RUN curl https://u:p@h/a?b=c", "RUN curl https://***@h/a?b=c"),
            ("ADD a?b c@d", "ADD a?b c@d"),
            ("ADD ://", "ADD ://"),
            ("", ""),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(without_logins("ADD https://u:p@h/a?t=s"), "ADD https://***@h/a?t=s");
    }
}
