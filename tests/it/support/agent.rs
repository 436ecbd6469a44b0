//! An SSH agent of the test's own.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, path::PathBuf};

use super::run;

/// A real agent with one key, until the value is dropped.
pub struct Agent {
    dir: tempfile::TempDir,
    child: Child,
    /// Its public key, in base64.
    pub key: String,
}

impl Agent {
    /// Starts it.
    pub fn start() -> Agent {
        let dir = tempfile::tempdir().unwrap();
        let (socket, key) = (dir.path().join("socket"), dir.path().join("key"));
        let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        let limit = Instant::now() + Duration::from_secs(20);
        while !socket.exists() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(20));
        }
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key));
        run(Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket));
        let public = fs::read_to_string(dir.path().join("key.pub")).unwrap();
        Agent { dir, child, key: public.split(' ').nth(1).unwrap().to_owned() }
    }

    /// The path of its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// The argument that gives it to a build.
    pub fn flag(&self) -> String {
        format!("--ssh=default={}", self.socket().display())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
