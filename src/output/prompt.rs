//! Questions. The only importer of the prompt crate.
//!
//! Questions and choices name what others named, so they are passed through [`words`] like all that sbrun says.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use dialoguer::{Confirm, Input, MultiSelect, Select, console::Term};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};

use super::terminal_filter::words;

/// How the terminal was when the open question was asked; none while none is open.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Asks a question whose answer is one of `choices`; the first is the default. `None` when there was no answer: a further
/// Ctrl-C, or a terminal that is gone.
#[must_use]
pub fn choose(question: &str, choices: &[&str]) -> Option<usize> {
    let answer = asking(|| {
        Select::new().with_prompt(words(question)).items(choices.iter().map(|choice| words(choice))).default(0).interact_on_opt(&Term::stderr())
    });
    answer.ok().flatten()
}

/// Asks a yes-or-no question whose default is no.
#[must_use]
pub fn confirm(question: &str) -> bool {
    let answer = asking(|| Confirm::new().with_prompt(words(question)).default(false).interact_on_opt(&Term::stderr()));
    answer.ok().flatten().unwrap_or(false)
}

/// Asks which of `choices` to take; those that `chosen` marks are taken unless somebody says otherwise. `None` when there was no answer.
#[must_use]
pub fn choose_some(question: &str, choices: &[&str], chosen: &[bool]) -> Option<Vec<usize>> {
    let answer = asking(|| {
        MultiSelect::new()
            .with_prompt(words(question))
            .items(choices.iter().map(|choice| words(choice)))
            .defaults(chosen)
            .interact_on_opt(&Term::stderr())
    });
    answer.ok().flatten()
}

/// Asks for a text; without an answer it is `default`, which may be empty. `accept` returns what is wrong with an answer. `None` when
/// the terminal is gone.
pub fn text(question: &str, default: &str, accept: impl Fn(&str) -> Result<(), String>) -> Option<String> {
    let input = Input::<String>::new().with_prompt(words(question)).allow_empty(true).validate_with(|text: &String| accept(text));
    let input = if default.is_empty() { input } else { input.default(default.to_owned()) };
    let answer = asking(|| input.interact_text_on(&Term::stderr()));
    answer.ok()
}

fn asking<T>(ask: impl FnOnce() -> T) -> T {
    *before() = tcgetattr(io::stdin()).ok();
    let answer = ask();
    restore();
    answer
}

/// Gives the terminal back as it was before the open question, if one is: whoever waits for a key has changed its modes and hidden the
/// cursor, and an end of sbrun from elsewhere does not wake them up.
pub fn restore() {
    if let Some(termios) = before().take() {
        // A terminal that is gone needs nothing.
        tcsetattr(io::stdin(), SetArg::TCSANOW, &termios).ok();
        Term::stderr().show_cursor().ok();
    }
}

fn before() -> std::sync::MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}
