//! `sbrun sizes`: what the instance map offers.

use clap::Args;
use serde::Serialize;

use super::context::Context;
use crate::{
    error::{Error, Result},
    model::{
        exit_code::ExitCode,
        instance_map::{Defaults, SizeProfile},
    },
    output::{
        format::SCHEMA,
        table::{self, Column},
        ui::Ui,
    },
};

/// Arguments of `sbrun sizes`.
#[derive(Debug, Args)]
pub struct SizesArgs {}

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
    #[serde(skip)]
    shown: [String; 2],
}

/// Shows the sizes of the instance map.
pub async fn sizes(_arguments: &SizesArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let found = match context.find_map()? {
        Some(found) => Some(found),
        None => context.map_of_cluster(&context.connect(None).await?).await?,
    };
    let Some(found) = found else {
        return Err(Error::rejected("there is no instance map")
            .hinted("write `instance-map.yaml`, or name one with `--map` or SBRUN_MAP; docs/instance-map.md shows how"));
    };
    let map = &found.map;
    let sizes = Sizes { schema: SCHEMA, map: found.source.to_string(), sizes: map.sizes.iter().map(|size| describe(size, &map.defaults)).collect() };
    let names: Vec<String> = sizes.sizes.iter().map(|size| size.name.clone()).collect();
    ui.show(&sizes, |ui| table_of(&sizes, ui), || names)?;
    if ui.is_for_people() {
        ui.status(&format!("from {}", sizes.map));
    }
    Ok(ExitCode::SUCCESS)
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
        shown: [footprint.cpu.to_string(), footprint.memory.to_string()],
    }
}

fn table_of(sizes: &Sizes, ui: &Ui) -> String {
    let narrow = ui.width().is_some_and(|width| width < 60);
    let mut columns = vec![Column::words("SIZE"), Column::numbers("CPU"), Column::numbers("MEMORY")];
    if !narrow {
        columns.extend([Column::numbers("GPU"), Column::words("MACHINE"), Column::words("SPOT"), Column::numbers("PRICE/H"), Column::words("GROUP")]);
    }
    let rows = sizes.sizes.iter().map(|size| {
        let mut row = vec![size.name.clone(), size.shown[0].clone(), size.shown[1].clone()];
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
