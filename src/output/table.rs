//! Tables for people. The only importer of the table crate.

use std::borrow::Cow;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets::NOTHING};

use super::wording;

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    title: &'static str,
    right: bool,
}

impl Column {
    /// Returns a column of words.
    #[must_use]
    pub const fn words(title: &'static str) -> Self {
        Self { title, right: false }
    }

    /// Returns a column of numbers, which line up on the right.
    #[must_use]
    pub const fn numbers(title: &'static str) -> Self {
        Self { title, right: true }
    }
}

/// Returns the rows as a table with upper-case headers.
///
/// With a `width` the last column is cut so that lines fit; no other column ever is, because a cut number or name reads as
/// another one.
#[must_use]
pub fn render(columns: &[Column], mut rows: Vec<Vec<String>>, width: Option<usize>) -> String {
    if let (Some(width), Some(last)) = (width, columns.len().checked_sub(1)) {
        let widest =
            |index: usize| rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count()).chain([columns[index].title.len()]).max();
        let others: usize = (0..last).map(|index| widest(index).unwrap_or(0) + 2).sum();
        let room = width.saturating_sub(others).max(12);
        for cell in rows.iter_mut().filter_map(|row| row.get_mut(last)) {
            *cell = wording::elide(cell, room);
        }
    }
    for cell in rows.iter_mut().flatten() {
        if let Cow::Owned(flat) = wording::flat(cell) {
            *cell = flat;
        }
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.title));
    table.add_rows(rows);
    for (index, column) in columns.iter().enumerate() {
        if let Some(format) = table.column_mut(index) {
            format.set_padding((0, 2));
            format.set_cell_alignment(if column.right { CellAlignment::Right } else { CellAlignment::Left });
        }
    }
    let mut text: String = table.to_string().lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_line_up_and_only_the_last_column_is_cut() {
        let columns = [Column::words("NAME"), Column::numbers("CPU"), Column::words("REASON")];
        let rows = vec![
            vec!["a-rather-long-name".into(), "10".into(), "a long reason that does not fit".into()],
            vec!["b".into(), "2.5".into(), String::new()],
        ];
        assert_eq!(
            render(&columns, rows, Some(40)),
            "NAME                CPU  REASON\na-rather-long-name   10  a long reason…\nb                   2.5"
        );
        let forged = vec![vec!["a\nb".into(), "1".into(), "c\rd".into()]];
        assert_eq!(render(&columns, forged, None), "NAME  CPU  REASON\na b     1  cd");
    }
}
