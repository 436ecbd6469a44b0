//! Takes as many bytes as a Dockerfile may have, from whoever sends it, and no more.

use std::io::{self, Write};

use super::MAX_FILE;

/// A Dockerfile that is being received.
#[derive(Debug, Default)]
pub struct Limited(Vec<u8>);

impl Limited {
    /// What came.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > MAX_FILE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the Dockerfile is larger than 16 MiB"));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dockerfile_without_end_is_not_kept() {
        let mut sink = Limited::default();
        let most = vec![b'#'; MAX_FILE as usize];
        sink.write_all(&most).expect("as large as may be");
        assert!(sink.write_all(b"#").is_err());
    }
}
