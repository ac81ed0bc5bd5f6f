//! The command line without a cluster.

mod bad_input;
mod help;
mod local;
<<<<<<< HEAD
mod set_up;
=======
mod nodes;
>>>>>>> nodes
