//! Stores into files through shared mappings. That takes unsafe code in Rust, so a Python child does it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub struct Mapper {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

const MAPPER: &str = "
import mmap, os, sys
for line in sys.stdin.buffer:
    path, byte, first = line.decode().split()
    path, byte = bytes.fromhex(path), int(byte)
    with open(path, 'r+b') as file:
        if os.fstat(file.fileno()).st_size:
            with mmap.mmap(file.fileno(), 0) as map:
                if first == 'read':
                    map[0]
                map[0] = byte
    print('done', flush=True)";

impl Mapper {
    pub fn start() -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", MAPPER]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3");
        let (orders, answers) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
        Mapper { child, orders, answers: BufReader::new(answers) }
    }

    /// Stores `byte` as the first byte of the file at `path`, if it has one.
    pub fn store(&mut self, path: &Path, byte: u8) -> io::Result<()> {
        self.order(path, byte, "store")
    }

    /// The same, after a look at that byte.
    pub fn read_then_store(&mut self, path: &Path, byte: u8) -> io::Result<()> {
        self.order(path, byte, "read")
    }

    fn order(&mut self, path: &Path, byte: u8, first: &str) -> io::Result<()> {
        let hex: String = path.as_os_str().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(self.orders.as_mut().expect("open until dropped"), "{hex} {byte} {first}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        assert_eq!(answer, "done\n", "the child that stores through mappings failed");
        Ok(())
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.wait();
        let mut rest = Vec::new();
        let _ = self.answers.read_to_end(&mut rest);
    }
}
