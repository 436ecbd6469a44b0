//! A reader with an end: what comes from elsewhere says how much it is, and need not be right.

use std::io::{self, Read};

/// Passes on so many bytes, and fails where more come.
#[derive(Debug)]
pub struct Bounded<R> {
    inner: R,
    left: u64,
    what: &'static str,
}

impl<R: Read> Bounded<R> {
    /// At most `most` bytes of `inner`; `what` is the message where there are more ([`io::ErrorKind::FileTooLarge`]).
    pub fn new(inner: R, most: u64, what: &'static str) -> Self {
        Bounded { inner, left: most, what }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let too_many = || io::Error::new(io::ErrorKind::FileTooLarge, self.what);
        self.left = self.left.checked_sub(count as u64).ok_or_else(too_many)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_as_may_come_comes_and_no_more() {
        let read = |most| io::read_to_string(Bounded::new(&b"12345"[..], most, "too much"));
        assert_eq!(read(5).expect("enough"), "12345");
        let error = read(4).expect_err("too much");
        assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::FileTooLarge, "too much".to_owned()));
    }
}
