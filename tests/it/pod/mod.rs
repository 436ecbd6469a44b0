//! The executor as a pod has it: a manifest of kaniko's, an image with nothing else in it, neighbours, and what it all costs.

mod cost;
mod empty;
mod foreign;
mod manifest;
mod names;
mod neighbours;
