//! What to listen to. The default is everything; less exists to prove in tests that each kind of event is needed.

use libc::{FAN_ATTRIB, FAN_CLOSE_WRITE, FAN_CREATE, FAN_DELETE, FAN_MODIFY, FAN_ONDIR, FAN_RENAME};

/// A kind of event, as `fanotify_mark(2)` names it. inotify(7) has the same, but for two bits of a rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum EventClass {
    /// `FAN_CREATE`: a name was made.
    Create = FAN_CREATE,
    /// `FAN_DELETE`: a name was removed.
    Delete = FAN_DELETE,
    /// `FAN_RENAME`: a name was moved.
    Rename = FAN_RENAME,
    /// `FAN_ATTRIB`: mode, owner, extended attributes or link count.
    Attrib = FAN_ATTRIB,
    /// `FAN_MODIFY`: content, size or modification time.
    Modify = FAN_MODIFY,
    /// `FAN_CLOSE_WRITE`: a writable file was closed or unmapped.
    CloseWrite = FAN_CLOSE_WRITE,
    /// `FAN_ONDIR`: any of the others on a directory.
    OnDir = FAN_ONDIR,
}

impl EventClass {
    /// Every class.
    pub const ALL: [EventClass; 7] = [
        EventClass::Create,
        EventClass::Delete,
        EventClass::Rename,
        EventClass::Attrib,
        EventClass::Modify,
        EventClass::CloseWrite,
        EventClass::OnDir,
    ];
}

/// A set of event classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventClasses(u64);

impl EventClasses {
    /// All seven.
    pub fn all() -> Self {
        EventClasses(EventClass::ALL.iter().fold(0, |mask, class| mask | *class as u64))
    }

    /// This set without `class`.
    #[must_use]
    pub fn without(self, class: EventClass) -> Self {
        EventClasses(self.0 & !(class as u64))
    }

    /// Whether `class` is in the set.
    pub fn contains(self, class: EventClass) -> bool {
        self.0 & class as u64 != 0
    }

    /// The mask of `fanotify_mark(2)` for the set.
    pub fn mask(self) -> u64 {
        self.0
    }
}

impl Default for EventClasses {
    fn default() -> Self {
        EventClasses::all()
    }
}

/// How to record. Anything but the default events and inodes breaks the contract of the recording: it is for tests that
/// must fail.
#[derive(Clone, Debug)]
pub struct Options {
    /// Events of other classes are treated as if the kernel had not sent them.
    pub events: EventClasses,
    /// Whether the targets of events are nominated as inodes. Directory watches have none.
    pub resolve_inodes: bool,
    /// About how many bytes the recorder may hold for the names and inodes heard of between two takes; more is
    /// [`Lost::Memory`](crate::Lost::Memory). A busy file system counts as a whole, also outside the root.
    pub memory: usize,
    /// The most watches that a [`DirWatch`](crate::DirWatch) may take, one of them for itself; `None` is a quarter of what
    /// the user may have. All root containers of a node are one user, so more is taken from the others.
    pub watches: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Options { events: EventClasses::all(), resolve_inodes: true, memory: 256 << 20, watches: None }
    }
}
