//! `SBRUN_*` variables.

use std::collections::BTreeMap;

use super::{Key, Origin, Setting, Texts, words};
use crate::model::suggestion;

/// Variables of sbrun that are no settings of a job.
const OTHERS: [&str; 2] = ["SBRUN_USER", "SBRUN_RESULT_FILE"];

/// What the environment says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variables {
    pub(super) texts: Texts,
    /// Values that are no words, by their origin; refused when settings are resolved.
    pub(super) problems: Vec<(Origin, String)>,
    /// Variables that nobody reads, in words.
    pub warnings: Vec<String>,
}

impl From<&BTreeMap<String, String>> for Variables {
    /// Returns what the variables of a process say. An empty one is one that is not there.
    ///
    /// Those that may hold several values hold them as words, with quotes: `SBRUN_ENV='TZ=UTC GREETING="good day"'`.
    fn from(variables: &BTreeMap<String, String>) -> Self {
        let mut found = Self::default();
        let ours = variables.iter().filter(|(name, value)| name.starts_with("SBRUN_") && !value.is_empty());
        for (name, value) in ours {
            let Some(key) = Key::ALL.into_iter().find(|key| key.variable() == *name) else {
                if !OTHERS.contains(&name.as_str()) {
                    found.warn_of(name);
                }
                continue;
            };
            let values = if key.is_list() { words(value) } else { Ok(vec![value.clone()]) };
            let values = match values {
                Ok(values) => values,
                Err(message) => {
                    found.problems.push((Origin::Variable(key), message));
                    continue;
                }
            };
            found.texts.insert(key, values.into_iter().map(|value| Setting { value, origin: Origin::Variable(key) }).collect());
        }
        found
    }
}

impl Variables {
    fn warn_of(&mut self, name: &str) {
        let names: Vec<String> = Key::ALL.into_iter().map(Key::variable).chain(OTHERS.map(ToOwned::to_owned)).collect();
        let meant = suggestion::closest(name, names.iter().map(String::as_str));
        let hint = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
        self.warnings.push(format!("the variable `{name}` means nothing to sbrun{hint}"));
    }
}
