//! The domain: values and every pure decision.
//!
//! Nothing here knows a clock, the environment, the network or a terminal; time comes in as a value.

pub mod access;
pub mod address;
pub mod autoscaler_deployment;
pub mod autoscaler_status;
pub mod autoscaler_tags;
pub mod diagnose;
pub mod doctor;
pub mod duration;
pub mod evidence;
pub mod exit_code;
pub mod flow_environment;
pub mod footprint;
pub mod growth;
pub mod identity;
pub mod instance_map;
pub mod instance_type;
pub mod job_event;
pub mod job_template;
pub mod launch_plan;
pub mod log_resume;
pub mod machine;
pub mod machine_history;
pub mod node_group;
pub mod node_pool;
pub mod node_taints;
pub mod occupancy;
pub mod outcome;
pub mod package;
pub mod prefect;
pub mod proposal;
pub mod python_imports;
pub mod quantity;
pub mod reason;
pub mod removal;
pub mod scale_state;
pub mod scaling_activity;
pub mod settings;
pub mod setup;
pub mod story;
pub mod suggestion;
pub mod yaml;
