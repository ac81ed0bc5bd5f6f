//! A job on this machine, as the loop sees it.
