//! The local imports of Python sources.
