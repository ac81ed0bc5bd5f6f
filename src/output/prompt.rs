//! Questions. The only importer of the prompt crate.

use dialoguer::{Confirm, Select, console::Term};

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

/// An interrupted prompt leaves the cursor hidden.
fn restore_cursor() {
    if Term::stderr().show_cursor().is_err() {
        // The terminal is gone, and its cursor with it.
    }
}
