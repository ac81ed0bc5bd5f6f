//! Questions. The only importer of the prompt crate.

use dialoguer::{Confirm, Input, MultiSelect, Select, console::Term};

/// Asks a question whose answer is one of `choices`; the first is the default. `None` when there was no answer: a further
/// Ctrl-C, or a terminal that is gone.
#[must_use]
pub fn choose(question: &str, choices: &[&str]) -> Option<usize> {
    let answer = Select::new().with_prompt(question).items(choices).default(0).interact_on_opt(&Term::stderr());
    restore_cursor();
    answer.ok().flatten()
}

/// Asks a yes-or-no question whose default is no.
#[must_use]
pub fn confirm(question: &str) -> bool {
    let answer = Confirm::new().with_prompt(question).default(false).interact_on_opt(&Term::stderr());
    restore_cursor();
    answer.ok().flatten().unwrap_or(false)
}

/// Asks which of `choices` to take; those that `chosen` marks are taken unless somebody says otherwise. `None` when there was no answer.
#[must_use]
pub fn choose_some(question: &str, choices: &[&str], chosen: &[bool]) -> Option<Vec<usize>> {
    let answer = MultiSelect::new().with_prompt(question).items(choices).defaults(chosen).interact_on_opt(&Term::stderr());
    restore_cursor();
    answer.ok().flatten()
}

/// Asks for a text; without an answer it is `default`, which may be empty. `accept` returns what is wrong with an answer. `None` when
/// the terminal is gone.
pub fn text(question: &str, default: &str, accept: impl Fn(&str) -> Result<(), String>) -> Option<String> {
    let input = Input::<String>::new().with_prompt(question).allow_empty(true).validate_with(|text: &String| accept(text));
    let input = if default.is_empty() { input } else { input.default(default.to_owned()) };
    let answer = input.interact_text_on(&Term::stderr());
    restore_cursor();
    answer.ok()
}

/// An interrupted prompt leaves the cursor hidden.
fn restore_cursor() {
    if Term::stderr().show_cursor().is_err() {
        // The terminal is gone, and its cursor with it.
    }
}
