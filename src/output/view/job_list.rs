//! Jobs as a table.

use jiff::Timestamp;
use serde::Serialize;

use super::report::JobReport;
use crate::output::{
    format::SCHEMA,
    table::{self, Column},
    wording,
};

/// Several jobs as a document.
#[derive(Debug, Clone, Serialize)]
pub struct JobList {
    /// Version of this document.
    pub schema: u32,
    /// The jobs, newest first.
    pub jobs: Vec<JobReport>,
}

impl JobList {
    /// Returns the document of these jobs.
    #[must_use]
    pub fn new(jobs: Vec<JobReport>) -> Self {
        Self { schema: SCHEMA, jobs }
    }

    /// Returns the jobs as a table, for a terminal of this width.
    #[must_use]
    pub fn table(&self, now: Timestamp, width: Option<usize>) -> String {
        let narrow = width.is_some_and(|width| width < 60);
        let columns: &[Column] = if narrow {
            &[Column::words("NAME"), Column::words("STATE")]
        } else {
            &[
                Column::words("NAME"),
                Column::words("SIZE"),
                Column::words("USER"),
                Column::words("STATE"),
                Column::numbers("RUN"),
                Column::numbers("AGE"),
                Column::words("REASON"),
            ]
        };
        let rows = self.jobs.iter().map(|job| if narrow { narrow_row(job) } else { row(job, now) }).collect();
        table::render(columns, rows, width)
    }
}

fn state(job: &JobReport) -> String {
    job.outcome.map_or_else(|| job.phase.as_str().to_owned(), |outcome| outcome.as_str().to_owned())
}

fn narrow_row(job: &JobReport) -> Vec<String> {
    vec![job.name.clone().unwrap_or_default(), state(job)]
}

fn row(job: &JobReport, now: Timestamp) -> Vec<String> {
    let unremarkable = matches!(job.reason, Some(crate::model::reason::Reason::FlowSucceeded | crate::model::reason::Reason::FlowRunning) | None);
    vec![
        job.name.clone().unwrap_or_default(),
        job.size.clone().unwrap_or_default(),
        job.user.clone().unwrap_or_default(),
        state(job),
        job.run_seconds.map(wording::span).unwrap_or_default(),
        job.created.map(|created| wording::age(now.duration_since(created))).unwrap_or_default(),
        if unremarkable { String::new() } else { job.summary.clone().unwrap_or_default() },
    ]
}
