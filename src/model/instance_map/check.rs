//! What only shows when all sizes are seen together.

use std::collections::{BTreeMap, BTreeSet};

use super::{Located, SizeProfile, fields::Reader};
use crate::model::suggestion;

impl Reader<'_> {
    pub(super) fn check_together(&mut self, sizes: &[SizeProfile]) {
        self.check_groups(sizes);
        self.check_fallbacks(sizes);
    }

    /// Sizes that share a group must mean the same machines, and must tell their jobs apart by selectors of their own:
    /// the label `sbrun.dev/size` of a node can only name one of them.
    fn check_groups(&mut self, sizes: &[SizeProfile]) {
        let mut firsts: BTreeMap<(&str, &str), &SizeProfile> = BTreeMap::new();
        let mut without_selector: BTreeSet<&str> = BTreeSet::new();
        for size in sizes {
            let groups = size.node_groups.iter().map(|group| (group, "node_group")).chain(size.node_pool.iter().map(|pool| (pool, "node_pool")));
            for (group, key) in groups {
                let Some(first) = firsts.get(&(key, group.value.as_str())) else {
                    firsts.insert((key, &group.value), size);
                    continue;
                };
                if first.name == size.name {
                    self.problem(group.place.position, &format!("sizes.{}.{key}s", size.name), format!("`{}` is there twice", group.value));
                    continue;
                }
                if types(first) != types(size) {
                    let message = format!("`{}` also belongs to size `{}`, which has other machines", group.value, first.name);
                    self.problem(group.place.position, &format!("sizes.{}.{key}", size.name), message);
                }
                for one in [*first, size] {
                    let has_selector = one.node_selector.as_ref().is_some_and(|selector| !selector.is_empty());
                    if !has_selector && without_selector.insert(&one.name.0) {
                        let other = if one.name == size.name { &first.name } else { &size.name };
                        let message =
                            format!("shares `{}` with size `{other}`, so it needs a `node_selector` that the group's nodes have", group.value);
                        self.problem(one.place.position, &format!("sizes.{}", one.name), message);
                    }
                }
            }
        }
    }

    fn check_fallbacks(&mut self, sizes: &[SizeProfile]) {
        let names = || sizes.iter().map(|size| size.name.0.as_str());
        let fallback_of = |name: &str| sizes.iter().find(|size| size.name.0 == name).and_then(|size| size.fallback.as_ref());
        let mut reported: BTreeSet<&str> = BTreeSet::new();
        for size in sizes {
            let Some(fallback) = &size.fallback else { continue };
            let key = format!("sizes.{}.fallback", size.name);
            if !names().any(|name| name == fallback.value.0) {
                self.problem(fallback.place.position, &key, format!("there is no size `{}`", fallback.value));
                let meant = suggestion::closest(&fallback.value.0, names().filter(|name| *name != size.name.0));
                self.suggest(meant.map(ToOwned::to_owned));
                continue;
            }
            let mut chain: Vec<&str> = vec![&size.name.0];
            let mut next: Option<&Located<_>> = Some(fallback);
            while let Some(fallback) = next {
                let name = fallback.value.0.as_str();
                let again = chain.contains(&name);
                chain.push(name);
                if again {
                    break;
                }
                next = fallback_of(name);
            }
            // A chain that only leads into a circle is not the circle itself.
            if chain.len() > 1 && chain.last() == chain.first() && !chain.iter().any(|name| reported.contains(name)) {
                reported.extend(&chain);
                self.problem(fallback.place.position, &key, format!("goes round in a circle: {}", chain.join(" → ")));
            }
        }
    }
}

fn types(size: &SizeProfile) -> BTreeSet<&str> {
    size.instance_types.iter().map(|name| name.value.as_str()).collect()
}
