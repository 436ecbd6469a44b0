//! The steps of a stage: what each Dockerfile instruction does to the root and to the image configuration.

pub mod run;
