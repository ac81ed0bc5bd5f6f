//! From what a person types to a Job: a name, a run id, a unique prefix, or `@latest`.

use super::context::Context;
use crate::{
    error::{Error, Result},
    kubernetes::{connect::Cluster, jobs},
    model::evidence::JobRecord,
    output::{ui::Ui, wording},
};

/// What stands for the newest job of mine.
const LATEST: &str = "@latest";

/// Finds Jobs of one cluster.
pub struct Referrer<'context> {
    context: &'context Context,
    cluster: &'context Cluster,
}

impl<'context> Referrer<'context> {
    /// Returns a finder.
    #[must_use]
    pub fn new(context: &'context Context, cluster: &'context Cluster) -> Self {
        Self { context, cluster }
    }

    /// Returns the Job that `reference` means.
    pub async fn find(&self, reference: &str) -> Result<JobRecord> {
        let me = if reference == LATEST { self.context.user(Some(self.cluster)).await.label } else { String::new() };
        jobs::find(self.cluster, reference, &me).await
    }

    /// Returns the Job that `reference` means, for a command that changes it.
    ///
    /// A prefix and `@latest` only count for what is mine and on a terminal; somebody else's job asks a question first.
    pub async fn find_to_change(&self, reference: &str, verb: &str, ui: &mut Ui) -> Result<Option<JobRecord>> {
        let job = self.find(reference).await?;
        let me = self.context.user(Some(self.cluster)).await;
        let mine = job.user_label.as_ref() == Some(&me.label);
        let exact = reference == job.name || job.run_id.as_deref() == Some(reference);
        if !exact && (!mine || !ui.can_prompt()) {
            let why = if mine { "without a terminal a whole name is needed".to_owned() } else { format!("it belongs to {}", owner(&job)) };
            return Err(Error::usage(format!("`{reference}` means `{}`, but {why}", job.name)).hinted(format!("sbrun {verb} {}", job.name)));
        }
        if mine || ui.confirm(&question(&job, verb))? { Ok(Some(job)) } else { Ok(None) }
    }
}

fn owner(job: &JobRecord) -> String {
    job.user.clone().unwrap_or_else(|| "somebody else".to_owned())
}

fn question(job: &JobRecord, verb: &str) -> String {
    let since = job.started.or(job.created).map(|start| wording::age(crate::environment::now().duration_since(start)));
    let age = since.map(|age| format!(", started {age} ago")).unwrap_or_default();
    format!("`{}` belongs to {}{age}; {verb} it?", job.name, owner(job))
}
