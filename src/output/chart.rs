//! Charts of characters: readable in any terminal, in a pipe, and without colour.

/// Parts of a block, from none to eight eighths.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns of the axis beside those of the values.
pub const MARGIN: usize = 6;

/// Returns a chart of columns, one for each value, with an axis of at most `height` lines; one unit is one line where that fits.
#[must_use]
pub fn columns(values: &[u32], height: usize) -> Vec<String> {
    let top = values.iter().copied().max().unwrap_or(0).max(1);
    let lines = height.min(usize::try_from(top).unwrap_or(usize::MAX)).max(1);
    let is_whole = usize::try_from(top).is_ok_and(|top| top == lines);
    (0..lines).rev().map(|line| format!("{} ┤{}", label(line, lines, top, is_whole), row(values, line, lines, top))).collect()
}

/// Returns the axis below such a chart, with what stands at its two ends.
#[must_use]
pub fn axis(width: usize, left: &str, right: &str) -> [String; 2] {
    let room = width.saturating_sub(left.chars().count() + right.chars().count());
    let words = if room == 0 { right.to_owned() } else { format!("{left}{}{right}", " ".repeat(room)) };
    [format!("{:>margin$}{}", "└", "─".repeat(width), margin = MARGIN), format!("{}{words}", " ".repeat(MARGIN))]
}

/// Returns the amount at the upper end of a line: at every line, or where lines stand for more than one, at the topmost only.
fn label(line: usize, lines: usize, top: u32, is_whole: bool) -> String {
    let text = if is_whole {
        (line + 1).to_string()
    } else if line + 1 == lines {
        top.to_string()
    } else {
        String::new()
    };
    format!("{text:>width$}", width = MARGIN - 2)
}

fn row(values: &[u32], line: usize, lines: usize, top: u32) -> String {
    let eighths = |value: u32| {
        let whole = u64::from(value) * u64::try_from(lines).unwrap_or(1) * 8;
        // What is more than nothing shows.
        let height = whole.div_ceil(u64::from(top));
        usize::try_from(height).unwrap_or(0).saturating_sub(line * 8).min(8)
    };
    values.iter().map(|value| EIGHTHS[eighths(*value)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_one_machine_where_that_fits() {
        assert_eq!(columns(&[0, 1, 3, 2, 0], 4).join("\n"), "   3 ┤  █  \n   2 ┤  ██ \n   1 ┤ ███ ");
        assert_eq!(columns(&[0, 0], 4).join("\n"), "   1 ┤  ");
    }

    #[test]
    fn more_machines_share_lines() {
        assert_eq!(columns(&[0, 1, 50, 100], 2).join("\n"), " 100 ┤   █\n     ┤ ▁██");
    }

    #[test]
    fn the_axis_names_its_ends() {
        assert_eq!(axis(12, "1h ago", "now"), ["     └────────────".to_owned(), "      1h ago   now".to_owned()]);
        assert_eq!(axis(5, "24h ago", "now")[1], "      now");
    }
}
