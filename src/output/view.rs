//! Model values as text and documents.

pub mod changes;
pub mod follow;
pub mod job_list;
pub mod manifests;
pub mod report;
pub mod story;
pub mod submitted;
