//! `sbrun init`: makes an instance map of the node groups that are there, or adds those that a map lacks.

mod ask;
mod look;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use self::look::{Look, Place};
use super::context::Context;
use crate::{
    error::{Error, Result},
    model::{
        exit_code::ExitCode,
        identity::SizeName,
        instance_map::InstanceMap,
        proposal::{Frame, Proposal, ProposedSize, Wishes, added_to, new_map, propose},
        settings::value,
    },
    output::{
        diff,
        format::SCHEMA,
        manual,
        ui::{Format, Ui},
        wording,
    },
    store::map_file,
};

/// Arguments of `sbrun init`.
#[derive(Debug, Args)]
#[command(after_long_help = manual::init())]
pub struct InitArgs {
    /// Node group or node pool to make a size of (can be repeated) [default: all that rest at 0]
    #[arg(short, long = "group", value_name = "NAME", help_heading = "What belongs into it")]
    pub groups: Vec<String>,
    /// Name of the size of a group (can be repeated)
    #[arg(long = "name", value_name = "GROUP=SIZE", value_parser = naming, help_heading = "What belongs into it")]
    pub names: Vec<(String, SizeName)>,
    /// Container image for all sizes
    #[arg(long, value_name = "IMAGE", value_parser = image, help_heading = "What belongs into it")]
    pub image: Option<String>,
    /// AWS region of the groups
    #[arg(long, value_name = "REGION", help_heading = "Where to look")]
    pub region: Option<String>,
    /// Name of the EKS cluster
    #[arg(long, value_name = "NAME", help_heading = "Where to look")]
    pub cluster: Option<String>,
    /// Print the map instead of writing it
    #[arg(long, help_heading = "Where it goes")]
    pub print: bool,
    /// Make the map anew instead of adding to it
    #[arg(long, help_heading = "Where it goes")]
    pub from_scratch: bool,
}

fn naming(text: &str) -> Result<(String, SizeName), String> {
    let (group, name) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`; write it like `flows-xlarge=xlarge`"))?;
    Ok((group.to_owned(), value::size_name(name)?))
}

fn image(text: &str) -> Result<String, String> {
    value::image(text)
}

/// What became of it, as a document.
#[derive(Debug, Serialize)]
struct Outcome {
    schema: u32,
    file: String,
    written: bool,
    sizes: Vec<String>,
    left_out: Vec<LeftOut>,
    unknown: Vec<String>,
    map: String,
    diff: String,
}

/// A group that is no size, as a document.
#[derive(Debug, Serialize)]
struct LeftOut {
    node_group: String,
    reason: String,
}

/// The map that is there, if any.
struct Existing {
    text: String,
    map: InstanceMap,
}

/// Proposes an instance map, shows how it differs from the one that is there, and writes it once somebody has agreed.
pub async fn init(arguments: &InitArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let path = target(context);
    let existing = existing(&path, arguments.from_scratch, context)?;
    ui.progress("looking for node groups");
    let look = Look::new(arguments, existing.as_ref().map(|existing| &existing.map), context).await;
    ui.clear_progress();
    let look = look?;
    for sentence in &look.unknown {
        ui.warning(sentence);
    }
    let mut wishes = Wishes {
        groups: arguments.groups.clone(),
        names: arguments.names.iter().map(|(group, name)| (group.clone(), name.0.clone())).collect(),
        ..Wishes::default()
    };
    if let Some(Existing { map, .. }) = &existing {
        let groups = map.sizes.iter().flat_map(|size| size.node_groups.iter().chain(&size.node_pool));
        wishes.known_groups = groups.map(|group| group.value.clone()).collect();
        wishes.known_names = map.sizes.iter().map(|size| size.name.0.clone()).collect();
    }
    let mut frame = frame(arguments, &look.place);
    let asks = ui.can_prompt() && !context.global.yes && ui.format() == Format::Table && !arguments.print;
    let proposal = if asks { ask::proposal(&look.seen, wishes, existing.is_none().then_some(&mut frame), ui)? } else { propose(&look.seen, &wishes) };
    check_groups(arguments, &proposal)?;
    tell_left_out(&proposal, ui);
    if proposal.sizes.is_empty() {
        return nothing(existing.is_some(), &look, ui);
    }
    let known: Vec<String> = proposal.sizes.iter().filter(|size| size.room.is_some()).map(|size| size.name.clone()).collect();
    if known.is_empty() {
        return Err(unknown_machines(&frame, &proposal.sizes));
    }
    for size in proposal.sizes.iter().filter(|size| size.room.is_none()) {
        let name = &size.name;
        ui.warning(&format!("nothing is known of the machines of size `{name}`: it is a comment until somebody writes its `instance_type`"));
    }
    let text = match &existing {
        None => new_map(&frame, &proposal.sizes),
        Some(existing) => added_to(&existing.text, &proposal.sizes).ok_or_else(|| cannot_add(&path, &frame, &proposal.sizes))?,
    };
    check_text(&text, &path, context)?;
    let old = map_file::text(&path, &context.environment)?;
    let shown = path.display().to_string();
    let mut outcome = Outcome {
        schema: SCHEMA,
        diff: diff::unified(&shown, old.as_deref(), Some(&text)),
        file: shown,
        written: false,
        sizes: known,
        left_out: proposal.left_out.into_iter().map(|(node_group, reason)| LeftOut { node_group, reason }).collect(),
        unknown: look.unknown,
        map: text,
    };
    if !arguments.print {
        outcome.written = write(&outcome, old.is_some(), &path, context, ui)?;
    }
    show(&outcome, arguments.print, ui)?;
    Ok(if arguments.print || outcome.written { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the file: of `--map`, of `$SBRUN_MAP`, else here.
fn target(context: &Context) -> PathBuf {
    let named = context.global.map.clone().or_else(|| context.environment.get("SBRUN_MAP").map(PathBuf::from));
    named.unwrap_or_else(|| PathBuf::from(crate::model::instance_map::FILE_NAME))
}

/// A map with problems must not be made worse: it is refused, unless it is to be made anew.
fn existing(path: &Path, from_scratch: bool, context: &Context) -> Result<Option<Existing>> {
    let Some(text) = map_file::text(path, &context.environment)?.filter(|_| !from_scratch) else { return Ok(None) };
    let found =
        map_file::find(Some(path), &context.environment).map_err(|error| error.hinted("mend it first, or pass `--from-scratch` to make it anew"))?;
    Ok(found.map(|found| Existing { text, map: found.map }))
}

fn frame(arguments: &InitArgs, place: &Place) -> Frame {
    let Place { server, namespace, region, cluster } = place;
    Frame { server: server.clone(), namespace: namespace.clone(), region: region.clone(), cluster: cluster.clone(), image: arguments.image.clone() }
}

/// A group that somebody asked for, or gave a name, and that is not there is an error, never a shorter map.
fn check_groups(arguments: &InitArgs, proposal: &Proposal) -> Result<()> {
    let taken = |group: &&String| proposal.sizes.iter().any(|size| size.node_groups.contains(group) || size.node_pool.as_ref() == Some(group));
    let mut wanted = arguments.groups.iter().chain(arguments.names.iter().map(|(group, _)| group));
    let Some(group) = wanted.find(|group| !taken(group)) else { return Ok(()) };
    let reason = proposal.left_out.iter().find(|(name, _)| name == group).map(|(_, reason)| reason.as_str());
    let others = proposal.left_out.iter().map(|(name, _)| name.as_str());
    let meant = crate::model::suggestion::closest(group, others).map(|meant| format!("did you mean `{meant}`?"));
    let why = reason.unwrap_or("there is none of this name");
    Err(Error::rejected(format!("no size can be made of node group `{group}`: {why}")).with_hints(meant))
}

fn tell_left_out(proposal: &Proposal, ui: &mut Ui) {
    for (group, reason) in proposal.left_out.iter().filter(|(_, reason)| !reason.contains("not asked for")) {
        ui.status(&format!("left out: node group {group}: {reason}"));
    }
}

fn nothing(is_complete: bool, look: &Look, ui: &mut Ui) -> Result<ExitCode> {
    if is_complete {
        ui.status("the map has a size for every node group that rests at 0: there is nothing to add");
        return Ok(ExitCode::SUCCESS);
    }
    let error = Error::rejected("no node group was found that a size could be made of")
        .hinted("name one with `--group`, also one that does not rest at 0")
        .hinted("or write the map by hand: docs/instance-map.md");
    Err(if look.unknown.is_empty() { error } else { error.caused_by_all(look.unknown.clone()) })
}

/// A map without a size cannot be read: groups at 0 whose machines neither account nor nodes tell make none.
fn unknown_machines(frame: &Frame, sizes: &[ProposedSize]) -> Error {
    Error::rejected("no size can be made: nothing tells what machines the node groups start")
        .hinted("run this again while a machine of the group is there: `sbrun nodes` shows when")
        .hinted(format!("or write the map yourself, with the `instance_type` of each size:\n{}", new_map(frame, sizes).trim_end()))
}

fn cannot_add(path: &Path, frame: &Frame, sizes: &[ProposedSize]) -> Error {
    let whole = new_map(frame, sizes);
    let added = whole.split_once("sizes:\n").map_or(whole.as_str(), |(_, sizes)| sizes);
    Error::rejected(format!("the sizes of `{}` are not written line by line, so none can be added to them", path.display()))
        .hinted(format!("write these under `sizes` yourself:\n{}", added.trim_end()))
        .hinted("or pass `--from-scratch` to make the map anew")
}

/// What is written can be read: anything else is a bug.
fn check_text(text: &str, path: &Path, context: &Context) -> Result<()> {
    map_file::parse_text(text, path, &context.environment).map(drop).map_err(|error| {
        let causes = error.causes();
        Error::internal("the proposed map cannot be read back").caused_by_all(causes)
    })
}

/// Shows the difference, asks, and writes. An existing file is never overwritten without a yes; a new one needs none.
fn write(outcome: &Outcome, exists: bool, path: &Path, context: &Context, ui: &mut Ui) -> Result<bool> {
    if outcome.diff.is_empty() {
        return Ok(true);
    }
    if exists {
        ui.status(&diff::painted(&outcome.diff, ui.painter()));
        if !ui.confirm(&format!("Write {} to {}?", wording::count(outcome.sizes.len(), "size"), outcome.file))? {
            return Ok(false);
        }
    }
    map_file::write(path, &outcome.map, &context.environment)?;
    Ok(true)
}

fn show(outcome: &Outcome, print: bool, ui: &mut Ui) -> Result<()> {
    let map = outcome.map.trim_end().to_owned();
    let names = || if print { outcome.sizes.clone() } else { vec![outcome.file.clone()] };
    ui.show(outcome, |_| if print { map } else { String::new() }, names)?;
    if print || !ui.is_for_people() {
        return Ok(());
    }
    if !outcome.written {
        ui.status(&format!("{} is as it was", outcome.file));
        return Ok(());
    }
    let sizes: Vec<String> = outcome.sizes.iter().map(|name| format!("`{name}`")).collect();
    ui.status(&format!("{} has {} {}", outcome.file, if sizes.len() == 1 { "the size" } else { "the sizes" }, wording::list(&sizes)));
    ui.status("├─ look      sbrun sizes\n└─ check     sbrun doctor");
    Ok(())
}
