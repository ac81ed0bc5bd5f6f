//! The map alone.

use super::{Check, Findings, Severity};
use crate::model::{
    identity::SizeName,
    instance_map::{InstanceMap, SizeProfile},
    suggestion::listed,
};

pub(super) fn examine(map: &InstanceMap, only: Option<&SizeName>, findings: &mut Findings<'_>) {
    let subject = "instance map";
    findings.good(Check::MapValid, subject);
    for warning in &map.warnings {
        findings.bad(Severity::Warning, Check::MapDoubtful, subject, warning.to_string());
    }
    if map.warnings.is_empty() {
        findings.good(Check::MapDoubtful, subject);
    }
    if map.cluster.server.is_some() {
        findings.good(Check::MapCluster, subject);
    } else {
        findings
            .bad(Severity::Warning, Check::MapCluster, subject, "it has no `cluster.server`")
            .mended_by("kubectl config view --minify -o jsonpath='{.clusters[0].cluster.server}'")
            .mended_by("write it under `cluster` as `server`");
    }
    let without_image = |size: &&SizeProfile| {
        let template = size.own.template.as_ref().or(map.defaults.template.as_ref());
        let of_template = template.is_some_and(|template| template.value.manifest.pointer("/spec/template/spec/containers/0/image").is_some());
        only.is_none_or(|only| size.name == *only) && !of_template && size.own.image.is_none() && map.defaults.image.is_none()
    };
    let sizes: Vec<&str> = map.sizes.iter().filter(without_image).map(|size| size.name.0.as_str()).collect();
    if sizes.is_empty() {
        findings.good(Check::MapImage, subject);
    } else {
        findings
            .bad(Severity::Warning, Check::MapImage, subject, format!("no image for {}", listed(sizes)))
            .mended_by("write `image` under `defaults`, or for each size");
    }
}
