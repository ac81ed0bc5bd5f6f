//! The time in front of a line: RFC 3339 with nine digits, then a space.

use jiff::Timestamp;

/// The longest stamp with its space: nine digits and a numeric offset, on nodes whose clock is not in UTC.
const LONGEST: usize = 36;
/// `2026-01-01T12:00:00`
const SECOND: usize = 19;

/// Reads stamps. Neighbouring lines mostly share their second, which is kept.
#[derive(Debug, Default)]
pub(super) struct StampParser {
    second: [u8; SECOND],
    zone: Vec<u8>,
    seconds: i64,
}

impl StampParser {
    /// Returns the time in nanoseconds and the length of stamp and space; none when a line has no stamp.
    pub(super) fn parse(&mut self, line: &[u8]) -> Option<(i64, usize)> {
        let stamp = &line[..memchr::memchr(b' ', &line[..line.len().min(LONGEST)])?];
        let (second, rest) = stamp.split_at_checked(SECOND)?;
        let (fraction, zone) = match rest.strip_prefix(b".") {
            Some(rest) => rest.split_at(rest.iter().take_while(|byte| byte.is_ascii_digit()).count()),
            None => (&rest[..0], rest),
        };
        if fraction.len() > 9 {
            return None;
        }
        if second != self.second || zone != self.zone {
            if second[10] != b'T' {
                return None;
            }
            let text = std::str::from_utf8(stamp).ok()?;
            self.seconds = text.parse::<Timestamp>().ok()?.as_second();
            self.second.copy_from_slice(second);
            zone.clone_into(&mut self.zone);
        }
        let fraction = fraction.iter().fold((0, 1_000_000_000), |(sum, unit), digit| (sum + i64::from(digit - b'0') * (unit / 10), unit / 10)).0;
        Some((self.seconds.checked_mul(1_000_000_000)?.checked_add(fraction)?, stamp.len() + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_read_and_other_text_is_not() {
        let mut parser = StampParser::default();
        let noon = 1_767_268_800_000_000_000;
        for (line, expected) in [
            ("2026-01-01T12:00:00.000000001Z a b", Some((noon + 1, 31))),
            ("2026-01-01T12:00:00.123456789Z ", Some((noon + 123_456_789, 31))),
            ("2026-01-01T12:00:00.5Z x", Some((noon + 500_000_000, 23))),
            ("2026-01-01T12:00:00Z x", Some((noon, 21))),
            ("2026-01-01T13:30:00.000000001+01:30 x", Some((noon + 1, 36))),
            ("2026-01-01T12:00:01.000000000Z \n", Some((noon + 1_000_000_000, 31))),
            ("2026-01-01T12:00:00.0000000001Z x", None),
            ("2026-01-01T12:00:00.00000000xZ x", None),
            ("2026-01-01T12:00:00.000000000Z", None),
            ("2026-01-01 12:00:00.000000000Z x", None),
            ("2026-13-01T12:00:00.000000000Z x", None),
            ("a line of output", None),
            ("", None),
            ("\n", None),
        ] {
            assert_eq!(parser.parse(line.as_bytes()), expected, "{line:?}");
        }
        assert_eq!(parser.parse(b"\xff\xfe 2026"), None);
    }
}
