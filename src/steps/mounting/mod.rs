//! RUN --mount: what each flag asks for becomes something that `run` can put in place, and is cleared away afterwards.
//!
//! Bind mounts of the build context are copies, less what the ignore file excludes and owned by root, as with BuildKit; so
//! are those that may be written to, since what is written is thrown away. Follows the Dockerfile reference ("RUN --mount").

mod agent;
mod bind;
mod cache;
mod points;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::run::{Isolation, Mount, What, recover};
use super::state::StageState;
use super::{Caches, Ended, Sources, Tree};
use crate::dockerfile::{self, MountFlag};
use crate::rootfs::{Root, RootPath, clear};

/// What the mounts of one step come to. They last as long as this: dropped, locks are given back, agents are cut off and
/// copies removed.
#[derive(Default)]
pub(super) struct Mounting {
    pub(super) mounts: Vec<Mount>,
    /// Variables, `NAME=value`.
    pub(super) env: Vec<OsString>,
    caches: Vec<cache::Lease>,
    /// What is to be removed from each cache, by its place in `caches`.
    points: Vec<Option<points::Points>>,
    agents: Vec<agent::Relay>,
    staging: Option<PathBuf>,
}

/// What one flag is resolved with.
struct Flag<'a> {
    number: usize,
    target: Target<'a>,
    tree: Option<Tree<'a>>,
}

/// Relative targets are taken from WORKDIR.
#[derive(Clone, Copy)]
struct Target<'a> {
    state: &'a StageState,
    root: &'a Root,
    isolation: Isolation,
}

impl Mounting {
    /// Prepares everything; after an error nothing is left.
    pub(super) fn prepare(state: &StageState, root: &Root, flags: &[MountFlag], sources: &Sources<'_>) -> Result<Self> {
        let mut mounting = Mounting::default();
        if flags.is_empty() {
            return Ok(mounting);
        }
        mounting.staging = Some(sources.own.to_owned());
        std::fs::create_dir_all(sources.own).with_context(|| format!("create {}", sources.own.display()))?;
        let target = Target { state, root, isolation: sources.isolation };
        for (number, written) in flags.iter().enumerate() {
            let mount = written.resolve::<anyhow::Error>(&|word| state.expand(word));
            let tree = sources.mounts.get(number).copied().flatten();
            let flag = Flag { number, target, tree };
            let added = mount.and_then(|mount| mounting.add(mount, &flag, sources));
            added.with_context(|| format!("--mount={written}"))?;
        }
        if sources.isolation == Isolation::Isolated {
            mounting.points = mounting.caches.iter().map(|lease| lease.points(&mounting.mounts)).collect();
        }
        Ok(mounting)
    }

    fn add(&mut self, mount: dockerfile::Mount, flag: &Flag<'_>, sources: &Sources<'_>) -> Result<()> {
        match mount {
            dockerfile::Mount::Bind { source, target, access } => {
                let tree = flag.tree.unwrap_or(sources.context);
                let what = bind::prepare(&tree, &source, access, flag.number, sources)?;
                self.push(flag.target.path(&target)?, what);
            }
            dockerfile::Mount::Cache { .. } => self.cache(mount, flag, sources)?,
            dockerfile::Mount::Tmpfs { target, size } => {
                if size.is_some() && sources.isolation != Isolation::Isolated {
                    tracing::warn!("the size of a tmpfs has no effect here: nothing can be mounted");
                }
                self.push(flag.target.path(&target)?, What::Memory { size });
            }
            dockerfile::Mount::Secret { id, target, env, required, owner } => {
                let Some(bytes) = sources.vault.secret(&id) else {
                    ensure!(!required, "there is no secret {id:?}; give it with --secret id={id},src=FILE");
                    return Ok(());
                };
                if let Some(name) = &env {
                    self.env.push(variable(name, bytes).with_context(|| format!("secret {id:?}"))?);
                }
                if target.is_some() || env.is_none() {
                    let target = target.unwrap_or_else(|| format!("/run/secrets/{id}"));
                    let (mode, uid, gid) = attributes(owner, 0o400);
                    self.push(flag.target.path(&target)?, What::Secret { bytes: bytes.to_vec(), mode, uid, gid });
                }
            }
            dockerfile::Mount::Ssh { id, target, required, owner } => {
                let id = id.unwrap_or_else(|| "default".to_owned());
                let Some(socket) = sources.vault.agent(&id) else {
                    ensure!(!required, "there is no SSH agent {id:?}; give it with --ssh {id}=SOCKET");
                    return Ok(());
                };
                let target = target.unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{}", self.agents.len()));
                self.agent(flag.target.path(&target)?, socket, attributes(owner, 0o600), sources)?;
            }
        }
        Ok(())
    }

    /// Notes how the step ended that used the caches.
    pub(super) fn ended(&self, caches: &Caches<'_>, ended: Ended) {
        self.caches.iter().for_each(|lease| caches.note(lease.id(), lease.dir(), ended));
    }

    fn push(&mut self, target: OsString, what: What) {
        self.mounts.push(Mount { target, what });
    }

    fn cache(&mut self, mount: dockerfile::Mount, flag: &Flag<'_>, sources: &Sources<'_>) -> Result<()> {
        let dockerfile::Mount::Cache { id, target, source, sharing, owner, access } = mount else { return Ok(()) };
        let target = flag.target.path(&target)?;
        let id = id.map_or_else(|| target.clone().into_vec(), String::into_bytes);
        let namespace = flag.target.state.args.given("BUILDKIT_CACHE_MOUNT_NS").filter(|name| !name.is_empty());
        let id = namespace.map_or(id.clone(), |name| [name.as_bytes(), b"/", &id].concat());
        // Its lock is ours already, and to wait for it would be to wait for ourselves.
        let held = self.caches.iter().find(|lease| sharing != dockerfile::Sharing::Private && lease.is_of(&id));
        if let Some(lease) = held {
            ensure!(
                sources.isolation == Isolation::Isolated,
                "another mount of this step has the same cache, and where nothing can be mounted one cannot be in two places; \
                 give them different ids"
            );
            let what = lease.what(access);
            self.push(target, what);
            return Ok(());
        }
        let (mode, uid, gid) = attributes(owner, 0o755);
        let fill = |new: &Path| match sources.caches.restore(&id, new) {
            true => Ok(()),
            false => cache::fill(new, flag.tree.as_ref(), &source, (mode, uid, gid)),
        };
        let lease = cache::Lease::take(sources.caches.dir(), &id, sharing, sources.isolation, fill)?;
        self.push(target, lease.what(access));
        self.caches.push(lease);
        Ok(())
    }

    fn agent(
        &mut self,
        target: OsString,
        socket: &Path,
        attributes: (u32, u32, u32),
        sources: &Sources<'_>,
    ) -> Result<()> {
        let relay = agent::Relay::start(socket, &sources.own.join(format!("agent-{}", self.agents.len())), attributes)?;
        if self.agents.is_empty() {
            let line = [OsStr::new("SSH_AUTH_SOCK="), &target];
            self.env.push(line.into_iter().collect());
        }
        self.push(target, relay.what());
        self.agents.push(relay);
        Ok(())
    }
}

impl Drop for Mounting {
    fn drop(&mut self) {
        self.agents.clear();
        for (lease, points) in self.caches.iter().zip(&self.points) {
            // Where another build has the cache too, one of its mounts may stand there.
            points.iter().filter(|_| lease.is_ours_alone()).for_each(points::Points::remove);
        }
        let Some(own) = &self.staging else { return };
        // A supervisor that was killed had no time to put things back.
        let recovered = recover(own).unwrap_or_else(|why| vec![why.to_string()]);
        recovered.iter().for_each(|problem| tracing::warn!("a mount cannot be undone: {problem}"));
        if let Err(why) = Root::open(own).and_then(|own| clear(&own)) {
            tracing::warn!("cannot clear away the mounts of a step: {why}");
        }
    }
}

impl Target<'_> {
    /// The absolute path that `text` names.
    fn path(&self, text: &str) -> Result<OsString> {
        let path = self.state.path(text)?;
        if path.is_root() {
            bail!("a mount cannot stand at /");
        }
        if self.isolation != Isolation::Isolated {
            self.check_protected(&path)?;
        }
        Ok(OsString::from_vec([b"/", path.as_bytes()].concat()))
    }

    /// Where nothing can be mounted, what is moved away and back must not be the machine's or ours.
    fn check_protected(&self, path: &RootPath) -> Result<()> {
        let exact = self.root.resolve(path.as_bytes())?;
        if self.root.is_protected(&exact) || self.root.holds_protected(&exact) {
            bail!("{path} is, or holds, something of this machine, and nothing can be mounted over it here");
        }
        Ok(())
    }
}

/// Mode, owner and group.
fn attributes(given: dockerfile::Attributes, mode: u32) -> (u32, u32, u32) {
    (given.mode.unwrap_or(mode) & 0o7777, given.uid.unwrap_or(0), given.gid.unwrap_or(0))
}

/// A secret as a variable.
fn variable(name: &str, bytes: &[u8]) -> Result<OsString> {
    ensure!(!name.is_empty() && !name.contains(['=', '\0']), "{name:?} cannot be the name of a variable");
    ensure!(!bytes.contains(&0), "it has a NUL byte, so it cannot be a variable");
    let mut line = OsString::from(format!("{name}="));
    line.push(OsStr::from_bytes(bytes));
    Ok(line)
}
