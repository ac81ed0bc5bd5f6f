//! `sbrun why`: the story of a job.

use std::time::Duration;

use clap::Args;

use super::{context::Context, references::Referrer};
use crate::{
    error::Result,
    follow::{Detail, RunningJob},
    model::{diagnose::diagnose, exit_code::ExitCode},
    output::{
        ui::Ui,
        view::{report::JobReport, story::story_block},
    },
};

/// How long to wait for what the cloud account has to say.
const ACCOUNT: Duration = Duration::from_secs(5);

/// Arguments of `sbrun why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Name, run id, unique prefix, or `@latest`
    #[arg(value_name = "JOB", default_value = "@latest")]
    pub job: String,
}

/// Tells the story of a job: phases with times, the cause, the evidence, the next thing to type.
pub async fn why(arguments: &WhyArgs, context: &Context, ui: &mut Ui) -> Result<ExitCode> {
    let cluster = context.connect_for_jobs(ui).await?;
    let (mut job, mut evidence) = Referrer::new(context, &cluster).open(&arguments.job).await?;
    job.observe(&mut evidence, Detail::Waiting).await?;
    if evidence.job.as_ref().is_some_and(|job| job.finished.is_none()) {
        job.ask_account(&mut evidence, ACCOUNT).await;
    }
    let now = job.now();
    let story = diagnose(&evidence, now);
    let report = JobReport::new(&evidence, &story);
    let name = report.name.clone();
    ui.show(&report, |ui| story_block(&evidence, &story, now, ui.data_painter()), || name.into_iter().collect())?;
    Ok(ExitCode::SUCCESS)
}
