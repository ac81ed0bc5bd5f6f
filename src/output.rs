//! Owns every byte that is written: streams, styles, tables, progress, prompts, wording and views.

pub mod chart;
pub mod diff;
pub mod format;
pub mod manual;
pub mod progress;
pub mod prompt;
pub mod screen;
pub mod style;
pub mod svg;
pub mod table;
pub mod terminal_filter;
pub mod ui;
pub mod view;
pub mod wording;
