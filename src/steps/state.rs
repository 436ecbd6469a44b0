//! What a stage knows while its steps run: the image config that it builds, and the variables in scope.
//!
//! ENV and ARG share one scope, in which the later declaration wins by position; ENV goes into the config too, ARG never
//! does. Follows the Dockerfile reference ("ARG", "Environment replacement").

use std::ffi::{OsStr, OsString};

use anyhow::{Context as _, Result};

use super::differences;
use super::variables::Variables;
use crate::dockerfile::{self, Escape};
use crate::oci::ConfigFile;
use crate::plan::{Args, Compat};
use crate::rootfs::{Root, RootPath};

/// The PATH of an image that says nothing.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where the stage's CMD comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The base image or stage.
    Base,
    /// This stage: ENTRYPOINT leaves it.
    Stage,
}

/// A stage between two of its steps.
#[derive(Clone, Debug)]
pub struct StageState {
    /// The image's config as the steps so far left it.
    pub config: ConfigFile,
    pub(super) args: Args,
    escape: Escape,
    pub(super) scope: Variables,
    pub(super) declared: Vec<String>,
    pub(super) cmd: Origin,
    pub(super) compat: Compat,
    pub(super) differences: Vec<String>,
}

impl StageState {
    /// A stage that begins with an image, or with the empty config of `scratch`. A config without PATH gets one, as with
    /// BuildKit and kaniko.
    pub fn new(mut config: ConfigFile, args: Args, escape: Escape) -> Self {
        if config.config.env("PATH").is_none() {
            config.config.set_env("PATH", DEFAULT_PATH);
        }
        let scope = Variables::from_lines(config.config.env.iter().map(String::as_str));
        let (compat, differences) = (Compat::default(), Vec::new());
        StageState { config, args, escape, scope, declared: Vec::new(), cmd: Origin::Base, compat, differences }
    }

    /// The same, its steps being carried out in these ways of kaniko.
    pub fn following(mut self, compat: Compat) -> Self {
        if compat.no_maintainer {
            self.config.author = Some("kaniko".to_owned());
        }
        self.compat = compat;
        self
    }

    /// Where the result of the steps since the last call is another than with kaniko 1.24, as far as only files or the base
    /// can tell.
    pub fn take_differences(&mut self) -> Vec<String> {
        std::mem::take(&mut self.differences)
    }

    /// Notes that a step wrote `path`, which is below a volume of the base.
    pub fn wrote_below_volume(&mut self, path: &RootPath) {
        self.differences.push(differences::of_write(path));
    }

    /// Notes each volume so far of which `root` has no directory.
    pub fn lacks_volumes(&mut self, root: &Root) -> Result<()> {
        for volume in self.config.config.volumes.keys() {
            if root.observe(&root.resolve(volume.as_bytes())?)?.is_none() {
                self.differences.push(differences::of_volume(volume));
            }
        }
        Ok(())
    }

    /// A stage that begins where this one ended: it has the config, but no ONBUILD triggers, and sees the ARGs.
    pub fn inherit(&self) -> Self {
        let mut state = StageState { cmd: Origin::Base, ..self.clone() };
        state.config.config.on_build.clear();
        state
    }

    /// The value of a variable in scope.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.scope.get(name)
    }

    /// The ARGs declared so far that have a value, with the one in scope now: what a RUN's history and key need.
    pub fn declared_args(&self) -> impl Iterator<Item = (&str, &str)> {
        self.declared.iter().filter_map(|name| Some((name.as_str(), self.scope.get(name)?)))
    }

    /// `word` with its variables replaced and its quotes removed.
    pub fn expand(&self, word: &str) -> Result<String> {
        dockerfile::expand(word, self.escape, &|name| self.scope.get(name).map(str::to_owned))
            .with_context(|| format!("{word:?}"))
    }

    /// A here-document with its variables replaced; quotes stay.
    pub fn expand_body(&self, body: &str) -> Result<String> {
        let lookup = |name: &str| self.scope.get(name).map(str::to_owned);
        dockerfile::expand_body(body, &lookup).context("the here-document")
    }

    /// The same as [`StageState::expand`], split at the blanks that stand outside quotes, also those that come from variables.
    pub fn expand_words(&self, word: &str) -> Result<Vec<String>> {
        dockerfile::expand_words(word, self.escape, &|name| self.scope.get(name).map(str::to_owned))
            .with_context(|| format!("{word:?}"))
    }

    /// The working directory: absolute and clean, `/` where none was set.
    pub fn workdir(&self) -> &str {
        match self.config.config.working_dir.as_str() {
            dir if dir.starts_with('/') => dir,
            _ => "/",
        }
    }

    /// The path of the image that `path` names, relative to the working directory.
    pub(super) fn path(&self, path: &str) -> Result<RootPath> {
        let absolute = if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.workdir()) };
        RootPath::clean(&absolute).with_context(|| format!("{path:?} has a NUL byte"))
    }

    /// The user as USER or the base image set it; empty for root.
    pub fn user(&self) -> &str {
        &self.config.config.user
    }

    /// What precedes a command in shell form.
    pub fn shell(&self) -> Vec<String> {
        match self.config.config.shell.as_deref() {
            Some(shell) if !shell.is_empty() => shell.to_vec(),
            _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        }
    }

    /// The arguments of a command in either form.
    pub fn command_line(&self, command: &dockerfile::Command) -> Vec<String> {
        match command {
            dockerfile::Command::Exec(arguments) => arguments.clone(),
            dockerfile::Command::Shell(text) => {
                let mut arguments = self.shell();
                arguments.push(text.clone());
                arguments
            }
        }
    }

    /// The environment of a RUN by a user whose home is `home`: what is in scope, proxies given as build arguments in
    /// both cases, and HOME where it is missing. Nothing of our own environment.
    pub fn environment(&self, home: &OsStr) -> Vec<OsString> {
        let mut environment = self.scope.clone();
        for (name, value) in self.args.proxies() {
            environment.set_default(name, value);
        }
        for (name, value) in self.args.proxies() {
            environment.set_default(&name.to_ascii_uppercase(), value);
            environment.set_default(&name.to_ascii_lowercase(), value);
        }
        let mut lines: Vec<OsString> = environment.to_lines().into_iter().map(OsString::from).collect();
        if environment.get("HOME").is_none() {
            let mut line = OsString::from("HOME=");
            line.push(home);
            lines.push(line);
        }
        lines
    }
}
