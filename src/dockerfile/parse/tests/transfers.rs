//! COPY and ADD.

use super::*;
use crate::dockerfile::{Add, Copy, CopySource, Transfer};

fn transfer_of(sources: &[&str], destination: &str) -> Transfer {
    Transfer {
        sources: sources.iter().map(|source| CopySource::Path(source.to_string())).collect(),
        destination: destination.to_owned(),
        chown: None,
        chmod: None,
        link: false,
        excludes: Vec::new(),
    }
}

fn copy_of(transfer: Transfer) -> Instruction {
    Instruction::Copy(Copy { transfer, from: None, parents: false })
}

fn add_of(transfer: Transfer) -> Instruction {
    Instruction::Add(Add { transfer, checksum: None, keep_git_dir: None, unpack: None })
}

#[test]
fn copies() {
    check("COPY a b", copy_of(transfer_of(&["a"], "b")));
    check("ADD  a  b\tc/ ", add_of(transfer_of(&["a", "b"], "c/")));
    check("COPY [\"a b\", \"c\", \"/d e\"]", copy_of(transfer_of(&["a b", "c"], "/d e")));
    check("COPY [a b]", copy_of(transfer_of(&["[a"], "b]")));
    check("COPY \"a b\" c", copy_of(transfer_of(&["\"a", "b\""], "c")));
    check("COPY *.go [[]x $D", copy_of(transfer_of(&["*.go", "[[]x"], "$D")));
    check("COPY [\"<<a\", \"b\"]", copy_of(transfer_of(&["<<a"], "b")));
    check("ADD github.com/a/b c", add_of(transfer_of(&["github.com/a/b"], "c")));
    check("ADD a http://b/c git@h:a/b d", add_of(transfer_of(&["a", "http://b/c", "git@h:a/b"], "d")));
    for text in ["COPY", "COPY a", "COPY [\"a\"]", "COPY []", "COPY --from=a b"] {
        check_error(text, 1, "COPY needs a source and a destination");
    }
    check_error("COPY https://a/b c", 1, "COPY cannot fetch a URL (https://a/b); ADD can");
}

#[test]
fn flags_of_copy() {
    let transfer =
        Transfer { chown: Some("$U:g".to_owned()), chmod: Some("0755".to_owned()), ..transfer_of(&["/a"], "/b") };
    let copy = Copy { transfer, from: Some("Build".to_owned()), parents: false };
    check("COPY --chown=$U:g --from=Build --chmod=0755 /a /b", Instruction::Copy(copy));
    check("COPY --link a b", copy_of(Transfer { link: true, ..transfer_of(&["a"], "b") }));
    check("COPY --link=false a b", copy_of(transfer_of(&["a"], "b")));
    let excludes = strings(&["*.txt", "!a b"]);
    check("COPY --exclude=*.txt --exclude='!a b' a b", copy_of(Transfer { excludes, ..transfer_of(&["a"], "b") }));
    let transfer = transfer_of(&["./a/./b"], "/c/");
    check("COPY --parents ./a/./b /c/", Instruction::Copy(Copy { transfer, from: None, parents: true }));
    check("COPY --from= a b", copy_of(transfer_of(&["a"], "b")));
}

#[test]
fn flags_of_add() {
    let add = |change: fn(&mut Add)| {
        let mut add = Add { transfer: transfer_of(&["a"], "b"), checksum: None, keep_git_dir: None, unpack: None };
        change(&mut add);
        Instruction::Add(add)
    };
    check("ADD --chmod=u=rwX a b", add(|add| add.transfer.chmod = Some("u=rwX".to_owned())));
    check("ADD --checksum=sha256:0 a b", add(|add| add.checksum = Some("sha256:0".to_owned())));
    check("ADD --keep-git-dir a b", add(|add| add.keep_git_dir = Some(true)));
    check("ADD --keep-git-dir=false a b", add(|add| add.keep_git_dir = Some(false)));
    check("ADD --unpack a b", add(|add| add.unpack = Some(true)));
    check("ADD --unpack=False a b", add(|add| add.unpack = Some(false)));
    check(
        "ADD --link --exclude=x a b",
        add(|add| (add.transfer.link, add.transfer.excludes) = (true, strings(&["x"]))),
    );
}

#[test]
fn heredocs_of_copy_and_add() {
    let with = |sources: Vec<CopySource>, destination: &str| Transfer { sources, ..transfer_of(&[], destination) };
    let document = |name: &str, body: &str| CopySource::Heredoc(heredoc(name, body));
    let path = |path: &str| CopySource::Path(path.to_owned());
    check("COPY <<F /a\nx\nF", copy_of(with(vec![document("F", "x\n")], "/a")));
    check("ADD <<F /a\nx\nF", add_of(with(vec![document("F", "x\n")], "/a")));
    check(
        "COPY a <<F b <<G /d/\nx\nF\ny\nG",
        copy_of(with(vec![path("a"), document("F", "x\n"), path("b"), document("G", "y\n")], "/d/")),
    );
    let literal = Heredoc { variables: Variables::Literal, ..heredoc("F x", "$y\n") };
    check("COPY <<\"F x\" /d\n$y\nF x", copy_of(with(vec![CopySource::Heredoc(literal)], "/d")));
    check(
        "COPY --chmod=755 <<F /a\nx\nF",
        copy_of(Transfer { chmod: Some("755".to_owned()), ..with(vec![document("F", "x\n")], "/a") }),
    );
    check_error("COPY a <<F\nx\nF", 1, "COPY: a here-document (<<F) cannot be the destination");
    check_error("COPY <<F\nx\nF", 1, "COPY needs a source and a destination");
}
