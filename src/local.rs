//! This machine: runs a plan as a process, under the same limits.
