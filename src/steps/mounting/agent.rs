//! `--mount=type=ssh`: a socket of our own that passes everything on to the agent's.
//!
//! So the step sees a socket with the owner and the mode that it asked for, and the agent's own stays as it is. The relay ends
//! with the step: nobody can connect any more, and connections that stand are cut.

use std::io;
use std::net::Shutdown;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};
use rustix::net::{Shutdown as Half, shutdown};

use crate::steps::run::{Access, After, What};

/// A relay that runs.
pub(super) struct Relay {
    path: PathBuf,
    listener: UnixListener,
    /// Both ends of every connection.
    streams: Arc<Mutex<Vec<UnixStream>>>,
}

impl Relay {
    /// Listens at `path`, which must be free, for the agent at `agent`.
    pub(super) fn start(agent: &Path, path: &Path, (mode, uid, gid): (u32, u32, u32)) -> Result<Self> {
        UnixStream::connect(agent).with_context(|| format!("connect to the SSH agent at {}", agent.display()))?;
        let listen = || -> io::Result<UnixListener> {
            let listener = UnixListener::bind(path)?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
            chown(path, Some(uid), Some(gid))?;
            Ok(listener)
        };
        let listener = listen().with_context(|| format!("listen at {}", path.display()))?;
        let streams = Arc::new(Mutex::new(Vec::new()));
        let (accepting, agent, kept) = (listener.try_clone()?, agent.to_owned(), Arc::clone(&streams));
        thread::Builder::new().name("ssh-agent".to_owned()).spawn(move || accept(&accepting, &agent, &kept))?;
        Ok(Relay { path: path.to_owned(), listener, streams })
    }

    /// What the mount shows.
    pub(super) fn what(&self) -> What {
        What::Lent { source: self.path.clone().into(), access: Access::ReadWrite, after: After::Dropped }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Both fail only where nothing is open any more.
        let _ = shutdown(&self.listener, Half::Both);
        for stream in self.streams.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Ends when the listener is shut down.
fn accept(listener: &UnixListener, agent: &Path, streams: &Mutex<Vec<UnixStream>>) {
    while let Ok((client, _)) = listener.accept() {
        if let Err(why) = join(client, agent, streams) {
            tracing::warn!("the SSH agent cannot be reached: {why}");
        }
    }
}

/// Passes on in both directions.
fn join(client: UnixStream, agent: &Path, streams: &Mutex<Vec<UnixStream>>) -> io::Result<()> {
    let agent = UnixStream::connect(agent)?;
    let mut kept = streams.lock().unwrap_or_else(PoisonError::into_inner);
    kept.extend([client.try_clone()?, agent.try_clone()?]);
    drop(kept);
    for (mut from, mut to) in [(client.try_clone()?, agent.try_clone()?), (agent, client)] {
        thread::Builder::new().name("ssh-agent".to_owned()).spawn(move || {
            // The end of either side ends the other; why does not matter.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_relay_passes_on_and_ends() {
        let dir = tempfile::tempdir().expect("a directory");
        let (real, path) = (dir.path().join("real"), dir.path().join("relay"));
        let agent = UnixListener::bind(&real).expect("bind");
        let echo = thread::spawn(move || {
            let _probe = agent.accept().expect("the probe");
            let (mut stream, _) = agent.accept().expect("a connection");
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).expect("read");
            stream.write_all(&bytes).expect("write");
            assert_eq!(stream.read(&mut bytes).expect("the end"), 0);
        });
        let relay = Relay::start(&real, &path, (0o640, 7, 8)).expect("started");
        let data = std::fs::metadata(&path).expect("stat");
        assert_eq!((data.mode() & 0o7777, data.uid(), data.gid()), (0o640, 7, 8));
        let mut client = UnixStream::connect(&path).expect("connect");
        client.write_all(b"ping").expect("write");
        let mut bytes = [0; 4];
        client.read_exact(&mut bytes).expect("read");
        assert_eq!(&bytes, b"ping");
        drop(relay);
        echo.join().expect("the agent saw the end");
        assert_eq!(client.read(&mut bytes).expect("the end"), 0);
        assert!(UnixStream::connect(&path).is_err());
    }
}
