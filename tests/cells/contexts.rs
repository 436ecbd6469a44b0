//! With which rights a builder runs, and how this program is run again with them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::container::Engine;

/// The rights of a builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Root of the machine.
    Everything,
    /// Docker's default capabilities, no seccomp filter: a Kubernetes pod.
    Capabilities,
    /// The same with Docker's seccomp filter, in a container.
    Container,
    /// Root of a user namespace, which mounts what it may for itself.
    UserNamespace,
}

impl Context {
    pub const ALL: [Context; 4] =
        [Context::Everything, Context::Capabilities, Context::Container, Context::UserNamespace];

    /// Those that use what the machine mounted.
    pub const OF_THE_MACHINE: [Context; 3] = [Context::Everything, Context::Capabilities, Context::Container];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Context::Everything => "everything",
            Context::Capabilities => "capabilities",
            Context::Container => "container",
            Context::UserNamespace => "userns",
        }
    }

    /// This program with `arguments` and these rights, able to use what is below `top`.
    pub fn command(self, engine: &Engine, top: &Path, arguments: &[&str]) -> Command {
        let program = std::env::current_exe().unwrap();
        let mut command = match self {
            Context::Everything => Command::new(program),
            Context::Capabilities => {
                let kept: Vec<_> =
                    crate::support::container::CAPABILITIES.iter().map(|name| format!(",+{name}")).collect();
                let mut command = Command::new("setpriv");
                command.arg(format!("--bounding-set=-all{}", kept.concat().to_lowercase()));
                command.arg("--inh-caps=-all").arg(program);
                command
            }
            Context::Container => {
                let mut command = engine.container();
                command.args(["--rm", "--entrypoint=[\"/cells\"]"]);
                command.arg("--volume").arg(format!("{}:/cells:ro", program.display()));
                command.arg("--volume").arg(format!("{0}:{0}", top.display()));
                // The programs of the machine, for umoci and python.
                for (from, to) in [("usr", "usr"), ("usr/bin", "bin"), ("usr/lib", "lib"), ("usr/lib64", "lib64")] {
                    command.arg(format!("--volume=/{from}:/{to}:ro"));
                }
                command.args(["--env=PATH=/usr/bin", "stand-in"]);
                command
            }
            Context::UserNamespace => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-root-user", "--mount"]).arg(program);
                command
            }
        };
        command.args(arguments);
        command
    }

    /// What the kernel says of the rights of this process.
    pub fn of_this_process() -> Option<Context> {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let whole = "0\t0\t4294967295".split('\t').collect::<Vec<_>>();
        let map = fs::read_to_string("/proc/self/uid_map").unwrap();
        let docker = field("CapEff:") == Some(crate::support::container::CAPABILITY_MASK);
        match (map.split_whitespace().eq(whole), docker, field("Seccomp:")) {
            (false, _, Some("0")) => Some(Context::UserNamespace),
            (true, true, Some("0")) => Some(Context::Capabilities),
            (true, true, Some("2")) => Some(Context::Container),
            (true, false, Some("0")) => Some(Context::Everything),
            _ => None,
        }
    }
}
