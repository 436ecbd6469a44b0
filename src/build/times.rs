//! The times in an image: when it was built, or what makes two builds of one input the same bytes.

use crate::rootfs::Timestamp;

/// Which times an image has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// Those of the build and of its files.
    #[default]
    OfTheBuild,
    /// None is later than this, in seconds since the epoch, and the build took place then.
    AtMost(i64),
}

impl Times {
    /// What the configuration says of when something was made (RFC 3339).
    pub(super) fn created(self) -> String {
        let time = match self {
            Times::OfTheBuild => jiff::Timestamp::now(),
            Times::AtMost(seconds) => jiff::Timestamp::from_second(seconds).unwrap_or_default(),
        };
        time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// The latest time that a file of a layer may have, in seconds since the epoch.
    pub(super) fn latest(self) -> Option<i64> {
        match self {
            Times::OfTheBuild => None,
            Times::AtMost(seconds) => Some(seconds),
        }
    }

    /// Whether `AtMost` leaves the times of files that this build makes as they are, so that no two builds agree.
    pub fn lie_ahead(self) -> bool {
        self.latest().is_some_and(|latest| latest > Timestamp::now().sec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(Times::AtMost(1_700_000_000).created(), "2023-11-14T22:13:20Z");
        assert_eq!(Times::AtMost(0).created(), "1970-01-01T00:00:00Z");
        assert!(Times::OfTheBuild.created().as_str() > "2026-01-01");
        assert_eq!([Times::OfTheBuild, Times::AtMost(5)].map(Times::latest), [None, Some(5)]);
        assert!(Times::AtMost(i64::MAX).lie_ahead() && !Times::AtMost(1).lie_ahead() && !Times::OfTheBuild.lie_ahead());
    }
}
