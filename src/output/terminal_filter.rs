//! Keeps what others wrote from steering the terminal that shows it.
//!
//! A terminal obeys whatever is printed: escape sequences set titles, write to the clipboard (OSC 52), move the cursor over
//! lines that were printed before, or make the terminal answer as if the user had typed. A flow's output may hold what
//! somebody else wrote, so only text and colour pass. In a pipe, or with `--raw`, nothing of it is filtered.
//!
//! What sbrun says quotes others all the time: messages of events, annotations of other people's Jobs, names in Prefect,
//! errors of an API. [`words`] takes everything but text and sbrun's own colours out of it, wherever it goes, since a pipe
//! often ends on a terminal. [`Ui`](super::ui::Ui) passes every line through it: no view has to think of it.

use std::borrow::Cow;

use super::style;

/// The longest parameters of a colour sequence that passes. Foreground and background in full colour have 36 characters.
const PARAMETERS_LIMIT: usize = 64;

const BELL: char = '\x07';
const CANCEL: char = '\x18';
const SUBSTITUTE: char = '\x1a';
const ESCAPE: char = '\x1b';

/// A streaming filter: text, tabs, line ends and colour (SGR) pass, every other control function is removed.
///
/// What comes out is valid UTF-8, in which each ESC starts a complete colour sequence, so no terminal can be brought out
/// of step. Bytes that are not UTF-8 become U+FFFD, as the terminal would show them.
#[derive(Debug, Clone, Default)]
pub struct TerminalFilter {
    origin: Origin,
    state: State,
    /// Begin of a character whose rest comes with the next bytes; at most 3 bytes.
    unfinished: Vec<u8>,
}

/// Whose text is filtered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Origin {
    /// A flow's output: it may paint as it likes, and draw progress over its own line.
    #[default]
    Flow,
    /// sbrun's own words, which quote others.
    Words,
}

impl Origin {
    /// Returns whether a character passes outside of any control function.
    fn passes(self, character: char) -> bool {
        match self {
            Self::Flow => !character.is_control() || matches!(character, '\t' | '\r' | '\n'),
            Self::Words => !steers(character) || matches!(character, '\t' | '\n'),
        }
    }

    /// Returns whether a colour sequence with these parameters passes.
    fn paints(self, parameters: &str) -> bool {
        self == Self::Flow || style::is_ours(parameters)
    }
}

/// Returns sbrun's own words without what would steer a terminal: every control function but sbrun's own colours, and the
/// characters that turn the direction of writing, by which a text can show as another one.
#[must_use]
pub fn words(text: &str) -> Cow<'_, str> {
    if text.chars().all(|character| Origin::Words.passes(character)) {
        return Cow::Borrowed(text);
    }
    let mut filter = TerminalFilter { origin: Origin::Words, ..TerminalFilter::default() };
    let mut passed = String::with_capacity(text.len());
    filter.text(text, &mut passed);
    Cow::Owned(passed)
}

/// Returns whether a terminal does something else with a character than to show it: control characters, and those that turn the
/// direction of writing (Unicode's embeddings, overrides and isolates).
#[must_use]
pub fn steers(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Where in a control function the input stands (ECMA-48, in the reading of xterm).
#[derive(Debug, Clone, Default)]
enum State {
    /// In none.
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and characters that announce a final one.
    EscapeIntermediate,
    /// After a control sequence introducer: its parameters as long as it may be colour, then none.
    Control(Option<String>),
    /// In a control string: title, clipboard, device control, …
    String,
}

impl TerminalFilter {
    /// Returns a filter at the beginning of a text.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns what passes of the next bytes. A sequence or character that is not complete yet is held back.
    #[must_use]
    pub fn filter(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut passed = String::with_capacity(bytes.len());
        let mut held = std::mem::take(&mut self.unfinished);
        let bytes = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(bytes);
            &held
        };
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.text(chunk.valid(), &mut passed);
            let invalid = chunk.invalid();
            // Only at the end can they be the begin of a character.
            if chunks.peek().is_none() && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none()) {
                invalid.clone_into(&mut self.unfinished);
            } else if !invalid.is_empty() {
                self.character(char::REPLACEMENT_CHARACTER, &mut passed);
            }
        }
        passed.into_bytes()
    }

    fn text(&mut self, mut text: &str, passed: &mut String) {
        while !text.is_empty() {
            if matches!(self.state, State::Text) {
                // Nearly all output is this.
                let plain = text.find(|character| !self.origin.passes(character)).unwrap_or(text.len());
                passed.push_str(&text[..plain]);
                text = &text[plain..];
            }
            let mut rest = text.chars();
            if let Some(character) = rest.next() {
                self.character(character, passed);
            }
            text = rest.as_str();
        }
    }

    fn character(&mut self, character: char, passed: &mut String) {
        self.state = match (std::mem::take(&mut self.state), character) {
            (_, ESCAPE) => State::Escape,
            (_, CANCEL | SUBSTITUTE) => State::Text,
            (_, '\u{80}'..='\u{9f}') => Self::after_c1(character),
            // A string that nobody ends must not swallow the rest of the output.
            (State::String, BELL) => State::Text,
            (State::String, '\n') => {
                passed.push('\n');
                State::Text
            }
            (State::String, _) | (State::Escape, ']' | 'P' | 'X' | '^' | '_' | 'k') => State::String,
            // Terminals obey line ends and tabs within a sequence; it is no colour we would know then.
            (state, '\t' | '\r' | '\n') => {
                self.pass(character, passed);
                if matches!(state, State::Control(_)) { State::Control(None) } else { state }
            }
            (state, '\0'..' ' | '\x7f') => state,
            (State::Escape, '[') => State::Control(Some(String::new())),
            (State::Escape | State::EscapeIntermediate, ' '..='/') => State::EscapeIntermediate,
            (State::Escape | State::EscapeIntermediate, '0'..='~') => State::Text,
            (State::Control(parameters), _) => self.in_control(parameters, character, passed),
            // Text, or what no control function has and ends it.
            (State::Text | State::Escape | State::EscapeIntermediate, _) => {
                self.pass(character, passed);
                State::Text
            }
        };
    }

    fn pass(&self, character: char, passed: &mut String) {
        if self.origin.passes(character) {
            passed.push(character);
        }
    }

    /// Returns the state after a control character of ISO 8859 (C1), each of which stands for ESC and a letter.
    fn after_c1(character: char) -> State {
        match character {
            '\u{9b}' => State::Control(Some(String::new())),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => State::String,
            _ => State::Text,
        }
    }

    fn in_control(&self, parameters: Option<String>, character: char, passed: &mut String) -> State {
        match (parameters, character) {
            (Some(mut parameters), '0'..=';') if parameters.len() < PARAMETERS_LIMIT => {
                parameters.push(character);
                State::Control(Some(parameters))
            }
            (Some(parameters), 'm') => {
                if self.origin.paints(&parameters) {
                    passed.extend(["\x1b[", &parameters, "m"]);
                }
                State::Text
            }
            (_, ' '..='?') => State::Control(None),
            (_, '@'..='~') => State::Text,
            _ => {
                self.pass(character, passed);
                State::Text
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::style::{Painter, Role};

    fn filter(bytes: &[u8]) -> String {
        String::from_utf8(TerminalFilter::new().filter(bytes)).unwrap()
    }

    #[test]
    fn text_and_colour_pass() {
        for text in [
            "plain, \ttabs, ümläuts, 日本語, 🦀\r\n",
            " 10%\r 20%\r",
            "\x1b[31mred\x1b[0m\x1b[m",
            "\x1b[1;38;2;255;128;0;48;5;17mtrue colour\x1b[0m",
            "\x1b[4:3mcurly\x1b[59m",
        ] {
            assert_eq!(filter(text.as_bytes()), text);
        }
    }

    #[test]
    fn everything_else_is_removed() {
        let long = format!("a\x1b[{}mb", "1;".repeat(PARAMETERS_LIMIT));
        for (attack, input, expected) in [
            ("title, ended by BEL", &b"a\x1b]0;pwned\x07b"[..], "ab"),
            ("title, ended by ST", b"a\x1b]2;pwned\x1b\\b", "ab"),
            ("title of screen", b"a\x1bkpwned\x1b\\b", "ab"),
            ("clipboard", b"a\x1b]52;c;cm0gLXJmIC8=\x07b", "ab"),
            ("clipboard, 8-bit introducer as UTF-8", b"a\xc2\x9d52;c;eA==\xc2\x9cb", "ab"),
            ("8-bit introducer as a byte", b"a\x9b2Jb", "a\u{fffd}2Jb"),
            ("hyperlink", b"a\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
            ("cursor up and erase", b"a\x1b[1A\x1b[2Kb", "ab"),
            ("clear the screen", b"a\x1b[2J\x1b[Hb", "ab"),
            ("control sequence introducer as UTF-8", b"a\xc2\x9b2Jb", "ab"),
            ("colour with that introducer", b"a\xc2\x9b31mb", "a\x1b[31mb"),
            ("alternate screen", b"a\x1b[?1049hb", "ab"),
            ("bracketed paste off", b"a\x1b[?2004lb", "ab"),
            ("answerback: device attributes", b"a\x1b[c\x1b[>c\x1bZb", "ab"),
            ("answerback: cursor position", b"a\x1b[6nb", "ab"),
            ("answerback: ENQ", b"a\x05b", "ab"),
            ("answerback: window title", b"a\x1b[21tb", "ab"),
            ("keyboard modifiers, which also end with m", b"a\x1b[>4;2mb\x1b[?4mc", "abc"),
            ("intermediate before m", b"a\x1b[1 mb", "ab"),
            ("device control", b"a\x1bP$q\"p\x1b\\b", "ab"),
            ("application command, privacy message, start of string", b"a\x1b_x\x1b\\\x1b^y\x1b\\\x1bXz\x1b\\b", "ab"),
            ("full reset", b"a\x1bcb", "ab"),
            ("line drawing characters", b"a\x1b(0b\x0ec\x0fd", "abcd"),
            ("bell, backspace, form feed, delete, NUL", b"a\x07b\x08c\x0cd\x7fe\0f", "abcdef"),
            ("other C1 controls", b"a\xc2\x84b\xc2\x85c", "abc"),
            ("sequence within a sequence", b"a\x1b[3\x1b[1mb", "a\x1b[1mb"),
            ("string within a sequence", b"a\x1b[3\x1b]0;x\x07b", "ab"),
            ("cancelled sequence", b"a\x1b[3\x18b\x1b]0\x1ac", "abc"),
            ("line end within a sequence", b"a\x1b[3\n1mb", "a\nb"),
            ("string that nobody ends", b"a\x1b]0;x\nb", "a\nb"),
            ("sequence that nobody ends", b"a\x1b[12;", "a"),
            ("escape at the end", b"a\x1b", "a"),
            ("escape before what is no function", "a\x1büb".as_bytes(), "aüb"),
            ("parameters without end", long.as_bytes(), "ab"),
            ("bytes that are no text", b"a\xff\xfeb\xe9c", "a\u{fffd}\u{fffd}b\u{fffd}c"),
            ("overlong ESC", b"a\xc0\x9b[2Jb", "a\u{fffd}\u{fffd}[2Jb"),
        ] {
            assert_eq!(filter(input), expected, "{attack}");
        }
    }

    #[test]
    fn state_stays_small() {
        let mut filter = TerminalFilter::new();
        for start in [&b"\x1b["[..], b"\x1b]0;"] {
            assert_eq!(filter.filter(start), b"");
            assert_eq!(filter.filter(&b"1".repeat(1 << 20)), b"");
            let parameters = if let State::Control(Some(parameters)) = &filter.state { parameters.len() } else { 0 };
            assert!(parameters <= PARAMETERS_LIMIT && filter.unfinished.is_empty());
        }
    }

    /// Returns whether every control character of `text` is harmless.
    fn is_harmless(text: &str) -> bool {
        let mut parts = text.split('\x1b');
        let no_controls = |text: &str| text.chars().all(|character| Origin::Flow.passes(character));
        let colour = |part: &str| {
            let end = part.find('m').filter(|_| part.starts_with('['))?;
            part[1..end].bytes().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':')).then_some(())
        };
        parts.next().is_some_and(no_controls) && parts.all(|part| colour(part).is_some() && no_controls(part))
    }

    /// Returns bytes in which introducers, ends and parameters are frequent.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let frequent: &[&[u8]] =
            &[b"\x1b", b"[", b"]", b"\x9b", b"\xc2", b"m", b"31", b";", b"?", b"\x07", b"\\", b"P", b"\n", b"\xe2\x82\xac", b"\x18"];
        let piece = prop_oneof![4 => prop::sample::select(frequent).prop_map(<[u8]>::to_vec), 1 => prop::collection::vec(any::<u8>(), 1..4)];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn own_words_keep_their_text_and_colours() {
        let colour = Painter { color: true };
        for role in [Role::Good, Role::Bad, Role::Caution, Role::Strong, Role::Faint, Role::Command] {
            let painted = colour.paint(role, "ümläuts, 日本語\n\t🦀 עברית");
            assert_eq!(words(&painted), painted);
        }
        assert!(matches!(words("plain ✓\n\ttext"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_own_words_quote_cannot_steer() {
        for (attack, input, expected) in [
            ("clipboard", "by \x1b]52;c;cm0gLXJmIC8=\x07ana", "by ana"),
            ("title with 8-bit introducer", "by \u{9d}0;pwned\u{9c}ana", "by ana"),
            ("cursor up and erase", "a\x1b[1A\x1b[2K✓ succeeded", "a✓ succeeded"),
            ("8-bit control sequence", "a\u{9b}2Jb", "ab"),
            ("hidden text, which a colour sequence can make", "a\x1b[8mb", "ab"),
            ("a colour that is none of ours", "a\x1b[30;40mb", "ab"),
            ("back to the begin of the line", "failed\r✓ succeeded", "failed✓ succeeded"),
            ("within a sequence", "failed\x1b[\r1m✓", "failed✓"),
            ("backspaces", "failed\x08\x08ok", "failedok"),
            ("turned direction of writing", "a\u{202e}gpj.exe\u{202c}b\u{2066}c\u{2069}d", "agpj.exebcd"),
            ("after an escape", "a\x1b\u{202e}b", "ab"),
            ("within a sequence, too", "a\x1b[\u{202e}b", "ab"),
        ] {
            assert_eq!(words(input), expected, "{attack}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_quoted_what_passes_is_harmless(bytes in hostile(), marks in "[\\u{2020}-\\u{2070}\r]{0,3}") {
            let quoted = format!("{marks}{}{marks}", String::from_utf8_lossy(&bytes));
            let passed = words(&quoted).into_owned();
            prop_assert!(is_harmless(&passed), "{passed:?}");
            prop_assert!(!passed.chars().any(|character| matches!(character, '\r' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')), "{passed:?}");
            prop_assert!(passed.split('\x1b').skip(1).all(|part| style::is_ours(&part[1..part.find('m').unwrap()])), "{passed:?}");
            prop_assert_eq!(words(&passed), passed.as_str());
        }

        #[test]
        fn whatever_comes_what_passes_is_harmless(bytes in hostile()) {
            let passed = filter(&bytes);
            prop_assert!(is_harmless(&passed), "{passed:?}");
            prop_assert_eq!(filter(passed.as_bytes()), passed);
        }

        #[test]
        fn borders_between_chunks_change_nothing(bytes in hostile(), size in 1usize..7) {
            let mut chunked = TerminalFilter::new();
            let passed: Vec<u8> = bytes.chunks(size).flat_map(|chunk| chunked.filter(chunk)).collect();
            prop_assert_eq!(String::from_utf8_lossy(&passed).into_owned(), filter(&bytes));
        }

        #[test]
        fn text_passes_unchanged(text in "[^\\p{Cc}]*") {
            prop_assert_eq!(filter(text.as_bytes()), text);
        }
    }
}
