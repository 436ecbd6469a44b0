//! How many watches one recorder may take. The kernel counts them for each user, and on a node all containers of root are
//! one user; whoever needs one and gets none fails, the node's own services included.

use std::fmt;
use std::path::Path;

use rustix::io::Errno;

use crate::refused::Refused;

/// The kernel's default of old, where it does not tell.
const USUAL: usize = 8192;

/// One recorder takes at most this part of what the user may have.
const SHARE: usize = 4;

/// Why there are no more watches or instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scarce {
    /// [`Options::watches`](crate::Options::watches) says so.
    Given,
    /// A quarter of `max_user_watches`.
    Share,
    /// The user has no more (`ENOSPC`); what was had is given back.
    Watches,
    /// The user has no more instances, or the process no more descriptors (`EMFILE`).
    Instances,
}

impl Scarce {
    /// What there is too little of, and the verb for `count` of them.
    pub(crate) fn noun(self, count: usize) -> &'static str {
        match (self, count) {
            (Scarce::Instances, 1) => "instance is",
            (Scarce::Instances, _) => "instances are",
            (_, 1) => "watch is",
            _ => "watches are",
        }
    }
}

impl fmt::Display for Scarce {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Scarce::Given => "may be taken, as was asked for",
            Scarce::Share => "may be taken, a quarter of what a node's containers share (fs.inotify.max_user_watches)",
            Scarce::Watches => "were left of those that a node's containers share (fs.inotify.max_user_watches)",
            Scarce::Instances => {
                "instances are all that there may be, and none is left (fs.inotify.max_user_instances)"
            }
        })
    }
}

/// The most watches that may be taken, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    allowed: usize,
    why: Scarce,
}

impl Budget {
    /// What was asked for, otherwise a quarter of what the user may have. What the others have taken cannot be known.
    pub fn new(asked: Option<usize>) -> Self {
        match asked {
            Some(allowed) => Budget { allowed, why: Scarce::Given },
            None => Budget { allowed: most() / SHARE, why: Scarce::Share },
        }
    }

    /// Refuses to have `wanted` watches if that is too many.
    pub fn check(&self, wanted: usize) -> Result<(), Refused> {
        if wanted <= self.allowed {
            return Ok(());
        }
        Err(Refused::Budget { wanted, allowed: self.allowed, why: self.why })
    }
}

/// The refusal when no instance could be made.
pub fn no_instance(error: Errno) -> Refused {
    match error {
        Errno::MFILE => {
            let allowed = number(Path::new("/proc/sys/fs/inotify/max_user_instances")).unwrap_or_default();
            Refused::Budget { wanted: 1, allowed, why: Scarce::Instances }
        }
        error => Refused::Call { call: "inotify_init1", source: error.into() },
    }
}

/// How many watches the user may have: what the node allows, and the user namespace.
fn most() -> usize {
    let files = ["/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches"];
    files.into_iter().filter_map(|file| number(Path::new(file))).min().unwrap_or(USUAL)
}

/// The number in a file of sysctl's.
fn number(file: &Path) -> Option<usize> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_budget() {
        let budget = Budget { allowed: 2048, why: Scarce::Share };
        assert!(budget.check(2048).is_ok());
        let refused = budget.check(20_001).unwrap_err().to_string();
        let start = "20001 inotify watches are needed, 2048 may be taken, a quarter";
        assert!(refused.starts_with(start), "{refused}");
        assert!(Budget::new(Some(3)).check(4).unwrap_err().to_string().contains(" 3 may be taken, as was asked for"));
    }

    #[test]
    fn a_quarter_is_taken() {
        let all = number(Path::new("/proc/sys/fs/inotify/max_user_watches")).unwrap();
        let budget = Budget::new(None);
        assert!(budget.allowed > 0 && budget.allowed <= all / 4, "{budget:?} of {all}");
    }

    #[test]
    fn no_instance_is_a_matter_of_budget() {
        let text = no_instance(Errno::MFILE).to_string();
        assert!(text.contains("none is left (fs.inotify.max_user_instances)"), "{text}");
        assert_eq!(no_instance(Errno::NOSYS).to_string(), "inotify_init1: Function not implemented (os error 38)");
    }
}
