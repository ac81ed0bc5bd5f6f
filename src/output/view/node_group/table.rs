//! Node groups as a table, with as many columns as fit.

use super::{Amounts, NodeGroupEntry, NodeGroups};
use crate::{
    model::quantity::Cpu,
    output::table::{self, Column},
};

/// What stands in a table for what is not known.
const UNKNOWN: &str = "?";

impl NodeGroups {
    /// Returns the groups as a table, with as many columns as fit a terminal of this width.
    #[must_use]
    pub fn table(&self, width: Option<usize>) -> String {
        let layouts: [&[Title]; 6] = [&WIDE, &MEDIUM, &NORMAL, &SHORT, &NARROW, &[Title::Name, Title::State]];
        let mut text = String::new();
        for titles in layouts {
            let columns: Vec<Column> = titles.iter().map(|title| title.column()).collect();
            let rows = self.node_groups.iter().map(|entry| titles.iter().map(|title| title.cell(entry)).collect()).collect();
            text = table::render(&columns, rows, None);
            if width.is_none_or(|width| text.lines().all(|line| line.chars().count() <= width)) {
                break;
            }
        }
        text
    }
}

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Title {
    /// The size, else the group.
    Name,
    Size,
    Group,
    State,
    Desired,
    Ready,
    Busy,
    Idle,
    Booting,
    Minimum,
    Maximum,
    Type,
    Spot,
    Cpu,
    Memory,
    Running,
    Waiting,
}

/// Every column.
const WIDE: [Title; 16] = {
    use Title::{Booting, Busy, Cpu, Desired, Group, Idle, Maximum, Memory, Minimum, Ready, Running, Size, Spot, State, Type, Waiting};
    [Size, Group, State, Desired, Ready, Busy, Idle, Booting, Minimum, Maximum, Type, Spot, Cpu, Memory, Running, Waiting]
};
/// What fits most wide terminals.
const MEDIUM: [Title; 12] = {
    use Title::{Booting, Busy, Desired, Group, Idle, Maximum, Ready, Running, Size, State, Type, Waiting};
    [Size, Group, State, Desired, Ready, Busy, Idle, Booting, Maximum, Type, Running, Waiting]
};
/// What fits 80 columns when names are short.
const NORMAL: [Title; 10] = {
    use Title::{Booting, Busy, Group, Idle, Maximum, Ready, Running, Size, State, Waiting};
    [Size, Group, State, Ready, Busy, Idle, Booting, Maximum, Running, Waiting]
};
/// What fits 80 columns.
const SHORT: [Title; 9] = {
    use Title::{Booting, Busy, Idle, Maximum, Name, Ready, Running, State, Waiting};
    [Name, State, Ready, Busy, Idle, Booting, Maximum, Running, Waiting]
};
/// What fits 40 columns when names are short.
const NARROW: [Title; 5] = {
    use Title::{Maximum, Name, Ready, State, Waiting};
    [Name, State, Ready, Maximum, Waiting]
};

impl Title {
    fn column(self) -> Column {
        match self {
            Self::Name | Self::Size => Column::words("SIZE"),
            Self::Group => Column::words("GROUP"),
            Self::State => Column::words("STATE"),
            Self::Desired => Column::numbers("DESIRED"),
            Self::Ready => Column::numbers("READY"),
            Self::Busy => Column::numbers("BUSY"),
            Self::Idle => Column::numbers("IDLE"),
            Self::Booting => Column::numbers("BOOTING"),
            Self::Minimum => Column::numbers("MIN"),
            Self::Maximum => Column::numbers("MAX"),
            Self::Type => Column::words("MACHINE"),
            Self::Spot => Column::words("SPOT"),
            Self::Cpu => Column::numbers("CPU"),
            Self::Memory => Column::numbers("MEMORY"),
            Self::Running => Column::numbers("RUNNING"),
            Self::Waiting => Column::numbers("WAITING"),
        }
    }

    fn cell(self, entry: &NodeGroupEntry) -> String {
        let number = |number: Option<u32>| number.map_or_else(|| UNKNOWN.to_owned(), |number| number.to_string());
        match self {
            Self::Name => entry.title(),
            Self::Size => entry.size.clone().unwrap_or_else(|| "-".to_owned()),
            Self::Group => entry.group(),
            Self::State => entry.state_words(),
            Self::Desired => number(entry.desired_size),
            Self::Ready => number(entry.ready),
            Self::Busy => number(entry.busy),
            Self::Idle => number(entry.idle),
            Self::Booting => number(entry.booting),
            Self::Minimum => number(entry.min_size),
            // A NodePool has limits of other kinds, or none.
            Self::Maximum => match entry.limits.first_key_value() {
                Some((resource, limit)) if entry.max_size.is_none() => format!("{limit} {resource}"),
                _ => number(entry.max_size),
            },
            Self::Type => match entry.instance_types.as_slice() {
                [] => UNKNOWN.to_owned(),
                [only] => only.clone(),
                [first, rest @ ..] => format!("{first} +{}", rest.len()),
            },
            Self::Spot => entry.spot.map_or(UNKNOWN, |spot| if spot { "spot" } else { "on demand" }).to_owned(),
            Self::Cpu => share(entry, |amounts| Cpu(amounts.cpu_millicores / 100 * 100).to_string()),
            Self::Memory => share(entry, |amounts| (amounts.memory_bytes >> 30).to_string() + "Gi"),
            Self::Running => number(entry.jobs_running),
            Self::Waiting => number(entry.jobs_waiting),
        }
    }
}

/// Returns how much is requested of what there is: `3.1/7.8`.
fn share(entry: &NodeGroupEntry, written: impl Fn(&Amounts) -> String) -> String {
    let part = |amounts: &Option<Amounts>| amounts.as_ref().map_or_else(|| UNKNOWN.to_owned(), &written);
    format!("{}/{}", part(&entry.requests), part(&entry.allocatable))
}
