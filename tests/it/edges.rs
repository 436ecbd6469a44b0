//! Whole builds at the edges of what a file system takes: the longest paths, a directory with very many entries, names that
//! no layer can say.

use std::fs;

use serde_json::Value;

use crate::support::executor::Build;
use crate::support::{bases, image};

fn changes(step: &Value) -> u64 {
    step["changes"].as_u64().unwrap_or_else(|| panic!("{step}"))
}

/// 16 directories with names of 254 bytes, each below the other, and a file: as a path from the root 4,096 bytes, one more
/// than a system call takes.
const LONG: &str = "FROM base\n\
    RUN name=$(printf %0254d 7); for i in $(seq 16); do mkdir $name && cd $name; done; echo 1 > 123456789012345\n\
    RUN name=$(printf %0254d 7); for i in $(seq 16); do cd $name; done; echo 2 >> 123456789012345; ln 123456789012345 x\n\
    RUN name=$(printf %0254d 7); for i in $(seq 16); do cd $name; done; rm 123456789012345\n\
    RUN rm -r /0*\n";

#[test]
fn the_longest_paths_are_recorded() {
    let folder = format!("{}7/", "0".repeat(253));
    let (file, other) = (format!("{}123456789012345", folder.repeat(16)), format!("{}x", folder.repeat(16)));
    assert_eq!(file.len() + 1, 4096);
    for recorder in ["fanotify", "dirwatch", "sweep", "full"] {
        let build = Build::new(LONG).base("base", &bases::busybox());
        let out = build.dir().join("out");
        let arguments = ["--no-push".to_owned(), "--verify-snapshot".into(), format!("--recorder={recorder}")];
        // No other program here unpacks such paths, so the layers are only listed.
        let built = build.args(arguments).arg(format!("--oci-layout-path={}", out.display())).run();
        assert!(built.status.success(), "{}", built.stderr());
        image::check_layers(&out);
        let steps = built.steps("RUN");
        assert!(steps.iter().all(|step| step["recorder"] == recorder), "{steps:?}");
        assert_eq!(steps.iter().map(changes).collect::<Vec<_>>(), [17, 2, 1, 1], "{recorder}");
        let layers = image::layer_names(&out);
        let layers: Vec<_> = layers.iter().rev().take(4).collect();
        let has = |layer: usize, name: &str| layers[3 - layer].iter().any(|other| other == name);
        assert!(has(0, &file) && has(1, &file) && has(1, &other), "{recorder}");
        assert!(has(2, &format!("{}.wh.123456789012345", folder.repeat(16))), "{recorder}");
        assert!(has(3, &format!(".wh.{}", folder.trim_end_matches('/'))), "{recorder}");
    }
}

#[test]
fn a_directory_with_200_000_entries_is_recorded() {
    let dockerfile = "FROM base\nRUN mkdir /many && cd /many && seq 200000 | xargs touch\n\
        RUN cd /many && echo 1 > 77 && rm 99999 && echo 2 > new\nRUN rm -r /many\n";
    let build = Build::new(dockerfile).base("base", &bases::busybox());
    let built = build.args(["--no-push", "--verify-snapshot", "--recorder=dirwatch"]).run();
    assert!(built.status.success(), "{}", built.stderr());
    let steps = built.steps("RUN");
    assert_eq!(steps.iter().map(changes).collect::<Vec<_>>(), [200_001, 3, 1]);
    assert!(steps.iter().all(|step| step["recorder"] == "dirwatch"), "{steps:?}");
    assert_eq!(built.steps("what directory watches").iter().map(changes).collect::<Vec<_>>(), [0]);
}

#[test]
fn a_file_with_the_name_of_a_removal_fails_the_build_by_name() {
    let build = Build::new("FROM base\nRUN mkdir /d && echo 1 > /d/.wh.x\n").base("base", &bases::busybox());
    let built = build.arg("--no-push").fail(1, &["Dockerfile:2", "/d/.wh.x"]);
    assert!(fs::symlink_metadata(built.root().join("d/.wh.x")).is_ok());
}
