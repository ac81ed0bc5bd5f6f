//! What a size comes to: footprint, placement, machine.

use std::collections::BTreeMap;

use super::{Defaults, PLACEMENT_KEY, Reserved, SizeProfile};
use crate::model::{
    footprint::{Allocatable, Footprint, Shortfall},
    instance_type::InstanceType,
    launch_plan::{Placement, Toleration},
    quantity::{Cpu, Memory},
};

/// Computed CPU is a multiple of this many millicores: nobody wants to read `15637m`.
const CPU_STEP: u64 = 10;

impl SizeProfile {
    /// Returns what a job of this size asks for: the given footprint, else what a machine has for pods, less what is reserved,
    /// divided by the jobs that share it.
    #[must_use]
    pub fn footprint(&self, defaults: &Defaults) -> Footprint {
        let ephemeral_storage = self.ephemeral_storage;
        if let Some(given) = &self.footprint {
            let gpu = self.gpu.as_ref().map_or(0, |gpu| gpu.value);
            return Footprint { cpu: given.value.cpu, memory: given.value.memory, gpu, ephemeral_storage };
        }
        let reserved = self.reserved(defaults);
        let jobs = self.jobs_per_node.as_ref().map_or(1, |jobs| jobs.value).max(1);
        let machine = self.allocatable().unwrap_or_default();
        let share = |whole: u64, reserved: u64, step: u64| whole.saturating_sub(reserved) / u64::from(jobs) / step * step;
        Footprint {
            cpu: Cpu(share(machine.cpu.0, reserved.cpu.0, CPU_STEP)),
            memory: Memory(share(machine.memory.0, reserved.memory.0, Memory::from_mib(1).0)),
            gpu: self.gpu.as_ref().map_or(machine.gpu / jobs, |gpu| gpu.value),
            ephemeral_storage,
        }
    }

    /// Returns what is kept back for daemon sets on the machines of this size.
    #[must_use]
    pub fn reserved(&self, defaults: &Defaults) -> Reserved {
        self.own.reserved.as_ref().or(defaults.reserved.as_ref()).map_or_else(Reserved::default, |reserved| reserved.value)
    }

    /// Returns what pods may safely count on, on the smallest machine of this size; `None` when its type is not known.
    #[must_use]
    pub fn allocatable(&self) -> Option<Allocatable> {
        self.smallest(InstanceType::allocatable)
    }

    /// Returns what the smallest machine of this size never exceeds; `None` when its type is not known.
    #[must_use]
    pub fn most_allocatable(&self) -> Option<Allocatable> {
        self.smallest(InstanceType::most_allocatable)
    }

    /// Returns the least of everything over all types: a group may start any of them.
    fn smallest(&self, of: impl Fn(&InstanceType) -> Allocatable) -> Option<Allocatable> {
        let types = self.instance_types.iter().filter_map(|name| InstanceType::find(&name.value));
        types.map(|found| of(&found)).reduce(|first, second| Allocatable {
            cpu: first.cpu.min(second.cpu),
            memory: first.memory.min(second.memory),
            gpu: first.gpu.min(second.gpu),
            ephemeral_storage: None,
        })
    }

    /// Returns where jobs of this size run. What the map does not say is the label and the taint `sbrun.dev/size=<size>`.
    #[must_use]
    pub fn placement(&self) -> Placement {
        let own_selector = || BTreeMap::from([(PLACEMENT_KEY.to_owned(), self.name.0.clone())]);
        // No effect: it tolerates NoSchedule and NoExecute, whichever the group has.
        let own_toleration = || {
            vec![Toleration {
                key: Some(PLACEMENT_KEY.to_owned()),
                operator: Some("Equal".to_owned()),
                value: Some(self.name.0.clone()),
                effect: None,
            }]
        };
        let values = |located: &[super::Located<String>]| located.iter().map(|one| one.value.clone()).collect();
        Placement {
            node_groups: values(&self.node_groups),
            node_pool: self.node_pool.as_ref().map(|pool| pool.value.clone()),
            region: None,
            cluster: None,
            instance_types: values(&self.instance_types),
            spot: self.spot,
            node_selector: self.node_selector.clone().unwrap_or_else(own_selector),
            tolerations: self.tolerations.clone().unwrap_or_else(own_toleration),
        }
    }

    /// Returns the footprint with CPU or memory asked for anew, else of what it is more than this size gives.
    pub fn within(&self, defaults: &Defaults, cpu: Option<Cpu>, memory: Option<Memory>) -> Result<Footprint, Vec<Shortfall>> {
        let whole = self.footprint(defaults);
        let asked = Footprint { cpu: cpu.unwrap_or(whole.cpu), memory: memory.unwrap_or(whole.memory), ..whole };
        let shortfalls = asked.shortfalls(&self.room(defaults));
        if shortfalls.is_empty() { Ok(asked) } else { Err(shortfalls) }
    }

    /// Returns the footprint as room for a smaller one.
    #[must_use]
    pub fn room(&self, defaults: &Defaults) -> Allocatable {
        let Footprint { cpu, memory, gpu, ephemeral_storage } = self.footprint(defaults);
        Allocatable { cpu, memory, gpu, ephemeral_storage }
    }
}
