//! Flags become a request: everything that can be wrong with a command line is found here, before anything is done.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use tracing::info;

use super::env::Env;
use super::flags::{self, CacheFlags, Flags, OutputFlags};
use crate::build::{
    Differences, DockerfileAt, NamedContext, Place, PlanInLog, Reading, RecorderChoice, SnapshotMode, Snapshots, Times,
    Verify, inside,
};
use crate::cache::{BaseCache, Limits, MountCache, SavedIn, Saving};
use crate::codec::{Level, Packing, ZstdLevel};
use crate::context::MAX_FILE;
use crate::export::{Destinations, DigestFile};
use crate::oci::{Format, Platform, Reference, Repository};
use crate::plan::{Compat, Unused};
use crate::rootfs::RootPath;
use crate::store::LayoutSource;

/// The variable, and build argument, that says when an image counts as built.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

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
    match &flags.own.build_root {
        Some(dir) => Ground::Given(dir.clone()),
        None if flags.place.force || env.in_container() => {
            Ground::InPlace(flags.place.kaniko_dir.clone().unwrap_or_else(|| "/kaniko".into()))
        }
        None => Ground::Private(env.temporary_dir()),
    }
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

/// The local directory that `--context` and `--context-sub-path` name.
pub(super) fn context_dir(flags: &Flags) -> Result<PathBuf> {
    let context = &flags.source.context;
    let dir = match context.split_once("://") {
        None => PathBuf::from(context),
        Some(("dir", path)) => path.into(),
        Some((scheme, _)) => {
            // The rest may hold a password.
            bail!("--context: {scheme}:// contexts are not supported yet; give a local directory")
        }
    };
    let Some(below) = &flags.source.context_sub_path else { return Ok(dir) };
    // As in kaniko, a leading slash means nothing.
    let below = below.strip_prefix("/").unwrap_or(below);
    if below.components().any(|part| part == Component::ParentDir) {
        bail!("--context-sub-path={}: it must lie in the context", below.display());
    }
    Ok(dir.join(below))
}

/// `--dockerfile`: a path, an address, or `-` for `stdin`, which is read to its end.
pub(super) fn dockerfile(flags: &Flags, stdin: impl Read) -> Result<DockerfileAt> {
    let Some(path) = &flags.source.dockerfile else { return Ok(DockerfileAt::Context) };
    if path == Path::new("-") {
        let mut text = Vec::new();
        stdin.take(MAX_FILE + 1).read_to_end(&mut text).context("read the Dockerfile from the standard input")?;
        ensure!(text.len() as u64 <= MAX_FILE, "the Dockerfile on the standard input is larger than 16 MiB");
        return Ok(DockerfileAt::Text(text));
    }
    Ok(match address(path) {
        Some(address) => DockerfileAt::Address(address.to_owned()),
        None => DockerfileAt::Path(path.clone()),
    })
}

/// A path that is an http(s) address.
pub(super) fn address(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| text.starts_with("http://") || text.starts_with("https://"))
}

/// `--custom-platform`, or this machine's.
pub(super) fn platform(flags: &Flags) -> Result<Platform> {
    platform_of(flags.source.custom_platform.as_deref())
}

/// A platform by its name, or this machine's.
pub(super) fn platform_of(name: Option<&str>) -> Result<Platform> {
    let Some(platform) = name else { return Ok(Platform::host()) };
    platform.parse().with_context(|| format!("--custom-platform={platform}"))
}

/// `--build-arg`, the values that have none taken from the environment. One that is not set there is left out, as kaniko
/// and BuildKit do.
pub(super) fn build_args(flags: &Flags, env: &Env) -> BTreeMap<String, String> {
    let epoch = env.get(EPOCH).map(|value| (EPOCH.to_owned(), value.to_owned()));
    epoch.into_iter().chain(values(&flags.source.build_arg, env)).collect()
}

/// Names with their values, those without one from the environment.
pub(super) fn values(given: &[(String, Option<String>)], env: &Env) -> BTreeMap<String, String> {
    let value = |(name, value): &(String, Option<String>)| {
        let value = value.clone().or_else(|| env.lookup(name).map(str::to_owned))?;
        Some((name.clone(), value))
    };
    given.iter().filter_map(value).collect()
}

/// `--reproducible`, and the variable or build argument `SOURCE_DATE_EPOCH`
/// (<https://reproducible-builds.org/specs/source-date-epoch/>).
///
/// # Errors
/// One that is no number of seconds.
pub(super) fn times(flags: &Flags, env: &Env) -> Result<Times> {
    let seconds = build_args(flags, env).remove(EPOCH).filter(|value| !value.is_empty());
    match seconds {
        Some(text) => match text.parse::<u32>() {
            Ok(seconds) => Ok(Times::AtMost(seconds.into())),
            Err(_) => bail!("{EPOCH}={text}: a number of seconds since 1970 is needed"),
        },
        None if flags.source.reproducible => Ok(Times::AtMost(0)),
        None => Ok(Times::OfTheBuild),
    }
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
                "--build-context={name}: only a directory, oci-layout://PATH[:TAG] and docker-image://IMAGE \
                 are supported yet"
            ),
            None => NamedContext::Directory(location.into()),
        };
        Ok((name.to_lowercase(), context))
    };
    flags.own.build_context.iter().map(context).collect()
}

/// `--ignore-path`; where the build is in `/`, `/var/run` if a directory stands there, since the pod mounted it, and the directories of
/// caches: what is written there while a step runs is nothing of the step.
pub(super) fn ignored(flags: &Flags, place: &Place) -> Result<Vec<RootPath>> {
    let clean = |path: &String| RootPath::clean(path).with_context(|| format!("--ignore-path={path:?}"));
    let mut ignored = flags.snapshots.ignore_path.iter().map(clean).collect::<Result<Vec<_>>>()?;
    let run = Path::new("/var/run");
    let stands = std::fs::symlink_metadata(run).is_ok_and(|metadata| metadata.is_dir());
    if flags.snapshots.ignore_var_run && *place == Place::InPlace && stands {
        ignored.extend(RootPath::clean("/var/run"));
    }
    if *place == Place::InPlace {
        ignored.extend(caches(flags).filter_map(|dir| RootPath::clean(dir.as_os_str().as_bytes())));
    }
    Ok(ignored)
}

/// The directories of caches that this build uses. `--cache-dir` counts if it is there: it is not made.
fn caches(flags: &Flags) -> impl Iterator<Item = PathBuf> {
    let layers = flags.cache.cache_repo.as_ref().and_then(|repo| repo.strip_prefix("oci:")).map(PathBuf::from);
    let of_bases = Some(flags.cache.cache_dir.clone()).filter(|dir| dir.is_dir());
    let used = [of_bases, layers].into_iter().filter(|_| flags.cache.cache);
    let all = used.chain([flags.own.cache_mount_dir.clone()]).flatten();
    all.map(|dir| std::fs::canonicalize(&dir).unwrap_or(dir)).filter(|dir| dir.is_absolute() && dir != Path::new("/"))
}

/// Where the result goes.
///
/// # Errors
/// A destination that is no image name, or none at all without `--no-push`, as in kaniko.
pub(super) fn destinations(flags: &OutputFlags, env: &Env) -> Result<Destinations> {
    let push = references(&flags.destination)?;
    if push.is_empty() && !flags.no_push {
        bail!("give --destination=IMAGE, or --no-push to build only");
    }
    let named = ["--image-name-with-digest-file", "--image-name-tag-with-digest-file"];
    let paths = [&flags.image_name_with_digest_file, &flags.image_name_tag_with_digest_file];
    if let (true, Some((flag, _))) = (push.is_empty(), named.iter().zip(paths).find(|(_, path)| path.is_some())) {
        bail!("{flag} needs a --destination, whose name it writes");
    }
    Ok(Destinations {
        push,
        no_push: flags.no_push,
        tar_path: flags.tar_path.clone(),
        oci_layout_path: flags.oci_layout_path.clone(),
        digest_file: digest_file("--digest-file", flags.digest_file.as_deref())?,
        image_name_with_digest_file: digest_file(named[0], paths[0].as_deref())?,
        image_name_tag_with_digest_file: digest_file(named[1], paths[1].as_deref())?,
        builder_output: builder_output(env)?,
        annotations: flags.annotation.iter().cloned().collect(),
        format: flags.image_format.map(format),
    })
}

/// `--compression` and `--compression-level`. As with kaniko, a level that is not above 0 is none.
pub(super) fn packing(flags: &OutputFlags) -> Result<Packing> {
    let level = u32::try_from(flags.compression_level).ok().filter(|level| *level > 0);
    let wrong = |range| move || format!("--compression-level={}: expected {range}", flags.compression_level);
    Ok(match flags.compression {
        Some(flags::Compression::Zstd) if flags.image_format == Some(flags::ImageFormat::Docker) => {
            bail!("--compression=zstd: the Docker format has no such layers; leave out --image-format=docker")
        }
        Some(flags::Compression::Zstd) => Packing::Zstd(match level {
            Some(level) => ZstdLevel::new(level).with_context(wrong("1 to 19 for zstd"))?,
            None => ZstdLevel::default(),
        }),
        Some(flags::Compression::Gzip) | None => Packing::Gzip(match level {
            Some(level) => Level::new(level).with_context(wrong("1 to 9 for gzip"))?,
            None => Level::default(),
        }),
    })
}

/// `images` in the directory of `BUILDER_OUTPUT`.
pub(super) fn builder_output(env: &Env) -> Result<Option<DigestFile>> {
    let file = env.get("BUILDER_OUTPUT").map(|dir| DigestFile::open(&Path::new(dir).join("images")));
    file.transpose().context("BUILDER_OUTPUT")
}

fn format(format: flags::ImageFormat) -> Format {
    match format {
        flags::ImageFormat::Docker => Format::Docker,
        flags::ImageFormat::Oci => Format::Oci,
    }
}

/// `--destination`.
pub(super) fn references(names: &[String]) -> Result<Vec<Reference>> {
    let parse = |name: &String| name.parse::<Reference>().with_context(|| format!("--destination={name}"));
    names.iter().map(parse).collect()
}

pub(super) fn digest_file(flag: &'static str, path: Option<&Path>) -> Result<Option<DigestFile>> {
    path.map(DigestFile::open).transpose().context(flag)
}

/// How the Dockerfile is read: `--compat`, `--warn-compat`, `--skip-unused-stages`, `KANIKO_PRINT_PLAN`.
pub(super) fn reading(flags: &Flags, env: &Env) -> Reading {
    let compat = flags.own.compat.map(|flags::Compat::Kaniko| Compat::kaniko_1_24()).unwrap_or_default();
    let skips = flags.source.skip_unused_stages.unwrap_or(!compat.all_stages);
    Reading {
        unused: if skips { Unused::Skip } else { Unused::Build },
        compat: Compat { all_stages: !skips, ..compat },
        differences: if flags.own.warn_compat { Differences::Warn } else { Differences::Silent },
        plan: if env.is_true("KANIKO_PRINT_PLAN") { PlanInLog::Told } else { PlanInLog::Left },
    }
}

/// How changes are found. `--use-new-run` was kaniko's way not to hash everything, and lost deletions.
///
/// # Errors
/// A recorder that the mode would not use.
pub(super) fn snapshot_mode(flags: &Flags) -> Result<SnapshotMode> {
    let mode = match flags.snapshots.snapshot_mode {
        _ if flags.snapshots.use_new_run => {
            info!("--use-new-run: file events say where to look after a RUN, as --snapshot-mode=events does");
            SnapshotMode::Events
        }
        flags::SnapshotMode::Events => SnapshotMode::Events,
        flags::SnapshotMode::Full => SnapshotMode::Full,
        flags::SnapshotMode::Redo => SnapshotMode::Redo,
        flags::SnapshotMode::Time => SnapshotMode::Time,
    };
    if mode != SnapshotMode::Events && flags.own.recorder != flags::Recorder::Auto {
        bail!("--recorder is for --snapshot-mode=events; leave out one of the two");
    }
    Ok(mode)
}

/// `--single-snapshot`.
pub(super) fn snapshots(flags: &Flags) -> Snapshots {
    if flags.snapshots.single_snapshot { Snapshots::EachStage } else { Snapshots::EachStep }
}

pub(super) fn recorder(flags: &Flags) -> RecorderChoice {
    match flags.own.recorder {
        flags::Recorder::Auto => RecorderChoice::Auto,
        flags::Recorder::Fanotify => RecorderChoice::Fanotify,
        flags::Recorder::Dirwatch => RecorderChoice::Dirwatch,
        flags::Recorder::Sweep => RecorderChoice::Sweep,
        flags::Recorder::Full => RecorderChoice::Full,
    }
}

pub(super) fn verify(flags: &Flags) -> Verify {
    if flags.own.verify_snapshot { Verify::Each } else { Verify::Off }
}

/// Where base images may be that a warmer stored: with `--cache` alone, as in kaniko.
pub(super) fn bases(flags: &CacheFlags) -> Option<Arc<BaseCache>> {
    let is_wanted = flags.cache && !flags.cache_dir.as_os_str().is_empty();
    is_wanted.then(|| Arc::new(BaseCache::new(&flags.cache_dir, flags.cache_ttl)))
}

/// Where cache mounts are saved: `--cache-mount-dir` or `--cache-mount-repo`, with the limits.
///
/// # Errors
/// Both, or a name that is none of a repository.
pub(super) fn mounts(flags: &Flags) -> Result<Option<MountCache>> {
    let own = &flags.own;
    let place = match (&own.cache_mount_dir, &own.cache_mount_repo) {
        (Some(_), Some(_)) => bail!("--cache-mount-dir and --cache-mount-repo: give one of the two"),
        (Some(dir), None) => SavedIn::Directory(dir.clone()),
        (None, Some(name)) => {
            SavedIn::Repository(repository(name).with_context(|| format!("--cache-mount-repo={name}"))?)
        }
        (None, None) => return Ok(None),
    };
    let limits = Limits { size: own.cache_mount_max_size, age: own.cache_mount_max_age };
    let saving = if flags.cache.no_push_cache { Saving::Off } else { Saving::On };
    Ok(Some(MountCache::new(place, saving, limits)))
}

/// The repository of a name without tag and digest.
fn repository(name: &str) -> Result<Repository> {
    let reference: Reference = name.parse()?;
    let is_bare = reference.digest().is_none() && !name.ends_with(&format!(":{}", reference.tag().unwrap_or_default()));
    ensure!(is_bare, "it must not have a tag or a digest");
    Ok(reference.repository)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::flags;

    fn context(args: &[&str]) -> Result<PathBuf> {
        context_dir(&flags(args))
    }

    #[test]
    fn a_context_is_a_local_directory() {
        assert_eq!(context(&["-c", "dir:///a"]).expect("dir"), PathBuf::from("/a"));
        assert_eq!(context(&["--context=/a"]).expect("dir"), PathBuf::from("/a"));
        assert_eq!(context(&[]).expect("dir"), PathBuf::from("/workspace/"));
        let error = context(&["-c", "s3://bucket/key"]).expect_err("not yet").to_string();
        assert!(error.contains("s3://"), "{error}");
    }

    #[test]
    fn directories_of_caches_are_left_alone_in_a_root_that_is_built_in() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().to_str().expect("text");
        let of = |args: &[&str], place: &Place| ignored(&flags(args), place).expect("ok");
        let ours = RootPath::clean(path).expect("a path");
        for flag in ["--cache-dir=", "--cache-repo=oci:", "--cache-mount-dir="] {
            let args = ["--cache", &format!("{flag}{path}")];
            assert!(of(&args, &Place::InPlace).contains(&ours), "{flag}");
            assert!(!of(&args, &Place::Below("/b".into())).contains(&ours), "{flag}");
        }
        let unused = format!("--cache-dir={path}");
        assert!(!of(&[&unused], &Place::InPlace).contains(&ours));
    }

    #[test]
    fn a_sub_path_stays_in_the_context() {
        assert_eq!(context(&["-c", "/a", "--context-sub-path=b/c"]).expect("dir"), PathBuf::from("/a/b/c"));
        assert_eq!(context(&["-c", "/a", "--context-sub-path=/b"]).expect("dir"), PathBuf::from("/a/b"));
        assert!(context(&["-c", "/a", "--context-sub-path=b/../../c"]).is_err());
    }

    #[test]
    fn a_dockerfile_is_a_path_an_address_or_the_standard_input() {
        let at = |args: &[&str]| dockerfile(&flags(args), &b"FROM x"[..]).expect("ok");
        assert_eq!(at(&["-f", "a/D"]), DockerfileAt::Path("a/D".into()));
        assert_eq!(at(&[]), DockerfileAt::Context);
        assert_eq!(at(&["-f", "https://x.example/D"]), DockerfileAt::Address("https://x.example/D".to_owned()));
        assert_eq!(at(&["-f=-"]), DockerfileAt::Text(b"FROM x".to_vec()));
        let endless = std::io::repeat(b'#');
        assert!(dockerfile(&flags(&["--dockerfile=-"]), endless).is_err());
    }

    #[test]
    fn a_platform_is_parsed() {
        assert_eq!(platform(&flags(&[])).expect("ours"), Platform::host());
        assert_eq!(platform(&flags(&["--customPlatform=linux/arm/v6"])).expect("ok").to_string(), "linux/arm/v6");
        let error = format!("{:#}", platform(&flags(&["--custom-platform=arm64"])).expect_err("no platform"));
        assert!(error.contains("--custom-platform=arm64") && error.contains("os/architecture"), "{error}");
    }

    #[test]
    fn ways_of_kaniko_are_asked_for() {
        let of = |args: &[&str]| {
            let reading = reading(&flags(args), &Env::default());
            (reading.unused, reading.compat.copy_keeps_owner, reading.compat.all_stages, reading.differences)
        };
        use {Differences::*, Unused::*};
        assert_eq!(of(&[]), (Skip, false, false, Warn));
        assert_eq!(of(&["--compat="]), (Skip, false, false, Warn));
        assert_eq!(of(&["--compat=kaniko-1.24"]), (Build, true, true, Warn));
        assert_eq!(of(&["--compat=kaniko-1.24", "--skip-unused-stages"]), (Skip, true, false, Warn));
        assert_eq!(of(&["--skip-unused-stages=false"]), (Build, false, true, Warn));
        assert_eq!(of(&["--skip-unused-stages=T", "--warn-compat=0"]), (Skip, false, false, Silent));
    }

    fn destinations_of(args: &[&str]) -> Result<Destinations> {
        destinations(&flags(args).output, &Env::default())
    }

    #[test]
    fn a_build_without_destination_must_say_so() {
        assert!(destinations_of(&[]).is_err());
        assert!(destinations_of(&["--no-push"]).expect("ok").no_push);
        let error = format!("{:#}", destinations_of(&["-d", "team/App"]).expect_err("no image name"));
        assert!(error.contains("--destination=team/App"), "{error}");
        let file = "--image-name-tag-with-digest-file";
        let error = destinations_of(&["--no-push", file, "/never/made"]).expect_err("no name").to_string();
        assert!(error.contains(file), "{error}");
        let image = destinations_of(&["--no-push", "--annotation=a=b", "--image-format=docker"]).expect("ok");
        assert_eq!((image.annotations["a"].as_str(), image.format), ("b", Some(Format::Docker)));
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
