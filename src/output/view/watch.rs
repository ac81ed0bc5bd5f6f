//! The live view of node groups: a bar for each group, and the number of machines over the last hour.

use std::{collections::BTreeSet, fmt};

use ratatui::{
    Frame,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::node_group::{NodeGroupEntry, NodeGroups};
use crate::{
    model::machine_history::{REACH, Step, parts},
    output::{chart, wording},
};

/// Below this width a group takes two lines.
const NARROW: usize = 60;
/// The most cells that one machine takes in a bar.
const WIDEST_MACHINE: usize = 3;
/// The most lines of the chart.
const HIGHEST_CHART: usize = 8;
/// The fewest, where sentences want the room as well.
const LOWEST_CHART: usize = 3;
/// From so many lines on chart and sentences share the room.
const ROOM_FOR_BOTH: usize = 10;
/// Lines of the chart beside its columns: title and axis.
const CHART_EXTRA: usize = 3;
/// Width of the column of scale states.
const STATE_WIDTH: usize = 14;

/// What the live view shows.
#[derive(Debug)]
pub struct WatchView {
    document: NodeGroups,
    steps: Vec<Step>,
    place: String,
    trouble: Option<String>,
    color: bool,
}

/// What a part of a bar stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Busy,
    Idle,
    Booting,
    Ill,
    Leaving,
    Free,
}

impl Part {
    const LEGEND: [Self; 6] = [Self::Busy, Self::Idle, Self::Booting, Self::Ill, Self::Leaving, Self::Free];

    /// Returns the glyph: each is another one, so that nothing rests on colour.
    fn glyph(self) -> char {
        match self {
            Self::Busy => '█',
            Self::Idle => '▒',
            Self::Booting => '░',
            Self::Ill => '!',
            Self::Leaving => '▁',
            Self::Free => '·',
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Busy => Style::new().fg(Color::Green),
            Self::Idle => Style::new().fg(Color::Cyan),
            Self::Booting => Style::new().fg(Color::Yellow),
            Self::Ill => Style::new().fg(Color::Red),
            Self::Leaving | Self::Free => Style::new().fg(Color::DarkGray),
        }
    }

    fn count(self, entry: &NodeGroupEntry) -> usize {
        let number = |number: Option<u32>| usize::try_from(number.unwrap_or(0)).unwrap_or(usize::MAX);
        match self {
            // Nodes of which nothing tells whether they are in use count as in use.
            Self::Busy => number(entry.ready).saturating_sub(number(entry.idle)),
            Self::Idle => number(entry.idle),
            Self::Booting => number(entry.booting),
            Self::Ill => number(entry.not_ready),
            Self::Leaving => number(entry.leaving),
            Self::Free => 0,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::Busy => "busy",
            Self::Idle => "idle",
            Self::Booting => "booting",
            Self::Ill => "not ready",
            Self::Leaving => "leaving",
            Self::Free => "may come",
        };
        write!(formatter, "{} {word}", self.glyph())
    }
}

impl WatchView {
    /// Returns a view of a first look; `steps` are the numbers of machines before it, `place` is where one looks.
    #[must_use]
    pub fn new(document: NodeGroups, steps: Vec<Step>, place: String, color: bool) -> Self {
        let mut view = Self { document, steps, place, trouble: None, color };
        view.note();
        view
    }

    /// Shows another look.
    pub fn update(&mut self, document: NodeGroups) {
        (self.document, self.trouble) = (document, None);
        self.note();
    }

    /// Says that the last look saw nothing; what was seen before stays.
    pub fn trouble(&mut self, words: String) {
        self.trouble = Some(words);
    }

    /// Notes the number of machines.
    fn note(&mut self) {
        let step = Step { at: self.document.time, machines: machines(&self.document) };
        let oldest = step.at.checked_sub(REACH).unwrap_or(step.at);
        // The last one before the hour tells how many there were when it began.
        let keep = self.steps.iter().rposition(|step| step.at <= oldest).unwrap_or(0);
        self.steps.drain(..keep);
        if self.steps.last().is_none_or(|last| last.machines != step.machines) {
            self.steps.push(step);
        }
    }

    /// Draws the view.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let (width, height) = (usize::from(area.width), usize::from(area.height));
        let mut lines = vec![self.head(width), Line::default()];
        lines.extend(self.document.node_groups.iter().flat_map(|entry| self.group(entry, width)));
        let legend = self.legend(width);
        let sentences: Vec<Line<'_>> = self.sentences(width);
        let room = height.saturating_sub(lines.len() + legend.len() + 1);
        // The chart gets what the sentences leave, but they do not crowd it out where there is room for some of both.
        let least = if room >= ROOM_FOR_BOTH { LOWEST_CHART + CHART_EXTRA } else { 0 };
        let chart = self.chart(width, room.saturating_sub(sentences.len() + 1).max(least).min(HIGHEST_CHART + CHART_EXTRA));
        let for_sentences = room.saturating_sub(if chart.is_empty() { 0 } else { chart.len() + 1 });
        for block in [sentences.into_iter().take(for_sentences).collect(), chart] {
            if !block.is_empty() && lines.len() + block.len() + legend.len() < height {
                lines.push(Line::default());
                lines.extend(block);
            }
        }
        // Whatever does not fit is cut off below, above the legend.
        lines.truncate(height.saturating_sub(legend.len()));
        frame.render_widget(Paragraph::new(lines), area);
        let below = u16::try_from(legend.len()).unwrap_or(0).min(area.height);
        frame.render_widget(Paragraph::new(legend), Rect { y: area.y + area.height - below, height: below, ..area });
    }

    fn styled(&self, style: Style) -> Style {
        if self.color { style } else { Style::new() }
    }

    fn head(&self, width: usize) -> Line<'_> {
        let time = self.document.time.strftime("%H:%M:%S UTC");
        let count = machines(&self.document);
        let total = wording::count(usize::try_from(count).unwrap_or(usize::MAX), "machine");
        let text = match &self.trouble {
            Some(trouble) => format!("seen at {time} · {trouble}"),
            None => format!("{total} · {time} · {}", self.place),
        };
        let style = if self.trouble.is_some() { Style::new().fg(Color::Red) } else { Style::new().add_modifier(Modifier::BOLD) };
        Line::styled(wording::elide(&text, width), self.styled(style))
    }

    /// Returns the lines of one group.
    fn group(&self, entry: &NodeGroupEntry, width: usize) -> Vec<Line<'_>> {
        let names = self.document.node_groups.iter().map(|entry| name(entry).chars().count()).max().unwrap_or(0);
        let name_width = names.min(width / 3).max(4);
        let title = format!("{:<name_width$}  {:<STATE_WIDTH$}", wording::elide(&name(entry), name_width), entry.state_words());
        let numbers = numbers(entry);
        let state = self.styled(match entry.state {
            Some("failing") => Style::new().fg(Color::Red),
            Some("scaling_up" | "scaling_down") => Style::new().fg(Color::Yellow),
            _ => Style::new(),
        });
        if width < NARROW {
            let first = Line::styled(wording::elide(&format!("{title}{numbers}"), width), state);
            return vec![first, Line::from(self.bar(entry, width))];
        }
        let used = title.chars().count() + numbers.chars().count() + 2;
        let mut spans = vec![Span::styled(title, state)];
        spans.extend(self.bar(entry, width.saturating_sub(used)));
        spans.push(Span::raw(format!("  {numbers}")));
        vec![Line::from(spans)]
    }

    /// Returns the bar of a group: one machine is up to three cells, and all that may come are the whole bar.
    fn bar(&self, entry: &NodeGroupEntry, width: usize) -> Vec<Span<'static>> {
        let present: usize = Part::LEGEND.iter().map(|part| part.count(entry)).sum();
        let maximum = entry.max_size.and_then(|maximum| usize::try_from(maximum).ok()).unwrap_or(0);
        let whole = present.max(maximum);
        if whole == 0 || width == 0 {
            return vec![Span::raw(" ".repeat(width))];
        }
        let cells = |machines: usize| match (width / whole).min(WIDEST_MACHINE) {
            0 => (machines * width).div_ceil(whole),
            each => machines * each,
        };
        let mut left = width;
        let mut spans = Vec::new();
        for part in Part::LEGEND {
            let machines = if part == Part::Free { whole - present } else { part.count(entry) };
            let taken = cells(machines).min(left);
            left -= taken;
            spans.push(Span::styled(part.glyph().to_string().repeat(taken), self.styled(part.style())));
        }
        spans.push(Span::raw(" ".repeat(left)));
        spans
    }

    fn chart(&self, width: usize, room: usize) -> Vec<Line<'_>> {
        let columns = width.saturating_sub(chart::MARGIN);
        let Some(height) = room.checked_sub(CHART_EXTRA).filter(|height| *height > 0 && columns >= 10) else { return Vec::new() };
        let until = self.document.time;
        let values = parts(&self.steps, until.checked_sub(REACH).unwrap_or(until), until, columns);
        let mut lines = vec!["machines".to_owned()];
        lines.extend(chart::columns(&values, height));
        lines.extend(chart::axis(columns, "1h ago", "now"));
        lines.into_iter().map(Line::from).collect()
    }

    fn sentences(&self, width: usize) -> Vec<Line<'_>> {
        let lines = self.document.sentences().into_iter().flat_map(|sentence| wording::wrapped(&sentence, width));
        lines.map(|line| Line::styled(line, self.styled(Style::new().fg(Color::DarkGray)))).collect()
    }

    fn legend(&self, width: usize) -> Vec<Line<'_>> {
        let parts: Vec<String> = Part::LEGEND.iter().map(ToString::to_string).collect();
        let text = format!("{}   q quits", parts.join("  "));
        let style = self.styled(Style::new().fg(Color::DarkGray));
        if text.chars().count() <= width { vec![Line::styled(text, style)] } else { vec![Line::styled("q quits", style)] }
    }
}

/// Returns what a group is called here: its size, and its group where a size has several.
fn name(entry: &NodeGroupEntry) -> String {
    entry.title()
}

/// Returns `2/5`, and what waits.
fn numbers(entry: &NodeGroupEntry) -> String {
    let shown = |number: Option<u32>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    let waiting = entry.jobs_waiting.filter(|jobs| *jobs > 0).map(|jobs| format!(", {jobs} waiting")).unwrap_or_default();
    format!("{}/{}{waiting}", shown(entry.ready), shown(entry.max_size))
}

/// Returns how many machines there are: each once, though two sizes may share a group.
fn machines(document: &NodeGroups) -> u32 {
    let known: BTreeSet<&str> = document
        .node_groups
        .iter()
        .flat_map(|entry| &entry.machines)
        .filter_map(|machine| machine.node.as_deref().or(machine.instance.as_deref()))
        .collect();
    u32::try_from(known.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
