//! The questions of `init`, for whoever sits at a terminal.

use crate::{
    error::{Error, Result},
    model::{
        proposal::{Frame, Proposal, ProposedSize, Seen, Wishes, propose},
        settings::value,
    },
    output::{prompt, ui::Ui},
};

/// Asks which groups become sizes, what those are called, and for the image of a new map.
pub(super) fn proposal(seen: &Seen, mut wishes: Wishes, frame: Option<&mut Frame>, ui: &mut Ui) -> Result<Proposal> {
    ui.clear_progress();
    let proposal = propose(seen, &wishes);
    let has_flags = !wishes.groups.is_empty();
    if !has_flags && proposal.sizes.len() + proposal.left_out.len() > 0 {
        wishes.groups = groups(&proposal, &wishes)?;
        if wishes.groups.is_empty() {
            return Ok(Proposal { sizes: Vec::new(), left_out: proposal.left_out });
        }
    }
    let proposal = propose(seen, &wishes);
    for size in &proposal.sizes {
        let Some(group) = size.node_groups.first().or(size.node_pool.as_ref()).filter(|group| !wishes.names.contains_key(*group)) else { continue };
        let question = format!("Name of the size of {}", words(size));
        let name = prompt::text(&question, &size.name, |text| value::size_name(text).map(drop)).ok_or_else(left)?;
        wishes.names.insert(group.clone(), name);
    }
    if let Some(frame) = frame.filter(|frame| frame.image.is_none()) {
        let accept = |text: &str| if text.is_empty() { Ok(()) } else { value::image(text).map(drop) };
        let image = prompt::text("Container image for all sizes (none for now: Enter)", "", accept).ok_or_else(left)?;
        frame.image = Some(image).filter(|image| !image.is_empty());
    }
    Ok(propose(seen, &wishes))
}

/// Returns the chosen groups; those that would be taken without a question are marked.
fn groups(proposal: &Proposal, wishes: &Wishes) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    for size in &proposal.sizes {
        for group in size.node_groups.iter().chain(&size.node_pool) {
            names.push(group.clone());
            lines.push(words(size));
        }
    }
    let marked = names.len();
    for (group, reason) in proposal.left_out.iter().filter(|(group, _)| !wishes.known_groups.contains(group)) {
        names.push(group.clone());
        lines.push(format!("{group}  ({reason})"));
    }
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let chosen: Vec<bool> = (0..names.len()).map(|index| index < marked).collect();
    let chosen = prompt::choose_some("Node groups to make sizes of (Space marks, Enter takes)", &lines, &chosen).ok_or_else(left)?;
    Ok(chosen.into_iter().filter_map(|index| names.get(index).cloned()).collect())
}

/// Returns a size in a line: ``flows-xlarge (m5.xlarge spot, 3.92 CPUs, 13.8 GiB)``.
fn words(size: &ProposedSize) -> String {
    let groups = size.node_groups.iter().chain(&size.node_pool).map(String::as_str).collect::<Vec<_>>().join(", ");
    let machine = size.instance_types.first().map(|name| format!("{name}{}", if size.spot == Some(true) { " spot" } else { "" }));
    let room = size.room.as_ref().map(|room| format!("{} CPUs, {}", room.footprint.cpu, room.footprint.memory));
    let facts: Vec<String> = machine.into_iter().chain(room).collect();
    if facts.is_empty() { groups } else { format!("{groups} ({})", facts.join(", ")) }
}

fn left() -> Error {
    Error::failed("no answer: nothing was written").hinted("flags answer all questions: sbrun init --help")
}
