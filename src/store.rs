//! What sbrun keeps on this machine, and the files that it reads.

pub mod git;
pub mod map_file;
pub mod packing;
pub mod run_file;
