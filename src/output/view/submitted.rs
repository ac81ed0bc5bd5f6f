//! What a submission says once the Job exists, and what a dry run shows.

use crate::{
    model::{
        identity::SizeName,
        launch_plan::{GrownFrom, LaunchPlan},
        package::Package,
        prefect::flow_run::FlowRunRecord,
        quantity::Memory,
    },
    output::{
        style::{Painter, Role},
        wording,
    },
};

/// Returns the lines after a submission: what, where, and the commands that now make sense.
#[must_use]
pub fn block(plan: &LaunchPlan, name: &str, place: &str, attached: bool, painter: Painter) -> String {
    let mut head = vec![if attached { format!("{} attached to", painter.paint(Role::Good, "✓")) } else { painter.paint(Role::Good, "✓") }];
    head.push(painter.paint(Role::Strong, name));
    head.extend(size_words(plan));
    let lines = [head.join(" "), painter.paint(Role::Faint, &format!("  {place} · code {}", package_words(&plan.package)))];
    lines.into_iter().chain(commands(name, painter)).collect::<Vec<_>>().join("\n")
}

/// Returns the lines after a run of a deployment was created.
#[must_use]
pub fn flow_run_block(record: &FlowRunRecord, size: Option<&str>, attached: bool, painter: Painter) -> String {
    let mark = painter.paint(Role::Good, "✓");
    let mut head = vec![
        if attached { format!("{mark} attached to") } else { mark },
        "flow run".to_owned(),
        painter.paint(Role::Strong, &wording::flat(&record.run.name)),
    ];
    head.extend(record.deployment.as_ref().map(|deployment| format!("of {deployment}")));
    head.extend(size.map(|size| format!("at size {size}")));
    let lines = [head.join(" "), painter.paint(Role::Faint, &format!("  {}", record.page))];
    lines.into_iter().chain(commands(&record.run.id, painter)).collect::<Vec<_>>().join("\n")
}

/// Returns `: 1.06 an hour instead of 0.42`, as far as the prices are known.
#[must_use]
pub fn price_words(before: Option<f64>, after: Option<f64>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!(": {after:.2} an hour instead of {before:.2}"),
        (None, Some(after)) => format!(": {after:.2} an hour"),
        (_, None) => String::new(),
    }
}

/// Returns the line before a run that ran out of memory goes on at a larger size.
#[must_use]
pub fn grown_line(before: &GrownFrom, price: Option<f64>, size: &SizeName, memory: Memory, price_then: Option<f64>) -> String {
    let GrownFrom { size: small, memory: limit, .. } = before;
    let prices = price_words(price, price_then);
    format!("size {small} ran out of memory; running it once more at size {size}, with {memory} instead of {limit}{prices}")
}

/// Returns the commands that make sense while a job runs.
fn commands(name: &str, painter: Painter) -> impl Iterator<Item = String> {
    ["logs", "why", "cancel"].into_iter().enumerate().map(move |(index, command)| {
        let branch = if index == 2 { "└─" } else { "├─" };
        format!("{branch} {command:<7} {}", painter.paint(Role::Command, &format!("sbrun {command} {name}")))
    })
}

/// Returns `size xlarge (r7i.4xlarge spot, 0.42/h)`.
#[must_use]
pub fn size_words(plan: &LaunchPlan) -> Option<String> {
    let size = plan.size.as_ref()?;
    let mut machine: Vec<String> = plan.placement.instance_types.first().cloned().into_iter().collect();
    if plan.placement.spot == Some(true) {
        machine.push("spot".to_owned());
    }
    let mut words = vec![machine.join(" ")];
    words.push(format!("{} CPUs, {}", plan.footprint.cpu, plan.footprint.memory));
    words.extend(plan.price_per_hour.map(|price| format!("{price:.2}/h")));
    words.retain(|word| !word.is_empty());
    Some(format!("size {size} ({})", words.join(", ")))
}

/// Returns `3 files, 12 KiB` and, in one line, what was left out.
#[must_use]
pub fn package_words(package: &Package) -> String {
    let size: usize = package.files.iter().map(|file| file.content.len()).sum();
    let words = format!("{}, {}", wording::count(package.files.len(), "file"), Memory(size as u64));
    match package.left_out_summary() {
        Some(summary) => format!("{words}; {summary}"),
        None => words,
    }
}

/// Returns the list of a dry run: every file that travels and every one that does not.
#[must_use]
pub fn package_list(package: &Package) -> String {
    let sent = package.files.iter().map(|file| format!("  {:>10}  {}", Memory(file.content.len() as u64).to_string(), file.path));
    let left = package.left_out.iter().map(|left| format!("  {:>10}  {} ({})", "left out", left.path, left.reason));
    sent.chain(left).collect::<Vec<_>>().join("\n")
}
