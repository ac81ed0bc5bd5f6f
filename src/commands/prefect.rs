//! `sbrun prefect`: what joins the instance map and a Prefect server.

pub mod pool;
pub mod resize;

use clap::{Args, Subcommand};

use super::{context::Context, setup};
use crate::{
    error::{Error, Result},
    model::{exit_code::ExitCode, instance_map::InstanceMap, settings::value},
    output::ui::Ui,
};

/// Arguments of `sbrun prefect`.
#[derive(Debug, Args)]
pub struct PrefectArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PrefectCommand,
}

/// The commands of `sbrun prefect`.
#[derive(Debug, Subcommand)]
pub enum PrefectCommand {
    /// Make the instance map a work pool, and keep the pool as the map is
    Pool(pool::PoolArgs),
    /// Run the next scheduled run of a deployment at another size
    Resize(resize::ResizeArgs),
}

/// Carries out a command of `sbrun prefect`.
pub async fn prefect(arguments: &PrefectArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    match &arguments.command {
        PrefectCommand::Pool(arguments) => pool::pool(arguments, context, ui).await,
        PrefectCommand::Resize(arguments) => resize::resize(arguments, context, ui).await,
    }
}

/// Returns the instance map: of the files of this machine, else of the cluster.
async fn find_map(context: &Context) -> Result<InstanceMap> {
    if let Some(found) = context.find_map()? {
        return Ok(found.map);
    }
    let none = || {
        Error::rejected("there is no instance map, and the work pool follows from it")
            .hinted("write `instance-map.yaml`, or name one with `--map` or SBRUN_MAP; docs/instance-map.md shows how")
    };
    let cluster = context.connect(None).await.map_err(|error| none().caused_by(error))?;
    Ok(context.map_of_cluster(&cluster).await?.ok_or_else(none)?.map)
}

/// Returns the pool: the one that was named, else the map's.
fn pool_name(named: Option<&str>, map: &InstanceMap) -> Result<String> {
    let named = named.or_else(|| map.prefect.work_pool.as_ref().map(|pool| pool.value.as_str()));
    named
        .map(ToOwned::to_owned)
        .ok_or_else(|| Error::usage("which work pool?").hinted("name it, or write it into the instance map: `prefect: {work_pool: flows}`"))
}

/// Returns the namespace in which runs become Jobs.
fn namespace(context: &Context, map: &InstanceMap) -> Result<String> {
    setup::stated_namespace(context, map).map(ToOwned::to_owned).ok_or_else(|| {
        Error::usage("in which namespace do the runs become Jobs?")
            .hinted("name it with `--namespace`, or as `cluster.namespace` in the instance map")
    })
}

fn work_pool(text: &str) -> Result<String, String> {
    value::work_pool(text)
}
