//! Finding and reading instance maps.
