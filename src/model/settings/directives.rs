//! `# sbrun: size=xlarge timeout=2h` in the header of a flow.

use super::{Key, Origin, Setting, Texts, words};
use crate::{
    error::{Error, Result},
    model::suggestion,
};

/// What the header of a flow says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directives {
    pub(super) texts: Texts,
    /// Lines that look like directives and stand where none is read, in words.
    pub warnings: Vec<String>,
}

impl Directives {
    /// Returns the directives in the comment lines before the first code of a flow, else everything that is wrong in them.
    ///
    /// Comments begin with `#` or `//`. `file` is the flow's file, for people.
    pub fn parse(source: &str, file: &str) -> Result<Self> {
        let mut found = Self::default();
        let mut problems = Vec::new();
        let mut in_header = true;
        for (index, line) in source.trim_start_matches('\u{feff}').lines().enumerate() {
            let line_number = index + 1;
            let comment = line.trim_start().strip_prefix('#').or_else(|| line.trim_start().strip_prefix("//"));
            in_header &= comment.is_some() || line.trim().is_empty();
            let Some(directive) = comment.and_then(|comment| comment.trim_start().strip_prefix("sbrun:")) else { continue };
            if in_header {
                found.take(directive, file, line_number, &mut problems);
            } else {
                found.warnings.push(format!("{file} line {line_number}: this `sbrun:` comment stands below the first code, so it is not read"));
            }
        }
        if problems.is_empty() {
            return Ok(found);
        }
        let count = match problems.len() {
            1 => "a problem".to_owned(),
            count => format!("{count} problems"),
        };
        Err(Error::rejected(format!("the `sbrun:` comments of `{file}` have {count}")).caused_by_all(problems))
    }

    fn take(&mut self, directive: &str, file: &str, line: usize, problems: &mut Vec<String>) {
        let mut problem = |message: String| problems.push(format!("line {line}: {message}"));
        let assignments = match words(directive) {
            Ok(words) if words.is_empty() => return problem("nothing follows; write it like `# sbrun: size=large timeout=2h`".to_owned()),
            Ok(words) => words,
            Err(message) => return problem(message),
        };
        for word in assignments {
            let Some((name, value)) = word.split_once('=') else {
                problem(format!("`{word}` has no `=`; write it like `size=large`"));
                continue;
            };
            match key(name) {
                Err(message) => problem(message),
                Ok(key) => {
                    let values = self.texts.entry(key).or_default();
                    if let Err(message) = key.check(value) {
                        problem(format!("{name}: {message}"));
                    } else if let Some(first) = values.first().filter(|_| !key.is_list()) {
                        problem(format!("`{name}` is there twice, first as `{}`", first.value));
                    } else {
                        values.push(Setting { value: value.to_owned(), origin: Origin::Directive { file: file.to_owned(), line } });
                    }
                }
            }
        }
    }
}

/// Returns the key of a name, spelled as in the map or as the flag, unless it has no place in a file that others use.
fn key(name: &str) -> std::result::Result<Key, String> {
    match Key::from_name(&name.replace('-', "_")) {
        Some(Key::Context | Key::Map) => Err(format!("`{name}` is personal and cannot stand in a flow; use the flag or the variable")),
        Some(key) => Ok(key),
        None => {
            let names = || Key::ALL.into_iter().filter(|key| !matches!(key, Key::Context | Key::Map)).map(Key::name);
            let hint = suggestion::closest(name, names())
                .map_or_else(|| format!("known here are {}", suggestion::listed(names())), |meant| format!("did you mean `{meant}`?"));
            Err(format!("unknown key `{name}`; {hint}"))
        }
    }
}
