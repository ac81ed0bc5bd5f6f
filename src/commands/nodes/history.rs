//! `sbrun nodes --history`: how machines came and went.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::look::{Look, Observer};
use crate::{
    error::{Error, Result},
    model::{
        duration,
        exit_code::ExitCode,
        machine_history::{MachineHistory, Step, from_activities, from_traces, together},
        node_group::{AccountGroup, NodeGroup},
        scale_state::{GroupSurvey, Survey},
    },
    output::{
        ui::Ui,
        view::machine_history::{Histories, HistoryEntry},
    },
};

/// How long AWS keeps scaling activities.
const LONGEST: Duration = Duration::from_secs(6 * 7 * 24 * 3600);

/// Refuses a span of which nothing can be known.
pub(super) fn check(span: Duration) -> Result<()> {
    if span.is_zero() {
        return Err(Error::usage("--history: there is nothing within `0s`; give it a time such as `24h`"));
    }
    if span > LONGEST {
        return Err(Error::usage(format!("--history: AWS keeps scaling activities for six weeks; `{}` is the most", duration::format(LONGEST))));
    }
    Ok(())
}

/// Shows the history of the last `span`, and writes it to `svg`.
pub(super) async fn show(observer: &Observer, span: Duration, svg: Option<&Path>, ui: &mut Ui) -> Result<ExitCode> {
    let span = SignedDuration::try_from(span).map_err(|error| Error::internal("a span of six weeks fits").caused_by(error))?;
    let look = observer.look_since(span).await?;
    let from = look.now.checked_sub(span).unwrap_or(Timestamp::UNIX_EPOCH);
    let survey = observer.survey(&look);
    let entries = survey.groups.iter().map(|group| entry(observer, &look, group, from));
    let histories = Histories::new(from, look.now, entries.collect(), survey.unknown.clone());
    if let Some(path) = svg {
        fs::write(path, histories.svg()?)
            .map_err(|error| Error::failed(format!("cannot write the chart to `{}`", path.display())).caused_by(error))?;
    }
    let names = || survey.groups.iter().flat_map(|group| group.node_groups.iter().chain(&group.node_pool).cloned()).collect();
    ui.show(&histories, |ui| histories.charts(ui.width()), names)?;
    for sentence in histories.sentences() {
        ui.status(&sentence);
    }
    if let Some(path) = svg {
        ui.status(&format!("wrote {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the numbers of machines of all groups together since `from`, each group once.
pub(super) fn steps(survey: &Survey, look: &Look, from: Timestamp) -> Vec<Step> {
    let mut seen = BTreeSet::new();
    let groups = survey.groups.iter().filter(|group| seen.insert((&group.node_groups, &group.node_pool)));
    let histories: Vec<MachineHistory> = groups.map(|group| history(look, group, from).0).collect();
    together(&histories)
}

fn entry(observer: &Observer, look: &Look, group: &GroupSurvey, from: Timestamp) -> HistoryEntry {
    let price = group.size.as_ref().and_then(|size| observer.size(size)).and_then(|size| size.price_per_hour);
    let (history, source) = history(look, group, from);
    HistoryEntry::new(group, history, source, price)
}

/// Returns the history of a group, and what it is made from: scaling activities, else what the cluster shows.
fn history(look: &Look, group: &GroupSurvey, from: Timestamp) -> (MachineHistory, &'static str) {
    let names = group.node_groups.iter().map(|name| (name, false)).chain(group.node_pool.iter().map(|name| (name, true)));
    let groups: Vec<NodeGroup<'_>> = names.map(|(name, is_pool)| NodeGroup::find(name, is_pool, &look.scaling)).collect();
    let accounts: Option<Vec<&AccountGroup>> = groups.iter().map(|group| group.account.filter(|account| account.activities.is_some())).collect();
    match accounts.filter(|accounts| !accounts.is_empty()) {
        Some(accounts) => {
            let activities: Vec<_> = accounts.iter().flat_map(|account| account.activities.iter().flatten().cloned()).collect();
            let instances: Vec<_> = accounts.iter().flat_map(|account| account.instances.iter().cloned()).collect();
            (from_activities(&activities, &instances, from, look.now), "scaling_activities")
        }
        None => (from_traces(&groups, &group.machines, &look.scaling.events, from, look.now), "cluster"),
    }
}
