//! The tests that use the built program and real parts: a registry, independent readers of images, a container engine.
//!
//! `scripts/install-deps.sh` installs those parts; a part that is missing fails the test that needs it. Nothing is skipped.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod agreement;
mod architecture;
mod container;
mod differ;
mod events;
mod failures;
mod instructions;
mod mapper;
mod mounted;
mod mounts;
mod multistage;
mod operations;
mod outputs;
mod recorders;
mod registry;
mod replay;
mod root;
mod run;
mod scale;
mod signals;
mod support;
mod sweep;
mod trust;
mod world;
