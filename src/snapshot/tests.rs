//! Tests of the differ.
