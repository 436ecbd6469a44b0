//! Tests of the whole, through what the crates make public.

mod differ;
mod events;
mod mounted;
mod operations;
mod replay;
