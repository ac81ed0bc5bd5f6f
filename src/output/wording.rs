//! Plurals, lists, ages and amounts of time, so that no format string holds grammar.

use std::{borrow::Cow, time::Duration};

use jiff::SignedDuration;

use super::terminal_filter::words;
use crate::model::duration;

/// Returns `1 file`, `3 files`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Returns `a`, `a and b`, `a, b and c`.
#[must_use]
pub fn list<T: AsRef<str>>(items: &[T]) -> String {
    match items {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [head @ .., last] => format!("{} and {}", head.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "), last.as_ref()),
    }
}

/// Returns an age as kubectl writes it: `42s`, `5m30s`, `3h`, `5d`.
#[must_use]
pub fn age(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=599 if seconds % 60 != 0 => format!("{}m{}s", seconds / 60, seconds % 60),
        120..=10_799 => format!("{}m", seconds / 60),
        10_800..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Returns how long something took, such as `2m10s`; less than nothing counts as nothing.
#[must_use]
pub fn span(seconds: i64) -> String {
    duration::format(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

/// Returns `text` on one line: a name or a sentence that somebody else wrote must not look like several of ours.
#[must_use]
pub fn flat(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) { Cow::Owned(words(text).replace(char::is_control, " ")) } else { Cow::Borrowed(text) }
}

/// Cuts `text` to `width` columns, with an ellipsis where something was left out. Line breaks become spaces.
#[must_use]
pub fn elide(text: &str, width: usize) -> String {
    let flat = flat(text);
    if flat.chars().count() <= width {
        return flat.into_owned();
    }
    let mut cut: String = flat.chars().take(width.saturating_sub(1)).collect();
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}

/// Returns a number that counts places: `1st`, `2nd`, `11th`.
#[must_use]
pub fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// Returns `text` in lines of at most `width` columns, broken between words; a longer word has a line of its own.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_and_listed() {
        assert_eq!((count(1, "file"), count(0, "file")), ("1 file".into(), "0 files".into()));
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(list::<&str>(&[]), "");
    }

    #[test]
    fn times_are_short() {
        for (seconds, text) in [(0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (3600, "60m"), (10_800, "3h"), (200_000, "2d"), (-5, "0s")] {
            assert_eq!(age(SignedDuration::from_secs(seconds)), text, "{seconds}");
        }
        assert_eq!((span(59), span(61), span(3_900)), ("59s".into(), "1m1s".into(), "1h5m".into()));
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("up to 3 machines, started", 10), ["up to 3", "machines,", "started"]);
        assert_eq!(wrapped("unbreakable", 4), ["unbreakable"]);
        assert!(wrapped("", 4).is_empty());
    }

    #[test]
    fn text_is_cut_at_characters() {
        assert_eq!(elide("größer als", 7), "größer…");
        assert_eq!(elide("a\nb", 9), "a b");
        assert_eq!(elide("abc", 3), "abc");
    }
}
