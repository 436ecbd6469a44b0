//! The command lines as they are typed: one field a flag, by its new spelling; old ones are hidden aliases.
//!
//! They are declared here and nowhere else: the parser, `--help`, the shell completions and docs/flags.md are made from this. What the
//! values mean is decided in `request`; which flags have no feature behind them yet, in `not_yet`. A field of type `bool` becomes a
//! boolean of pflag (`--x`, `--x=false`) in `command_line`.

mod build;
mod place;
mod registry;

pub use build::{CacheFlags, Compression, ImageFormat, OutputFlags, SnapshotFlags, SnapshotMode, SourceFlags};
pub use place::{LogFlags, OwnFlags, PlaceFlags, Recorder, UnusedFlags};
pub use registry::{PullFlags, PushFlags, RetryFlags};

use std::path::PathBuf;

use clap::{Parser, ValueHint};
use jiff::SignedDuration;

use super::values::{duration, pair_or_name};

/// Build a container image from a Dockerfile, in user space, and push it
#[derive(Debug, Parser)]
#[command(name = "executor", version, args_override_self = true, disable_help_subcommand = true)]
#[command(override_usage = "executor [FLAGS] --destination=IMAGE\n       executor COMMAND")]
#[command(subcommand_help_heading = "Commands (without one, an image is built)")]
pub struct Flags {
    #[command(flatten)]
    pub source: SourceFlags,
    #[command(flatten)]
    pub output: OutputFlags,
    #[command(flatten)]
    pub pull: PullFlags,
    #[command(flatten)]
    pub push: PushFlags,
    #[command(flatten)]
    pub retry: RetryFlags,
    #[command(flatten)]
    pub cache: CacheFlags,
    #[command(flatten)]
    pub snapshots: SnapshotFlags,
    #[command(flatten)]
    pub place: PlaceFlags,
    #[command(flatten)]
    pub log: LogFlags,
    #[command(flatten)]
    pub unused: UnusedFlags,
    #[command(flatten)]
    pub own: OwnFlags,
}

/// Store a registry's user and password in config.json of $DOCKER_CONFIG
#[derive(Debug, Parser)]
#[command(name = "login", args_override_self = true)]
pub struct LoginFlags {
    /// The registry, as in the names of its images
    #[arg(value_name = "REGISTRY")]
    pub registry: String,

    /// User
    #[arg(short, long, value_name = "USER")]
    pub username: Option<String>,

    /// Password; other users of the machine can see it, so --password-stdin is better
    #[arg(short, long, value_name = "PASSWORD")]
    pub password: Option<String>,

    /// Read the password from standard input
    #[arg(long)]
    pub password_stdin: bool,

    #[command(flatten)]
    pub pull: PullFlags,
    #[command(flatten)]
    pub log: LogFlags,
}

/// Push an image that is already built: a docker archive or an OCI layout
#[derive(Debug, Parser)]
#[command(name = "push", args_override_self = true)]
pub struct PushCommandFlags {
    /// The archive (as of docker save), or the directory of the layout
    #[arg(value_name = "ARCHIVE|LAYOUT", value_hint = ValueHint::AnyPath)]
    pub image: PathBuf,

    /// Image to push, registry/repository:tag; repeat for several
    #[arg(short = 'd', long, value_name = "IMAGE", help_heading = "Where it goes")]
    pub destination: Vec<String>,

    /// Write the digest of the image's manifest, in place; or PUT it to an https:// address
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, help_heading = "Where it goes")]
    pub digest_file: Option<PathBuf>,

    /// Write NAME@DIGEST, a line for each destination
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, help_heading = "Where it goes")]
    pub image_name_with_digest_file: Option<PathBuf>,

    /// Write NAME:TAG@DIGEST, a line for each destination
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, help_heading = "Where it goes")]
    pub image_name_tag_with_digest_file: Option<PathBuf>,

    #[command(flatten)]
    pub pull: PullFlags,
    #[command(flatten)]
    pub push: PushFlags,
    #[command(flatten)]
    pub retry: RetryFlags,
    #[command(flatten)]
    pub log: LogFlags,
}

/// Say which version this is
#[derive(Debug, Parser)]
#[command(name = "version")]
pub struct VersionFlags {}

/// Write a completion script for a shell
#[derive(Debug, Parser)]
#[command(name = "completion")]
pub struct CompletionFlags {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// A shell that completes command lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
    #[value(name = "powershell")]
    Power,
}

/// Write docs/flags.md
#[derive(Debug, Parser)]
#[command(name = "reference", hide = true)]
pub struct ReferenceFlags {}

/// Fill a directory with base images, for executors that share it
#[derive(Debug, Parser)]
#[command(name = "warmer", version, args_override_self = true, disable_help_subcommand = true)]
pub struct WarmerFlags {
    /// Image to store; repeat for several
    #[arg(short = 'i', long, value_name = "IMAGE", help_heading = "What to store")]
    pub image: Vec<String>,

    /// Store the base images of this Dockerfile, a path or a URL
    #[arg(short = 'd', long, value_name = "PATH", help_heading = "What to store", value_hint = ValueHint::FilePath)]
    pub dockerfile: Option<PathBuf>,

    /// Value of an ARG of the Dockerfile, NAME=VALUE; NAME alone takes the value from the environment
    #[arg(long, value_parser = pair_or_name, value_name = "NAME[=VALUE]", help_heading = "What to store")]
    pub build_arg: Vec<(String, Option<String>)>,

    /// Platform of the images, os/architecture[/variant] [default: this machine's]
    #[arg(long, alias = "customPlatform", value_name = "PLATFORM", help_heading = "What to store")]
    pub custom_platform: Option<String>,

    /// Directory to fill
    #[arg(short = 'c', long, default_value = "/cache", value_name = "DIR", help_heading = "Where it goes", value_hint = ValueHint::DirPath)]
    pub cache_dir: PathBuf,

    /// Fetch images that are there already
    #[arg(short = 'f', long, help_heading = "Where it goes")]
    pub force: bool,

    /// How long an image is good
    #[arg(long, default_value = "336h", value_parser = duration, value_name = "DURATION", help_heading = "Where it goes")]
    pub cache_ttl: SignedDuration,

    #[command(flatten)]
    pub pull: PullFlags,
    #[command(flatten)]
    pub log: LogFlags,
}
