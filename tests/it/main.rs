//! Tests of the whole, through what the crates make public.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "clippy only knows functions with #[test] as tests")]

mod differ;
mod events;
mod mapper;
mod mounted;
mod operations;
mod replay;
mod world;
