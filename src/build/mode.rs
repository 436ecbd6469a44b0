//! How changes are looked for: what a user may choose, and what each choice misses.

/// How the changes of a RUN are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotMode {
    /// What [`RecorderChoice`] says nominates, and is compared by content.
    Events,
    /// The whole tree is compared, by content.
    Full,
    /// What differs in mtime, size, mode or owner is compared, as kaniko's mode of that name does. It misses changes.
    Redo,
    /// What differs in mtime is compared, as kaniko's mode of that name does. It misses changes.
    Time,
}

impl SnapshotMode {
    /// What this mode misses, as a warning; `None` for the modes that miss nothing.
    pub(super) fn losses(self) -> Option<&'static str> {
        match self {
            SnapshotMode::Events | SnapshotMode::Full => None,
            SnapshotMode::Redo => Some(
                "--snapshot-mode=redo compares mtime, size, mode and owner only, as kaniko does. It misses an edit that \
                 keeps the size and the mtime (touch -r, cp -p, a package unpacked over itself), extended attributes, file \
                 capabilities and a name that was linked to another file alike. The default misses nothing and costs less",
            ),
            SnapshotMode::Time => Some(
                "--snapshot-mode=time compares mtime only, as kaniko does. It misses chmod, chown, extended attributes, file \
                 capabilities and every edit or replacement that keeps the mtime (touch -r, cp -p, mv of a file as old). The \
                 default misses nothing and costs less",
            ),
        }
    }
}

/// Who says where to look after a RUN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecorderChoice {
    /// The first of those below that is exact here.
    Auto,
    /// File events, or the build fails.
    Fanotify,
    /// A watch on every directory and a sweep at the end of the stage, or the build fails.
    Dirwatch,
    /// The attributes of every path, and where they do not tell every change the content of every file.
    Sweep,
    /// The content of every file.
    Full,
}

/// Whether each snapshot is checked against a walk of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// It is trusted.
    Off,
    /// After each snapshot the whole tree is compared too, and a difference fails the build.
    Each,
}

/// When the root is compared with the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshots {
    /// After each step: a layer for each step that changed something.
    EachStep,
    /// At the end of a stage: one layer for all its steps.
    EachStage,
}
