//! What sbrun knows of Prefect: runs and their states.

pub mod flow_run;
