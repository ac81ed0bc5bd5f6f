//! A proposal as the text of an instance map, with comments for whoever reads it next.

use std::collections::BTreeMap;

use super::{ProposedSize, Room};
use crate::model::{
    launch_plan::Toleration,
    yaml::{self, Value},
};

/// What a map says besides its sizes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Address of the API server.
    pub server: Option<String>,
    /// Namespace of the jobs.
    pub namespace: Option<String>,
    /// AWS region.
    pub region: Option<String>,
    /// Name of the EKS cluster.
    pub cluster: Option<String>,
    /// Container image.
    pub image: Option<String>,
}

/// Returns the text of a new map.
#[must_use]
pub fn new_map(frame: &Frame, sizes: &[ProposedSize]) -> String {
    let Frame { server, namespace, region, cluster, image } = frame;
    let mut text = "# Which size of job runs on which machines. docs/instance-map.md says what else can stand here.\nversion: 1\n".to_owned();
    let cluster: Vec<(&str, &String)> = [("server", server), ("namespace", namespace), ("region", region), ("name", cluster)]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.as_ref()?)))
        .collect();
    if !cluster.is_empty() {
        text += "cluster:\n";
        text.extend(cluster.into_iter().map(|(key, value)| format!("  {key}: {}\n", scalar(value))));
    }
    text += "defaults:\n";
    let image = image.as_ref().map(|image| format!("  image: {}\n", scalar(image)));
    let none = "  # image: registry.example/flows:1    # without one every `submit` needs `--image`\n";
    text + image.as_deref().unwrap_or(none) + "sizes:\n" + &sizes.iter().map(size_text).collect::<String>()
}

/// Returns the text of a map with more sizes at the end of its own, else nothing: where its `sizes` are not written line by line.
#[must_use]
pub fn added_to(text: &str, sizes: &[ProposedSize]) -> Option<String> {
    let document = yaml::parse(text).ok()??;
    let Value::Mapping(entries) = &document.value else { return None };
    let at = entries.iter().position(|(key, _)| key.text == "sizes")?;
    let Value::Mapping(own) = &entries[at].1.value else { return None };
    let (first, _) = own.first()?;
    let lines: Vec<&str> = text.lines().collect();
    // The first size stands on a line of its own, as deep as further ones have to.
    let line = lines.get(first.position.line.checked_sub(1)?)?;
    let depth = line.len() - line.trim_start().len();
    if depth == 0 || !line.trim_start().starts_with(first.text.as_str()) {
        return None;
    }
    let end = entries.get(at + 1).map_or(lines.len(), |(key, _)| key.position.line - 1);
    // Comments before the next key belong to that.
    let trailing = lines[..end].iter().rev().take_while(|line| line.trim().is_empty() || line.starts_with('#')).count();
    let (before, after) = lines.split_at(end - trailing);
    let indent = " ".repeat(depth);
    let indented = |line: &str| format!("{indent}{}\n", line.strip_prefix("  ").unwrap_or(line));
    let added: String = sizes.iter().flat_map(|size| size_text(size).lines().map(indented).collect::<Vec<_>>()).collect();
    let joined = |lines: &[&str]| lines.iter().flat_map(|line| [*line, "\n"]).collect::<String>();
    Some(joined(before) + &added + &joined(after))
}

/// Returns one size, two columns deep; one of which too little is known is a comment.
fn size_text(size: &ProposedSize) -> String {
    let ProposedSize { name, node_groups, node_pool, instance_types, room, spot, fallback, node_selector, tolerations, notes } = size;
    let mut lines: Vec<String> = notes.iter().map(|note| format!("# {note}")).collect();
    match node_groups.as_slice() {
        [] => {}
        [only] => lines.push(format!("node_group: {}", scalar(only))),
        several => lines.push(format!("node_groups: {}", list(several))),
    }
    lines.extend(node_pool.iter().map(|pool| format!("node_pool: {}", scalar(pool))));
    match instance_types.as_slice() {
        [] => {}
        [only] => lines.push(format!("instance_type: {}", scalar(only))),
        several => lines.push(format!("instance_types: {}", list(several))),
    }
    if let Some(Room { footprint, origin }) = room {
        let (cpu, memory) = (footprint.cpu.to_kubernetes(), footprint.memory.to_kubernetes());
        lines.push(format!("footprint: {{cpu: {cpu}, memory: {memory}}}    # {origin}"));
        if footprint.gpu > 0 {
            lines.push(format!("gpu: {}", footprint.gpu));
        }
    }
    lines.extend(spot.map(|spot| format!("spot: {spot}")));
    lines.extend(fallback.iter().map(|fallback| format!("fallback: {}", scalar(fallback))));
    lines.push(format!("node_selector: {}", mapping(node_selector)));
    lines.push(format!("tolerations: [{}]", tolerations.iter().map(toleration).collect::<Vec<_>>().join(", ")));
    let comment = if room.is_none() { "# " } else { "" };
    let body: String = lines.iter().flat_map(|line| ["  ", comment, "  ", line, "\n"]).collect();
    format!("  {comment}{}:\n{body}", scalar(name))
}

fn list(values: &[String]) -> String {
    format!("[{}]", values.iter().map(|value| scalar(value)).collect::<Vec<_>>().join(", "))
}

fn mapping(values: &BTreeMap<String, String>) -> String {
    format!("{{{}}}", values.iter().map(|(key, value)| format!("{}: {}", scalar(key), scalar(value))).collect::<Vec<_>>().join(", "))
}

fn toleration(toleration: &Toleration) -> String {
    let Toleration { key, operator, value, effect } = toleration;
    let fields = [("key", key), ("operator", operator), ("value", value), ("effect", effect)];
    let fields = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", scalar(value.as_ref()?))));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
}

/// Returns a text as YAML reads it back: as it is where that is safe, else quoted. Our own reader takes scalars as written, but others
/// take `true`, `1.10` and `null` for something else.
fn scalar(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:@".contains(character);
    let word = text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.chars().all(plain) && !text.ends_with(':');
    let reserved = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if word && !reserved { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
