//! Watches as wake-up hints.
