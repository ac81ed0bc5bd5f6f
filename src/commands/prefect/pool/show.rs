//! `sbrun prefect pool show`: what a pool is at present.

use serde::Serialize;
use serde_json::Value;

use super::{ShowArgs, live};
use crate::{
    commands::{
        context::Context,
        prefect::{find_map, pool_name},
    },
    error::Result,
    model::{
        exit_code::ExitCode,
        prefect::{
            flow_run::Worker,
            pool::{OnReclaim, broken, hidden_retries, live::LivePool, merge::merge, reading, size_key},
        },
    },
    output::{
        format::SCHEMA,
        table::{self, Column},
        ui::Ui,
        wording,
    },
};

/// A pool as a document.
#[derive(Debug, Serialize)]
struct Pool {
    schema: u32,
    work_pool: String,
    api_url: String,
    paused: bool,
    default_size: Option<String>,
    on_reclaim: Option<&'static str>,
    sizes: Vec<Size>,
    edits: Vec<String>,
    broken: Vec<String>,
    hidden_retries: Vec<String>,
    workers: Vec<WorkerView>,
    base_job_template: Value,
}

/// A size of a pool as a document.
#[derive(Debug, Serialize)]
struct Size {
    name: String,
    /// What a run of it comes to; `null` where the pool offers it and nothing says what it is.
    #[serde(flatten)]
    comes_to: Option<Value>,
}

/// A worker of a pool as a document.
#[derive(Debug, Serialize)]
struct WorkerView {
    name: String,
    online: bool,
    last_heartbeat: Option<jiff::Timestamp>,
}

/// Shows a pool.
pub(super) async fn show(arguments: &ShowArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => pool_name(None, &find_map(context).await?)?,
    };
    let server = context.required_prefect()?;
    let pool = live(&server, &name).await?;
    let workers = server.work_pool_and_workers(&name).await?.unwrap_or_default();
    let document = describe(&name, server.api_url(), &pool, workers.is_paused, workers.workers);
    let names = || document.sizes.iter().map(|size| size.name.clone()).collect();
    ui.show(&document, |ui| table_of(&document, ui), names)?;
    if ui.is_for_people() {
        tell(&document, ui);
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(name: &str, api_url: &str, pool: &LivePool, paused: bool, workers: Vec<Worker>) -> Pool {
    let of_block = |size: &str| pool.block.as_ref().and_then(|block| block.sizes.get(&size_key(size))).cloned();
    let sizes = reading::sizes(&pool.template).into_iter().map(|size| Size { name: size.to_owned(), comes_to: of_block(size) });
    let written = pool.written().map(|written| merge(Some(written), &pool.template, written));
    let edits = written.into_iter().flat_map(|merged| merged.kept.into_iter().chain(merged.conflicts)).map(|edit| edit.path);
    Pool {
        schema: SCHEMA,
        work_pool: name.to_owned(),
        api_url: api_url.to_owned(),
        paused,
        default_size: reading::default_size(&pool.template).map(ToOwned::to_owned),
        on_reclaim: reading::on_reclaim(&pool.template).map(OnReclaim::as_str),
        sizes: sizes.collect(),
        edits: edits.collect(),
        broken: broken(&pool.template),
        hidden_retries: hidden_retries(pool),
        workers: workers
            .into_iter()
            .map(|worker| WorkerView { name: worker.name, online: worker.is_online, last_heartbeat: worker.last_heartbeat })
            .collect(),
        base_job_template: pool.template.clone(),
    }
}

fn table_of(pool: &Pool, ui: &Ui) -> String {
    let columns =
        [Column::words("SIZE"), Column::numbers("CPU"), Column::numbers("MEMORY"), Column::words("NODE SELECTOR"), Column::words("TOLERATIONS")];
    let row = |size: &Size| {
        let of = |pointer: &str| size.comes_to.as_ref().and_then(|size| size.pointer(pointer));
        let text = |pointer: &str| of(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let selector = of("/node_selector").and_then(Value::as_object);
        let selector = selector.into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
        let tolerations = of("/tolerations").and_then(Value::as_array).into_iter().flatten();
        let tolerations = tolerations.map(|one| one["key"].as_str().unwrap_or("all").to_owned());
        let name = if pool.default_size.as_ref() == Some(&size.name) { format!("{} (default)", size.name) } else { size.name.clone() };
        vec![
            name,
            text("/resources/requests/cpu"),
            text("/resources/requests/memory"),
            selector.collect::<Vec<_>>().join(","),
            tolerations.collect::<Vec<_>>().join(","),
        ]
    };
    table::render(&columns, pool.sizes.iter().map(row).collect(), ui.width())
}

fn tell(pool: &Pool, ui: &mut Ui) {
    let reclaimed = match pool.on_reclaim {
        Some("reschedule") => "Prefect starts it again, however often",
        Some(_) => "it is Crashed",
        None => "nothing says what becomes of it",
    };
    ui.status(&format!("work pool `{}` of {}", pool.work_pool, pool.api_url));
    ui.status(&format!("a run whose machine is taken away: {reclaimed}"));
    let online = pool.workers.iter().filter(|worker| worker.online).count();
    ui.status(&format!("{} online{}", wording::count(online, "worker"), if pool.paused { "; the pool is paused" } else { "" }));
    for edit in &pool.edits {
        ui.status(&format!("edited by hand: {edit}"));
    }
    let unknown = pool.sizes.iter().filter(|size| size.comes_to.is_none()).map(|size| size.name.as_str());
    for size in unknown {
        ui.warning(&format!("nothing says what size {size} comes to: every run of it would crash"));
    }
    if online == 0 {
        ui.warning("no worker is online: runs wait until one is");
    }
    for retries in &pool.hidden_retries {
        ui.warning(&format!("{retries}: flows that say nothing of it are retried"));
    }
    for problem in &pool.broken {
        ui.warning(problem);
    }
}
