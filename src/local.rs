//! This machine: runs a plan as a process, under the same limits, observed as the same evidence.
//!
//! What a cluster gives and this machine has to be made to give:
//!
//! * **a folder of its own** (`folder`): the package is unpacked, so that a forgotten file shows here;
//! * **a memory limit on the whole process tree** (`tree`): a cgroup where one can be had, else sampling;
//! * **one end**: whatever the flow started ends with it, and all of it ends with sbrun (`watchdog`);
//! * **one output** (`output`): stdout and stderr through one pipe, in the order in which they were written;
//! * **the words of a pod** (`observe`), so that one `diagnose` judges local runs by the same rules.
//!
//! # Limits of what is possible
//!
//! Without a cgroup (not root, nothing delegated, macOS) the memory of the tree is looked at a few times a second: a flow
//! that allocates faster than that can exceed its limit for a moment. A process that leaves the flow's process group, is
//! orphaned and clears its environment between two looks is no longer recognised; on macOS orphans that leave the group
//! are not recognised at all, and the CPU share is not set.

mod cgroup;
mod flow_environment;
mod folder;
mod keeper;
mod machine;
mod observe;
mod output;
mod processes;
mod program;
mod run;
mod tree;
mod watchdog;

pub use self::{
    machine::machine,
    program::Python,
    run::{LocalOptions, Run},
    tree::{Enforcement, Signal},
};
