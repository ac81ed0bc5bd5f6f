//! sbrun, the command.
fn main() {}
