//! From what a person types to a Job: a name, a run id, a unique prefix, or `@latest`.

use super::context::Context;
use crate::{
    error::{Error, ErrorKind, Result},
    follow::cluster::ClusterJob,
    kubernetes::{connect::Cluster, jobs, retry::Patience},
    model::{
        evidence::{Evidence, JobRecord, Maker},
        launch_plan::User,
        prefect::flow_run,
    },
    output::{ui::Ui, wording},
};

/// What stands for the newest job of mine.
const LATEST: &str = "@latest";

/// Finds Jobs of one cluster.
pub struct Referrer<'context> {
    context: &'context Context,
    cluster: &'context Cluster,
    patience: Patience,
    me: tokio::sync::OnceCell<User>,
}

impl<'context> Referrer<'context> {
    /// Returns a finder.
    #[must_use]
    pub fn new(context: &'context Context, cluster: &'context Cluster) -> Self {
        Self { context, cluster, patience: Patience::ASK, me: tokio::sync::OnceCell::new() }
    }

    /// Returns a finder for a command that stays until a job has ended, and so need not hurry at its start.
    #[must_use]
    pub fn for_following(context: &'context Context, cluster: &'context Cluster) -> Self {
        Self { patience: Patience::START, ..Self::new(context, cluster) }
    }

    /// Returns who I am; whatever the number of jobs, nobody is asked twice.
    pub async fn me(&self) -> &User {
        self.me.get_or_init(|| self.context.user(Some(self.cluster))).await
    }

    /// Returns the Job that `reference` means.
    pub async fn find(&self, reference: &str) -> Result<JobRecord> {
        let me = if reference == LATEST { self.me().await.label.clone() } else { String::new() };
        jobs::find(self.cluster, reference, &me, self.patience).await
    }

    /// Returns a handle on the job that `reference` means, and what is known of it. It may be a flow run of Prefect that no Job has been
    /// made for yet: its id.
    pub async fn open(&self, reference: &str) -> Result<(ClusterJob, Evidence)> {
        let missing = match self.find(reference).await {
            Ok(job) => return Ok(self.handle(job).await),
            Err(error) => error,
        };
        if !flow_run::is_id(reference) || missing.kind() != ErrorKind::Failed {
            return Err(missing);
        }
        let Some(server) = self.context.prefect()? else {
            return Err(missing.hinted("it looks like a flow run of Prefect, and no Prefect API is known here: set PREFECT_API_URL"));
        };
        let Some(run) = server.flow_run(reference).await? else {
            return Err(missing.hinted(format!("the Prefect API at `{}` has no flow run of this id either", server.api_url())));
        };
        let handle = ClusterJob::of_flow_run(self.cluster.clone(), server, &run, None, &self.context.environment);
        Ok((handle.sized_by(self.context.map_of_jobs(self.cluster).await, None), Evidence::default()))
    }

    async fn handle(&self, job: JobRecord) -> (ClusterJob, Evidence) {
        let mut handle = ClusterJob::new(self.cluster.clone(), &job, &self.context.environment);
        if job.maker == Maker::PrefectWorker {
            handle = handle.sized_by(self.context.map_of_jobs(self.cluster).await, Some(&job));
        }
        (handle, Evidence { job: Some(job), ..Evidence::default() })
    }

    /// Returns the job that `reference` means, as [`Referrer::open`] does, for a command that changes it; nothing after a no.
    pub async fn open_to_change(&self, reference: &str, verb: &str, ui: &mut Ui) -> Result<Option<(ClusterJob, Evidence)>> {
        if flow_run::is_id(reference) {
            let (handle, evidence) = self.open(reference).await?;
            let Some(job) = &evidence.job else { return Ok(Some((handle, evidence))) };
            return Ok(self.allowed(job.clone(), reference, verb, ui).await?.map(|_| (handle, evidence)));
        }
        match self.find_to_change(reference, verb, ui).await? {
            Some(job) => Ok(Some(self.handle(job).await)),
            None => Ok(None),
        }
    }

    /// Returns the Job that `reference` means, for a command that changes it.
    ///
    /// A prefix and `@latest` only count for what is mine and on a terminal; somebody else's job asks a question first.
    pub async fn find_to_change(&self, reference: &str, verb: &str, ui: &mut Ui) -> Result<Option<JobRecord>> {
        let job = self.find(reference).await?;
        self.allowed(job, reference, verb, ui).await
    }

    async fn allowed(&self, job: JobRecord, reference: &str, verb: &str, ui: &mut Ui) -> Result<Option<JobRecord>> {
        let me = self.me().await;
        let mine = job.user_label.as_ref() == Some(&me.label);
        let exact = reference == job.name || [&job.run_id, &job.flow_run].iter().any(|id| id.as_deref() == Some(reference));
        if !exact && (!mine || !ui.can_prompt()) {
            let why = if mine { "without a terminal a whole name is needed".to_owned() } else { format!("it belongs to {}", owner(&job)) };
            return Err(Error::usage(format!("`{reference}` means `{}`, but {why}", job.name)).hinted(format!("sbrun {verb} {}", job.name)));
        }
        if mine || ui.confirm(&question(&job, verb))? { Ok(Some(job)) } else { Ok(None) }
    }
}

fn owner(job: &JobRecord) -> String {
    job.user.as_ref().map_or_else(|| "somebody else".to_owned(), |user| wording::flat(user).into_owned())
}

fn question(job: &JobRecord, verb: &str) -> String {
    let since = job.started.or(job.created).map(|start| wording::age(crate::environment::now().duration_since(start)));
    let age = since.map(|age| format!(", started {age} ago")).unwrap_or_default();
    format!("`{}` belongs to {}{age}; {verb} it?", job.name, owner(job))
}
