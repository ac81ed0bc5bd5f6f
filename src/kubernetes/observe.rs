//! From objects to evidence.
