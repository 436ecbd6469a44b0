//! The executor's command line as it is typed: one field a flag, in kaniko's spellings and pflag's grammar.
//!
//! `--x=v` or `--x v`; a boolean is `--x` or `--x=false`, never `--x false`; a repeatable flag takes one value a use.
//! What the values mean is decided in `request`.

use std::path::PathBuf;

use clap::{ArgAction, Parser};

use crate::log::{Format, Verbosity};

/// Go's `strconv.ParseBool`, which pflag uses.
fn go_bool(word: &str) -> Result<bool, String> {
    match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{word:?} is not a boolean (true or false)")),
    }
}

/// `NAME=VALUE`.
fn pair(word: &str) -> Result<(String, String), String> {
    match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{word:?} is not of the form NAME=VALUE")),
    }
}

/// `NAME=VALUE`, or `NAME` alone for the value that the environment has.
fn pair_or_name(word: &str) -> Result<(String, Option<String>), String> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (word, None),
    };
    if name.is_empty() { Err(format!("{word:?} has no name")) } else { Ok((name.to_owned(), value)) }
}

/// How a step's changes are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SnapshotMode {
    /// The kernel's file events nominate the paths to compare.
    Events,
    /// The whole tree is walked and compared by content.
    Full,
}

/// Who says where to look after a RUN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Recorder {
    /// fanotify where possible, else sweep where ctime can be relied upon, else full.
    Auto,
    /// File events of the whole file system; where they cannot be had the build fails.
    Fanotify,
    /// A watch on every directory, and a sweep at the end of the stage; where they cannot be had the build fails.
    Dirwatch,
    /// The attributes of every path are compared; where they do not tell every change, as full.
    Sweep,
    /// The content of every file is compared.
    Full,
}

/// Build a container image from a Dockerfile, in user space, and push it
#[derive(Debug, Parser)]
#[command(name = "executor", version, disable_help_subcommand = true, args_override_self = true)]
pub struct Flags {
    /// Dockerfile: relative to the context, or absolute [default: Dockerfile]
    #[arg(short = 'f', long, value_name = "PATH")]
    pub dockerfile: Option<PathBuf>,

    /// Directory of the build context
    #[arg(short = 'c', long, default_value = "/workspace/", value_name = "DIR")]
    pub context: String,

    /// Image to push, registry/repository:tag; repeat for several
    #[arg(short = 'd', long, action = ArgAction::Append, value_name = "IMAGE")]
    pub destination: Vec<String>,

    /// Build only
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = go_bool)]
    pub no_push: bool,

    /// Write the image as a docker archive
    #[arg(long, alias = "tarPath", value_name = "PATH")]
    pub tar_path: Option<PathBuf>,

    /// Write the image as an OCI layout
    #[arg(long, value_name = "DIR")]
    pub oci_layout_path: Option<PathBuf>,

    /// Write the digest of the image's manifest, in place
    #[arg(long, value_name = "PATH")]
    pub digest_file: Option<PathBuf>,

    /// Value of an ARG, NAME=VALUE; NAME alone takes the value from the environment
    #[arg(long, action = ArgAction::Append, value_parser = pair_or_name, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<(String, Option<String>)>,

    /// Stage to build, by name or number; the last one if not given
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,

    /// Label of the image
    #[arg(long, action = ArgAction::Append, value_parser = pair, value_name = "NAME=VALUE")]
    pub label: Vec<(String, String)>,

    /// Path that is neither unpacked, removed nor put into a layer
    #[arg(long, action = ArgAction::Append, value_name = "PATH")]
    pub ignore_path: Vec<String>,

    /// Ignore /var/run
    #[arg(long, alias = "whitelist-var-run", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_parser = go_bool)]
    pub ignore_var_run: bool,

    /// Push over plain HTTP
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = go_bool)]
    pub insecure: bool,

    /// Pull over plain HTTP
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = go_bool)]
    pub insecure_pull: bool,

    /// Registry spoken to over plain HTTP, both ways
    #[arg(long, action = ArgAction::Append, value_name = "HOST[:PORT]")]
    pub insecure_registry: Vec<String>,

    /// Push without verifying certificates
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = go_bool)]
    pub skip_tls_verify: bool,

    /// Pull without verifying certificates
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = go_bool)]
    pub skip_tls_verify_pull: bool,

    /// Registry whose certificate is not verified, both ways
    #[arg(long, action = ArgAction::Append, value_name = "HOST[:PORT]")]
    pub skip_tls_verify_registry: Vec<String>,

    /// Do not check before the build that the destinations can be pushed to
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = go_bool)]
    pub skip_push_permission_check: bool,

    /// Build in / although no container is detected
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = go_bool)]
    pub force: bool,

    /// Directory for our own files when building in / [default: $KANIKO_DIR, or /kaniko]
    #[arg(long, value_name = "DIR")]
    pub kaniko_dir: Option<PathBuf>,

    /// How changes are found: events (default) or full
    #[arg(long, alias = "snapshotMode", value_enum, default_value = "events", value_name = "MODE")]
    pub snapshot_mode: SnapshotMode,

    /// trace, debug, info, warn, error, fatal or panic
    #[arg(short = 'v', long, default_value = "info", value_name = "LEVEL")]
    pub verbosity: Verbosity,

    /// color, text or json
    #[arg(long, default_value = "color", value_name = "FORMAT")]
    pub log_format: Format,

    /// Log the time of day instead of seconds since the start
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = go_bool)]
    pub log_timestamp: bool,

    /// Build below DIR (DIR/rootfs is the root) instead of in /; RUN is confined there
    #[arg(long, value_name = "DIR", help_heading = "Options that kaniko does not have")]
    pub build_root: Option<PathBuf>,

    /// Named context for FROM and --from: NAME=DIR, NAME=oci-layout://PATH[:TAG] or NAME=docker-image://IMAGE
    #[arg(long, action = ArgAction::Append, value_parser = pair, value_name = "NAME=LOCATION", help_heading = "Options that kaniko does not have")]
    pub build_context: Vec<(String, String)>,

    /// Secret for RUN --mount=type=secret: id=NAME[,src=FILE|,env=VARIABLE]
    #[arg(long, action = ArgAction::Append, value_name = "SECRET", help_heading = "Options that kaniko does not have")]
    pub secret: Vec<String>,

    /// SSH agent for RUN --mount=type=ssh: default, or NAME=SOCKET
    #[arg(long, action = ArgAction::Append, value_name = "AGENT", help_heading = "Options that kaniko does not have")]
    pub ssh: Vec<String>,

    /// Allow steps to ask for more: security.insecure
    #[arg(long, action = ArgAction::Append, value_name = "RIGHT", help_heading = "Options that kaniko does not have")]
    pub allow: Vec<String>,

    /// What nominates the paths to compare after a RUN: auto, fanotify, sweep or full
    #[arg(
        long,
        value_enum,
        default_value = "auto",
        value_name = "RECORDER",
        help_heading = "Options that kaniko does not have"
    )]
    pub recorder: Recorder,

    /// After each step also walk everything, and fail if the event snapshot missed a path
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = go_bool, help_heading = "Options that kaniko does not have")]
    pub verify_snapshot: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Flags, clap::Error> {
        Flags::try_parse_from([&["executor"], args].concat())
    }

    #[test]
    fn the_grammar_is_that_of_pflag() {
        let flags =
            parse(&["-d=a/b", "--destination", "c/d", "--no-push", "--insecure=T", "-c", "dir:///x"]).expect("ok");
        assert_eq!(flags.destination, ["a/b", "c/d"]);
        assert!(flags.no_push && flags.insecure && !flags.force);
        assert_eq!(flags.context, "dir:///x");
        assert!(parse(&["--no-push", "false"]).is_err(), "a boolean takes no separate word");
        assert!(!parse(&["--ignore-var-run=false"]).expect("ok").ignore_var_run);
        assert_eq!(parse(&["--tarPath", "x.tar"]).expect("ok").tar_path, Some("x.tar".into()));
        assert_eq!(parse(&["--target=a", "--target=b"]).expect("ok").target.as_deref(), Some("b"), "the last one wins");
    }

    #[test]
    fn build_args_keep_what_follows_the_first_equals_sign() {
        let flags = parse(&["--build-arg=A=b=c", "--build-arg", "HOME", "--build-arg", "E="]).expect("ok");
        assert_eq!(
            flags.build_arg,
            [("A".into(), Some("b=c".into())), ("HOME".into(), None), ("E".into(), Some(String::new()))]
        );
    }

    #[test]
    fn a_wrong_flag_says_which_is_meant() {
        let error = parse(&["--destinaton=x"]).expect_err("unknown").to_string();
        assert!(error.contains("--destination"), "{error}");
        assert!(parse(&["--recorder=inotify"]).expect_err("unknown").to_string().contains("sweep"));
        assert!(parse(&["--snapshot-mode=fast"]).expect_err("unknown").to_string().contains("events"));
    }
}
