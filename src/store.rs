//! What sbrun keeps on this machine, and the files that it reads.

pub mod git;
pub mod kept_log;
pub mod map_file;
pub mod packing;
mod private;
pub mod run_file;
