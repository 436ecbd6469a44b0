//! The test of `ctime`: the two things that a sweep relies on, done to a file of our own.
//!
//! A change is stamped no earlier than the clock said before it; and a store through a shared mapping is stamped although
//! the page was read through it before, and although it was dirty.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::Distrust;
use crate::ctime::{Guard, Tick};
use crate::rootfs::Timestamp;
use crate::sys::store_after_read;

/// Makes the test with an empty file of ours in the directory `scratch`. It takes two ticks of the clock.
pub(super) fn test(mut file: &File, scratch: &Path) -> Result<(), Distrust> {
    let failed = |call| move |source| Distrust::Test { call, path: scratch.to_owned(), source };
    file.write_all(b"0").map_err(failed("write"))?;
    let late = changed(file, |file| file.write_all_at(b"1", 0)).map_err(failed("write"))?;
    late.map_or(Ok(()), |millis| Err(Distrust::Coarse { millis }))?;
    let late = changed(file, |file| store_after_read(file, b'2')).map_err(failed("mmap"))?;
    late.map_or(Ok(()), |_| Err(Distrust::StoreUnseen))?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0).map_err(failed("read"))?;
    if byte == *b"2" { Ok(()) } else { Err(failed("mmap")(io::Error::other("a store is not in the file"))) }
}

/// Does `change` in a tick of its own and says by how many milliseconds `ctime` stays behind it, if it does.
fn changed(file: &File, change: impl FnOnce(&File) -> io::Result<()>) -> io::Result<Option<i64>> {
    let guard = Guard::past(ctime(file)?, Tick(1));
    change(file)?;
    Ok(late(guard.since, ctime(file)?))
}

fn late(since: Timestamp, stamped: Timestamp) -> Option<i64> {
    let millis = |time: Timestamp| time.sec * 1000 + i64::from(time.nsec / 1_000_000);
    (stamped < since).then(|| millis(since) - millis(stamped))
}

fn ctime(file: &File) -> io::Result<Timestamp> {
    let metadata = file.metadata()?;
    Ok(Timestamp { sec: metadata.ctime(), nsec: u32::try_from(metadata.ctime_nsec()).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_must_be_stamped_no_earlier_than_it_was_made() {
        let at = |sec, nsec| Timestamp { sec, nsec };
        assert_eq!(late(at(5, 2), at(5, 2)), None);
        assert_eq!(late(at(5, 2), at(5, 3)), None);
        assert_eq!(late(at(5, 2), at(5, 1)), Some(0));
        assert_eq!(late(at(5, 20_000_000), at(5, 0)), Some(20));
        assert_eq!(late(at(5, 20_000_000), at(4, 990_000_000)), Some(30));
    }
}
