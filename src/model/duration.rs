//! Durations as people write them on a command line and in an instance map, and as they read them.

use std::{fmt, time::Duration};

/// The units, largest first.
const UNITS: [(char, u64); 4] = [('d', 24 * 3600), ('h', 3600), ('m', 60), ('s', 1)];
/// The longest duration: Kubernetes keeps a pod's deadline in 32 bits of seconds, and nothing here waits ten years.
const LONGEST: u64 = 3650 * 24 * 3600;

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurationError {
    text: String,
    /// What it may have meant.
    example: String,
    why: &'static str,
}

impl fmt::Display for DurationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` {}; write it like {}", self.text, self.why, self.example)
    }
}

impl std::error::Error for DurationError {}

/// Returns the duration that `90s`, `15m`, `2h`, `1d` or `1h30m` means.
///
/// A number without a unit is refused: people disagree on whether it would be seconds or minutes.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let refuse = |why| Err(DurationError { text: text.to_owned(), example: "`90s`, `15m`, `2h` or `1h30m`".to_owned(), why });
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let example = if text.len() > 6 { "`90s`, `15m` or `2h`".to_owned() } else { format!("`{text}s` or `{text}m`") };
        return Err(DurationError { text: text.to_owned(), example, why: "has no unit" });
    }
    let mut units = UNITS.iter();
    let (mut seconds, mut number) = (0u64, String::new());
    for character in text.chars() {
        if character.is_ascii_digit() {
            number.push(character);
            continue;
        }
        // The units that are left are smaller than the last one, so that `1m30m` and `30m1h` find none.
        let Some((_, factor)) = units.find(|(unit, _)| *unit == character) else {
            return refuse("is not a duration");
        };
        if number.is_empty() {
            return refuse("is not a duration");
        }
        let Some(total) = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor)).and_then(|part| seconds.checked_add(part)) else {
            return refuse("is longer than ten years");
        };
        seconds = total;
        number.clear();
    }
    if text.is_empty() || !number.is_empty() {
        return refuse("is not a duration");
    }
    if seconds > LONGEST {
        return refuse("is longer than ten years");
    }
    Ok(Duration::from_secs(seconds))
}

/// Returns a duration for people, in its two largest units: `45s`, `2m10s`, `3h`, `1d4h`. Parts of a second are dropped.
#[must_use]
pub fn format(duration: Duration) -> String {
    let largest = UNITS.iter().position(|(_, factor)| duration.as_secs() >= *factor).unwrap_or(UNITS.len() - 1);
    written(duration, &UNITS[largest..UNITS.len().min(largest + 2)])
}

/// Returns a duration in full, so that [`parse`] returns it again: `1d4h5m6s`. Parts of a second are dropped.
#[must_use]
pub fn format_exact(duration: Duration) -> String {
    written(duration, &UNITS)
}

fn written(duration: Duration, units: &[(char, u64)]) -> String {
    let mut rest = duration.as_secs();
    let mut parts = Vec::new();
    for (unit, factor) in units {
        if rest >= *factor {
            parts.push(format!("{}{unit}", rest / factor));
            rest %= factor;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.concat() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_need_a_unit() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86400), ("1h30m", 5400), ("1d2h3m4s", 93784), ("0s", 0), ("007s", 7)]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for (text, sentence) in [
            ("90", "`90` has no unit; write it like `90s` or `90m`"),
            ("99999999999999999999", "`99999999999999999999` has no unit; write it like `90s`, `15m` or `2h`"),
            ("", "`` is not a duration; write it like `90s`, `15m`, `2h` or `1h30m`"),
            ("1.5h", "`1.5h` is not a duration; write it like `90s`, `15m`, `2h` or `1h30m`"),
            ("2h30", "`2h30` is not a duration; write it like `90s`, `15m`, `2h` or `1h30m`"),
            ("30m1h", "`30m1h` is not a duration; write it like `90s`, `15m`, `2h` or `1h30m`"),
            ("1m1m", "`1m1m` is not a duration; write it like `90s`, `15m`, `2h` or `1h30m`"),
            ("3651d", "`3651d` is longer than ten years; write it like `90s`, `15m`, `2h` or `1h30m`"),
            ("99999999999999999999d", "`99999999999999999999d` is longer than ten years; write it like `90s`, `15m`, `2h` or `1h30m`"),
        ] {
            assert_eq!(parse(text).expect_err(text).to_string(), sentence);
        }
        for text in ["-5m", "5 m", " 5m", "5M", "h", "5ms", "1w", "٣m", "PT5M", "inf"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn people_read_two_units() {
        for (seconds, text) in
            [(0, "0s"), (45, "45s"), (130, "2m10s"), (1092, "18m12s"), (10800, "3h"), (10805, "3h"), (432_000, "5d"), (100_800, "1d4h")]
        {
            assert_eq!(format(Duration::from_secs(seconds)), text);
        }
        assert_eq!(format(Duration::from_millis(999)), "0s");
        assert_eq!(format_exact(Duration::from_secs(93784)), "1d2h3m4s");
    }

    proptest! {
        #[test]
        fn what_is_written_in_full_is_read_again(seconds in 0..=LONGEST) {
            prop_assert_eq!(parse(&format_exact(Duration::from_secs(seconds))), Ok(Duration::from_secs(seconds)));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9dhms.\\- é]{0,40}") {
            drop(parse(&text));
        }
    }
}
