//! Deleting many Jobs: quickly, gently, and with an answer to the question what was done so far.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, interval_at, sleep_until};

use crate::{
    commands::interrupt::Interruption,
    error::{Error, ErrorKind, Result},
    kubernetes::{
        connect::Cluster,
        jobs::{self, Deletion, JobVersion},
    },
    model::removal::Stays,
    output::{
        ui::{Format, Ui},
        view::cleaned::Cleaned,
    },
};

/// Most deletions at once: enough to be quick, few enough for the API server's fairness.
const AT_ONCE: usize = 20;
/// What so many in a row were refused for, the rest would be, too.
const REFUSALS: usize = 10;
/// After so many deletions without a pause one more may be under way at the same time.
const PATIENCE: usize = 50;
/// How long to wait for the answers to what was asked for before an interruption: a CI runner gives 7.5 s.
const LAST_ANSWERS: Duration = Duration::from_secs(4);
/// How often to say how far it is.
const TICK: Duration = Duration::from_millis(250);
/// Between two lines about it where no terminal redraws one.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// How it ended, beside what became of each job.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Whether somebody interrupted it.
    pub(super) interrupted: bool,
    /// What made going on pointless, or kept every single job from going.
    pub(super) error: Option<Error>,
}

/// Says now and then how far something is: on the redrawn line of a terminal, else in lines.
pub(super) struct Pace {
    ticks: tokio::time::Interval,
    said: Instant,
}

impl Pace {
    pub(super) fn start() -> Self {
        let now = Instant::now();
        Self { ticks: interval_at(now + TICK, TICK), said: now }
    }

    /// Waits until it is time to look how far it is.
    pub(super) async fn next(&mut self) {
        self.ticks.tick().await;
    }

    pub(super) fn tell(&mut self, text: &str, ui: &mut Ui) {
        if ui.stderr_is_terminal() {
            ui.progress(text);
        } else if self.said.elapsed() >= BETWEEN_LINES {
            self.said = Instant::now();
            ui.status(text);
        }
    }
}

/// How many deletions may be under way: half as many after each pause that the server asked for, and slowly more again.
struct Budget {
    at_once: usize,
    pauses: usize,
    since: usize,
}

impl Budget {
    fn new(pauses: usize) -> Self {
        Self { at_once: AT_ONCE, pauses, since: 0 }
    }

    /// Notes that one is done; `pauses` counts those that the server has asked for so far.
    fn done(&mut self, pauses: usize) {
        self.since += 1;
        if pauses > self.pauses {
            *self = Self { at_once: (self.at_once / 2).max(1), pauses, since: 0 };
        } else if self.since >= PATIENCE {
            *self = Self { at_once: (self.at_once + 1).min(AT_ONCE), pauses, since: 0 };
        }
    }
}

/// Deletes `doomed` and notes in `cleaned` what becomes of each. A job that changed since it was looked at stays.
pub(super) async fn remove(cluster: &Cluster, doomed: Vec<JobVersion>, cleaned: &mut Cleaned, ui: &mut Ui) -> Result<Ended> {
    let total = doomed.len();
    let mut queue = doomed.into_iter();
    let (mut under_way, mut names) = (FuturesUnordered::new(), BTreeSet::new());
    let (mut interruption, mut pace) = (Interruption::listen()?, Pace::start());
    let (mut ended, mut stopped, mut leave_at) = (Ended::default(), false, None);
    let (mut failures, mut budget) = (0, Budget::new(cluster.pauses()));
    loop {
        while !stopped && under_way.len() < budget.at_once {
            let Some(job) = queue.next() else { break };
            names.insert(job.name.clone());
            under_way.push(async move { (jobs::delete(cluster, &job).await, job.name) });
        }
        tokio::select! {
            done = under_way.next() => {
                let Some((result, name)) = done else { break };
                names.remove(&name);
                budget.done(cluster.pauses());
                failures = if result.is_ok() { 0 } else { failures + 1 };
                if let Some(error) = note(result, name, cleaned, ui)? {
                    // A minute goes by before a server counts as unreachable.
                    stopped |= error.kind() == ErrorKind::Unreachable || failures >= REFUSALS;
                    ended.error.get_or_insert(error);
                }
            }
            () = interruption.came() => {
                if leave_at.is_some() {
                    break; // a second one leaves at once
                }
                leave_at = Some(Instant::now() + LAST_ANSWERS);
                (stopped, ended.interrupted) = (true, true);
            }
            () = sleep_until(leave_at.unwrap_or_else(Instant::now)), if leave_at.is_some() => break,
            () = pace.next() => pace.tell(&format!("{} of {total} removed", cleaned.removed.len()), ui),
        }
    }
    ui.clear_progress();
    for name in names {
        cleaned.keep(name, Stays::Unanswered);
    }
    for job in queue {
        cleaned.keep(job.name, Stays::NotTried);
    }
    // One of many that was refused is told with its name; it says nothing of the others.
    ended.error = ended.error.filter(|_| stopped && !ended.interrupted || cleaned.removed.is_empty());
    Ok(ended)
}

/// Notes what became of a job; returns the error if it is one.
fn note(result: Result<Deletion>, name: String, cleaned: &mut Cleaned, ui: &mut Ui) -> Result<Option<Error>> {
    match result {
        Ok(Deletion::Deleted) => {
            if is_streamed(ui) {
                ui.line(&name)?;
            }
            cleaned.removed.push(name);
        }
        Ok(Deletion::Changed) => cleaned.keep(name, Stays::Changed),
        Err(error) => {
            cleaned.keep_because(name, Stays::Refused, error.message().to_owned());
            return Ok(Some(error));
        }
    }
    Ok(None)
}

/// Returns whether names are written as jobs go: whoever reads them then has them whatever happens to this process.
pub(super) fn is_streamed(ui: &Ui) -> bool {
    ui.format() == Format::Name || ui.is_for_people() && !ui.stdout_is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_asks_for_pauses_gets_less_and_one_that_does_not_gets_more() {
        let mut budget = Budget::new(3);
        let mut after = |deletions: usize, pauses: usize| {
            (0..deletions).for_each(|_| budget.done(pauses));
            budget.at_once
        };
        assert_eq!((after(200, 3), after(1, 4), after(1, 5), after(49, 5), after(1, 5)), (20, 10, 5, 5, 6));
        assert_eq!((after(1, 6), after(1, 7), after(1, 8), after(1, 9)), (3, 1, 1, 1), "never none");
        assert_eq!(after(PATIENCE * 30, 9), AT_ONCE);
    }
}
