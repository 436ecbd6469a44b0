//! Flags that say what is built, how its changes are found, what is remembered, and where the result goes.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use jiff::SignedDuration;

use crate::cli::values::{duration, go_bool, pair, pair_or_name};

/// What is built.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to build")]
pub struct SourceFlags {
    /// Dockerfile: a path, absolute or relative to the context; an http(s) address; or - for the standard input [default: Dockerfile]
    #[arg(short = 'f', long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub dockerfile: Option<PathBuf>,

    /// Directory of the build context, DIR or dir://DIR
    #[arg(short = 'c', long, default_value = "/workspace/", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub context: String,

    /// Directory inside the context that is the context
    #[arg(long, value_name = "DIR")]
    pub context_sub_path: Option<PathBuf>,

    /// Bucket of Google Cloud Storage that holds the context
    #[arg(short = 'b', long, value_name = "BUCKET", hide = true)]
    pub bucket: Option<String>,

    /// How a git context is cloned: branch=, single-branch=, recurse-submodules=, depth=, insecure-skip-tls=
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub git: Vec<(String, String)>,

    /// Value of an ARG, NAME=VALUE; NAME alone takes the value from the environment
    #[arg(long, value_parser = pair_or_name, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<(String, Option<String>)>,

    /// Secret for RUN --mount=type=secret: id=NAME,src=PATH or id=NAME,env=VARIABLE
    #[arg(long, value_name = "SECRET")]
    pub secret: Vec<String>,

    /// Stage to build, by name or number; the last one if not given. The first of several is the image
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub target: Vec<String>,

    /// Build only the stages that the result needs [default: true; false with --compat=kaniko-1.24]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    #[arg(value_name = "true|false")]
    pub skip_unused_stages: Option<bool>,

    /// Platform of the image, os/architecture[/variant] [default: this machine's]
    #[arg(long, alias = "customPlatform", value_name = "PLATFORM")]
    pub custom_platform: Option<String>,

    /// Label of the image
    #[arg(long, value_parser = pair, value_name = "NAME=VALUE")]
    pub label: Vec<(String, String)>,

    /// Make the same bytes of the same input: no times of the build
    #[arg(long)]
    pub reproducible: bool,

    /// Print the plan and build nothing
    #[arg(long)]
    pub dryrun: bool,
}

/// Where the result goes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where it goes")]
pub struct OutputFlags {
    /// Image to push, registry/repository:tag; repeat for several
    #[arg(short = 'd', long, value_name = "IMAGE")]
    pub destination: Vec<String>,

    /// Build only
    #[arg(long)]
    pub no_push: bool,

    /// Write the image as a docker archive
    #[arg(long, alias = "tarPath", value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub tar_path: Option<PathBuf>,

    /// Write the image as an OCI layout
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub oci_layout_path: Option<PathBuf>,

    /// Write the digest of the image's manifest, in place; or PUT it to an https:// address
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub digest_file: Option<PathBuf>,

    /// Write NAME@DIGEST, a line for each destination
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub image_name_with_digest_file: Option<PathBuf>,

    /// Write NAME:TAG@DIGEST, a line for each destination
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub image_name_tag_with_digest_file: Option<PathBuf>,

    /// Annotation of the image's manifest
    #[arg(long, value_parser = pair, value_name = "NAME=VALUE")]
    pub annotation: Vec<(String, String)>,

    /// Format of the manifest and the configuration [default: the base image's]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub image_format: Option<ImageFormat>,

    /// Compression of layers [default: gzip]
    #[arg(long, value_enum, value_name = "METHOD")]
    pub compression: Option<Compression>,

    /// Level of the compression; -1 leaves the choice to us
    #[arg(long, default_value = "-1", value_name = "LEVEL")]
    pub compression_level: i32,
}

/// What is remembered between builds.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cache")]
pub struct CacheFlags {
    /// Use and fill the layer cache
    #[arg(long)]
    pub cache: bool,

    /// Repository of cached layers, or oci:DIR [default: the first destination's, with /cache]
    #[arg(long, value_name = "REPOSITORY")]
    pub cache_repo: Option<String>,

    /// Directory of base images that a warmer filled, looked into with --cache
    #[arg(long, default_value = "/cache", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache_dir: PathBuf,

    /// How long an entry is good
    #[arg(long, default_value = "336h", value_parser = duration, value_name = "DURATION")]
    pub cache_ttl: SignedDuration,

    /// Cache COPY and ADD too
    #[arg(long)]
    pub cache_copy_layers: bool,

    /// Cache RUN and WORKDIR
    #[arg(long, default_value = "true")]
    pub cache_run_layers: bool,

    /// Use the cache and leave it as it is
    #[arg(long)]
    pub no_push_cache: bool,
}

/// How changes are found.
#[derive(Debug, Args)]
#[command(next_help_heading = "Snapshots")]
pub struct SnapshotFlags {
    /// How changes are found; redo and time, which are kaniko's, miss changes
    #[arg(long, alias = "snapshotMode", value_enum, default_value = "events", value_name = "MODE")]
    pub snapshot_mode: SnapshotMode,

    /// Take one snapshot at the end of each stage, so that it has one layer
    #[arg(long)]
    pub single_snapshot: bool,

    /// The same as --snapshot-mode=events, whatever that flag says
    #[arg(long)]
    pub use_new_run: bool,

    /// Path that is neither unpacked, removed nor put into a layer
    #[arg(long, value_name = "PATH")]
    pub ignore_path: Vec<String>,

    /// Ignore /var/run
    #[arg(long, alias = "whitelist-var-run", default_value = "true")]
    pub ignore_var_run: bool,
}

/// How a step's changes are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SnapshotMode {
    /// The kernel's file events nominate the paths to compare
    Events,
    /// The whole tree is walked and compared by content
    Full,
    /// What differs in mtime, size, mode or owner is compared, as in kaniko: it misses changes
    Redo,
    /// What differs in mtime is compared, as in kaniko: it misses changes
    Time,
}

/// A format of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImageFormat {
    Docker,
    Oci,
}

/// A compression of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    Gzip,
    Zstd,
}
