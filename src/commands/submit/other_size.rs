//! The same run at another size: its fallback, when the size has no machine; the next larger one, when its memory did not do.

use std::time::Duration;

use super::{
    args::{NoCapacityChoice, SubmitArgs},
    launch::{Launched, Left},
    resolve::{self, Decided, Target},
};
use crate::{
    commands::context::Context,
    error::{Error, Result},
    kubernetes::{
        checks::{self, Purpose},
        connect::Cluster,
        jobs,
    },
    model::{
        identity::SizeName,
        launch_plan::{GrownFrom, LaunchPlan, OnNoCapacity, OnOutOfMemory},
    },
    output::{ui::Ui, view::submitted},
};

/// How long the pods of a job that ran out of memory may take to go, beyond their grace.
pub const SETTLE: Duration = Duration::from_secs(45);

/// Which other sizes a run may still take: each way once.
pub struct OtherSizes<'submission> {
    arguments: &'submission SubmitArgs,
    decided: &'submission Decided,
    context: &'submission Context,
    cluster: &'submission Cluster,
    may_fall_back: bool,
    may_grow: bool,
}

impl<'submission> OtherSizes<'submission> {
    /// Returns what the settings of a submission allow.
    #[must_use]
    pub fn new(
        arguments: &'submission SubmitArgs,
        decided: &'submission Decided,
        context: &'submission Context,
        cluster: &'submission Cluster,
    ) -> Self {
        let may_fall_back = decided.settings.on_no_capacity.value == OnNoCapacity::Fallback;
        let may_grow = decided.settings.on_oom.value == OnOutOfMemory::NextSize;
        Self { arguments, decided, context, cluster, may_fall_back, may_grow }
    }

    /// Returns the plan of the same run at another size, after `before` came to this; none where that was its end.
    ///
    /// # Errors
    /// When the size's fallback cannot be planned.
    pub async fn plan(&mut self, before: &LaunchPlan, launched: &Launched, ui: &mut Ui) -> Result<Option<LaunchPlan>> {
        if launched.no_capacity().is_some() && self.may_fall_back && before.fallback.is_some() {
            self.may_fall_back = false;
            return self.fall_back(before, ui).await.map(Some);
        }
        let Some(left) = launched.out_of_memory().filter(|_| self.may_grow) else { return Ok(None) };
        self.may_grow = false;
        self.grow(before, left, ui).await.or_else(|error| {
            // What became of the flow is the flow's end, whatever keeps it from another.
            ui.warning(&format!("it cannot be run at the next larger size: {}", error.message()));
            Ok(None)
        })
    }

    async fn fall_back(&self, lacking: &LaunchPlan, ui: &mut Ui) -> Result<LaunchPlan> {
        let (size, fallback) = lacking.size.clone().zip(lacking.fallback.clone()).ok_or_else(|| Error::internal("a plan without a fallback"))?;
        let arguments = SubmitArgs { on_no_capacity: Some(NoCapacityChoice::Wait), ..self.arguments.clone() };
        let (plan, _) = self.plan_at(&fallback, arguments, lacking).await?;
        let plan = LaunchPlan { fallback: None, ..plan };
        ui.status(&format!(
            "size {size} has no machine; taking its fallback {fallback}{}",
            submitted::price_words(lacking.price_per_hour, plan.price_per_hour)
        ));
        self.check(&plan, ui).await?;
        Ok(plan)
    }

    /// Returns the plan at the next larger size, once nothing of the job before is left to run. There is no second one.
    async fn grow(&self, before: &LaunchPlan, left: &Left, ui: &mut Ui) -> Result<Option<LaunchPlan>> {
        // By a key it may be another submission's job, which knows best what it had.
        let Some((job, had)) = left.evidence.job.as_ref().and_then(|job| Some((job, job.plan.as_deref()?))) else { return Ok(None) };
        let (Some(size), Some(found), None) = (&had.size, &self.decided.map, &had.grown_from) else { return Ok(None) };
        let Some(next) = found.map.next_size(found.map.size(size)?, &had.footprint) else {
            ui.status(&format!("the instance map has no size with more memory than size {size} gives a job like this: it is not run again"));
            return Ok(None);
        };
        if !jobs::wait_until_no_pod(self.cluster, job, had.limits.grace + SETTLE).await? {
            return Err(Error::failed("a pod of the job is still there"));
        }
        let on_no_capacity = match self.decided.settings.on_no_capacity.value {
            OnNoCapacity::Fail => NoCapacityChoice::Fail,
            OnNoCapacity::Fallback if self.may_fall_back && next.fallback.is_some() => NoCapacityChoice::Fallback,
            OnNoCapacity::Fallback | OnNoCapacity::Wait => NoCapacityChoice::Wait,
        };
        let arguments = SubmitArgs { cpu: None, memory: None, on_no_capacity: Some(on_no_capacity), ..self.arguments.clone() };
        let (plan, decided) = self.plan_at(&next.name, arguments, before).await?;
        let footprint = decided.map.as_ref().map_or(plan.footprint, |found| next.footprint(&found.map.defaults));
        let grown_from = GrownFrom { job: job.name.clone(), size: size.clone(), memory: had.footprint.memory, attempts: left.report.attempts };
        ui.status(&submitted::grown_line(&grown_from, had.price_per_hour, &next.name, footprint.memory, plan.price_per_hour));
        let plan = LaunchPlan { footprint, grown_from: Some(grown_from), ..plan };
        self.check(&plan, ui).await?;
        Ok(Some(plan))
    }

    /// Plans the same run at another size. The files, arguments and secrets are those that were read at first; everything that depends on
    /// the size is decided anew.
    async fn plan_at(&self, size: &SizeName, arguments: SubmitArgs, before: &LaunchPlan) -> Result<(LaunchPlan, Decided)> {
        let arguments = SubmitArgs {
            size: Some(size.0.clone()),
            secrets: Vec::new(), // a value that came from standard input cannot be read again
            ..arguments
        };
        let decided = resolve::decide(&arguments, self.context, Some(self.cluster), self.context.find_map()?).await?;
        let resolved = resolve::plan(&arguments, self.context, Target::Cluster(&self.cluster.namespace), &decided).await?;
        let before = before.clone();
        let plan = LaunchPlan {
            run_id: before.run_id,
            flow: before.flow,
            package: before.package,
            secrets: before.secrets,
            provenance: before.provenance,
            user: before.user,
            asked_size: before.asked_size.or(before.size),
            ..resolved.plan
        };
        Ok((plan, decided))
    }

    async fn check(&self, plan: &LaunchPlan, ui: &mut Ui) -> Result<()> {
        for warning in checks::check(self.cluster, plan, Purpose::Follow).await? {
            ui.warning(&warning);
        }
        Ok(())
    }
}
