//! Names of proposed sizes: short, telling, each once.

use std::collections::BTreeSet;

use super::{ProposedSize, Wishes};
use crate::model::{instance_map::PLACEMENT_KEY, settings::value};

/// What separates the words of a name.
const SEPARATORS: [char; 3] = ['-', '_', '.'];

/// Gives every size its name: the wished one, the one that its label says, else what its group's name does not share with the others.
pub(super) fn name(sizes: &mut [ProposedSize], wishes: &Wishes) {
    let groups: Vec<String> = sizes.iter().map(group).collect();
    let shared = shared_words(&groups);
    let mut taken: BTreeSet<String> = wishes.known_names.iter().cloned().collect();
    for (size, group) in sizes.iter_mut().zip(&groups) {
        let own = size.node_groups.iter().chain(&size.node_pool).find_map(|group| wishes.names.get(group)).cloned();
        let labelled = || size.node_selector.get(PLACEMENT_KEY).cloned();
        let name = own.or_else(labelled).unwrap_or_else(|| rest(group, shared, size.node_groups.len() > 1));
        let name = if value::size_name(&name).is_ok() { name } else { group.clone() };
        size.name = unique(name, &mut taken);
    }
}

/// Returns the name of a size's first group.
fn group(size: &ProposedSize) -> String {
    size.node_groups.first().or(size.node_pool.as_ref()).cloned().unwrap_or_default()
}

/// Returns how many words all names begin with; a name never loses its last one.
fn shared_words(names: &[String]) -> usize {
    let [first, others @ ..] = names else { return 0 };
    if others.is_empty() {
        return 0;
    }
    let words: Vec<&str> = first.split(SEPARATORS).collect();
    let shared = |name: &String| words.iter().zip(name.split(SEPARATORS)).take_while(|(one, other)| *one == other).count();
    let least = names.iter().map(|name| name.split(SEPARATORS).count() - 1).min().unwrap_or(0);
    others.iter().map(shared).min().unwrap_or(0).min(least)
}

/// Returns a name without the words that all share, and without the zone that tells groups of one size apart.
fn rest(name: &str, shared: usize, zonal: bool) -> String {
    let mut rest = name;
    for _ in 0..shared {
        rest = rest.split_once(SEPARATORS).map_or(rest, |(_, rest)| rest);
    }
    let without_zone = rest.rsplit_once(SEPARATORS).map_or(rest, |(rest, _)| rest);
    if zonal { without_zone.to_owned() } else { rest.to_owned() }
}

fn unique(name: String, taken: &mut BTreeSet<String>) -> String {
    let free = (2..).map(|number| format!("{name}-{number}"));
    let found = std::iter::once(name.clone()).chain(free).find(|name| !taken.contains(name)).unwrap_or(name);
    taken.insert(found.clone());
    found
}
