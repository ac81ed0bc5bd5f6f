//! The last piece of output, kept for the verdict.

use std::collections::VecDeque;

/// How much of the output is kept on the Job.
pub(super) const LOG_TAIL_BYTES: usize = 4 << 10;

/// The last [`LOG_TAIL_BYTES`] of everything that was pushed.
#[derive(Debug, Default)]
pub(super) struct LogTail(VecDeque<u8>);

impl LogTail {
    /// Adds output.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(LOG_TAIL_BYTES)..];
        let excess = (self.0.len() + bytes.len()).saturating_sub(LOG_TAIL_BYTES);
        self.0.drain(..excess);
        self.0.extend(bytes);
    }

    /// Returns the kept bytes; when something was cut off, from the first whole line on.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        if bytes.len() < LOG_TAIL_BYTES {
            return bytes;
        }
        match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) if end + 1 < bytes.len() => bytes[end + 1..].to_vec(),
            _ => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_starts_with_a_whole_line_once_it_is_cut() {
        let mut tail = LogTail::default();
        tail.push(b"short\n");
        assert_eq!(tail.bytes(), b"short\n");
        for number in 0..2000 {
            tail.push(format!("line {number}\n").as_bytes());
        }
        let kept = String::from_utf8(tail.bytes()).unwrap();
        assert!(kept.len() <= LOG_TAIL_BYTES && kept.starts_with("line ") && kept.ends_with("line 1999\n"), "{kept}");
        tail.push(&[b'x'; 10_000]);
        assert_eq!(tail.bytes(), [b'x'; LOG_TAIL_BYTES]);
    }
}
