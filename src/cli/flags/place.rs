//! Flags that say where a build runs and what it says, those that kaniko does not have, and those that change nothing here.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use jiff::SignedDuration;

use crate::cli::values::{count, duration, pair, size};
use crate::log::{Clock, Format, Verbosity};

/// Where the build runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where it runs")]
pub struct PlaceFlags {
    /// Build in / although no container is detected
    #[arg(long)]
    pub force: bool,

    /// Directory for our own files when building in / [default: $KANIKO_DIR, or /kaniko]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub kaniko_dir: Option<PathBuf>,

    /// Empty the root before the build
    #[arg(long)]
    pub pre_cleanup: bool,

    /// Empty the root after the build, whether it failed or not
    #[arg(long)]
    pub cleanup: bool,

    /// Save / before the build and restore it between stages and at the end
    #[arg(long)]
    pub preserve_context: bool,

    /// Leave the image's tree on disk even if no step needed it
    #[arg(long)]
    pub materialize: bool,

    /// How often the unpacking of a base image is tried again
    #[arg(long, default_value = "0", value_parser = count, value_name = "TIMES")]
    pub image_fs_extract_retry: u32,
}

/// What is said.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogFlags {
    /// trace, debug, info, warn, error, fatal or panic
    #[arg(short = 'v', long, default_value = "info", value_name = "LEVEL")]
    pub verbosity: Verbosity,

    /// color, text or json
    #[arg(long, default_value = "color", value_name = "FORMAT")]
    pub log_format: Format,

    /// Log the time of day instead of seconds since the start
    #[arg(long)]
    pub log_timestamp: bool,
}

impl LogFlags {
    /// Starts logging as the flags say.
    pub(in crate::cli) fn start(&self) {
        let clock = if self.log_timestamp { Clock::Timestamp } else { Clock::Elapsed };
        crate::log::start(self.verbosity, self.log_format, clock);
    }
}

/// What kaniko has and what changes nothing here, whatever its value.
#[derive(Debug, Args)]
#[command(next_help_heading = "Accepted since kaniko has them, without effect")]
pub struct UnusedFlags {
    /// Layers are never kept in memory, compressed or not
    #[arg(long, default_value = "true")]
    pub compressed_caching: bool,

    /// Every instruction has its row in the image's history
    #[arg(long)]
    pub force_build_metadata: bool,

    /// File of an Azure identity
    #[arg(long, value_name = "PATH", hide = true)]
    pub azure_container_registry_config: Option<PathBuf>,
}

/// What kaniko does not have.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options that kaniko does not have")]
pub struct OwnFlags {
    /// Build below DIR (DIR/rootfs is the root) instead of in /; RUN is confined there
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub build_root: Option<PathBuf>,

    /// Named context for FROM and --from: NAME=DIR, NAME=oci-layout://PATH[:TAG] or NAME=docker-image://IMAGE
    #[arg(long, value_parser = pair, value_name = "NAME=LOCATION")]
    pub build_context: Vec<(String, String)>,

    /// SSH agent for RUN --mount=type=ssh: default, or NAME=SOCKET
    #[arg(long, value_name = "AGENT")]
    pub ssh: Vec<String>,

    /// Save and restore what RUN --mount=type=cache holds in this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache_mount_dir: Option<PathBuf>,

    /// The same in this repository
    #[arg(long, value_name = "REPOSITORY")]
    pub cache_mount_repo: Option<String>,

    /// The largest cache mount that is saved or restored, in bytes or as 500m, 10g
    #[arg(long, default_value = "10g", value_parser = size, value_name = "SIZE")]
    pub cache_mount_max_size: u64,

    /// How long a saved cache mount is good
    #[arg(long, default_value = "336h", value_parser = duration, value_name = "DURATION")]
    pub cache_mount_max_age: SignedDuration,

    /// Build as another builder does where the Dockerfile's language says otherwise
    #[arg(long, value_enum, value_name = "VERSION")]
    pub compat: Option<Compat>,

    /// Name each line of the Dockerfile whose result is another than with kaniko 1.24
    #[arg(long, default_value = "true")]
    pub warn_compat: bool,

    /// Allow steps to ask for more: security.insecure
    #[arg(long, value_name = "RIGHT")]
    pub allow: Vec<String>,

    /// Who nominates the paths to compare after a RUN
    #[arg(long, value_enum, default_value = "auto", value_name = "RECORDER")]
    pub recorder: Recorder,

    /// The most directory watches of inotify that this build takes [default: a quarter of fs.inotify.max_user_watches]
    #[arg(long, value_name = "N")]
    pub max_watches: Option<usize>,

    /// Write what the layer cache had and had not, and why, as JSON
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub cache_explain: Option<PathBuf>,

    /// With each snapshot also walk and read everything, and fail if the snapshot missed a path
    #[arg(long)]
    pub verify_snapshot: bool,
}

/// Whose ways are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compat {
    /// Owners of COPY, ENV over ARG, every stage built, nothing written below a VOLUME, and the history as kaniko 1.24 has them
    #[value(name = "kaniko-1.24")]
    Kaniko,
}

/// Who says where to look after a RUN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Recorder {
    /// The first of the others that is exact here
    Auto,
    /// File events of the whole file system; where they cannot be had the build fails
    Fanotify,
    /// A watch on every directory, and a sweep at the end of the stage; where they cannot be had the build fails
    Dirwatch,
    /// The attributes of every path are compared; where they do not tell every change, as full
    Sweep,
    /// The content of every file is compared
    Full,
}
