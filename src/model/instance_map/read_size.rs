//! From one entry of `sizes` to a size profile.

use std::collections::BTreeMap;

use super::{
    Defaults, GivenFootprint, Located, SizeProfile,
    fields::{Field, Fields, Reader},
};
use crate::model::{
    footprint::Allocatable,
    identity::SizeName,
    instance_type::InstanceType,
    launch_plan::Toleration,
    quantity::{Cpu, Memory},
    settings::value,
};

/// More jobs than this on one machine are a typing error: EKS nodes take 110 pods unless told otherwise.
const MOST_JOBS: u32 = 110;

impl Reader<'_> {
    /// Reads all sizes, and what only shows when they are seen together.
    pub(super) fn sizes(&mut self, field: &Field<'_>, defaults: &Defaults) -> Vec<SizeProfile> {
        let before = self.problems.len();
        let mut fields = self.fields(field);
        let entries = fields.take_all();
        if entries.is_empty() && self.problems.len() == before {
            self.problem(field.position, &field.path, "there is no size; write at least one");
        }
        let mut sizes = Vec::new();
        for (key, field) in entries {
            if let Err(message) = value::size_name(&key.text) {
                self.problem(key.position, &field.path, message);
            }
            self.section = format!("size {}", key.text).into();
            sizes.push(self.size(SizeName(key.text.clone()), &field, defaults));
        }
        self.check_together(&sizes);
        sizes
    }

    fn size(&mut self, name: SizeName, field: &Field<'_>, defaults: &Defaults) -> SizeProfile {
        let before = self.problems.len();
        let mut fields = self.fields(field);
        let size = SizeProfile {
            name,
            place: self.place(field.position),
            description: self.parsed(fields.take("description"), value::text).map(|located| located.value),
            node_groups: self.one_or_more(&mut fields, "node_group", "node_groups"),
            node_pool: self.parsed(fields.take("node_pool"), value::object_name),
            instance_types: self.one_or_more(&mut fields, "instance_type", "instance_types"),
            footprint: self.given_footprint(fields.take("footprint")),
            jobs_per_node: self.parsed(fields.take("jobs_per_node"), |text| count(text, 1, MOST_JOBS)),
            gpu: self.parsed(fields.take("gpu"), |text| count(text, 0, 64)),
            ephemeral_storage: self.parsed(fields.take("ephemeral_storage"), value::memory).map(|located| located.value),
            spot: self.truth(fields.take("spot")),
            price_per_hour: self.parsed(fields.take("price_per_hour"), price).map(|located| located.value),
            fallback: self.parsed(fields.take("fallback"), value::size_name),
            node_selector: self.node_selector(fields.take("node_selector")),
            tolerations: self.tolerations(fields.take("tolerations")),
            own: self.defaults(&mut fields),
        };
        self.finish(fields);
        // What is missing or does not fit is only clear when everything that is there could be read.
        let readable = self.problems.len() == before;
        self.check_machine(&size, field, defaults, readable);
        size
    }

    /// Reads a key for one value, and the key for several of them; both at once are a problem.
    fn one_or_more(&mut self, fields: &mut Fields<'_>, one: &'static str, more: &'static str) -> Vec<Located<String>> {
        let (single, several) = (fields.take(one), fields.take(more));
        if let (Some(_), Some(several)) = (&single, &several) {
            self.problem(several.position, &several.path, format!("`{one}` is there too; keep one of them"));
        }
        let mut values: Vec<_> = self.parsed(single, value::text).into_iter().collect();
        values.extend(self.list(several, value::text).unwrap_or_default());
        values
    }

    fn given_footprint(&mut self, field: Option<Field<'_>>) -> Option<Located<GivenFootprint>> {
        let field = field?;
        let mut fields = self.fields(&field);
        let (cpu_field, memory_field) = (fields.take("cpu"), fields.take("memory"));
        if cpu_field.is_none() || memory_field.is_none() {
            self.problem(field.position, &field.path, "needs `cpu` and `memory`, such as `{cpu: 1500m, memory: 6Gi}`");
        }
        let (cpu, memory) = (self.parsed(cpu_field, value::cpu), self.parsed(memory_field, value::memory));
        self.finish(fields);
        Some(Located { value: GivenFootprint { cpu: cpu?.value, memory: memory?.value }, place: self.place(field.position) })
    }

    fn node_selector(&mut self, field: Option<Field<'_>>) -> Option<BTreeMap<String, String>> {
        let texts = self.texts(field, value::label_key, value::label_value)?;
        Some(texts.into_iter().map(|(key, located)| (key, located.value)).collect())
    }

    fn tolerations(&mut self, field: Option<Field<'_>>) -> Option<Vec<Toleration>> {
        let items = self.items(&field?)?;
        Some(items.iter().map(|item| self.toleration(item)).collect())
    }

    fn toleration(&mut self, item: &Field<'_>) -> Toleration {
        let before = self.problems.len();
        let mut fields = self.fields(item);
        let one_of = |allowed: &'static [&'static str]| {
            move |text: &str| {
                if allowed.contains(&text) { Ok(text.to_owned()) } else { Err(format!("`{text}` is not one of {}", allowed.join(", "))) }
            }
        };
        let text = |located: Option<Located<String>>| located.map(|located| located.value);
        let toleration = Toleration {
            key: text(self.parsed(fields.take("key"), value::label_key)),
            operator: text(self.parsed(fields.take("operator"), one_of(&["Equal", "Exists"]))),
            value: text(self.parsed(fields.take("value"), value::label_value)),
            effect: text(self.parsed(fields.take("effect"), one_of(&["NoSchedule", "PreferNoSchedule", "NoExecute"]))),
        };
        self.finish(fields);
        if self.problems.len() == before {
            let exists = toleration.operator.as_deref() == Some("Exists");
            if exists && toleration.value.is_some() {
                self.problem(item.position, &item.path, "`operator: Exists` takes no `value`");
            } else if !exists && toleration.key.is_none() {
                self.problem(item.position, &item.path, "needs a `key`, or `operator: Exists` for every taint");
            }
        }
        toleration
    }

    /// Checks what a size says about its machine against what such a machine has.
    fn check_machine(&mut self, size: &SizeProfile, field: &Field<'_>, defaults: &Defaults, readable: bool) {
        if let (Some(footprint), Some(jobs)) = (&size.footprint, &size.jobs_per_node) {
            let message = format!("`footprint` in line {} is there too; keep one of them", footprint.place.position.line);
            self.problem(jobs.place.position, &format!("{}.jobs_per_node", field.path), message);
        }
        if let (Some(pool), [_, ..]) = (&size.node_pool, size.node_groups.as_slice()) {
            self.problem(pool.place.position, &format!("{}.node_pool", field.path), "a node group is there too; keep one of them");
        }
        let given = size.footprint.is_some();
        let unknown: Vec<_> = size.instance_types.iter().filter(|name| InstanceType::find(&name.value).is_none()).collect();
        // One known type does not help: the unknown one may be the smallest.
        for name in &unknown {
            let position = name.place.position;
            let key = format!("{}.instance_type", field.path);
            let meant = InstanceType::suggestion(&name.value).map(ToOwned::to_owned);
            let message = format!("unknown instance type `{}`", name.value);
            if given {
                self.warning(position, &key, message);
                if let Some(newest) = self.warnings.last_mut() {
                    newest.suggestion = meant;
                }
            } else {
                self.problem(position, &key, format!("{message}: give a `footprint`, since none can be computed"));
                self.suggest(meant);
            }
        }
        if !readable || !unknown.is_empty() && !given {
            return;
        }
        if !given && size.instance_types.is_empty() {
            let message = "needs a `footprint` such as `{cpu: 1500m, memory: 6Gi}`, or an `instance_type` to compute it from";
            return self.problem(field.position, &field.path, message);
        }
        self.check_fit(size, field, defaults);
    }

    /// Checks that the footprint fits the machine: an error when it never can, a warning when it may not.
    fn check_fit(&mut self, size: &SizeProfile, field: &Field<'_>, defaults: &Defaults) {
        let (Some(safe), Some(most)) = (size.allocatable(), size.most_allocatable()) else { return };
        let footprint = size.footprint(defaults);
        let machine = suggested_machine(size);
        let (position, key) = match &size.footprint {
            Some(given) => (given.place.position, format!("{}.footprint", field.path)),
            None => (field.position, field.path.clone()),
        };
        if footprint.cpu.0 == 0 || footprint.memory.0 == 0 {
            return self.problem(position, &key, format!("nothing is left of {machine} for a job, after what is reserved"));
        }
        let sentence = |allocatable: &Allocatable, word: &str| {
            let shortfalls = footprint.shortfalls(allocatable);
            let texts: Vec<String> = shortfalls
                .iter()
                .map(|short| format!("{} are asked for, and {machine} {word} {} for pods", short.requested, short.allocatable))
                .collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        };
        if let Some(message) = sentence(&most, "never has more than") {
            return self.problem(position, &key, message);
        }
        let reserved = size.reserved(defaults);
        let free = Allocatable {
            cpu: Cpu(safe.cpu.0.saturating_sub(reserved.cpu.0)),
            memory: Memory(safe.memory.0.saturating_sub(reserved.memory.0)),
            ..safe
        };
        if let Some(message) = sentence(&free, "may have only") {
            self.warning(position, &key, format!("{message}, after what is reserved"));
        }
    }
}

/// Returns the machines of a size for a sentence.
fn suggested_machine(size: &SizeProfile) -> String {
    match size.instance_types.as_slice() {
        [only] => format!("`{}`", only.value),
        _ => "the smallest of its instance types".to_owned(),
    }
}

fn count(text: &str, least: u32, most: u32) -> Result<u32, String> {
    text.parse().ok().filter(|count| (least..=most).contains(count)).ok_or_else(|| format!("`{text}` is not a whole number from {least} to {most}"))
}

fn price(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|price: &f64| price.is_finite() && *price >= 0.0).ok_or_else(|| format!("`{text}` is not a price; write it like `0.42`"))
}
