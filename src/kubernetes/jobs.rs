//! Creating, finding, ending and removing Jobs.

mod change;
mod create;
mod find;
mod lists;
mod payload;

pub use change::{Deletion, Ended, JobVersion, delete, drop_lease, end, keep_tail, keep_verdict, renew_lease, wait_until_no_pod};
pub use create::{Created, create, dry_run};
pub use find::{find, of_flow_run, package_of, read};
pub use lists::{ListFilter, list, sift};
