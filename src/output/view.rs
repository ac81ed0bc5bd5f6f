//! Model values as text and documents.

pub mod changes;
pub mod cleaned;
pub mod findings;
pub mod follow;
pub mod job_list;
pub mod machine_history;
pub mod manifests;
pub mod node_group;
pub mod report;
pub mod story;
pub mod submitted;
pub mod watch;
