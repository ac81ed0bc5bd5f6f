//! Names of labels and annotations: their one home.
