//! Python source as logical lines: comments gone, strings set aside, brackets and backslashes joined.

/// One simple statement, or the head of a compound one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Line {
    /// Width of the indentation; a tab goes to the next multiple of eight.
    pub(super) indent: usize,
    /// Number of the first physical line, counted from 1.
    pub(super) number: usize,
    /// The text; every string literal is `"n"`, an index into `strings`, after its prefix.
    pub(super) text: String,
    /// The literals' contents, escapes unread.
    pub(super) strings: Vec<String>,
}

/// Returns the logical lines of a source. Source that is no Python gives lines that mean nothing, and no error.
pub(super) fn logical_lines(source: &str) -> Vec<Line> {
    let mut reader =
        Reader { rest: source.strip_prefix('\u{feff}').unwrap_or(source), number: 1, depth: 0, line: Line::default(), lines: Vec::new() };
    reader.start_line();
    while let Some(character) = reader.next() {
        match character {
            '#' => reader.skip_comment(),
            '\'' | '"' => reader.read_string(character),
            '(' | '[' | '{' => {
                reader.depth += 1;
                reader.line.text.push(character);
            }
            ')' | ']' | '}' => {
                reader.depth = reader.depth.saturating_sub(1);
                reader.line.text.push(character);
            }
            '\\' if reader.rest.starts_with(['\n', '\r']) => reader.join_line(),
            '\n' if reader.depth > 0 => reader.line.text.push(' '),
            '\n' => {
                reader.finish_line();
                reader.start_line();
            }
            ';' if reader.depth == 0 => {
                let (indent, number) = (reader.line.indent, reader.number);
                reader.finish_line();
                reader.line = Line { indent, number, ..Line::default() };
            }
            '\r' => {}
            other => reader.line.text.push(other),
        }
    }
    reader.finish_line();
    reader.lines
}

struct Reader<'a> {
    rest: &'a str,
    number: usize,
    depth: usize,
    line: Line,
    lines: Vec<Line>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.rest = &self.rest[character.len_utf8()..];
        if character == '\n' {
            self.number += 1;
        }
        Some(character)
    }

    fn start_line(&mut self) {
        let mut indent = 0;
        while let Some(blank) = self.rest.chars().next().filter(|character| matches!(character, ' ' | '\t' | '\u{c}')) {
            indent = if blank == '\t' { (indent / 8 + 1) * 8 } else { indent + 1 };
            self.rest = &self.rest[1..];
        }
        self.line = Line { indent, number: self.number, ..Line::default() };
    }

    fn finish_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = line.text.trim().to_owned();
        if !text.is_empty() {
            self.lines.push(Line { text, ..line });
        }
    }

    fn skip_comment(&mut self) {
        self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]);
    }

    fn join_line(&mut self) {
        while let Some(character) = self.next() {
            if character == '\n' {
                break;
            }
        }
        self.line.text.push(' ');
    }

    /// Reads a literal after its opening quote. One of a single line ends with the line at the latest, so that source which
    /// is read wrongly (nested quotes of an f-string) is read rightly again from the next line on.
    fn read_string(&mut self, quote: char) {
        let triple: String = [quote; 3].iter().collect();
        let is_triple = self.rest.starts_with(&triple[1..]);
        if is_triple {
            self.rest = &self.rest[2..];
        }
        let mut content = String::new();
        loop {
            if is_triple && self.rest.starts_with(&triple) {
                self.rest = &self.rest[3..];
                break;
            }
            if !is_triple && self.rest.starts_with('\n') {
                break;
            }
            match self.next() {
                None => break,
                Some('\\') => {
                    content.push('\\');
                    content.extend(self.next());
                }
                Some(character) if character == quote && !is_triple => break,
                Some(character) => content.push(character),
            }
        }
        let literal = format!("\"{}\"", self.line.strings.len());
        self.line.text.push_str(&literal);
        self.line.strings.push(content);
    }
}
