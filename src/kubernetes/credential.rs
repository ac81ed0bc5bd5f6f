//! The exec credential plugin, run once.
