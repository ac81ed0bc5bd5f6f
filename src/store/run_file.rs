//! One file for each submission, so that nothing launched is forgotten.
