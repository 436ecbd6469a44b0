//! Flags become a request: everything that can be wrong with a command line is found here, before anything is done.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use tracing::info;

use super::env::Env;
use super::flags::{self, Flags};
use crate::build::{NamedContext, Place, RecorderChoice, SnapshotMode, Snapshots, Verify, inside};
use crate::credentials::Sources;
use crate::export::{Destinations, DigestFile};
use crate::oci::Reference;
use crate::registry::{Authorities, Policy, Protocols, Proxies};
use crate::rootfs::RootPath;
use crate::store::LayoutSource;

/// Where the build takes place and whose directories it makes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// In `/`; our files below this directory.
    InPlace(PathBuf),
    /// Below a directory that the user names and keeps.
    Given(PathBuf),
    /// Below a private directory made in this one, and removed at the end.
    Private(PathBuf),
}

/// Chooses where to build: `--build-root`, in a container `/`, otherwise a private directory; `--force` builds in `/`.
pub(super) fn ground(flags: &Flags, env: &Env) -> Ground {
    match &flags.build_root {
        Some(dir) => Ground::Given(dir.clone()),
        None if flags.force || env.in_container() => Ground::InPlace(own_dir(flags, env)),
        None => Ground::Private(env.temporary_dir()),
    }
}

/// The directory for our own files in a container: the flag wins over the variable.
fn own_dir(flags: &Flags, env: &Env) -> PathBuf {
    let own = flags.kaniko_dir.clone().or_else(|| env.get("KANIKO_DIR").map(PathBuf::from));
    own.unwrap_or_else(|| "/kaniko".into())
}

/// Refuses a build root inside the context: COPY would copy the root into itself, and our blobs too.
pub(super) fn outside(place: &Place, context: &Path) -> Result<()> {
    let Place::Below(dir) = place else { return Ok(()) };
    match std::fs::canonicalize(context) {
        Ok(context) if dir.starts_with(&context) => {
            bail!("--build-root={} lies in the build context; choose a directory outside of it", dir.display())
        }
        _ => Ok(()),
    }
}

/// The context as a path of the root, if it lies in it: clearing the root must not take it away.
pub(super) fn spared(context: &Path, root: &Path) -> Vec<RootPath> {
    let context = std::fs::canonicalize(context).ok();
    let path = context.and_then(|dir| inside(root, dir.as_os_str().as_bytes()));
    path.into_iter().filter(|path| !path.is_root()).collect()
}

/// The local directory that `--context` names.
pub(super) fn context_dir(context: &str) -> Result<PathBuf> {
    match context.split_once("://") {
        None => Ok(context.into()),
        Some(("dir", path)) => Ok(path.into()),
        Some((scheme, _)) => {
            bail!("--context={context}: {scheme}:// contexts are not supported yet; give a local directory")
        }
    }
}

/// `--build-arg`, the values that have none taken from the environment. One that is not set there is left out, as kaniko
/// and BuildKit do.
pub(super) fn build_args(flags: &Flags, env: &Env) -> BTreeMap<String, String> {
    let value = |(name, value): &(String, Option<String>)| {
        let value = value.clone().or_else(|| env.get(name).map(str::to_owned))?;
        Some((name.clone(), value))
    };
    flags.build_arg.iter().filter_map(value).collect()
}

/// `--build-context`.
pub(super) fn contexts(flags: &Flags) -> Result<BTreeMap<String, NamedContext>> {
    let context = |(name, location): &(String, String)| {
        let Some(layout) = location.strip_prefix("oci-layout://") else {
            bail!("--build-context={name}={location}: only oci-layout://PATH[:TAG] is supported yet");
        };
        let layout = LayoutSource::parse(layout).with_context(|| format!("--build-context={name}"))?;
        Ok((name.to_lowercase(), NamedContext::OciLayout(layout)))
    };
    flags.build_context.iter().map(context).collect()
}

/// `--ignore-path`, and `/var/run` where a directory stands there when the build begins in `/`: the pod mounted it.
pub(super) fn ignored(flags: &Flags, place: &Place) -> Result<Vec<RootPath>> {
    let clean = |path: &String| RootPath::clean(path).with_context(|| format!("--ignore-path={path:?}"));
    let mut ignored = flags.ignore_path.iter().map(clean).collect::<Result<Vec<_>>>()?;
    let run = Path::new("/var/run");
    let stands = std::fs::symlink_metadata(run).is_ok_and(|metadata| metadata.is_dir());
    if flags.ignore_var_run && *place == Place::InPlace && stands {
        ignored.extend(RootPath::clean("/var/run"));
    }
    Ok(ignored)
}

/// How registries are spoken to.
///
/// # Errors
/// A proxy that is none.
pub(super) fn policy(flags: &Flags, env: &Env) -> Result<Policy> {
    Ok(Policy {
        insecure_pull: flags.insecure_pull,
        insecure_push: flags.insecure,
        skip_tls_verify_pull: flags.skip_tls_verify_pull,
        skip_tls_verify_push: flags.skip_tls_verify,
        insecure_registries: flags.insecure_registry.iter().cloned().collect(),
        skip_tls_verify_registries: flags.skip_tls_verify_registry.iter().cloned().collect(),
        authorities: authorities(env),
        proxies: Proxies::of_variables(|name| env.get(name))?,
        protocols: protocols(env),
        client_type: env.get("UPSTREAM_CLIENT_TYPE").map(str::to_owned),
        ..Policy::default()
    })
}

/// `DISABLE_HTTP2`, and what Go programs are told by `GODEBUG`.
fn protocols(env: &Env) -> Protocols {
    let disabled = env.get("DISABLE_HTTP2").is_some_and(|value| value != "0" && value != "false");
    let debug = env.get("GODEBUG").unwrap_or_default().split(',').any(|setting| setting == "http2client=0");
    if disabled || debug { Protocols::Http1 } else { Protocols::All }
}

/// `SSL_CERT_FILE`, and `SSL_CERT_DIR`, a list as Go and OpenSSL read it.
fn authorities(env: &Env) -> Authorities {
    let directories = env.get("SSL_CERT_DIR").unwrap_or_default().split(':').filter(|dir| !dir.is_empty());
    Authorities {
        file: env.get("SSL_CERT_FILE").map(PathBuf::from),
        directories: directories.map(PathBuf::from).collect(),
    }
}

/// Where credentials are looked for.
pub(super) fn sources(flags: &Flags) -> Result<Sources> {
    let sources = Sources::parse(flags.credential_helpers.iter().map(String::as_str));
    sources.map_err(|why| anyhow!("--credential-helpers: {why}"))
}

/// Where the result goes.
///
/// # Errors
/// A destination that is no image name, or none at all without `--no-push`, as in kaniko.
pub(super) fn destinations(flags: &Flags, env: &Env) -> Result<Destinations> {
    let parse = |name: &String| name.parse::<Reference>().with_context(|| format!("--destination={name}"));
    let push = flags.destination.iter().map(parse).collect::<Result<Vec<_>>>()?;
    if push.is_empty() && !flags.no_push {
        bail!("give --destination=IMAGE, or --no-push to build only");
    }
    let digest_file = flags.digest_file.as_deref().map(DigestFile::open).transpose().context("--digest-file")?;
    let builder_output = env.get("BUILDER_OUTPUT").map(|dir| DigestFile::open(&Path::new(dir).join("images")));
    Ok(Destinations {
        push,
        no_push: flags.no_push,
        tar_path: flags.tar_path.clone(),
        oci_layout_path: flags.oci_layout_path.clone(),
        digest_file,
        builder_output: builder_output.transpose().context("BUILDER_OUTPUT")?,
        ..Destinations::default()
    })
}

/// How changes are found. `--use-new-run` was kaniko's way not to hash everything, and lost deletions.
///
/// # Errors
/// A recorder that the mode would not use.
pub(super) fn snapshot_mode(flags: &Flags) -> Result<SnapshotMode> {
    let mode = match flags.snapshot_mode {
        _ if flags.use_new_run => {
            info!("--use-new-run: file events say where to look after a RUN, as --snapshot-mode=events does");
            SnapshotMode::Events
        }
        flags::SnapshotMode::Events => SnapshotMode::Events,
        flags::SnapshotMode::Full => SnapshotMode::Full,
        flags::SnapshotMode::Redo => SnapshotMode::Redo,
        flags::SnapshotMode::Time => SnapshotMode::Time,
    };
    if mode != SnapshotMode::Events && flags.recorder != flags::Recorder::Auto {
        bail!("--recorder is for --snapshot-mode=events; leave out one of the two");
    }
    Ok(mode)
}

/// `--single-snapshot`.
pub(super) fn snapshots(flags: &Flags) -> Snapshots {
    if flags.single_snapshot { Snapshots::EachStage } else { Snapshots::EachStep }
}

pub(super) fn recorder(flags: &Flags) -> RecorderChoice {
    match flags.recorder {
        flags::Recorder::Auto => RecorderChoice::Auto,
        flags::Recorder::Fanotify => RecorderChoice::Fanotify,
        flags::Recorder::Dirwatch => RecorderChoice::Dirwatch,
        flags::Recorder::Sweep => RecorderChoice::Sweep,
        flags::Recorder::Full => RecorderChoice::Full,
    }
}

pub(super) fn verify(flags: &Flags) -> Verify {
    if flags.verify_snapshot { Verify::Each } else { Verify::Off }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::credentials::Source;

    fn flags(args: &[&str]) -> Flags {
        Flags::try_parse_from([&["executor"], args].concat()).expect("flags")
    }

    #[test]
    fn a_context_is_a_local_directory() {
        assert_eq!(context_dir("dir:///a").expect("dir"), PathBuf::from("/a"));
        assert_eq!(context_dir("/a").expect("dir"), PathBuf::from("/a"));
        let error = context_dir("s3://bucket/key").expect_err("not yet").to_string();
        assert!(error.contains("s3://"), "{error}");
    }

    #[test]
    fn a_build_without_destination_must_say_so() {
        assert!(destinations(&flags(&[]), &Env::default()).is_err());
        assert!(destinations(&flags(&["--no-push"]), &Env::default()).expect("ok").no_push);
        let error =
            format!("{:#}", destinations(&flags(&["-d", "team/App"]), &Env::default()).expect_err("no image name"));
        assert!(error.contains("--destination=team/App"), "{error}");
    }

    #[test]
    fn a_mode_of_kaniko_is_taken_and_use_new_run_means_events() {
        let mode = |args: &[&str]| snapshot_mode(&flags(args));
        assert_eq!(mode(&[]).expect("ok"), SnapshotMode::Events);
        assert_eq!(mode(&["--snapshotMode=redo"]).expect("ok"), SnapshotMode::Redo);
        assert_eq!(mode(&["--snapshot-mode=time"]).expect("ok"), SnapshotMode::Time);
        assert_eq!(mode(&["--snapshot-mode=redo", "--use-new-run"]).expect("ok"), SnapshotMode::Events);
        assert!(mode(&["--snapshot-mode=redo", "--recorder=sweep"]).is_err(), "the recorder would not be used");
        assert_eq!(snapshots(&flags(&["--single-snapshot"])), Snapshots::EachStage);
    }

    #[test]
    fn sources_of_credentials() {
        assert_eq!(sources(&flags(&[])).expect("all"), Sources::default());
        assert!(!sources(&flags(&["--credential-helpers="])).expect("none").has(Source::Env));
        let two = sources(&flags(&["--credential-helpers=ecr", "--credential-helpers", "env"])).expect("two");
        assert!(two.has(Source::Env) && two.has(Source::Ecr) && !two.has(Source::Google));
        let error = sources(&flags(&["--credential-helpers=aws"])).expect_err("unknown").to_string();
        assert!(error.contains("--credential-helpers: \"aws\" is not one of env"), "{error}");
    }

    #[test]
    fn a_build_root_wins_over_all_else() {
        let env = Env::default();
        let given = ground(&flags(&["--build-root=/b", "--force"]), &env);
        assert_eq!(given, Ground::Given("/b".into()));
        assert_eq!(ground(&flags(&["--force"]), &env), Ground::InPlace("/kaniko".into()));
        assert_eq!(ground(&flags(&["--force", "--kaniko-dir=/k"]), &env), Ground::InPlace("/k".into()));
    }

    #[test]
    fn a_build_root_in_the_context_is_refused() {
        let context = tempfile::tempdir().expect("directory");
        let context = context.path().canonicalize().expect("there");
        let check = |dir: PathBuf| outside(&Place::Below(dir), &context);
        assert!(check(context.join("out")).expect_err("inside").to_string().contains("--build-root="));
        assert!(check(context.with_extension("beside")).is_ok());
        assert!(outside(&Place::InPlace, &context).is_ok());
    }

    #[test]
    fn only_layouts_are_named_contexts_yet() {
        assert!(contexts(&flags(&["--build-context=base=oci-layout:///l:tag"])).expect("ok").contains_key("base"));
        assert!(contexts(&flags(&["--build-context=base=https://x/y"])).is_err());
    }
}
