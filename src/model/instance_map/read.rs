//! From the text of a map to its values.

use std::sync::Arc;

use super::{
    Cluster, Defaults, InstanceMap, Located, MapProblem, MapProblems, Prefect, Reserved, Template,
    fields::{Field, Fields, ReadTemplate, Reader},
};
use crate::model::{
    job_template,
    settings::value,
    yaml::{self, Position},
};

/// The version of sbrun, for `requires`.
const THIS_VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of the map's schema.
const SCHEMA: &str = "1";

/// Whether a map must have sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sizes {
    Needed,
    /// A user's own map may only have defaults.
    Optional,
}

impl InstanceMap {
    /// Returns the map that a text is, else everything that is wrong in it.
    ///
    /// `name` says where it was read, for people. `read_template` returns the text of a file that the map names under `template`.
    pub fn parse(text: &str, name: &str, read_template: &mut dyn FnMut(&str) -> Result<String, String>) -> Result<Self, MapProblems> {
        read(text, name, Sizes::Needed, read_template, THIS_VERSION)
    }

    /// Returns a user's own map, which need not have sizes, else everything that is wrong in it.
    pub fn parse_of_user(text: &str, name: &str, read_template: &mut dyn FnMut(&str) -> Result<String, String>) -> Result<Self, MapProblems> {
        read(text, name, Sizes::Optional, read_template, THIS_VERSION)
    }
}

fn read(text: &str, name: &str, sizes: Sizes, read_template: ReadTemplate<'_>, version: &str) -> Result<InstanceMap, MapProblems> {
    let mut reader = Reader { name: name.into(), section: "map".into(), problems: Vec::new(), warnings: Vec::new(), read_template };
    let map = read_document(&mut reader, text, sizes, version);
    let Reader { mut problems, mut warnings, .. } = reader;
    warnings.sort_by_key(|warning| warning.position);
    problems.sort_by_key(|problem| problem.position);
    match map {
        Some(map) if problems.is_empty() => Ok(InstanceMap { warnings, ..map }),
        _ => Err(MapProblems { name: name.to_owned(), problems }),
    }
}

fn read_document(reader: &mut Reader<'_>, text: &str, sizes: Sizes, version: &str) -> Option<InstanceMap> {
    let document = match yaml::parse(text) {
        Ok(Some(document)) => document,
        Ok(None) => {
            reader.problem(Position::default(), "", "the map is empty; docs/instance-map.md shows what belongs there");
            return None;
        }
        Err(error) => {
            reader.problem(error.position, "", error.message);
            return None;
        }
    };
    let root = Field { path: String::new(), position: document.position, node: &document };
    if !matches!(document.value, yaml::Value::Mapping(_)) {
        reader.problem(document.position, "", format!("must be a mapping with `version` and `sizes`, not {}", document.kind()));
        return None;
    }
    let mut fields = reader.fields(&root);
    // A map for a newer sbrun has keys that this one cannot know: then only that is said.
    if let Some(newer) = read_versions(reader, &mut fields, document.position, version) {
        reader.problems = vec![newer];
        return None;
    }
    let cluster = read_cluster(reader, fields.take("cluster"));
    let prefect = read_prefect(reader, fields.take("prefect"));
    reader.section = "defaults".into();
    let defaults = fields.take("defaults").map_or_else(Defaults::default, |field| {
        let mut fields = reader.fields(&field);
        let defaults = reader.defaults(&mut fields);
        reader.finish(fields);
        defaults
    });
    let sizes_field = fields.take("sizes");
    if sizes_field.is_none() && sizes == Sizes::Needed {
        reader.problem(document.position, "", "`sizes` is missing");
    }
    let sizes = sizes_field.map_or_else(Vec::new, |field| reader.sizes(&field, &defaults));
    reader.finish(fields);
    Some(InstanceMap { name: Arc::clone(&reader.name), cluster, prefect, defaults, sizes, warnings: Vec::new() })
}

/// Reads `version` and `requires`; returns the one problem that counts when the map is for a newer sbrun.
fn read_versions(reader: &mut Reader<'_>, fields: &mut Fields<'_>, start: Position, version: &str) -> Option<MapProblem> {
    let problem =
        |field: &Field<'_>, message: String| MapProblem { position: field.node.position, key: field.path.clone(), message, suggestion: None };
    if let Some(field) = fields.take("requires")
        && let Some(text) = reader.scalar(&field)
    {
        match required_version(text) {
            None => reader.problem(field.node.position, &field.path, format!("`{text}` is not a version; write it like `>=0.2`")),
            Some(required) if version_number(version).is_some_and(|this| this < required) => {
                return Some(problem(&field, format!("this map needs sbrun {text}, and this is {version}: upgrade sbrun")));
            }
            Some(_) => {}
        }
    }
    let Some(field) = fields.take("version") else {
        reader.problem(start, "", format!("`version: {SCHEMA}` is missing"));
        return None;
    };
    match reader.scalar(&field)? {
        SCHEMA => None,
        other if other.parse::<u64>().is_ok_and(|other| other > 1) => {
            Some(problem(&field, format!("this sbrun reads version {SCHEMA} of the map, not {other}: upgrade sbrun")))
        }
        other => {
            reader.problem(field.node.position, &field.path, format!("`{other}` is not a version of the map; write `version: {SCHEMA}`"));
            None
        }
    }
}

/// Returns the least version that `>=0.2` or `0.2` asks for.
fn required_version(text: &str) -> Option<[u64; 3]> {
    version_number(text.trim().strip_prefix(">=").unwrap_or(text).trim())
}

/// Returns major, minor and patch; what is left out is 0, and what follows a hyphen does not count.
fn version_number(text: &str) -> Option<[u64; 3]> {
    let mut number = [0; 3];
    let mut slots = number.iter_mut();
    for part in text.split('-').next()?.split('.') {
        *slots.next()? = part.parse().ok()?;
    }
    Some(number)
}

fn read_cluster(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> Cluster {
    reader.section = "cluster".into();
    let Some(field) = field else { return Cluster::default() };
    let mut fields = reader.fields(&field);
    let cluster = Cluster {
        server: reader.parsed(fields.take("server"), value::url),
        namespace: reader.parsed(fields.take("namespace"), value::namespace),
        region: reader.parsed(fields.take("region"), value::text),
        name: reader.parsed(fields.take("name"), value::text),
    };
    reader.finish(fields);
    cluster
}

fn read_prefect(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> Prefect {
    reader.section = "prefect".into();
    let Some(field) = field else { return Prefect::default() };
    let mut fields = reader.fields(&field);
    let prefect = Prefect {
        api_url: reader.parsed(fields.take("api_url"), value::url),
        api_key_secret: reader.parsed(fields.take("api_key_secret"), value::object_name),
        work_pool: reader.parsed(fields.take("work_pool"), value::work_pool),
    };
    reader.finish(fields);
    prefect
}

impl Reader<'_> {
    /// Reads the keys that `defaults` and every size may have.
    pub(super) fn defaults(&mut self, fields: &mut Fields<'_>) -> Defaults {
        let any_text = |text: &str| Ok(text.to_owned());
        Defaults {
            image: self.parsed(fields.take("image"), value::image),
            service_account: self.parsed(fields.take("service_account"), value::object_name),
            timeout: self.parsed(fields.take("timeout"), value::time_limit),
            pending_timeout: self.parsed(fields.take("pending_timeout"), value::time_limit),
            queue_timeout: self.parsed(fields.take("queue_timeout"), value::any_duration),
            stall_timeout: self.parsed(fields.take("stall_timeout"), value::time_limit),
            finished_ttl: self.parsed(fields.take("finished_ttl"), value::any_duration),
            grace: self.parsed(fields.take("grace"), value::grace),
            lease: self.parsed(fields.take("lease"), value::lease),
            infrastructure_retries: self.parsed(fields.take("infrastructure_retries"), value::retries),
            reserved: self.reserved(fields.take("reserved")),
            run_as_user: self.parsed(fields.take("run_as_user"), value::run_as_user),
            env: self.texts(fields.take("env"), value::variable_name, any_text).unwrap_or_default(),
            image_pull_secrets: self.pull_secrets(fields.take("image_pull_secrets")),
            template: self.template(fields.take("template")),
            logs_url: self.parsed(fields.take("logs_url"), value::url),
            keep_logs: self.parsed(fields.take("keep_logs"), value::truth),
            labels: self.texts(fields.take("labels"), value::own_key, value::label_value).unwrap_or_default(),
            annotations: self.texts(fields.take("annotations"), value::own_key, any_text).unwrap_or_default(),
        }
    }

    fn reserved(&mut self, field: Option<Field<'_>>) -> Option<Located<Reserved>> {
        let field = field?;
        let mut fields = self.fields(&field);
        let (cpu, memory) = (self.parsed(fields.take("cpu"), value::reserved_cpu), self.parsed(fields.take("memory"), value::reserved_memory));
        self.finish(fields);
        let built_in = Reserved::default();
        let value = Reserved { cpu: cpu.map_or(built_in.cpu, |cpu| cpu.value), memory: memory.map_or(built_in.memory, |memory| memory.value) };
        Some(Located { value, place: self.place(field.position) })
    }

    fn pull_secrets(&mut self, field: Option<Field<'_>>) -> Option<Located<Vec<String>>> {
        let place = self.place(field.as_ref()?.position);
        let names = self.list(field, value::object_name)?;
        Some(Located { value: names.into_iter().map(|name| name.value).collect(), place })
    }

    fn template(&mut self, field: Option<Field<'_>>) -> Option<Located<Template>> {
        let (position, path) = field.as_ref().map(|field| (field.node.position, field.path.clone()))?;
        let file = self.parsed(field, value::text)?;
        match (self.read_template)(&file.value).and_then(|text| job_template::parse(&text)) {
            Ok(template) if template.problems.is_empty() => {
                Some(Located { value: Template { file: file.value, manifest: template.manifest }, place: file.place })
            }
            Ok(template) => {
                for problem in template.problems {
                    self.problem(position, &path, format!("`{}`: {problem}", file.value));
                }
                None
            }
            Err(message) => {
                self.problem(position, &path, format!("`{}`: {message}", file.value));
                None
            }
        }
    }
}
