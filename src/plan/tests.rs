//! Tables over whole Dockerfiles.
