//! Scaling activities of an Auto Scaling group: what it launched, what failed, and what took an instance away.
//!
//! AWS describes them in prose. Classification goes by the substrings that users have quoted for years.

use jiff::Timestamp;

/// One activity of `DescribeScalingActivities`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScalingActivity {
    /// Identity.
    pub id: String,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// `StatusCode`: `Successful`, `Failed`, `Cancelled`, `PreInService`, …
    pub status: String,
    /// `Description`: what it does.
    pub description: String,
    /// `Cause`: why it was begun.
    pub cause: String,
    /// `StatusMessage`: what went wrong.
    pub message: Option<String>,
    /// Availability Zone, where its details name one.
    pub zone: Option<String>,
}

/// Why an instance could not be launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LaunchFailure {
    /// There is no machine of this kind: `InsufficientInstanceCapacity`, `UnfulfillableCapacity`.
    Capacity {
        /// Whether spot machines were asked for.
        spot: bool,
    },
    /// A quota of the account: `VcpuLimitExceeded`, `MaxSpotInstanceCountExceeded`.
    Quota,
    /// The request itself: image, subnet, launch template, instance type.
    Configuration,
}

impl ScalingActivity {
    /// Returns whether it launches an instance.
    #[must_use]
    pub fn is_launch(&self) -> bool {
        self.description.starts_with("Launching a new EC2 instance")
    }

    /// Returns whether it takes an instance away.
    #[must_use]
    pub fn is_termination(&self) -> bool {
        self.description.starts_with("Terminating EC2 instance")
    }

    /// Returns the instance that it names.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        let from = self.description.find("i-")?;
        let id = &self.description[from..];
        let end = id.find(|character: char| !(character.is_ascii_alphanumeric() || character == '-')).unwrap_or(id.len());
        let before = self.description[..from].chars().next_back();
        (id[..end].len() > "i-".len() && before.is_none_or(|character| character.is_whitespace() || character == ':')).then(|| &id[..end])
    }

    /// Returns why a launch failed; none when it did not.
    #[must_use]
    pub fn failure(&self) -> Option<LaunchFailure> {
        if self.status != "Failed" || !self.is_launch() {
            return None;
        }
        let text = self.failure_text();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        Some(
            if says(&[
                "VcpuLimitExceeded",
                "current vCPU limit",
                "MaxSpotInstanceCountExceeded",
                "Max spot instance count exceeded",
                "InstanceLimitExceeded",
            ]) {
                LaunchFailure::Quota
            } else if says(&["InsufficientInstanceCapacity", "UnfulfillableCapacity", "InsufficientHostCapacity", "insufficient capacity"]) {
                LaunchFailure::Capacity { spot: says(&["Spot", "spot"]) }
            } else {
                LaunchFailure::Configuration
            },
        )
    }

    /// Returns what AWS said about a failure, without what every failure says.
    #[must_use]
    pub fn failure_text(&self) -> &str {
        let from_description = self.description.split_once("Status Reason: ").map(|(_, reason)| reason);
        self.message.as_deref().or(from_description).unwrap_or(&self.description).trim()
    }

    /// Returns whether it takes an instance away because AWS wants a spot machine back.
    #[must_use]
    pub fn is_spot_interruption(&self) -> bool {
        let said = |text: &str| {
            let text = text.to_ascii_lowercase();
            text.contains("spot") && (text.contains("interrupt") || text.contains("reclaim")) || text.contains("rebalance recommendation")
        };
        self.is_termination() && (said(&self.cause) || said(&self.description))
    }

    /// Returns whether it takes an instance away to balance zones, which no autoscaler knows of.
    #[must_use]
    pub fn is_zone_balancing(&self) -> bool {
        self.cause.contains("to balance instances in zones")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word() -> impl Strategy<Value = String> {
        let known = ["Launching a new EC2 instance", "Terminating EC2 instance: i-0a", "Status Reason: ", "i-", "Failed", "spot", "interrupt", "é"];
        prop_oneof![prop::sample::select(known.to_vec()).prop_map(ToOwned::to_owned), any::<String>()]
    }

    fn words() -> impl Strategy<Value = String> {
        prop::collection::vec(word(), 0..4).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn no_prose_is_a_failure_or_a_loss_unless_it_says_what_it_is_about(
            status in word(), description in words(), cause in words(), message in prop::option::of(words()),
        ) {
            let activity = ScalingActivity { status, description, cause, message, ..ScalingActivity::default() };
            prop_assert!(activity.failure().is_none() || activity.status == "Failed" && activity.is_launch());
            prop_assert!(!activity.is_spot_interruption() || activity.is_termination());
            prop_assert!(activity.instance().is_none_or(|id| id.starts_with("i-") && activity.description.contains(id)));
            prop_assert!(activity.failure_text().len() <= activity.description.len().max(activity.message.as_ref().map_or(0, String::len)));
        }
    }

    fn failed(message: &str) -> ScalingActivity {
        let description = format!("Launching a new EC2 instance.  Status Reason: {message}");
        ScalingActivity { status: "Failed".into(), description, message: Some(message.into()), ..ScalingActivity::default() }
    }

    #[test]
    fn failures_are_told_apart_by_what_users_quote() {
        let spot = "Could not launch Spot Instances. InsufficientInstanceCapacity - There is no Spot capacity available that matches your request. \
                    Launching EC2 instance failed.";
        assert_eq!(failed(spot).failure(), Some(LaunchFailure::Capacity { spot: true }));
        assert_eq!(failed(spot).failure_text(), spot);
        let demand = "We currently do not have sufficient m5.large capacity in the zones you requested (InsufficientInstanceCapacity). \
                      Launching EC2 instance failed.";
        assert_eq!(failed(demand).failure(), Some(LaunchFailure::Capacity { spot: false }));
        assert_eq!(failed("Max spot instance count exceeded. Launching EC2 instance failed.").failure(), Some(LaunchFailure::Quota));
        assert_eq!(failed("You have requested more vCPU capacity than your limit (VcpuLimitExceeded).").failure(), Some(LaunchFailure::Quota));
        let plain = "You have requested more vCPU capacity than your current vCPU limit of 384 allows for the instance bucket that it belongs to.";
        assert_eq!(failed(plain).failure(), Some(LaunchFailure::Quota));
        let fleet = "Could not launch On-Demand Instances. InvalidFleetConfiguration - Your requested instance type (p3.8xlarge) is not supported in \
                     your requested Availability Zone (us-east-2c).";
        assert_eq!(failed(fleet).failure(), Some(LaunchFailure::Configuration));
        assert_eq!(ScalingActivity { status: "Successful".into(), ..failed(spot) }.failure(), None);
    }

    #[test]
    fn instances_are_found_in_descriptions() {
        let described = |description: &str| ScalingActivity { description: description.into(), ..ScalingActivity::default() };
        assert_eq!(described("Launching a new EC2 instance: i-0a1b2c").instance(), Some("i-0a1b2c"));
        assert_eq!(described("Terminating EC2 instance: i-0a1b2c - Waiting for ELB").instance(), Some("i-0a1b2c"));
        assert_eq!(described("Launching a new EC2 instance.  Status Reason: multi-tenant").instance(), None);
    }

    #[test]
    fn spot_interruptions_are_terminations_that_say_so() {
        let cause = "At 2026-11-24T10:00:00Z an instance was taken out of service in response to an EC2 instance spot interruption notice.";
        let activity = ScalingActivity { description: "Terminating EC2 instance: i-1".into(), cause: cause.into(), ..ScalingActivity::default() };
        assert!(activity.is_spot_interruption());
        let user = ScalingActivity { cause: "At T a user request explicitly set group desired capacity".into(), ..activity };
        assert!(!user.is_spot_interruption());
    }
}
