//! The one redrawn line of a terminal. The only importer of the progress crate.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::terminal_filter::words;

/// Progress is drawn only when it takes longer than this.
const DELAY: Duration = Duration::from_millis(250);

/// A line that says what is happening and for how long.
#[derive(Debug)]
pub struct ProgressLine {
    bar: ProgressBar,
}

impl ProgressLine {
    /// Returns a line on standard error.
    ///
    /// # Panics
    /// Never: the template is valid, as a test shows.
    #[must_use]
    pub fn start(color: bool) -> Self {
        let template = if color { "{spinner:.cyan} {elapsed:.dim} {wide_msg}" } else { "{spinner} {elapsed} {wide_msg}" };
        let style = ProgressStyle::with_template(template).expect("the template is valid").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ");
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10)).with_style(style);
        bar.enable_steady_tick(DELAY);
        Self { bar }
    }

    /// Replaces the text.
    pub fn set(&self, text: &str) {
        self.bar.set_message(words(text).into_owned());
    }

    /// Starts counting the time again.
    pub fn reset_elapsed(&self) {
        self.bar.reset_elapsed();
    }

    /// Carries out `write` while the line is out of the way.
    pub fn around<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for color in [true, false] {
            ProgressLine::start(color).set("pending");
        }
    }
}
