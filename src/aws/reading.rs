//! From what AWS sends to the model, and nowhere else.

use aws_sdk_autoscaling::{
    primitives::DateTime,
    types::{Activity, AutoScalingGroup, Instance as AwsInstance, InstancesDistribution, LaunchTemplateOverrides},
};
use jiff::Timestamp;

use crate::model::{
    node_group::{AccountGroup, Instance, SuspendedProcess},
    scaling_activity::ScalingActivity,
};

/// Returns a group; nothing when it has no name, which no other statement could be attached to.
pub(super) fn from_group(group: AutoScalingGroup) -> Option<AccountGroup> {
    let policy = group.mixed_instances_policy;
    let distribution =
        policy.as_ref().map(|policy| policy.instances_distribution.clone().unwrap_or_else(|| InstancesDistribution::builder().build()));
    let overrides = policy.and_then(|policy| policy.launch_template).and_then(|template| template.overrides).unwrap_or_default();
    let instances: Vec<Instance> = group.instances.unwrap_or_default().into_iter().map(from_instance).collect();
    let tags = group.tags.unwrap_or_default().into_iter();
    let suspended = group.suspended_processes.unwrap_or_default().into_iter();
    Some(AccountGroup {
        name: group.auto_scaling_group_name.filter(|name| !name.is_empty())?,
        min_size: number(group.min_size),
        max_size: number(group.max_size),
        desired_size: number(group.desired_capacity),
        desired_unit: group.desired_capacity_type.filter(|unit| unit != "units"),
        by_requirements: overrides.iter().any(|one| one.instance_requirements.is_some()),
        instance_types: instance_types(overrides, &instances),
        instances,
        zones: group.availability_zones.unwrap_or_default(),
        suspended: suspended
            .filter_map(|one| Some(SuspendedProcess { name: one.process_name?, reason: one.suspension_reason.unwrap_or_default() }))
            .collect(),
        tags: tags.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect(),
        // Without a policy only the launch template knows.
        spot: distribution.map(|distribution| distribution.on_demand_percentage_above_base_capacity.unwrap_or(100) < 100),
        capacity_rebalance: group.capacity_rebalance.unwrap_or_default(),
        status: group.status,
        activities: None,
    })
}

/// Returns an activity.
pub(super) fn from_activity(activity: Activity) -> ScalingActivity {
    ScalingActivity {
        id: activity.activity_id.unwrap_or_default(),
        started: activity.start_time.as_ref().and_then(time),
        ended: activity.end_time.as_ref().and_then(time),
        status: activity.status_code.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        description: activity.description.unwrap_or_default(),
        cause: activity.cause.unwrap_or_default(),
        message: activity.status_message.filter(|message| !message.is_empty()),
        zone: activity.details.as_deref().and_then(zone),
    }
}

fn from_instance(instance: AwsInstance) -> Instance {
    Instance {
        id: instance.instance_id.unwrap_or_default(),
        instance_type: instance.instance_type.filter(|name| !name.is_empty()),
        zone: instance.availability_zone.unwrap_or_default(),
        lifecycle: instance.lifecycle_state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        healthy: instance.health_status.is_none_or(|status| status.eq_ignore_ascii_case("healthy")),
    }
}

fn instance_types(overrides: Vec<LaunchTemplateOverrides>, instances: &[Instance]) -> Vec<(String, Option<String>)> {
    let of_overrides: Vec<_> = overrides.into_iter().filter_map(|one| Some((one.instance_type?, one.weighted_capacity))).collect();
    if !of_overrides.is_empty() {
        return of_overrides;
    }
    let mut types: Vec<(String, Option<String>)> = instances.iter().filter_map(|instance| Some((instance.instance_type.clone()?, None))).collect();
    types.sort();
    types.dedup();
    types
}

/// Returns a size; AWS has none below 0.
fn number(size: Option<i32>) -> u32 {
    size.and_then(|size| u32::try_from(size).ok()).unwrap_or_default()
}

fn time(time: &DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

/// Returns the Availability Zone of an activity's details, which are a JSON document in a string.
fn zone(details: &str) -> Option<String> {
    let details: serde_json::Value = serde_json::from_str(details).ok()?;
    details.get("Availability Zone")?.as_str().map(ToOwned::to_owned)
}
