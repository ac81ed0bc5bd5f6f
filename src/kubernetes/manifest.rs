//! From a launch plan to the objects that are sent.
