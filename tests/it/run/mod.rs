//! RUN steps in a busybox root: how a command ends, what it sees, and that nothing of it is left.

mod ending;
mod scene;
mod seeing;
mod strays;
