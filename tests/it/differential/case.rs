//! A case as it is written down.
//!
//! The file opens with the Dockerfile. Parts follow, each after a line of its own:
//! `--- context`: a script that makes the files, run by `sh -eu` in the context;
//! `--- args`: arguments of both builders, one a line, `@CONTEXT@`, `@WEB@`, `@GIT@` and `@AGENT@` replaced;
//! `--- differs`: what is known to differ, `-` silt's and `+` buildah's;
//! `--- buildah cannot`: buildah fails, and the lines say what silt adds to the base (`+`) and takes from it (`-`).
//! The last two need the lines `reason: …`, and `settled by: …` for what the Dockerfile reference has on it.

use std::fs;
use std::path::Path;

/// One Dockerfile, what it needs, and what is known of its results.
pub struct Case {
    /// `group/name`.
    pub name: String,
    /// Its text.
    pub dockerfile: String,
    /// The script that makes its files.
    pub context: String,
    /// Arguments of both builders.
    pub args: Vec<String>,
    /// Why buildah cannot build it, where so.
    pub cannot: Option<String>,
    /// The differences that must be found, neither more nor less.
    pub lines: Vec<String>,
}

impl Case {
    /// Reads a file; panics where it is not written as the module says.
    pub fn read(file: &Path) -> Case {
        let text = fs::read_to_string(file).unwrap();
        let folder = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
        Case::parse(&format!("{folder}/{}", file.file_name().unwrap().to_str().unwrap()), &text)
    }

    fn parse(name: &str, text: &str) -> Case {
        let mut parts = text.split("\n--- ");
        let dockerfile = format!("{}\n", parts.next().unwrap().trim_end_matches('\n'));
        let (context, args, cannot, lines) = (String::new(), Vec::new(), None, Vec::new());
        let mut case = Case { name: name.to_owned(), dockerfile, context, args, cannot, lines };
        for part in parts {
            let (title, body) = part.split_once('\n').unwrap_or((part, ""));
            match title {
                "context" => body.clone_into(&mut case.context),
                "args" => case.args = body.lines().map(str::to_owned).collect(),
                "differs" => case.lines = known(name, body).1,
                "buildah cannot" => {
                    let (reason, lines) = known(name, body);
                    (case.cannot, case.lines) = (Some(reason), lines);
                }
                other => panic!("{name}: no part is called {other:?}"),
            }
        }
        case
    }

    /// What to say when other differences are found than those written down and the general ones, if so.
    pub fn complaint(&self, general: &[String], found: &[String]) -> Option<String> {
        let listed: Vec<&String> = general.iter().chain(&self.lines).collect();
        let list = |lines: Vec<&String>| lines.iter().fold(String::new(), |text, line| format!("{text}\n{line}"));
        let unlisted = list(found.iter().filter(|line| !listed.contains(line)).collect());
        let stale = list(listed.iter().filter(|line| !found.contains(line)).copied().collect());
        let sides = if self.cannot.is_some() { "- base, + silt" } else { "- silt, + buildah" };
        let text = format!("== {} ({sides})\nnot in the case:{unlisted}\nonly in the case:{stale}", self.name);
        (!unlisted.is_empty() || !stale.is_empty()).then_some(text)
    }
}

/// The reason and the differences of a part.
fn known(name: &str, body: &str) -> (String, Vec<String>) {
    let after = |key: &str| body.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned();
    let (reason, settled) = (after("reason:"), after("settled by:"));
    assert!(!reason.is_empty() && !settled.is_empty(), "{name}: a reason and what settles it are needed");
    let is_difference = |line: &&str| line.starts_with("- ") || line.starts_with("+ ");
    (reason, body.lines().filter(is_difference).map(str::to_owned).collect())
}

#[test]
fn a_case_is_taken_apart() {
    let text = "FROM scratch\nCOPY a /\n\n--- context\necho a > a\n--- args\n--x=1\n--- differs\nreason: r\nsettled by: s\n- x\n";
    let case = Case::parse("g/n", text);
    assert_eq!((case.dockerfile.as_str(), case.context.as_str()), ("FROM scratch\nCOPY a /\n", "echo a > a"));
    assert_eq!((case.args, case.lines.clone()), (vec!["--x=1".to_owned()], vec!["- x".to_owned()]));
    let said = Case::parse("g/n", text).complaint(&["+ z".to_owned()], &["+ y".to_owned()]).unwrap();
    assert_eq!(Case::parse("g/n", text).complaint(&[], &["- x".to_owned()]), None);
    assert!(said.contains("not in the case:\n+ y") && said.contains("only in the case:\n+ z\n- x"), "{said}");
}

#[test]
fn a_difference_without_a_reason_is_refused() {
    let read = |text: &str| std::panic::catch_unwind(|| Case::parse("g/n", text)).is_ok();
    assert!(read("FROM scratch\n--- differs\nreason: r\nsettled by: s\n"));
    assert!(!read("FROM scratch\n--- differs\nreason: r\n") && !read("FROM scratch\n--- differs\nsettled by: s\n"));
    assert!(!read("FROM scratch\n--- other\n"));
}
