//! Following the log of a container over cuts and rotations.
