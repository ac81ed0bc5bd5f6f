//! Long texts of help and manual: exit status, environment, files, examples.

use crate::model::exit_code::ExitCode;

/// Returns the part below `sbrun --help`.
#[must_use]
pub fn top() -> String {
    let codes: Vec<String> = ExitCode::TABLE.iter().map(|(code, meaning)| format!("  {:>3}  {meaning}", code.0)).collect();
    let codes = codes.join("\n");
    format!(
        "Exit status:\n{codes}\n       any other code is the flow's own\n\n\
         Environment:\n  \
         SBRUN_<SETTING>    any setting, such as SBRUN_SIZE or SBRUN_TIMEOUT; a flag wins over it\n  \
         SBRUN_MAP          instance map to use\n  \
         SBRUN_USER         who I am, for `list --mine` and `@latest`\n  \
         SBRUN_RESULT_FILE  file that gets the result as JSON: emptied at the start, written at the end\n  \
         CI                 when set, an interruption cancels the job instead of leaving it\n  \
         KUBECONFIG         the cluster, as for kubectl\n  \
         NO_COLOR           no colour\n\n\
         Files:\n  \
         instance-map.yaml                    the sizes: here or in a folder above\n  \
         ~/.config/sbrun/instance-map.yaml    the same for you alone\n  \
         .sbrunignore                         what does not travel with the flow, in the words of .gitignore\n  \
         ~/.local/state/sbrun/runs/           what was submitted from here\n\n\
         The guide is docs/guide.md; reasons and outcomes are in docs/reasons.md and docs/exit-codes.md."
    )
}

/// Returns the part below `sbrun prefect pool --help`.
#[must_use]
pub fn prefect_pool() -> String {
    "Examples:\n  \
     sbrun prefect pool create flows --on-reclaim crash --default-size small\n  \
     sbrun prefect pool create flows --on-reclaim reschedule --dry-run -o json\n  \
     sbrun prefect pool diff                          after a change of the instance map\n  \
     sbrun prefect pool update --yes                  from a pipeline\n\n\
     The server is the one that Prefect itself would use here: PREFECT_API_URL, prefect.toml or the active profile.\n\
     What people edit in the template stays. The guide is docs/prefect.md."
        .to_owned()
}

/// Returns the part below `sbrun doctor --help`.
#[must_use]
pub fn doctor() -> String {
    "Exit status:\n   0  nothing keeps jobs from running; warnings and unknowns may be there\n  78  something does\n\n\
     Examples:\n  \
     sbrun doctor                         everything, of all sizes\n  \
     sbrun doctor --size xlarge           what this size lacks, also one that the map does not have yet\n  \
     sbrun doctor --offline --map FILE    the map alone, as a pipeline checks it\n  \
     sbrun doctor -v                      also what is as it should be\n  \
     sbrun doctor -o json                 for machines: code, severity, subject, remedies\n\n\
     Nothing is changed: Jobs are only asked about, in dry runs. The checks are listed in docs/doctor.md."
        .to_owned()
}

/// Returns the part below `sbrun init --help`.
#[must_use]
pub fn init() -> String {
    "Examples:\n  \
     sbrun init                                        ask, and write instance-map.yaml here\n  \
     sbrun init --print                                only show what it would be\n  \
     sbrun init --group flows-xl --name flows-xl=xlarge --image registry.example/flows:1 --yes\n  \
     sbrun init --map prod/instance-map.yaml           add the sizes that this map lacks\n\n\
     A map that is there is added to and otherwise left as it is. It is never overwritten without a yes: without a terminal that is `--yes`.\n\
     Groups are found by the tags of the Cluster Autoscaler, by its status, by Karpenter's node pools and by the nodes themselves;\n\
     without rights in AWS, or without a cluster, the rest has to do."
        .to_owned()
}

/// Returns the part below `sbrun setup --help`.
#[must_use]
pub fn setup() -> String {
    "Examples:\n  \
     sbrun setup                                      print the manifests\n  \
     sbrun setup --user-group data-team --diff        what would change in the cluster\n  \
     sbrun setup --user-group data-team --apply       apply it, after a look and a question\n  \
     sbrun setup map policy --apply                   after a change of the instance map\n  \
     sbrun setup iam-users > policy.json              for `aws iam create-policy`\n\n\
     The guide to it is docs/setup.md."
        .to_owned()
}

/// Returns the part below `sbrun submit --help`.
#[must_use]
pub fn submit() -> String {
    "Examples:\n  \
     sbrun submit --size xlarge flow.py -- --day 2026-11-01\n  \
     sbrun submit --local examples/hello.py\n  \
     sbrun submit --size small --detach etl.py\n  \
     exec sbrun submit --size small --key \"$GITHUB_RUN_ID-$GITHUB_JOB\" etl.py\n  \
     sbrun submit --size small --secret API_TOKEN --env STAGE=prod etl.py\n  \
     sbrun submit --size small --dry-run etl.py\n\n\
     Settings come from, first one wins: flag, SBRUN_* variable, a line `# sbrun: size=xlarge timeout=2h` at the top of the \
     flow, the size and the defaults of the instance map, built-in. `sbrun config FLOW` shows where each came from."
        .to_owned()
}
