//! COPY and ADD.

use super::{json, syntax};
use crate::dockerfile::flags::Flags;
use crate::dockerfile::{Add, Copy, CopySource, Heredoc, Problem, Transfer, heredoc, remote, words};

pub(super) fn copy(flags: &Flags, rest: &str, documents: &[Heredoc]) -> Result<Copy, Problem> {
    let transfer = transfer("COPY", flags, rest, documents)?;
    if let Some(source) = transfer.paths().find(|source| remote::is_http(source)) {
        return Err(syntax(format!("COPY cannot fetch a URL ({source}); ADD can")));
    }
    Ok(Copy { transfer, from: flags.get("from"), parents: flags.switch("parents").unwrap_or(false) })
}

pub(super) fn add(flags: &Flags, rest: &str, documents: &[Heredoc]) -> Result<Add, Problem> {
    Ok(Add {
        transfer: transfer("ADD", flags, rest, documents)?,
        checksum: flags.get("checksum"),
        keep_git_dir: flags.switch("keep-git-dir"),
        unpack: flags.switch("unpack"),
    })
}

fn transfer(name: &str, flags: &Flags, rest: &str, documents: &[Heredoc]) -> Result<Transfer, Problem> {
    let is_json = json(rest)?;
    let mut words = match &is_json {
        Some(words) => words.clone(),
        None => path_words(rest, documents),
    };
    let destination = words.pop().filter(|_| !words.is_empty());
    let destination = destination.ok_or_else(|| syntax(format!("{name} needs a source and a destination")))?;
    if is_json.is_none() && heredoc::mark(&destination).is_some() {
        return Err(syntax(format!("{name}: a here-document ({destination}) cannot be the destination")));
    }
    let mut documents = documents.iter();
    let source = |word: String| match documents.as_slice().first() {
        Some(document) if heredoc::mark(&word).is_some_and(|mark| mark.name == document.name) => {
            documents.next();
            CopySource::Heredoc(document.clone())
        }
        _ => CopySource::Path(word),
    };
    Ok(Transfer {
        sources: words.into_iter().map(source).collect(),
        destination,
        chown: flags.get("chown"),
        chmod: flags.get("chmod"),
        link: flags.switch("link").unwrap_or(false),
        excludes: flags.all("exclude"),
    })
}

/// The words between blanks; those between unquoted blanks if a mark has a quoted one in it.
fn path_words(rest: &str, documents: &[Heredoc]) -> Vec<String> {
    let words = words::on_blanks(rest);
    if words.iter().filter_map(|word| heredoc::mark(word)).count() == documents.len() {
        return words;
    }
    heredoc::raw_words(rest).unwrap_or_default().into_iter().map(str::to_owned).collect()
}
