//! The flow's files in Job, ConfigMaps and volumes, and back.

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, ProjectedVolumeSource},
};
use serde_json::{Map, Value, json};

use crate::{
    error::{Error, Result},
    kubernetes::labels,
    model::{
        launch_plan::LaunchPlan,
        package::{
            bootstrap::INLINE_FILE,
            delivery::{Delivery, Part},
        },
    },
};

/// Name of the volume that shows the files to the pod.
pub(super) const VOLUME: &str = "package";
/// Mode of a file that may be executed, by everybody: the kubelet writes files as root.
const EXECUTABLE: i32 = 0o555;
/// Mode of any other file.
const READABLE: i32 = 0o444;

/// Returns the parts of each ConfigMap; none when all travels inside the Job.
pub(super) fn config_maps(delivery: &Delivery) -> Vec<&[Part]> {
    match delivery {
        Delivery::Inline(_) => Vec::new(),
        Delivery::ConfigMaps(groups) => groups.iter().map(Vec::as_slice).collect(),
    }
}

/// Returns the name of a ConfigMap of the Job.
pub(super) fn config_map_name(plan: &LaunchPlan, index: usize) -> String {
    format!("{}-{index}", plan.name)
}

fn annotation(part: &Part) -> String {
    format!("{}{}", labels::FILES, part.key)
}

/// Returns the annotations of the pod template that carry the files.
pub(super) fn annotations(delivery: &Delivery) -> Map<String, Value> {
    let Delivery::Inline(parts) = delivery else { return Map::new() };
    parts.iter().map(|part| (annotation(part), json!(String::from_utf8_lossy(&part.content)))).collect()
}

/// Returns the volume that shows the files to the pod.
pub(super) fn volume(plan: &LaunchPlan, delivery: &Delivery) -> Value {
    let mode = |part: &Part| if part.executable { EXECUTABLE } else { READABLE };
    let sources = match delivery {
        Delivery::Inline(parts) => {
            let field = |part: &Part| format!("metadata.annotations['{}']", annotation(part));
            let items = parts.iter().map(|part| json!({"path": part.path, "mode": mode(part), "fieldRef": {"fieldPath": field(part)}}));
            vec![json!({"downwardAPI": {"items": items.collect::<Vec<_>>()}})]
        }
        Delivery::ConfigMaps(groups) => {
            let items =
                |parts: &[Part]| -> Vec<Value> { parts.iter().map(|part| json!({"key": part.key, "path": part.path, "mode": mode(part)})).collect() };
            let source = |(index, parts): (usize, &Vec<Part>)| json!({"configMap": {"name": config_map_name(plan, index), "items": items(parts)}});
            groups.iter().enumerate().map(source).collect()
        }
    };
    json!({"name": VOLUME, "projected": {"sources": sources}})
}

/// Returns the names of the ConfigMaps that carry the files of a Job, in order.
pub(crate) fn config_map_names(job: &Job) -> Vec<String> {
    let sources = projected(job).and_then(|volume| volume.sources.as_ref()).into_iter().flatten();
    sources.filter_map(|source| source.config_map.as_ref().map(|map| map.name.clone())).collect()
}

fn projected(job: &Job) -> Option<&ProjectedVolumeSource> {
    let pod = job.spec.as_ref()?.template.spec.as_ref()?;
    pod.volumes.as_ref()?.iter().find(|volume| volume.name == VOLUME)?.projected.as_ref()
}

/// Returns the files as a Job and its ConfigMaps carry them. `config_maps` are those that it names.
pub fn delivery_of(job: &Job, config_maps: &[ConfigMap]) -> Result<Delivery> {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let missing = |what: &str| Error::failed(format!("Job `{name}` has no recorded files: {what}")).hinted("submit the flow again from its folder");
    let annotations = job.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref()).and_then(|metadata| metadata.annotations.as_ref());
    let sources = projected(job).and_then(|volume| volume.sources.as_ref()).ok_or_else(|| missing("it has no volume for them"))?;
    let (mut inline, mut groups) = (Vec::new(), Vec::new());
    for source in sources {
        for item in source.downward_api.iter().flat_map(|source| source.items.iter().flatten()) {
            let path = item.field_ref.as_ref().map_or("", |field| field.field_path.as_str());
            let key = path.strip_prefix("metadata.annotations['").and_then(|rest| rest.strip_suffix("']")).unwrap_or_default();
            let text = annotations.and_then(|annotations| annotations.get(key)).ok_or_else(|| missing("an annotation was removed"))?;
            inline.push(part(key.strip_prefix(labels::FILES).unwrap_or(key), &item.path, item.mode, text.as_bytes()));
        }
        if let Some(source) = &source.config_map {
            let map = config_maps.iter().find(|map| map.metadata.name.as_deref() == Some(source.name.as_str()));
            let map = map.ok_or_else(|| missing("a ConfigMap was removed"))?;
            let mut group = Vec::new();
            for item in source.items.iter().flatten() {
                let content = map.binary_data.as_ref().and_then(|data| data.get(&item.key)).ok_or_else(|| missing("a ConfigMap was changed"))?;
                group.push(part(&item.key, &item.path, item.mode, &content.0));
            }
            groups.push(group);
        }
    }
    // A package that was to travel inside the Job, and found no room there, is still the text that the Job would have carried.
    let inline_form = matches!(groups.as_slice(), [group] if matches!(group.as_slice(), [part] if part.path == INLINE_FILE));
    Ok(match (groups.is_empty(), inline_form) {
        (true, _) => Delivery::Inline(inline),
        (false, true) => Delivery::Inline(groups.concat()),
        (false, false) => Delivery::ConfigMaps(groups),
    })
}

fn part(key: &str, path: &str, mode: Option<i32>, content: &[u8]) -> Part {
    Part { key: key.to_owned(), path: path.to_owned(), executable: mode == Some(EXECUTABLE), content: content.to_vec() }
}
