//! Model values as text and documents.

pub mod follow;
pub mod job_list;
pub mod report;
pub mod story;
pub mod submitted;
