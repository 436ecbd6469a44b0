//! What to run and how it ended.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::mount::Surroundings;

/// Where the command runs, and what surrounds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Isolation {
    /// In `/` as it stands: nothing is mounted, no capability is dropped. This is an ordinary pod.
    InPlace,
    /// In a root elsewhere, with mount, PID and IPC namespaces of its own, private /proc, /dev and /sys, Docker's default
    /// capabilities, and no way out of the root. The network is the host's.
    Isolated,
    /// In a root elsewhere, entered with chroot(2) alone: no /proc or /dev but what stands there, and a command that is
    /// root can leave it.
    Chroot,
}

/// One command, in full: nothing is inherited but standard output and standard error.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The root of the image. It is `/` exactly with [`Isolation::InPlace`].
    #[serde(with = "path_bytes")]
    pub root: PathBuf,
    /// The command and its arguments. A first word without a slash is looked up in the PATH of `env`, inside the root.
    pub argv: Vec<OsString>,
    /// The whole environment, each entry `NAME=value`.
    pub env: Vec<OsString>,
    /// The working directory, a path inside the root. It must exist.
    #[serde(with = "path_bytes")]
    pub cwd: PathBuf,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids, exactly.
    pub groups: Vec<u32>,
    /// Where it runs.
    pub isolation: Isolation,
    /// Mounts, network and rights.
    pub surroundings: Surroundings,
}

/// Without the values of the environment: they may be secret.
impl fmt::Debug for RunSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunSpec")
            .field("root", &self.root)
            .field("argv", &self.argv)
            .field("cwd", &self.cwd)
            .field("ids", &(self.uid, self.gid, &self.groups))
            .field("isolation", &self.isolation)
            .field("surroundings", &self.surroundings)
            .finish_non_exhaustive()
    }
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It exited with this code, 0 to 255.
    Exited(i32),
    /// This signal killed it.
    Signaled(i32),
}

/// The arguments of a shell-form command: the words of SHELL, then the whole text as one argument.
pub fn shell_form<S: Into<OsString> + Clone>(shell: &[S], text: impl Into<OsString>) -> Vec<OsString> {
    shell.iter().cloned().map(Into::into).chain([text.into()]).collect()
}

/// Paths are bytes; serde's own form of a path is text.
mod path_bytes {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        OsString::deserialize(deserializer).map(PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn shell_form_keeps_the_text_whole() {
        assert_eq!(shell_form(&["/bin/sh", "-c"], "a  b && c"), ["/bin/sh", "-c", "a  b && c"]);
        assert_eq!(shell_form(&["pwsh"], ""), ["pwsh", ""]);
    }

    #[test]
    fn bytes_that_are_not_text_survive_the_way_to_the_supervisor() {
        let odd = OsString::from_vec(b"a\xffb".to_vec());
        let spec = RunSpec {
            root: PathBuf::from(&odd),
            argv: vec![odd.clone()],
            env: vec![odd.clone()],
            cwd: PathBuf::from(&odd),
            uid: 1,
            gid: 2,
            groups: vec![3],
            isolation: Isolation::Chroot,
            surroundings: Surroundings::default(),
        };
        let json = serde_json::to_vec(&spec).unwrap();
        assert_eq!(serde_json::from_slice::<RunSpec>(&json).unwrap(), spec);
    }

    #[test]
    fn debug_shows_no_environment() {
        let spec = RunSpec {
            root: "/r".into(),
            argv: vec!["true".into()],
            env: vec!["TOKEN=hunter2".into()],
            cwd: "/".into(),
            uid: 0,
            gid: 0,
            groups: vec![],
            isolation: Isolation::Isolated,
            surroundings: Surroundings::default(),
        };
        let shown = format!("{spec:?}");
        assert!(shown.contains("true") && !shown.contains("hunter2"), "{shown}");
    }
}
