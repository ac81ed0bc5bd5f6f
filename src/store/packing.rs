//! From a folder to a package.
