//! Only what may reach a terminal.

/// Lets text and colour through.
#[derive(Debug)]
pub struct TerminalFilter;

impl TerminalFilter {
    pub fn new() -> Self {
        Self
    }
    pub fn filter(&mut self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }
}
