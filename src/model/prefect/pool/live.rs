//! A work pool as it is, and what makes it what it should be.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    Choices, OnReclaim, PoolPlan,
    merge::{Difference, Merged, merge},
    reading, size_key,
};
use crate::model::{identity::SizeName, suggestion};

/// A work pool as the server has it.
#[derive(Debug, Clone, PartialEq)]
pub struct LivePool {
    /// Its type, such as `kubernetes`.
    pub kind: String,
    /// Its base job template.
    pub template: Value,
    /// The block that holds what its sizes come to; none when sbrun did not make it.
    pub block: Option<LiveBlock>,
}

/// The block of a pool as the server has it.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveBlock {
    /// Its id.
    pub id: String,
    /// What each size comes to.
    pub sizes: Map<String, Value>,
    /// The template that sbrun wrote last.
    pub written: Option<Value>,
}

/// Who launches runs in a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// What it is: `deployment`, `scheduled run`.
    pub what: &'static str,
    /// Its name.
    pub name: String,
    /// The size that it asks for; none takes the pool's default.
    pub size: Option<String>,
}

/// How edits count that people made in the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edits {
    /// All stay; one that is at odds with the map is a conflict.
    Kept,
    /// All stay but those that are at odds with the map.
    Overwritten,
    /// None stays.
    Discarded,
}

/// What an update writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The template to write.
    pub template: Value,
    /// What each size comes to.
    pub sizes: Map<String, Value>,
    /// Edits of people that stay.
    pub kept: Vec<Difference>,
    /// Edits of people at odds with the map, that nobody settled.
    pub conflicts: Vec<Difference>,
    /// Whether the template changes.
    pub changes_template: bool,
    /// Whether what sizes come to changes.
    pub changes_sizes: bool,
    /// Whether only sbrun's own memory of what it wrote has to change.
    pub is_noted: bool,
}

impl LivePool {
    /// Returns the template that sbrun wrote last.
    #[must_use]
    pub fn written(&self) -> Option<&Value> {
        self.block.as_ref().and_then(|block| block.written.as_ref())
    }

    /// Returns the sizes that the pool offers, and of which nothing says what they come to: each of their runs would crash.
    #[must_use]
    pub fn unknown_sizes(&self) -> Vec<&str> {
        let known = |size: &str| self.block.as_ref().is_some_and(|block| block.sizes.contains_key(&size_key(size)));
        reading::sizes(&self.template).into_iter().filter(|size| !known(size)).collect()
    }

    /// Returns what the pool says that the map does not: as sbrun wrote it, else as it is; none where nothing says what becomes of a
    /// reclaimed run.
    #[must_use]
    pub fn choices(&self) -> (Option<SizeName>, Option<OnReclaim>) {
        let template = self.written().unwrap_or(&self.template);
        (reading::default_size(template).map(|size| SizeName(size.to_owned())), reading::on_reclaim(template))
    }

    /// Returns the choices to plan with: what was asked for, else what the pool has; none when nothing says what becomes of a reclaimed run.
    #[must_use]
    pub fn chosen(&self, default_size: Option<Option<SizeName>>, on_reclaim: Option<OnReclaim>) -> Option<Choices> {
        let (of_pool, reclaim) = self.choices();
        Some(Choices { default_size: default_size.unwrap_or(of_pool), on_reclaim: on_reclaim.or(reclaim)? })
    }

    /// Returns what makes the pool what it should be.
    #[must_use]
    pub fn update(&self, plan: &PoolPlan, edits: Edits) -> Update {
        let Merged { mut template, kept, mut conflicts } = match edits {
            Edits::Discarded => Merged { template: plan.template.clone(), kept: Vec::new(), conflicts: Vec::new() },
            Edits::Kept | Edits::Overwritten => merge(self.written(), &self.template, &plan.template),
        };
        // A default that somebody chose by hand may be a size that goes.
        if let Some(default) = reading::default_size(&template).filter(|default| !reading::sizes(&template).contains(default)) {
            let wanted = plan.template.pointer("/variables/properties/size/default").cloned();
            let path = "variables.properties.size.default".to_owned();
            conflicts.push(Difference { path, there: Some(default.into()), wanted: wanted.clone() });
            if let Some(size) = template.pointer_mut("/variables/properties/size").and_then(Value::as_object_mut) {
                size.remove("default");
                size.extend(wanted.map(|wanted| ("default".to_owned(), wanted)));
            }
        }
        if edits == Edits::Overwritten {
            conflicts.clear();
        }
        let live_sizes = self.block.as_ref().map(|block| &block.sizes);
        Update {
            changes_template: template != self.template,
            changes_sizes: live_sizes != Some(&plan.sizes),
            is_noted: self.written() == Some(&plan.template),
            template,
            sizes: plan.sizes.clone(),
            kept,
            conflicts,
        }
    }
}

impl Update {
    /// Returns whether runs would be the same afterwards.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.changes_template && !self.changes_sizes
    }

    /// Returns who could not launch runs any more, in sentences: users of sizes that go, and users of a default that goes.
    #[must_use]
    pub fn stranded(&self, live: &LivePool, users: &[User]) -> Vec<String> {
        let offered: BTreeSet<&str> = reading::sizes(&self.template).into_iter().collect();
        let without_default = reading::default_size(&live.template).is_some() && reading::default_size(&self.template).is_none();
        let words = |user: &User| match &user.size {
            Some(size) if !offered.contains(size.as_str()) => Some(format!("{} `{}` asks for size `{size}`, which would go", user.what, user.name)),
            None if without_default => Some(format!("{} `{}` names no size, and there would be no default", user.what, user.name)),
            _ => None,
        };
        users.iter().filter_map(words).collect()
    }

    /// Returns whether anything is taken away that somebody may rely on.
    #[must_use]
    pub fn shrinks(&self, live: &LivePool) -> bool {
        let offered = reading::sizes(&self.template);
        let default_goes = reading::default_size(&live.template).is_some() && reading::default_size(&self.template).is_none();
        default_goes || reading::sizes(&live.template).iter().any(|size| !offered.contains(size))
    }

    /// Returns what sizes have to come to while the template is being replaced: the old one and the new one both hold.
    #[must_use]
    pub fn sizes_meanwhile(&self, live: &LivePool) -> Map<String, Value> {
        let mut sizes = live.block.as_ref().map(|block| block.sizes.clone()).unwrap_or_default();
        for (name, next) in &self.sizes {
            match (sizes.get_mut(name), next) {
                // What the old template looks up must be there until it goes.
                (Some(Value::Object(known)), Value::Object(next)) => known.extend(next.clone()),
                _ => drop(sizes.insert(name.clone(), next.clone())),
            }
        }
        sizes
    }
}

/// Returns why a pool cannot become one of the map: a worker of another kind takes its runs.
#[must_use]
pub fn wrong_kind(name: &str, live: &LivePool) -> Option<String> {
    (live.kind != "kubernetes").then(|| format!("work pool `{name}` is of type `{}`, and sizes need one of type `kubernetes`", live.kind))
}

/// Returns differences as people read them, at most so many.
#[must_use]
pub fn paths(differences: &[Difference]) -> String {
    suggestion::listed(differences.iter().map(|difference| difference.path.as_str()))
}
