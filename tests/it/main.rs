//! The tests that use the built program and real parts: a registry, independent readers of images, a container engine.
//!
//! `scripts/install-deps.sh` installs those parts; a part that is missing fails the test that needs it. Nothing is skipped.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agreement;
mod architecture;
mod cache;
mod cache_mounts;
mod command_line;
mod compat;
mod container;
mod copied;
mod credentials;
mod crowd;
mod differ;
// tests/cells uses the rest of it.
#[allow(dead_code)]
mod differential;
mod edges;
mod events;
mod failures;
mod git;
mod instructions;
mod limits;
mod losses;
mod machine;
mod mapper;
mod memo;
mod modes;
mod mounted;
mod mounts;
mod multistage;
mod old_kernel;
mod operations;
mod outputs;
mod overlap;
mod platforms;
mod pod;
mod protected;
mod recorders;
mod registry;
// tests/cells uses the rest of it.
#[allow(dead_code)]
mod replay;
mod reproducible;
mod root;
mod run;
mod scale;
mod settling;
mod signals;
// tests/cells uses the rest of it.
#[allow(dead_code)]
mod stage;
mod support;
mod sweep;
mod transport;
mod trust;
mod warmer;
// tests/cells uses the rest of it.
#[allow(dead_code)]
mod world;
