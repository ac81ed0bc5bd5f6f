//! A work pool of Prefect, from the instance map: one base job template for all sizes.
//!
//! Sizes differ in node selector, tolerations and resources, and a template knows no expressions: `{{ size }}` can stand for the
//! name of a size and for nothing else. What differs is therefore looked up. `{{ prefect.blocks.sbrun-pool.<pool>.sizes.size-{{ size }}.resources }}`
//! is two placeholders, one in the other: the worker first puts the size in, and then finds that the text names a value of a block.
//! So a run gets all of its size from the UI, a schedule, the command line and CI alike, with nobody's help: whoever sets `size`, sets everything.
//!
//! Prefect Variables would be found in the same way, but their names have neither hyphens nor upper case, and sizes have (`xlarge-od`).
//! A block takes any size, is one document that changes at once, and a size that it does not have is an error of the run, where a
//! missing Variable is an empty text. Prefect does not document the look-up in two steps; tests with its server and worker hold it.
//!
//! What is the same for all sizes is written into the template itself, so that people can read it.

pub mod live;
pub mod merge;
mod pod;
pub mod reading;
mod rules;
mod template;
mod variables;

use serde_json::{Map, Value};

pub use self::{
    pod::credential,
    rules::{broken, hidden_retries, refused, two_owners},
};
use crate::model::{
    identity::{SizeName, label_value},
    instance_map::{InstanceMap, SizeProfile},
    suggestion,
};

/// Slug of the type of the blocks that hold what the sizes of a pool come to.
pub const BLOCK_TYPE: &str = "sbrun-pool";
/// Decides what a flow run does that is told to end (SIGTERM): a variable of its environment.
pub const ON_SIGTERM: &str = "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR";
/// Variable with the address of the API.
pub const API_URL: &str = "PREFECT_API_URL";
/// Variable with the key of Prefect Cloud.
pub const API_KEY: &str = "PREFECT_API_KEY";
/// Variable with `user:password` of a server of one's own.
pub const AUTH_STRING: &str = "PREFECT_API_AUTH_STRING";
/// Entry of the map's Secret with the key of Prefect Cloud: as Prefect's own chart names it.
pub const API_KEY_ENTRY: &str = "key";
/// Entry of the map's Secret with `user:password` of a server of one's own: as Prefect's own chart names it.
pub const AUTH_STRING_ENTRY: &str = "auth-string";

/// What becomes of a run whose machine is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnReclaim {
    /// Prefect starts it again on another machine, without a bound: the flow must bear to run twice.
    Reschedule,
    /// It is `Crashed`, and somebody decides.
    Crash,
}

impl OnReclaim {
    /// Returns the word of Prefect's setting, and of sbrun's flag.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reschedule => "reschedule",
            Self::Crash => "crash",
        }
    }

    /// Returns what this word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Reschedule, Self::Crash].into_iter().find(|one| one.as_str() == word)
    }
}

/// What the map does not say of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    /// The size of whoever names none; without one everybody has to.
    pub default_size: Option<SizeName>,
    /// What becomes of a run whose machine is taken away.
    pub on_reclaim: OnReclaim,
}

/// A work pool as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolPlan {
    /// Its name.
    pub name: String,
    /// Name of its block.
    pub block: String,
    /// Its base job template.
    pub template: Value,
    /// What each size comes to, by `size-<name>`.
    pub sizes: Map<String, Value>,
    /// What of the map no template can express, in sentences.
    pub warnings: Vec<String>,
}

/// Returns the name of the block of a pool.
#[must_use]
pub fn block_name(pool: &str) -> String {
    label_value(pool)
}

/// Returns the key of a size in the block. Without the prefix a size named `4` would be taken for a place in a list.
#[must_use]
pub fn size_key(size: &str) -> String {
    format!("size-{size}")
}

/// Returns the pool that a map describes, else everything that keeps it from being one.
///
/// `namespace` is where its runs become Jobs.
pub fn plan(map: &InstanceMap, name: &str, namespace: &str, choices: &Choices) -> Result<PoolPlan, Vec<String>> {
    let mut problems = obstacles(map, choices);
    let mut lookup = Lookup { map, block: block_name(name), sizes: Map::new() };
    let configuration = template::job_configuration(&mut lookup);
    let variables = variables::variables(map, namespace, choices, &configuration);
    problems.extend(strange_placeholders(&configuration, &variables));
    if !problems.is_empty() {
        return Err(problems);
    }
    let Lookup { block, sizes, .. } = lookup;
    let template = serde_json::json!({"job_configuration": configuration, "variables": variables});
    Ok(PoolPlan { name: name.to_owned(), block, template, sizes, warnings: warnings(map) })
}

/// Returns what keeps a map from becoming a pool.
fn obstacles(map: &InstanceMap, choices: &Choices) -> Vec<String> {
    let mut found = Vec::new();
    match &map.prefect.api_url {
        None => found.push("the map has no `prefect.api_url`: a run would not know where to report to".to_owned()),
        Some(url) if is_loopback(&url.value) => {
            found.push(format!("`prefect.api_url` is {}: from a pod that leads to the pod itself ({})", url.value, url.place));
        }
        Some(_) => {}
    }
    let dotted = map.sizes.iter().filter(|size| size.name.0.contains('.'));
    found.extend(
        dotted.map(|size| format!("size `{}`: Prefect takes a dot for a step into a document; name it without one ({})", size.name, size.place)),
    );
    if let Some(default) = choices.default_size.as_ref().filter(|default| map.sizes.iter().all(|size| size.name != **default)) {
        found.push(format!(
            "the default size `{default}` is not in the map, which has {}",
            suggestion::listed(map.sizes.iter().map(|size| size.name.0.as_str()))
        ));
    }
    found
}

/// Returns whether an address leads back to whoever uses it.
#[must_use]
pub fn is_loopback(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = if host.starts_with('[') { host.split(']').next().unwrap_or_default() } else { host.split(':').next().unwrap_or_default() };
    let host = host.trim_start_matches('[').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || host.starts_with("127.") || host == "::1" || host == "0.0.0.0" || host == "::"
}

/// Returns what of a map no template can express, in sentences.
fn warnings(map: &InstanceMap) -> Vec<String> {
    let own = |has: &dyn Fn(&SizeProfile) -> bool| map.sizes.iter().filter(|size| has(size)).map(|size| size.name.0.as_str()).collect::<Vec<_>>();
    let mut found = Vec::new();
    let images = own(&|size| size.own.image.is_some());
    if !images.is_empty() {
        found.push(format!(
            "`image` of {}: a run has the image of its deployment, else that of `defaults`; set `image` among the job variables",
            suggestion::listed(images)
        ));
    }
    let templates = own(&|size| size.own.template.is_some());
    if !templates.is_empty() {
        found.push(format!("`template` of {}: a pool has one template, that of `defaults`", suggestion::listed(templates)));
    }
    found
}

/// Returns placeholders that Prefect would not know: texts of the map that merely look like one.
fn strange_placeholders(configuration: &Value, variables: &Value) -> Vec<String> {
    let known = |name: &str| variables["properties"].get(name).is_some();
    let mut found = reading::placeholders(configuration);
    found.retain(|name| !known(name));
    found.into_iter().map(|name| format!("the map has the text `{{{{ {name} }}}}`, which Prefect takes for a placeholder")).collect()
}

/// What the sizes of a map come to, as far as they differ.
struct Lookup<'m> {
    map: &'m InstanceMap,
    block: String,
    sizes: Map<String, Value>,
}

impl<'m> Lookup<'m> {
    /// Returns what is looked up by the size of a run.
    fn of_size(&mut self, field: &str, of: impl Fn(&'m SizeProfile) -> Value) -> Value {
        for size in &self.map.sizes {
            let entry = self.sizes.entry(size_key(&size.name.0)).or_insert_with(|| Value::Object(Map::new()));
            entry[field] = of(size);
        }
        Value::String(format!("{{{{ prefect.blocks.{BLOCK_TYPE}.{}.sizes.{}.{field} }}}}", self.block, size_key("{{ size }}")))
    }

    /// Returns the value itself where all sizes have the same, else what is looked up.
    fn same_or_of_size(&mut self, field: &str, of: impl Fn(&'m SizeProfile) -> Value) -> Value {
        let mut values = self.map.sizes.iter().map(&of);
        let first = values.next().unwrap_or_default();
        if values.all(|value| value == first) { first } else { self.of_size(field, of) }
    }
}

#[cfg(test)]
mod tests;
