//! The integration tests, in one binary. They need root and the tools that the Makefile installs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "clippy only knows functions with #[test] as tests")]

mod run;
