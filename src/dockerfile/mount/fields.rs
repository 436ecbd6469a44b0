//! Comma-separated fields, as in RFC 4180: one in double quotes may hold commas, and `""` for a quote.

use super::{Problem, syntax};

/// The fields of one comma-separated record.
pub(super) fn csv(text: &str) -> Result<Vec<String>, Problem> {
    let broken = || syntax(format!("--mount={text}: a double quote is out of place"));
    let (mut fields, mut rest) = (Vec::new(), text);
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            None => rest.find(',').map_or((rest.to_owned(), ""), |at| (rest[..at].to_owned(), &rest[at..])),
            Some(quoted) => quoted_field(quoted).ok_or_else(broken)?,
        };
        if !rest.starts_with('"') && field.contains('"') {
            return Err(broken());
        }
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err(broken()),
        }
    }
}

/// The field up to its closing quote, `""` being one quote of it, and what follows.
fn quoted_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let at = rest.find('"')?;
        field.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, rest)),
        }
    }
}
