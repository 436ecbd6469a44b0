//! What RUN is given: environment, user, directory, and what a base image leaves open.

use super::Fixture;
use crate::dockerfile::{Command, Escape};
use crate::oci::ConfigFile;
use crate::plan::Args;
use crate::rootfs::Root;
use crate::steps::run::{Isolation, RunSpec};
use crate::steps::{StageState, Touched, command};

fn spec(fixture: &Fixture, shell: &str) -> RunSpec {
    let root = Root::open(&fixture.path("root")).expect("root");
    command::spec(&fixture.state, &root, &Command::Shell(shell.to_owned()), Isolation::Chroot).expect("spec")
}

fn home(fixture: &Fixture) -> String {
    let lines = spec(fixture, "x").env;
    lines.last().and_then(|line| line.to_str()?.strip_prefix("HOME=").map(str::to_owned)).expect("HOME")
}

#[test]
fn home_by_user() {
    let mut fixture = Fixture::new().users();
    for (user, expected) in
        [("root", "/root"), ("0", "/root"), ("app", "/home/app"), ("1000", "/home/app"), ("77", "/")]
    {
        fixture.state.config.config.user = if user == "root" { String::new() } else { user.to_owned() };
        assert_eq!(home(&fixture), expected, "{user}");
    }
    fixture.run("ENV HOME=/mine");
    let lines = spec(&fixture, "x").env;
    assert_eq!(lines.iter().filter(|line| line.to_string_lossy().starts_with("HOME=")).count(), 1);
}

#[test]
fn a_command_has_the_user_the_directory_and_the_shell() {
    let mut fixture = Fixture::new().users();
    fixture.run("USER app\nWORKDIR /a/b\nSHELL [\"sh\", \"-ec\"]");
    let spec = spec(&fixture, "echo $X");
    assert_eq!(spec.argv, ["sh", "-ec", "echo $X"]);
    assert_eq!((spec.uid, spec.gid, spec.groups), (1000, 1001, vec![50]));
    assert_eq!(spec.cwd, std::path::Path::new("/a/b"));
    fixture.run("USER 5:staff");
    let spec = self::spec(&fixture, "x");
    assert_eq!((spec.uid, spec.gid), (5, 50));
}

#[test]
fn an_unknown_user_is_an_error_at_the_next_run() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.run("USER nobody-here"), Touched::Nothing);
    assert!(fixture.refused("RUN x").contains("nobody-here"));
}

#[test]
fn the_environment_is_the_images_and_not_ours() {
    let mut config = ConfigFile::default();
    config.config.env = vec!["B=1".to_owned(), "PATH=/p".to_owned(), "ODD".to_owned()];
    let state = StageState::new(config, Args::default(), Escape::Backslash);
    assert_eq!(state.environment("/h".as_ref()), ["B=1", "PATH=/p", "ODD=", "HOME=/h"]);
    assert_eq!(state.config.config.env, ["B=1", "PATH=/p", "ODD"]);
}
