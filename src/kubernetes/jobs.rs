//! Creating, ending, reading and removing Jobs.
