//! Differences that do not belong to a case but to how buildah works, listed once.

use super::around::System;

/// The lines, `-` silt's and `+` buildah's.
///
/// * buildah leaves the empty files that it mounted its own over for a RUN. Not the Dockerfile's: a RUN's layer holds what
///   the command changed (reference, 1.1, RUN).
/// * storage cannot hold a time before 1970; silt leaves the base's layers as they are.
const LINES: [&str; 5] = [
    r#"+ "etc/hostname" file 0 e3b0c44298fc1c14 0755 0:0 new"#,
    r#"+ "etc/hosts" file 0 e3b0c44298fc1c14 0755 0:0 new"#,
    r#"+ "etc/resolv.conf" file 0 e3b0c44298fc1c14 0755 0:0 new"#,
    r#"- "usr/share/kinds/old" file 12 579df0a75bb61bcd 0644 0:0 @-86400"#,
    r#"+ "usr/share/kinds/old" file 12 579df0a75bb61bcd 0644 0:0 @0"#,
];

/// What the last stage of a Dockerfile must show, so that a line which is not true any more is seen. Of the files that buildah
/// mounts its own over Debian lacks one alone.
pub fn expected(dockerfile: &str, system: System) -> Vec<String> {
    let (base, runs) = last_stage(dockerfile);
    let shown = |line: &&&str| match system {
        System::Busybox => runs || line.contains("kinds/old"),
        System::Debian => runs && line.contains("etc/hosts\""),
    };
    LINES.iter().filter(|_| base != "scratch").filter(shown).map(|line| (*line).to_owned()).collect()
}

/// What image the last stage stands on in the end, and whether a command ran in it or in a stage below it.
pub fn last_stage(dockerfile: &str) -> (String, bool) {
    let mut stages: Vec<(String, Option<String>, bool)> = Vec::new();
    for line in dockerfile.lines() {
        let words: Vec<_> = line.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        match (words.first().map(|word| word.to_uppercase()).as_deref(), stages.last_mut()) {
            (Some("FROM"), _) => {
                stages.push((words[1].to_lowercase(), words.get(3).map(|name| name.to_lowercase()), false))
            }
            (Some("RUN"), Some(stage)) => stage.2 = true,
            _ => {}
        }
    }
    let (mut base, _, mut runs) = stages.pop().unwrap();
    while let Some(below) = stages.iter().find(|stage| stage.1.as_ref() == Some(&base)) {
        runs |= below.2;
        base.clone_from(&below.0);
    }
    (base, runs)
}

#[test]
fn the_last_stage_decides() {
    let last = |text: &str| last_stage(text);
    let lines = |text: &str| expected(text, System::Busybox).len();
    assert_eq!(last("FROM base AS One\nRUN x\nFROM one\nCMD x\n"), ("base".to_owned(), true));
    assert_eq!(last("FROM base AS one\nRUN x\nFROM --platform=a/b scratch\n"), ("scratch".to_owned(), false));
    assert_eq!((lines("FROM base\nCMD x\n"), lines("FROM scratch\nCMD x\n")), (2, 0));
    assert_eq!(lines("FROM base\nRUN x\n"), 5);
    assert_eq!(expected("FROM base\nRUN x\n", System::Debian).len(), 1);
}
