//! What can be checked on the server before anything is created.
