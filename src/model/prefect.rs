//! What sbrun knows of Prefect.

pub mod pool;
