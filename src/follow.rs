//! The one loop that watches a launched job until it ends.
