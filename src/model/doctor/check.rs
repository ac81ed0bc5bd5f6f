//! Codes of checks: stable, the same in every output and in every version.

macro_rules! checks {
    ($($variant:ident = $code:literal, $good:literal => $consequence:literal,)+) => {
        /// One check of a set-up.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Check {
            $(#[doc = $good] $variant,)+
        }

        impl Check {
            /// Every check, in the order of the manual.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the code, such as `Tags.Labels`.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// Returns what is so when all is well, in a few words.
            #[must_use]
            pub fn good(self) -> &'static str {
                match self { $(Self::$variant => $good,)+ }
            }

            /// Returns what happens otherwise, in a few words.
            #[must_use]
            pub fn consequence(self) -> &'static str {
                match self { $(Self::$variant => $consequence,)+ }
            }
        }
    };
}

checks! {
    MapValid = "Map.Valid", "the map can be read" => "nothing can be submitted with this map",
    MapDoubtful = "Map.Doubtful", "nothing in the map looks wrong" => "a job may not fit, or not run where it was meant to",
    MapCluster = "Map.Cluster", "the map names its cluster" => "a job may go to another cluster unnoticed",
    MapImage = "Map.Image", "an image is set" => "`submit` refuses unless `--image` names one",
    SizeKnown = "Size.Known", "the map has this size" => "`--size` with this name is refused",
    SizeGroup = "Size.Group", "it names its node group or pool" => "sbrun cannot see its machines, nor say why a job waits for one",
    GroupGrowth = "Group.Growth", "nothing keeps it from growing" => "jobs wait for a machine in vain",
    GroupRest = "Group.Rest", "it rests at 0" => "machines run, and cost, when there is no job",
    GroupUnit = "Group.Unit", "its sizes are numbers of machines" => "the autoscaler takes its vCPUs or weights for machines: it starts too few, and removes the wrong ones",
    GroupMachines = "Group.Machines", "its instance types are alike" => "the autoscaler takes them all for the first one: a job may get a machine that is too small for it",
    GroupTypes = "Group.Types", "its instance types are those of the map" => "footprints are computed for machines that do not come",
    GroupSpot = "Group.Spot", "it is spot or on demand as the map says" => "prices and risks are not those that people see",
    GroupTerminate = "Group.Terminate", "its machines can go" => "idle machines never go, and cost",
    GroupBalance = "Group.Balance", "zones are not balanced" => "AWS ends machines to balance zones, with the jobs on them: no annotation keeps it from that",
    GroupRebalance = "Group.Rebalance", "spot machines are not replaced early" => "AWS ends a machine that it might want back soon, and the job on it, long before it does",
    TagsDiscovery = "Tags.Discovery", "it has the tags by which the autoscaler finds it" => "the autoscaler never raises it",
    TagsLabels = "Tags.Labels", "its tags tell which labels its nodes have" => "at 0 the autoscaler does not know that jobs fit there, and never raises it",
    TagsTaints = "Tags.Taints", "its tags tell which taints its nodes have" => "at 0 the autoscaler does not know who may run there: it raises the group in vain, or never",
    TagsResources = "Tags.Resources", "its tags tell enough of its resources" => "at 0 the autoscaler thinks that its nodes have too little, and never raises it",
    PlacementLabels = "Placement.Labels", "its nodes have the labels that jobs ask for" => "jobs never run on its nodes",
    PlacementTaints = "Placement.Taints", "jobs tolerate the taints of its nodes" => "jobs never run on its nodes",
    PlacementOthers = "Placement.Others", "a taint keeps other pods away" => "other pods take its room and keep its machines from going",
    PlacementFootprint = "Placement.Footprint", "a job fits on its machine beside the daemon sets" => "a machine comes, the job does not fit, the machine goes, and so on",
    AutoscalerRuns = "Autoscaler.Runs", "it runs" => "no group is ever raised",
    AutoscalerVersion = "Autoscaler.Version", "its version is that of the cluster" => "it foresees what another scheduler would do: it may raise a group in vain, or not at all",
    AutoscalerFlags = "Autoscaler.Flags", "its flags are those of `sbrun setup autoscaler`" => "groups grow or shrink otherwise than they should",
    AutoscalerIdle = "Autoscaler.Idle", "it removes idle machines" => "idle machines never go, and cost",
    PoolExists = "Pool.Exists", "Karpenter knows it" => "no machine ever comes",
    PoolGrace = "Pool.Grace", "its machines wait for their jobs before they go" => "Karpenter ends the job on a machine that is replaced, expired or drifted: no annotation keeps it from that",
    JobPriority = "Job.Priority", "the priority of its jobs may raise a group" => "the autoscaler ignores its jobs: they raise no group, and their machines go while they run",
    JobGrace = "Job.Grace", "the grace of its jobs is honoured" => "the autoscaler allows a pod no more when it has to drain a machine",
    JobVolume = "Job.Volume", "its volumes are in the zones of its machines" => "a machine comes in another zone, and the job waits on",
    RightsAccount = "Rights.Account", "AWS shows its node groups and activities" => "a failed launch is known minutes later, and some of it never",
    RightsJobs = "Rights.Jobs", "you may do what the commands do" => "the commands that do it fail",
    RightsSight = "Rights.Sight", "you may see what explains a job that waits" => "`why` and `nodes` know less",
    AdmissionSize = "Admission.Size", "the cluster admits its jobs" => "its jobs are refused",
    PrefectServer = "Prefect.Server", "it answers, and its version is one that sbrun knows" => "runs of deployments cannot be launched or followed, or not as they should be",
    PrefectPool = "Prefect.Pool", "it is what the map says" => "runs get another machine, or other limits, than their size promises",
    PrefectTemplate = "Prefect.Template", "its template keeps the rules of worker and sbrun" => "the worker refuses its runs, or they run twice, or are cut off",
    PrefectWorker = "Prefect.Worker", "a worker of it is online" => "its runs wait until one is",
    PrefectReclaim = "Prefect.Reclaim", "it says what becomes of a run whose machine is taken away" => "Prefect starts the run again without a bound, or leaves it RUNNING for ever",
    PrefectRetries = "Prefect.Retries", "no setting retries flows that say nothing of it" => "a flow runs again that nobody wrote for that",
    PrefectAccess = "Prefect.Access", "pods find the server, and its credential" => "a run cannot report to Prefect",
    PrefectRights = "Prefect.Rights", "its worker may do what it has to" => "runs are not launched, or nobody notices when they die",
    AdmissionRules = "Admission.Rules", "the cluster keeps the rules for every Job" => "Jobs that others create may be evicted or restarted in the middle of a run, or run anywhere",
}
