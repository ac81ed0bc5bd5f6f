//! A job on the cluster, as the loop sees it.
