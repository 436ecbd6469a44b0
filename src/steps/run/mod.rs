//! RUN: executes one command in the root and leaves no process of it behind.
//!
//! The executor starts itself again as a *supervisor* (`supervisor`), one single-threaded process per step, and hands it
//! an order over a socket (`control`, `order`): no secret is on a command line. The supervisor is a sub-reaper, enters
//! the root as the [`Isolation`] says (`isolate`, `mounts`, `stubs`; `lend` where nothing can be mounted), starts the command with exactly the environment,
//! ids and descriptors that it should have (`command`), and after it kills and reaps whatever the command left running
//! (`strays`).
//!
//! Guarantees: when [`run`] returns, no process of the step runs and nothing that it mounted is mounted, whatever the
//! command did; or the error says so. No process is signalled that is not a descendant of the supervisor.
//! It does not know about Dockerfiles, snapshots or images.

mod command;
mod control;
mod error;
mod isolate;
mod lend;
mod mount;
mod mounts;
mod network;
mod order;
mod signals;
mod spec;
mod strays;
mod stubs;
mod supervisor;

pub use crate::sys::make_private_process;
pub use control::{Control, Detected, Program, detect, run};
pub use error::Error;
pub use lend::recover;
pub use mount::{Access, After, Mount, Network, Security, Surroundings, What};
pub use spec::{Isolation, Outcome, RunSpec, shell_form};
pub use supervisor::{SUPERVISE, supervise_main};
