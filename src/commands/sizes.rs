//! `sbrun sizes`: what the instance map offers.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{context::Context, nodes::Observer};
use crate::{
    error::{Error, Result},
    model::{
        exit_code::ExitCode,
        instance_map::{Defaults, SizeProfile},
        scale_state::GroupSurvey,
    },
    output::{
        format::SCHEMA,
        table::{self, Column},
        ui::Ui,
        wording,
    },
    store::map_file::FoundMap,
};

/// How long to look for machines that are there: the sizes themselves are in the map.
const LOOK: Duration = Duration::from_secs(6);

/// Arguments of `sbrun sizes`.
#[derive(Debug, Args)]
pub struct SizesArgs {
    /// Show the map only, without asking the cluster what is warm
    #[arg(long)]
    pub offline: bool,
}

/// The sizes as a document.
#[derive(Debug, Serialize)]
struct Sizes {
    schema: u32,
    map: String,
    sizes: Vec<Size>,
}

/// One size as a document.
#[derive(Debug, Serialize)]
struct Size {
    name: String,
    description: Option<String>,
    node_groups: Vec<String>,
    node_pool: Option<String>,
    instance_types: Vec<String>,
    spot: Option<bool>,
    price_per_hour: Option<f64>,
    cpu_millicores: u64,
    memory_bytes: u64,
    gpu: u32,
    fallback: Option<String>,
    /// Idle nodes, on which a job starts at once; `null` when that is not known.
    idle_nodes: Option<u32>,
    /// When the last of them goes, where that is known.
    idle_until: Option<Timestamp>,
    #[serde(skip)]
    shown: [String; 2],
}

/// Shows the sizes of the instance map.
pub async fn sizes(arguments: &SizesArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let files = context.find_map()?;
    let from_cluster = files.is_none();
    let found = match files {
        Some(found) => Some(found),
        None => context.map_of_cluster(&context.connect(None).await?).await?,
    };
    let Some(found) = found else {
        return Err(Error::rejected("there is no instance map")
            .hinted("write `instance-map.yaml`, or name one with `--map` or SBRUN_MAP; docs/instance-map.md shows how"));
    };
    let map = &found.map;
    let mut sizes =
        Sizes { schema: SCHEMA, map: found.source.to_string(), sizes: map.sizes.iter().map(|size| describe(size, &map.defaults)).collect() };
    let warm = if arguments.offline && !from_cluster { Ok(Vec::new()) } else { Box::pin(warm(&mut sizes, &found, context)).await };
    let names: Vec<String> = sizes.sizes.iter().map(|size| size.name.clone()).collect();
    ui.show(&sizes, |ui| table_of(&sizes, ui), || names)?;
    if ui.is_for_people() {
        ui.status(&format!("from {}", sizes.map));
    }
    match warm {
        Ok(sentences) => sentences.iter().for_each(|sentence| ui.status(sentence)),
        Err(error) => ui.status(&format!("what is warm is not known: {}", error.message())),
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds what is warm, and returns what to say about it.
async fn warm(sizes: &mut Sizes, found: &FoundMap, context: &Context) -> Result<Vec<String>> {
    let observer = Observer::of_map(found, context).await?;
    let look = tokio::time::timeout(LOOK, observer.look()).await;
    let look = look.unwrap_or_else(|_| Err(Error::unreachable(format!("the cluster did not answer within {} s", LOOK.as_secs()))))?;
    let survey = observer.survey(&look);
    let mut sentences = Vec::new();
    for size in &mut sizes.sizes {
        let groups: Vec<&GroupSurvey> = survey.groups.iter().filter(|group| group.size.as_ref().is_some_and(|name| name.0 == size.name)).collect();
        size.idle_nodes = groups.iter().map(|group| group.counts.idle).sum();
        size.idle_until = groups.iter().flat_map(|group| &group.departures).filter_map(|(_, departure)| departure.time()).max();
        if let Some(idle @ 1..) = size.idle_nodes {
            sentences.push(warm_words(&size.name, idle, size.idle_until.map(|until| until.duration_since(look.now).as_secs())));
        }
    }
    Ok(sentences)
}

/// Returns such as: an idle xlarge is there for 6m more: a job starts at once.
fn warm_words(size: &str, idle: u32, seconds: Option<i64>) -> String {
    let (who, is) = if idle == 1 { (format!("an idle {size}"), "is") } else { (format!("{idle} idle {size}"), "are") };
    let how_long = seconds.map(|seconds| format!(" for {} more", wording::span(seconds))).unwrap_or_default();
    format!("{who} {is} there{how_long}: a job starts at once")
}

fn describe(size: &SizeProfile, defaults: &Defaults) -> Size {
    let footprint = size.footprint(defaults);
    let placement = size.placement();
    Size {
        name: size.name.0.clone(),
        description: size.description.clone(),
        node_groups: placement.node_groups,
        node_pool: placement.node_pool,
        instance_types: placement.instance_types,
        spot: size.spot,
        price_per_hour: size.price_per_hour,
        cpu_millicores: footprint.cpu.0,
        memory_bytes: footprint.memory.0,
        gpu: footprint.gpu,
        fallback: size.fallback.as_ref().map(|fallback| fallback.value.0.clone()),
        idle_nodes: None,
        idle_until: None,
        shown: [footprint.cpu.to_string(), footprint.memory.to_string()],
    }
}

fn table_of(sizes: &Sizes, ui: &Ui) -> String {
    let narrow = ui.width().is_some_and(|width| width < 60);
    let mut columns = vec![Column::words("SIZE"), Column::numbers("CPU"), Column::numbers("MEMORY")];
    let warm = sizes.sizes.iter().any(|size| size.idle_nodes.is_some());
    if warm {
        columns.push(Column::numbers("WARM"));
    }
    if !narrow {
        columns.extend([Column::numbers("GPU"), Column::words("MACHINE"), Column::words("SPOT"), Column::numbers("PRICE/H"), Column::words("GROUP")]);
    }
    let rows = sizes.sizes.iter().map(|size| {
        let mut row = vec![size.name.clone(), size.shown[0].clone(), size.shown[1].clone()];
        if warm {
            row.push(size.idle_nodes.map(|idle| idle.to_string()).unwrap_or_default());
        }
        if !narrow {
            let spot = size.spot.map_or("", |spot| if spot { "spot" } else { "on demand" });
            let group = if size.node_groups.is_empty() { size.node_pool.clone().unwrap_or_default() } else { size.node_groups.join(", ") };
            let gpu = if size.gpu > 0 { size.gpu.to_string() } else { String::new() };
            let price = size.price_per_hour.map(|price| format!("{price:.2}")).unwrap_or_default();
            row.extend([gpu, size.instance_types.join(", "), spot.to_owned(), price, group]);
        }
        row
    });
    table::render(&columns, rows.collect(), ui.width())
}
