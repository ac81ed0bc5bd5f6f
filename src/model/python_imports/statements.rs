//! The import statements of one source.

use std::collections::BTreeSet;

use crate::model::python_imports::source::{Line, logical_lines};

/// One imported module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    /// Number of leading dots: 0 for an absolute import.
    pub(super) level: usize,
    /// Dotted name after the dots; empty for `from . import x`.
    pub(super) module: String,
    /// Names after `import` of a `from` import, which may be modules themselves.
    pub(super) names: Vec<String>,
    /// Line, counted from 1.
    pub(super) line: usize,
    /// Whether an `except ImportError` belongs to it.
    pub(super) optional: bool,
}

/// What one source says about modules.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    /// The imports, without those that only a type checker sees.
    pub(super) imports: Vec<Import>,
    /// Whether it changes the folders in which modules are found.
    pub(super) changes_path: bool,
}

/// A block whose imports mean something else.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    TypeChecking,
    Try(usize),
}

/// Words that begin a compound statement, whose body may stand on the same line.
const COMPOUND: &[&str] = &["if", "elif", "else", "try", "except", "finally", "for", "while", "with", "def", "class", "async"];

/// Returns the imports of a source, in order.
pub(super) fn parse(source: &str) -> Parsed {
    let mut parser = Parser::default();
    for line in logical_lines(source) {
        parser.take(&line);
    }
    let Parser { mut imports, tries, caught, changes_path, .. } = parser;
    for (import, tries) in imports.iter_mut().zip(tries) {
        import.optional = tries.iter().any(|number| caught.contains(number));
    }
    Parsed { imports, changes_path }
}

#[derive(Default)]
struct Parser {
    blocks: Vec<(usize, Block)>,
    last_try: Option<(usize, usize)>,
    number_of_tries: usize,
    caught: BTreeSet<usize>,
    imports: Vec<Import>,
    /// For each import, the `try` statements around it.
    tries: Vec<Vec<usize>>,
    changes_path: bool,
}

impl Parser {
    fn take(&mut self, line: &Line) {
        while let Some((indent, block)) = self.blocks.pop_if(|(indent, _)| *indent >= line.indent) {
            if let Block::Try(number) = block {
                self.last_try = Some((indent, number));
            }
        }
        self.changes_path |= ["sys.path.", "sys.path[", "sys.path =", "sys.path=", "sys.path +", "sys.path+", "site.addsitedir"]
            .iter()
            .any(|change| line.text.contains(change));
        let first = line.text.split(|character: char| !character.is_alphanumeric() && character != '_').next().unwrap_or_default();
        if !COMPOUND.contains(&first) {
            self.statement(&line.text, line.number);
            return;
        }
        let (head, body) = split_body(&line.text);
        self.open(first, head, line.indent);
        self.statement(body.trim(), line.number);
    }

    /// Enters the block of a compound statement.
    fn open(&mut self, keyword: &str, head: &str, indent: usize) {
        match keyword {
            "if" | "elif" => {
                let condition = head[keyword.len()..].trim().trim_matches(['(', ')']).trim();
                if condition == "TYPE_CHECKING" || condition.ends_with(".TYPE_CHECKING") && !condition.contains(' ') {
                    self.blocks.push((indent, Block::TypeChecking));
                }
            }
            "try" => {
                self.blocks.push((indent, Block::Try(self.number_of_tries)));
                self.number_of_tries += 1;
            }
            "except" => {
                let Some((_, number)) = self.last_try.filter(|(at, _)| *at == indent) else { return };
                if head.contains("ImportError") || head.contains("ModuleNotFoundError") {
                    self.caught.insert(number);
                }
                // What the fallback imports is as optional as what it replaces.
                self.blocks.push((indent, Block::Try(number)));
            }
            _ => {}
        }
    }

    fn statement(&mut self, text: &str, line: usize) {
        if self.blocks.iter().any(|(_, block)| *block == Block::TypeChecking) {
            return;
        }
        for (level, module, names) in imports_of(text) {
            self.imports.push(Import { level, module, names, line, optional: false });
            self.tries.push(self.blocks.iter().filter_map(|(_, block)| if let Block::Try(number) = block { Some(*number) } else { None }).collect());
        }
    }
}

/// Splits `if x: import y` into head and body, at the first colon outside brackets.
fn split_body(text: &str) -> (&str, &str) {
    let mut depth = 0usize;
    for (index, character) in text.char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => return (&text[..index], &text[index + 1..]),
            _ => {}
        }
    }
    (text, "")
}

/// Returns level, module and names of each module that a simple statement imports; nothing for any other statement.
fn imports_of(text: &str) -> Vec<(usize, String, Vec<String>)> {
    if let Some(modules) = text.strip_prefix("import ") {
        return list_of(modules).into_iter().map(|module| (0, module, Vec::new())).collect();
    }
    let Some(rest) = text.strip_prefix("from").filter(|rest| rest.starts_with([' ', '\t', '.'])) else { return Vec::new() };
    let Some((module, names)) = split_import(rest) else { return Vec::new() };
    let module: String = module.chars().filter(|character| !character.is_whitespace()).collect();
    let level = module.len() - module.trim_start_matches('.').len();
    let module = module[level..].to_owned();
    if module.is_empty() && level == 0 || !module.is_empty() && !is_dotted_name(&module) {
        return Vec::new();
    }
    vec![(level, module, list_of(names.trim().trim_matches(['(', ')'])))]
}

/// Splits `.a.b import x` at the word `import`.
fn split_import(text: &str) -> Option<(&str, &str)> {
    let (index, word) = text.match_indices("import").find(|(index, word)| {
        let before = text[..*index].chars().next_back();
        let after = text[index + word.len()..].chars().next();
        matches!(before, Some(' ' | '\t' | '.')) && matches!(after, Some(' ' | '\t' | '(' | '*'))
    })?;
    Some((&text[..index], &text[index + word.len()..]))
}

/// Returns the dotted names of a list such as `a.b as c, d`.
fn list_of(text: &str) -> Vec<String> {
    text.split(',').filter_map(|item| item.split_whitespace().next()).filter(|name| is_dotted_name(name)).map(ToOwned::to_owned).collect()
}

fn is_dotted_name(text: &str) -> bool {
    let is_name = |part: &str| {
        part.chars().all(|character| character.is_alphanumeric() || character == '_') && part.starts_with(|first: char| !first.is_ascii_digit())
    };
    text.split('.').all(is_name)
}
