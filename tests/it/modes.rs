//! `--snapshot-mode`, `--use-new-run`, `--single-snapshot` and `--verify-snapshot` in whole builds: what each mode finds and
//! misses, what it says, and that the image is the tree that the build left.

use serde_json::Value;

use crate::support::bases;
use crate::support::executor::{Build, Built};
use crate::support::image::{self, Unpacked};
use crate::support::tree::{Times, assert_same, list};

/// Everything that is new or has another mtime, size, mode or owner, which kaniko's modes find as well.
const PLAIN: &str = "FROM base\nRUN echo more >> /etc/motd; mkdir -p /new/dir; echo x > /new/dir/file; rm -r /opt/old\n\
    COPY file /copied\nRUN chmod 600 /copied; touch /copied; mv /new /moved; ln /copied /linked\n";

/// Builds, which checks that the image is the tree, and reads the image.
fn build(dockerfile: &str, args: &[&str]) -> (Built, Unpacked) {
    let build = Build::new(dockerfile).base("base", &bases::busybox()).file("file", "content").arg("--no-push");
    let out = build.dir().join("out");
    let built = build.args(args.iter().copied()).arg(format!("--oci-layout-path={}", out.display())).succeed();
    (built, image::unpack(&format!("oci:{}", out.display())))
}

#[test]
fn kaniko_s_modes_find_plain_changes_and_warn_once() {
    for mode in ["redo", "time"] {
        let (built, _) = build(PLAIN, &[&format!("--snapshotMode={mode}"), "--verify-snapshot"]);
        for step in built.steps("RUN") {
            assert_eq!(step["recorder"], mode, "{step}");
            assert!(step["changes"].as_u64().unwrap() > 2, "{step}");
            assert!(step["stats"].as_u64().unwrap() > 100, "everything is stat-ed: {step}");
        }
        let said = built.stderr();
        assert_eq!(said.matches("It misses").count(), 1, "{said}");
        assert!(said.contains(&format!("--snapshot-mode={mode} compares mtime")), "{said}");
    }
}

/// Each loss that the warning names, and that the check of `--verify-snapshot` names the path.
#[test]
fn what_kaniko_s_modes_lose_fails_the_check() {
    let edit = "touch -r /etc/motd /ref; echo 'WELCOME to the base' > /etc/motd; touch -r /ref /etc/motd; rm /ref";
    let check = |mode: &str, script: &str, missed: Option<&str>| {
        let build = Build::new(&format!("FROM base\nRUN {script}\n")).base("base", &bases::busybox());
        let build = build.args(["--no-push", "--verify-snapshot"]).arg(format!("--snapshot-mode={mode}"));
        match missed {
            Some(path) => drop(build.fail(1, &["Dockerfile:2", "1 missed", path])),
            None => drop(build.succeed()),
        }
    };
    check("time", edit, Some("etc/motd"));
    check("redo", edit, Some("etc/motd"));
    check("full", edit, None);
    check("events", edit, None);
    check("time", "chmod 600 /etc/motd", Some("etc/motd"));
    check("redo", "chmod 600 /etc/motd", None);
}

#[test]
fn use_new_run_means_events_and_says_so_once() {
    let (built, _) = build(PLAIN, &["--use-new-run", "--snapshot-mode=redo"]);
    assert!(built.steps("RUN").iter().all(|step| step["recorder"] == "fanotify"), "{:?}", built.steps("RUN"));
    let said = built.stderr();
    assert_eq!(said.matches("--use-new-run").count(), 1, "{said}");
    assert!(!said.contains("It misses"), "{said}");
}

/// Two stages from a third one, copies from it, a step that undoes what an earlier one did, links made over several steps,
/// and instructions without files.
const STAGES: &str = r#"FROM base AS common
RUN mkdir /common && echo 1 > /common/file && chmod 600 /etc/motd
ENV ONE=1
FROM common AS tools
COPY file /tools/file
RUN ln /tools/file /tools/link && echo tool > /tools/tool && rm /etc/group && touch /gone
RUN rm /gone && echo more >> /tools/link && mkdir -p /tools/dir/below
WORKDIR /tools/made
CMD ["/tools/tool"]
FROM common
COPY --from=tools /tools /opt/tools
COPY file /opt/file
RUN mv /opt/tools/dir /opt/dir && echo 2 > /opt/dir/below/two && rm -r /common
LABEL last=yes
"#;

/// The rows of the history that have a layer, by the instruction, after those of the base.
fn rows_with_a_layer(image: &Unpacked, base: usize) -> Vec<String> {
    let config = image.config();
    let rows = config["history"].as_array().unwrap().iter().skip(base);
    let with_layer = rows.filter(|row| row["empty_layer"] != Value::Bool(true));
    with_layer.map(|row| row["created_by"].as_str().unwrap().to_owned()).collect()
}

fn check_single(args: &[&str], recorder: &str) {
    let args = [&["--single-snapshot"], args].concat();
    let (built, image) = build(STAGES, &args);
    let rows = rows_with_a_layer(&image, 2);
    assert_eq!(rows.len(), 2, "{args:?}: one layer a stage: {rows:?}");
    assert!(
        rows[0].starts_with("RUN /bin/sh -c mkdir /common") && rows[1].starts_with("RUN /bin/sh -c mv /opt/tools/dir"),
        "{args:?}: {rows:?}"
    );
    assert_eq!(image.layer_names().len(), 4);
    let history = image.config()["history"].as_array().unwrap().len();
    assert_eq!(history, 2 + 2 + 4, "every instruction has a row");
    let snapshots = built.steps("the single snapshot");
    assert_eq!(snapshots.len(), 3, "{snapshots:?}");
    assert!(snapshots.iter().all(|step| step["recorder"] == recorder), "{args:?}: {snapshots:?}");
    assert!(built.steps("RUN").iter().chain(&built.steps("COPY")).all(|step| step.get("recorder").is_none()));
}

#[test]
fn a_single_snapshot_is_one_layer_a_stage_with_events() {
    check_single(&["--verify-snapshot"], "fanotify");
}

#[test]
fn a_single_snapshot_is_one_layer_a_stage_with_every_mode_and_recorder() {
    check_single(&["--snapshot-mode=full"], "full");
    check_single(&["--snapshot-mode=redo", "--verify-snapshot"], "redo");
    check_single(&["--recorder=sweep", "--verify-snapshot"], "sweep");
    check_single(&["--recorder=dirwatch", "--verify-snapshot"], "sweep");
}

#[test]
fn a_single_snapshot_of_a_target_is_that_of_all_its_steps() {
    let (_, single) = build(STAGES, &["--single-snapshot", "--target=tools"]);
    let (_, steps) = build(STAGES, &["--target=tools"]);
    let since = |image: &Unpacked| list(&image.tree(), Times::NewSince(0));
    assert_same(&since(&single), &since(&steps), "one snapshot, one a step");
    assert_eq!(single.config()["config"], steps.config()["config"]);
    let names = single.layer_names();
    assert!(names.last().unwrap().iter().all(|name| name != "gone"), "{names:?}");
    let (rows, last) = (rows_with_a_layer(&single, 2), "WORKDIR /tools/made");
    assert!(rows.len() == 2 && rows[1] == last, "{rows:?}");
}

#[test]
fn a_stage_without_changes_has_no_layer() {
    let (_, image) = build("FROM base\nRUN echo > /x\nRUN rm /x\nENV A=1\n", &["--single-snapshot"]);
    assert_eq!(image.layer_names().len(), 2);
    assert_eq!(image.config()["history"].as_array().unwrap().len(), 2 + 3);
    let (built, image) = build("FROM base\nCOPY file /a\nCOPY file /b\n", &["--single-snapshot"]);
    assert_eq!(image.layer_names().last().unwrap(), &["a", "b"]);
    assert!(built.steps("the single snapshot")[0].get("recorder").is_none(), "nobody had to look for it");
}

/// A mode that loses changes loses them at the end of a stage too, and the check sees it.
#[test]
fn a_single_snapshot_is_checked() {
    let steps = "RUN chmod 600 /etc/motd\nCOPY file /etc/group\nRUN echo 1 > /one\n";
    let build = Build::new(&format!("FROM base\n{steps}")).base("base", &bases::busybox()).file("file", "");
    let args = ["--no-push", "--single-snapshot", "--snapshot-mode=time", "--verify-snapshot"];
    build.args(args).fail(1, &["Dockerfile:1", "1 missed", "etc/motd"]);
}
