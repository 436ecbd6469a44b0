//! Flags become a request: everything that can be wrong with a command line is found here, before anything is done.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::env::Env;
use super::flags::{self, Flags};
use crate::build::{NamedContext, Place, RecorderChoice, SnapshotMode, Verify, inside};
use crate::export::{Destinations, DigestFile};
use crate::oci::Reference;
use crate::registry::Policy;
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
        let context = match location.split_once("://") {
            Some(("oci-layout", layout)) => {
                let layout = LayoutSource::parse(layout).with_context(|| format!("--build-context={name}"))?;
                NamedContext::OciLayout(layout)
            }
            Some(("docker-image", reference)) => NamedContext::Image(reference.to_owned()),
            Some(_) => bail!(
                "--build-context={name}={location}: only a directory, oci-layout://PATH[:TAG] and docker-image://IMAGE \
                 are supported yet"
            ),
            None => NamedContext::Directory(location.into()),
        };
        Ok((name.to_lowercase(), context))
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
pub(super) fn policy(flags: &Flags) -> Policy {
    Policy {
        insecure_pull: flags.insecure_pull,
        insecure_push: flags.insecure,
        skip_tls_verify_pull: flags.skip_tls_verify_pull,
        skip_tls_verify_push: flags.skip_tls_verify,
        insecure_registries: flags.insecure_registry.iter().cloned().collect(),
        skip_tls_verify_registries: flags.skip_tls_verify_registry.iter().cloned().collect(),
    }
}

/// Where the result goes.
///
/// # Errors
/// A destination that is no image name, or none at all without `--no-push`, as in kaniko.
pub(super) fn destinations(flags: &Flags) -> Result<Destinations> {
    let parse = |name: &String| name.parse::<Reference>().with_context(|| format!("--destination={name}"));
    let push = flags.destination.iter().map(parse).collect::<Result<Vec<_>>>()?;
    if push.is_empty() && !flags.no_push {
        bail!("give --destination=IMAGE, or --no-push to build only");
    }
    let digest_file = flags.digest_file.as_deref().map(DigestFile::open).transpose().context("--digest-file")?;
    Ok(Destinations {
        push,
        no_push: flags.no_push,
        tar_path: flags.tar_path.clone(),
        oci_layout_path: flags.oci_layout_path.clone(),
        digest_file,
        ..Destinations::default()
    })
}

pub(super) fn snapshot_mode(flags: &Flags) -> SnapshotMode {
    match flags.snapshot_mode {
        flags::SnapshotMode::Events => SnapshotMode::Events,
        flags::SnapshotMode::Full => SnapshotMode::Full,
    }
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
    if flags.verify_snapshot { Verify::EachStep } else { Verify::Off }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

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
        assert!(destinations(&flags(&[])).is_err());
        assert!(destinations(&flags(&["--no-push"])).expect("ok").no_push);
        let error = format!("{:#}", destinations(&flags(&["-d", "team/App"])).expect_err("no image name"));
        assert!(error.contains("--destination=team/App"), "{error}");
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
    fn named_contexts_are_layouts_images_and_directories() {
        assert!(contexts(&flags(&["--build-context=base=oci-layout:///l:tag"])).expect("ok").contains_key("base"));
        let context = |arg: &str| contexts(&flags(&[arg])).expect(arg).remove("a").expect("the name");
        assert!(matches!(context("--build-context=A=/x"), NamedContext::Directory(_)));
        assert!(matches!(context("--build-context=a=docker-image://x:1"), NamedContext::Image(_)));
        assert!(contexts(&flags(&["--build-context=base=https://x/y"])).is_err());
    }
}
