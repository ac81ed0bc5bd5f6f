//! Resuming a log without repeating a line and without hiding a gap.
