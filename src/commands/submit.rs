//! `sbrun submit`: resolve → check → package → create → follow → verdict → exit code.

pub mod args;
pub mod launch;
pub mod resolve;
pub mod result_file;
