//! What sbrun knows of Prefect: runs and their states, and the work pool of an instance map.

pub mod flow_run;
pub mod pool;
pub mod tracking;
