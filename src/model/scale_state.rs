//! The scale state of node groups: what each has, what it is to have, and whether it grows, shrinks, rests or fails.
//!
//! [`survey`] joins what the cloud account, the autoscaler and the cluster's own objects say, each of which may be closed to
//! whoever asks. A number that nothing tells is none, never 0.

mod closed;
mod departure;
mod group;
mod membership;
mod survey;

pub use departure::{Departure, UNNEEDED_TIME};
pub use survey::{GroupSurvey, Survey, SurveyInput, survey};

use crate::model::machine::{Machine, MachineState};

/// How a node group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScaleState {
    /// No machine, and none asked for: it rests.
    Empty,
    /// It has as many machines as it is to have.
    Steady,
    /// Machines are asked for or boot.
    ScalingUp,
    /// Machines are going away.
    ScalingDown,
    /// It has as many machines as it may have.
    AtMaximum,
    /// It was to grow and could not.
    Failing,
}

impl ScaleState {
    /// Returns the stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Steady => "steady",
            Self::ScalingUp => "scaling_up",
            Self::ScalingDown => "scaling_down",
            Self::AtMaximum => "at_maximum",
            Self::Failing => "failing",
        }
    }
}

/// What a scale state is told from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScaleFacts {
    /// Number of nodes that the group is to have.
    pub desired: Option<u32>,
    /// Largest number of nodes.
    pub maximum: Option<u32>,
    /// Machines that are there to stay.
    pub present: Option<u32>,
    /// Machines that boot.
    pub booting: Option<u32>,
    /// Machines on their way out.
    pub leaving: Option<u32>,
    /// Whether it was to grow and could not.
    pub is_failing: bool,
    /// Whether a limit other than the number of nodes is used up.
    pub is_at_limit: bool,
}

impl ScaleFacts {
    /// Returns the scale state; none when nothing tells it.
    #[must_use]
    pub fn state(&self) -> Option<ScaleState> {
        if self.is_failing {
            return Some(ScaleState::Failing);
        }
        let differs = |how: fn(&u32, &u32) -> bool| self.desired.zip(self.present).is_some_and(|(desired, present)| how(&desired, &present));
        if self.booting.is_some_and(|booting| booting > 0) || differs(|desired, present| desired > present) {
            return Some(ScaleState::ScalingUp);
        }
        if self.leaving.is_some_and(|leaving| leaving > 0) || differs(|desired, present| desired < present) {
            return Some(ScaleState::ScalingDown);
        }
        let size = self.desired.or(self.present)?;
        Some(match () {
            () if self.is_at_limit || self.maximum.is_some_and(|maximum| size >= maximum) => ScaleState::AtMaximum,
            () if size == 0 => ScaleState::Empty,
            () => ScaleState::Steady,
        })
    }
}

/// Machines of a node group by state; none where nothing tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nodes that are ready.
    pub ready: Option<u32>,
    /// Ready nodes on which something runs, daemons aside.
    pub busy: Option<u32>,
    /// Ready nodes that wait for a pod.
    pub idle: Option<u32>,
    /// Machines that have started and are no ready node yet.
    pub booting: Option<u32>,
    /// Machines on their way out.
    pub leaving: Option<u32>,
    /// Nodes that are not ready, and not because they are new.
    pub not_ready: Option<u32>,
}

impl Counts {
    /// Returns the counts of machines whose nodes are all known.
    fn of(machines: &[Machine], pods_seen: bool) -> Self {
        let count = |wanted: fn(MachineState) -> bool| {
            Some(u32::try_from(machines.iter().filter(|machine| wanted(machine.state)).count()).unwrap_or(u32::MAX))
        };
        Self {
            ready: count(MachineState::is_ready),
            busy: count(|state| state == MachineState::Busy).filter(|_| pods_seen),
            idle: count(|state| state == MachineState::Idle).filter(|_| pods_seen),
            booting: count(|state| state == MachineState::Booting),
            leaving: count(|state| state == MachineState::Leaving),
            not_ready: count(|state| state == MachineState::NotReady),
        }
    }
}

#[cfg(test)]
mod tests;
