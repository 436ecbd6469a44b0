//! Silt builds container images from a Dockerfile in user space, without a daemon, as a drop-in for the kaniko executor.
//!
//! The modules form levels, lowest first; a module uses only those above it in this list (`tests/it/architecture.rs`):
//! 0 `oci` `dockerfile` `codec` `crew` `log` `sys`; 1 `plan` `store` `credentials` `rootfs`; 2 `git` `ctime`; 3 `registry` `context` `snapshot`; 4 `layer` `steps`;
//! 5 `cache`; 6 `build` `export` `warm`; 7 `cli`.

#![deny(unsafe_code)]

pub mod build;
pub mod cache;
pub mod cli;
pub mod codec;
pub mod context;
pub mod credentials;
mod crew;
pub mod ctime;
pub mod dockerfile;
pub mod export;
pub mod git;
pub mod layer;
pub mod log;
pub mod oci;
pub mod plan;
pub mod registry;
pub mod rootfs;
pub mod snapshot;
pub mod steps;
pub mod store;
mod sys;
pub mod warm;
