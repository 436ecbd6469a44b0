//! Layers unpacked into a real root. Each test ends with the record compared with the disk and the outside untouched.

mod attributes;
mod hostile;
mod kinds;
mod others;
mod protected;
mod random;
mod whiteouts;
