//! The front end that a file asks for, wherever BuildKit looks for it: beside the directive of a Dockerfile also one in a comment
//! with `//`, or the member `syntax` of a JSON object that the file begins with, each also after a `#!` line.
//!
//! Nothing is loaded. Files in the latter forms are for other front ends, so this tells what to say of them.

use serde_json::{Deserializer, Value};

/// The front end that `bytes`, a Dockerfile or something else, asks for: an image and perhaps arguments for it.
pub fn syntax(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let bytes = if bytes.starts_with(b"#!") { after_line(bytes) } else { bytes };
    directive(bytes, "#").or_else(|| directive(bytes, "//")).or_else(|| member(bytes))
}

fn after_line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    end.and_then(|end| bytes.get(end + 1..)).unwrap_or_default()
}

/// The directive among the comments, begun by `sign`, at the top.
fn directive(bytes: &[u8], sign: &str) -> Option<String> {
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        let (key, value) = line.trim().strip_prefix(sign)?.split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || value.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        if key.eq_ignore_ascii_case("syntax") {
            return Some(value.to_owned());
        }
    }
    None
}

/// `{"syntax": "…"}` at the start.
fn member(bytes: &[u8]) -> Option<String> {
    let first = Deserializer::from_slice(bytes).into_iter::<Value>().next()?.ok()?;
    first.get("syntax")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_where_buildkit_looks() {
        let check =
            |text: &str, expected: Option<&str>| assert_eq!(syntax(text.as_bytes()).as_deref(), expected, "{text:?}");
        check("# syntax=a/b:1\nFROM x", Some("a/b:1"));
        check("# escape=`\r\n# Syntax = a/b arg\r\n", Some("a/b arg"));
        check("\u{feff}#syntax=a", Some("a"));
        check("#!/usr/bin/env x\n# syntax=a\nFROM x", Some("a"));
        check("// syntax=a\n{}", Some("a"));
        check("#!x\n//syntax=a", Some("a"));
        check("{\"syntax\": \"a\", \"other\": [1]}\nmore", Some("a"));
        check("#!x\n{\"syntax\": \"a\"}", Some("a"));
        check("{\"syntax\": 1}", None);
        check("{\"syntax\": ", None);
        check("# a comment\n# syntax=a", None);
        check("\n# syntax=a", None);
        check("FROM x\n# syntax=a", None);
        check("# syntax=\n# syntax=a", None);
        check("#!x", None);
        check("", None);
    }
}
