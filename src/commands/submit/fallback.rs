//! Another size, when the one that was asked for has no machine.

use super::{
    args::{NoCapacityChoice, SubmitArgs},
    resolve::{self, Target},
};
use crate::{
    commands::context::Context,
    error::{Error, Result},
    kubernetes::{
        checks::{self, Purpose},
        connect::Cluster,
    },
    model::launch_plan::LaunchPlan,
    output::ui::Ui,
};

/// Returns the plan of the same run at the size's fallback, and says what it costs. There is no second fallback.
///
/// The files, arguments and secrets are those that were read at first; everything that depends on the size is decided anew.
pub async fn plan(arguments: &SubmitArgs, lacking: LaunchPlan, context: &Context, cluster: &Cluster, ui: &mut Ui) -> Result<LaunchPlan> {
    let (size, fallback) = lacking.size.clone().zip(lacking.fallback.clone()).ok_or_else(|| Error::internal("a plan without a fallback"))?;
    let arguments = SubmitArgs {
        size: Some(fallback.0.clone()),
        on_no_capacity: Some(NoCapacityChoice::Wait),
        secrets: Vec::new(), // a value that came from standard input cannot be read again
        ..arguments.clone()
    };
    let decided = resolve::decide(&arguments, context, Some(cluster), context.find_map()?).await?;
    let resolved = resolve::plan(&arguments, context, Target::Cluster(&cluster.namespace), &decided).await?;
    let plan = LaunchPlan {
        run_id: lacking.run_id,
        flow: lacking.flow,
        package: lacking.package,
        secrets: lacking.secrets,
        provenance: lacking.provenance,
        user: lacking.user,
        fallback: None,
        fallback_of: Some(size.clone()),
        ..resolved.plan
    };
    let price = match (lacking.price_per_hour, plan.price_per_hour) {
        (Some(before), Some(after)) => format!(": {after:.2} an hour instead of {before:.2}"),
        (None, Some(after)) => format!(": {after:.2} an hour"),
        (_, None) => String::new(),
    };
    ui.status(&format!("size {size} has no machine; taking its fallback {fallback}{price}"));
    for warning in checks::check(cluster, &plan, Purpose::Follow).await? {
        ui.warning(&warning);
    }
    Ok(plan)
}
