//! The modules form levels: a module uses only modules of lower levels, and some of those not either. Read from the text of
//! the sources, so that an arrow that the design forbids fails here and not in a review.

use std::fs;
use std::path::Path;

use crate::support::repository;

/// Every module of `src/`, lowest level first.
const LEVELS: [&[&str]; 8] = [
    &["oci", "dockerfile", "codec", "crew", "log", "sys"],
    &["plan", "store", "credentials", "rootfs"],
    &["git", "ctime"],
    &["registry", "context", "snapshot"],
    &["layer", "steps"],
    &["cache"],
    &["build", "export", "warm"],
    &["cli"],
];

/// What a module must not know although the levels would let it: modules, and crates by the name that code uses.
const FORBIDDEN: [(&str, &[&str]); 11] = [
    ("steps", &["snapshot", "cache", "registry", "git", "silt_watcher"]),
    ("snapshot", &["oci", "dockerfile", "tar_core"]),
    ("ctime", &["git"]),
    ("rootfs", &["oci", "dockerfile"]),
    ("git", &["plan", "store", "rootfs", "dockerfile", "oci"]),
    ("registry", &["rootfs", "plan", "dockerfile"]),
    ("layer", &["registry", "cache", "silt_watcher"]),
    ("store", &["registry"]),
    ("credentials", &["registry"]),
    ("plan", &["sys"]),
    ("oci", &["std::fs", "reqwest", "tokio"]),
];

/// Where `unsafe` may stand.
const UNSAFE: [&str; 2] = ["src/sys.rs", "watcher/src/sys.rs"];

const LONGEST_FILE: usize = 500;

/// A file by its path below the repository, and its text.
struct Source {
    path: String,
    text: String,
}

/// All that is wrong with a set of files, one line each.
fn violations(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(|source| [arrows(source), form(source)].concat()).collect()
}

/// Uses of modules and crates that the tables forbid.
fn arrows(source: &Source) -> Vec<String> {
    let Some(from) = module_of(&source.path) else { return Vec::new() };
    let code = without_comments(&source.text);
    let Some(level) = level_of(from) else { return vec![format!("{}: `{from}` is in no level", source.path)] };
    let wrong = |to: &String| to != from && level_of(to).is_none_or(|other| other >= level);
    let upward =
        used_modules(&code).into_iter().filter(wrong).map(|to| format!("`{from}` uses `{to}`: not of a lower level"));
    let forbidden = FORBIDDEN.iter().filter(|(module, _)| *module == from).flat_map(|(_, names)| *names);
    let known = forbidden.filter(|name| used_modules(&code).iter().any(|to| to == *name) || uses_path(&code, name));
    let known = known.map(|name| format!("`{from}` must not know `{name}`"));
    upward.chain(known).map(|what| format!("{}: {what}", source.path)).collect()
}

/// Length, opening lines and `unsafe`.
fn form(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    let lines = source.text.lines().count();
    if lines > LONGEST_FILE {
        wrong.push(format!("{}: {lines} lines, the longest may have {LONGEST_FILE}", source.path));
    }
    if !source.text.starts_with("//! ") {
        wrong.push(format!("{}: does not open with `//!` lines that say what it is for", source.path));
    }
    if !UNSAFE.contains(&source.path.as_str()) && has_unsafe(&without_comments(&source.text)) {
        wrong.push(format!("{}: `unsafe` belongs to {}", source.path, UNSAFE.join(" and ")));
    }
    wrong
}

/// `x` for `src/x.rs` and `src/x/…`; nothing for the root of the library, the binaries and other packages.
fn module_of(path: &str) -> Option<&str> {
    let below = path.strip_prefix("src/")?;
    let first = below.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "bin"].contains(&name)).then_some(name)
}

fn level_of(module: &str) -> Option<usize> {
    LEVELS.iter().position(|level| level.contains(&module))
}

/// The modules named after `crate::`, alone or in braces.
fn used_modules(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, mark) in code.match_indices("crate::") {
        let is_word_end =
            code[..at].ends_with(|before: char| before == '$' || before == '_' || before.is_alphanumeric());
        if is_word_end {
            continue;
        }
        let rest = code[at + mark.len()..].trim_start();
        match rest.strip_prefix('{') {
            Some(group) => found.extend(top_names(group)),
            None => found.extend(words(rest).next().map(str::to_owned)),
        }
    }
    found
}

/// The first word of each item of a brace group, without those of groups inside it.
fn top_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut item) = (0, String::new());
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' => break,
            ',' if depth == 0 => names.extend(words(&std::mem::take(&mut item)).next().map(str::to_owned)),
            _ if depth == 0 => item.push(letter),
            _ => {}
        }
    }
    names.extend(words(&item).next().map(str::to_owned));
    names
}

/// Whether code names a path such as `tar_core` or `std::fs` as the start of a longer one.
fn uses_path(code: &str, path: &str) -> bool {
    let starts =
        |at: usize| !code[..at].ends_with(|before: char| before == ':' || before == '_' || before.is_alphanumeric());
    let goes_on =
        |at: usize| code[at + path.len()..].starts_with([':', ';', ' ']) && !code[at + path.len()..].starts_with(": ");
    let is_crate = |at: usize| level_of(path).is_none() && starts(at) && goes_on(at);
    code.match_indices(path).any(|(at, _)| is_crate(at))
}

/// Whether the keyword stands before something that it can mark; the word in a text does not count.
fn has_unsafe(code: &str) -> bool {
    let marked = ["{", "(", "fn ", "impl ", "impl<", "extern ", "trait "];
    let marks = |at: usize| marked.iter().any(|what| code[at + "unsafe".len()..].trim_start().starts_with(what));
    let is_word = |at: usize| !code[..at].ends_with(|before: char| before == '_' || before.is_alphanumeric());
    code.match_indices("unsafe").any(|(at, _)| is_word(at) && marks(at))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| letter != '_' && !letter.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// Without what stands after `//`. A string that holds `//` loses its end, which hides no use of a module.
fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&repository().join(folder), &mut found);
    found
}

fn collect(dir: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(repository()).unwrap().to_str().unwrap().to_owned();
            found.push(Source { path: name, text: fs::read_to_string(&path).unwrap() });
        }
    }
}

#[test]
fn the_modules_keep_to_the_levels() {
    let sources: Vec<_> = ["src", "watcher/src"].into_iter().flat_map(sources).collect();
    assert!(sources.len() >= 10, "only {} files found", sources.len());
    let violations = violations(&sources);
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn a_forbidden_arrow_is_found() {
    let check = |path: &str, code: &str, expected: &[&str]| {
        let source = Source { path: path.to_owned(), text: format!("//! Opens.\n{code}\n") };
        let found = violations(&[source]);
        assert_eq!(found.len(), expected.len(), "{code}: {found:?}");
        for (line, part) in found.iter().zip(expected) {
            assert!(line.contains(part), "{code}: {line}");
        }
    };
    check("src/layer/write.rs", "use crate::rootfs::Root;", &[]);
    check("src/layer/write.rs", "use crate::layer::check;", &[]);
    check("src/rootfs/mod.rs", "use crate::layer::write;", &["`rootfs` uses `layer`"]);
    check("src/store.rs", "use crate::plan::Plan;", &["`store` uses `plan`"]);
    check("src/cli/mod.rs", "use crate::{build, oci::{Image, cli}, rootfs};", &[]);
    check("src/log.rs", "use crate::{\n    cli::Flags,\n    oci,\n};", &["`log` uses `cli`", "`log` uses `oci`"]);
    check("src/oci/mod.rs", "fn f() { crate::build::run() }", &["`oci` uses `build`"]);
    check("src/oci/mod.rs", "// crate::build::run\n/// [`crate::cli`]", &[]);
    check("src/oci/mod.rs", "use std::fs;", &["must not know `std::fs`"]);
    check("src/steps/run.rs", "use silt_watcher::Recorder;", &["must not know `silt_watcher`"]);
    check("src/steps/run.rs", "use crate::context::Context;", &[]);
    check("src/steps/run.rs", "use crate::registry::Client;", &["must not know `registry`"]);
    check("src/snapshot/diff.rs", "use crate::oci::Digest;\nuse tar_core::Header;", &["`oci`", "`tar_core`"]);
    check("src/rootfs/unpack.rs", "use tar_core::Header;", &[]);
    check("src/rootfs/unpack.rs", "use crate::oci::Digest;", &["must not know `oci`"]);
    check("src/helpers.rs", "", &["in no level"]);
    check("src/oci/mod.rs", "use crate::helpers::x;", &["`oci` uses `helpers`"]);
    check("src/steps/run.rs", "fn f() { unsafe { g() } }", &["`unsafe` belongs to"]);
    check("src/steps/run.rs", "#![forbid(unsafe_code)]\n// unsafe", &[]);
    check("src/steps/run.rs", "const TEXT: &str = \"an unsafe address\"; fn unsafe_realm() {}", &[]);
    check("src/sys.rs", "fn f() { unsafe { g() } }", &[]);
    check("watcher/src/sys.rs", "fn f() { unsafe { g() } }", &[]);
    check("watcher/src/lib.rs", "unsafe fn f() {}", &["`unsafe` belongs to"]);
    check("src/lib.rs", "use crate::cli::x;", &[]);
    check("src/oci/mod.rs", &"\n".repeat(499), &["501 lines"]);
    let bare = Source { path: "src/oci/mod.rs".to_owned(), text: "use std::io;\n".to_owned() };
    assert_eq!(violations(&[bare]).len(), 1);
}
