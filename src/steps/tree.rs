//! What COPY and ADD copy from.

use crate::context::{Context, Exclusion};
use crate::rootfs::{Root, RootPath, Selection};

/// The source side of a COPY or ADD.
#[derive(Clone, Copy)]
pub enum Tree<'a> {
    /// A build context, less what its ignore file excludes. Its files belong to root wherever they go.
    Context {
        /// Its directory, opened.
        root: &'a Root,
        /// Its ignore rules.
        context: &'a Context,
    },
    /// A finished stage or another image, whole. Its files keep their owners.
    Files(&'a Root),
}

impl<'a> Tree<'a> {
    pub(super) fn root(&self) -> &'a Root {
        match self {
            Tree::Context { root, .. } | Tree::Files(root) => root,
        }
    }

    /// What messages call it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Tree::Context { .. } => "the build context",
            Tree::Files(_) => "the tree that --from names",
        }
    }

    pub(super) fn selection(&self, path: &RootPath, is_directory: bool) -> Selection {
        let Tree::Context { context, .. } = self else { return Selection::Take };
        match context.excluded(path.as_bytes()) {
            None => Selection::Take,
            Some(_) if is_directory && context.may_include_below(path.as_bytes()) => Selection::Descend,
            Some(_) => Selection::Skip,
        }
    }

    /// The rule that leaves `path` out, for messages.
    pub(super) fn exclusion(&self, path: &RootPath) -> Option<Exclusion<'a>> {
        match self {
            Tree::Context { context, .. } => context.excluded(path.as_bytes()),
            Tree::Files(_) => None,
        }
    }
}
