//! What COPY, ADD and mounts take files from: the build context, named contexts, other images. Each is opened or unpacked once.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use tracing::warn;

use super::base::Bases;
use super::site::Site;
use super::{NamedContext, Request};
use crate::context::Context;
use crate::oci::Image;
use crate::plan::{Base, Source};
use crate::rootfs::Root;
use crate::steps::Tree;

/// The trees of one build, but for those of its stages.
pub(super) struct Trees<'a> {
    request: &'a Request,
    context: &'a Context,
    /// The directory of the context.
    pub(super) context_root: Root,
    /// The trees of images, by the name that the Dockerfile gives them.
    images: BTreeMap<String, Root>,
    /// Named contexts that are directories, opened.
    directories: BTreeMap<String, (Root, Context)>,
}

impl<'a> Trees<'a> {
    pub(super) fn new(request: &'a Request, context: &'a Context) -> Result<Self> {
        let context_root = Root::open(context.dir())?;
        Ok(Trees { request, context, context_root, images: BTreeMap::new(), directories: BTreeMap::new() })
    }

    /// The build context.
    pub(super) fn context(&self) -> Tree<'_> {
        Tree::Context { root: &self.context_root, context: self.context }
    }

    /// Sees to it that [`Trees::find`] finds a source: an image that is named is fetched and unpacked.
    pub(super) fn open(&mut self, source: &Source, bases: &mut Bases<'_>, site: &Site) -> Result<()> {
        self.open_directory(source)?;
        let (Source::Image(name) | Source::Named(name)) = source else { return Ok(()) };
        if self.images.contains_key(name) || self.directories.contains_key(name) {
            return Ok(());
        }
        let image = self.image(source, bases)?.context("the source is no image")?;
        if self.request.platform.preference(&image.config.platform()).is_none() {
            warn!("{name} is for {}, not for {}", image.config.platform(), self.request.platform);
        }
        let dir = site.own_dir(&format!("images/{}", self.images.len()))?;
        let mut root = Root::open(&dir)?;
        bases.unpack(&image, &mut root, &[]).with_context(|| format!("unpack {name}"))?;
        self.images.insert(name.clone(), root);
        Ok(())
    }

    /// Opens a named context that is a directory.
    pub(super) fn open_directory(&mut self, source: &Source) -> Result<()> {
        let Source::Named(name) = source else { return Ok(()) };
        if let Some(NamedContext::Directory(dir)) = self.request.contexts.get(name)
            && !self.directories.contains_key(name)
        {
            let opened = (Root::open(dir)?, Context::open_named(dir)?);
            self.directories.insert(name.clone(), opened);
        }
        Ok(())
    }

    /// The image that a source names, its layers not fetched; `None` where it names none.
    pub(super) fn image(&self, source: &Source, bases: &mut Bases<'_>) -> Result<Option<Image>> {
        let base = match source {
            Source::Image(name) => Base::Image(name.clone()),
            Source::Named(name) if !self.directories.contains_key(name) => Base::Context(name.clone()),
            Source::Named(_) | Source::Context | Source::Stage(_) => return Ok(None),
        };
        bases.fetch(&base, &self.request.platform).map(Some)
    }

    /// The tree of a source that is a context; `None` for stages and images.
    pub(super) fn of_context(&self, source: &Source) -> Option<Tree<'_>> {
        match source {
            Source::Context => Some(self.context()),
            Source::Named(name) => self.directories.get(name).map(|(root, context)| Tree::Context { root, context }),
            Source::Stage(_) | Source::Image(_) => None,
        }
    }

    /// The tree of a source that was opened. `stage` has those of finished stages, by position.
    pub(super) fn find<'t>(&'t self, source: &Source, stage: &dyn Fn(usize) -> Option<&'t Root>) -> Result<Tree<'t>> {
        if let Some(tree) = self.of_context(source) {
            return Ok(tree);
        }
        Ok(Tree::Files(match source {
            Source::Stage(position) => stage(*position).context("the source stage was not kept")?,
            Source::Image(name) | Source::Named(name) => {
                self.images.get(name).context("the source image was not unpacked")?
            }
            Source::Context => &self.context_root,
        }))
    }
}
