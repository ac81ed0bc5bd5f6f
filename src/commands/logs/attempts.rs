//! The attempts of a job one after another: those whose pods are there, and those whose output was kept on this machine.

use jiff::Timestamp;

use super::elsewhere;
use crate::{
    environment::now,
    error::{Error, Result},
    kubernetes::{
        connect::Cluster,
        logs::{LogOptions, read_log},
    },
    model::{
        evidence::{AttemptRecord, Evidence},
        job_event::{Gap, JobEvent, LogEvent},
    },
    output::{ui::Ui, view::follow::FollowView},
    store::kept_log::{KeptEnd, KeptLog, Wanted},
};

const POD_GONE: &str = "the pod is gone";

/// All attempts that something is known of, the oldest first.
pub(super) struct Attempts<'evidence> {
    evidence: &'evidence Evidence,
    attempts: Vec<Attempt<'evidence>>,
    /// How many there were before, of which nothing is left.
    earlier: usize,
}

/// One attempt.
struct Attempt<'evidence> {
    /// Its pod, while that is there.
    pod: Option<&'evidence AttemptRecord>,
    /// What was kept of its output.
    kept: Option<KeptLog>,
}

impl Attempt<'_> {
    fn created(&self) -> Option<Timestamp> {
        self.pod.and_then(|pod| pod.created).or_else(|| self.kept.as_ref()?.origin.created)
    }

    fn place(&self) -> String {
        let (node, pod) = match (self.pod, &self.kept) {
            (Some(attempt), _) => (attempt.node.as_deref(), attempt.pod.as_str()),
            (None, Some(kept)) => (kept.origin.node.as_deref(), kept.origin.pod.as_str()),
            (None, None) => (None, ""),
        };
        format!("on {} (pod {pod})", node.unwrap_or("no node"))
    }
}

impl<'evidence> Attempts<'evidence> {
    /// Joins the pods that are there with what was kept.
    pub(super) fn of(evidence: &'evidence Evidence, kept: Vec<KeptLog>) -> Self {
        let pods = evidence.attempts.iter().filter(|attempt| attempt.gone.is_none());
        let mut attempts: Vec<Attempt<'evidence>> = pods.map(|pod| Attempt { pod: Some(pod), kept: None }).collect();
        for kept in kept {
            match attempts.iter_mut().find(|attempt| attempt.pod.is_some_and(|pod| pod.uid == kept.origin.pod_uid)) {
                Some(attempt) => attempt.kept = Some(kept),
                None => attempts.push(Attempt { pod: None, kept: Some(kept) }),
            }
        }
        attempts.sort_by_key(Attempt::created);
        let earlier = attempts_ever(evidence).saturating_sub(attempts.len());
        Self { evidence, attempts, earlier }
    }

    /// Prints one attempt, or all of them with a line between; returns whether there was any output.
    pub(super) async fn show(&self, only: Option<usize>, wanted: &Wanted, cluster: &Cluster, view: &mut FollowView, ui: &mut Ui) -> Result<bool> {
        let mut seen = false;
        for (number, attempt) in self.choose(only)? {
            self.announce(number, attempt, ui);
            let shown = match attempt.pod {
                Some(pod) => show_pod(pod, wanted, cluster, view, ui).await?,
                None => Shown::Unavailable(POD_GONE.to_owned()),
            };
            match (shown, &attempt.kept) {
                (Shown::Output, _) => seen = true,
                (Shown::Unavailable(why), Some(kept)) => {
                    self.show_log(number, kept, &why, wanted, view, ui)?;
                    seen = true;
                }
                (Shown::Unavailable(why), None) if self.count() > 1 => ui.status(&format!("[sbrun: {why}, and nothing was kept on this machine]")),
                (Shown::Empty | Shown::Unavailable(_), _) => {}
            }
            if ui.is_closed() {
                return Ok(true);
            }
        }
        Ok(seen)
    }

    /// Prints the attempts whose pods are gone: what was kept of them. Returns how many they are.
    pub(super) fn show_gone(&self, only: Option<usize>, wanted: &Wanted, view: &mut FollowView, ui: &mut Ui) -> Result<usize> {
        let mut count = self.earlier;
        for (number, attempt) in self.choose(only)?.into_iter().filter(|(_, attempt)| attempt.pod.is_none()) {
            count += 1;
            self.announce(number, attempt, ui);
            if let Some(kept) = &attempt.kept {
                self.show_log(number, kept, POD_GONE, wanted, view, ui)?;
            }
        }
        Ok(count)
    }

    /// Returns how many attempts there were.
    fn count(&self) -> usize {
        self.earlier + self.attempts.len()
    }

    /// Returns the attempts that are wanted with their numbers, counted from 1.
    fn choose(&self, only: Option<usize>) -> Result<Vec<(usize, &Attempt<'evidence>)>> {
        let all = (self.earlier + 1..).zip(&self.attempts);
        let chosen: Vec<_> = all.filter(|(number, _)| only.is_none_or(|only| only == *number)).collect();
        match only {
            Some(only) if (1..=self.earlier).contains(&only) => {
                Err(Error::failed(format!("the pod of attempt {only} is gone, and its output was not kept on this machine"))
                    .with_hints(elsewhere(self.evidence)))
            }
            Some(only) if chosen.is_empty() && self.count() > 0 => {
                Err(Error::usage(format!("there is no attempt {only}; the job has {}", self.count())))
            }
            _ => Ok(chosen),
        }
    }

    fn announce(&self, number: usize, attempt: &Attempt<'_>, ui: &mut Ui) {
        if self.count() > 1 {
            ui.status(&format!("[sbrun: attempt {number} {}]", attempt.place()));
        }
    }

    /// Prints kept output, and says where it comes from and what is missing.
    fn show_log(&self, number: usize, kept: &KeptLog, why: &str, wanted: &Wanted, view: &mut FollowView, ui: &mut Ui) -> Result<()> {
        ui.status(&format!("[sbrun: {why}; this was kept on this machine while it was followed]"));
        let end = kept.read(wanted, &mut |event| tell(event, view, ui))?;
        if end.complete || ui.is_closed() {
            return Ok(());
        }
        let is_last = number == self.count();
        let tail = self.evidence.log_tail.as_deref().filter(|_| is_last && *wanted == Wanted::default()).unwrap_or_default();
        match rest(&String::from_utf8_lossy(&end.tail), tail) {
            Some(rest) => view.show(ui, JobEvent::Output(rest.as_bytes().to_vec()), now()),
            None => self.show_end(&end, tail, view, ui),
        }
    }

    /// Says that output is missing at the end, and prints the last lines as the Job has them.
    fn show_end(&self, end: &KeptEnd, tail: &str, view: &mut FollowView, ui: &mut Ui) -> Result<()> {
        let place = elsewhere(self.evidence).map(|place| format!("; {place}")).unwrap_or_default();
        let then = if tail.is_empty() { "" } else { "; the last lines follow, which were kept on the job" };
        let why = format!("it was not followed to its end on this machine{place}{then}");
        view.show(ui, JobEvent::Gap(Gap { after: end.last, until: None, why }), now())?;
        if tail.is_empty() { Ok(()) } else { view.show(ui, JobEvent::Output(tail.as_bytes().to_vec()), now()) }
    }
}

/// Returns how many attempts a job has had, as far as the Job says.
fn attempts_ever(evidence: &Evidence) -> usize {
    let job = evidence.job.as_ref();
    let judged = job.and_then(|job| job.verdict.as_ref()).map_or(0, |verdict| verdict.attempts);
    job.map_or(0, |job| job.counts.pods()).max(judged) as usize
}

/// What came of reading a pod's log.
enum Shown {
    /// There was some.
    Output,
    /// There is none, so far.
    Empty,
    /// It cannot be read: why.
    Unavailable(String),
}

async fn show_pod(pod: &AttemptRecord, wanted: &Wanted, cluster: &Cluster, view: &mut FollowView, ui: &mut Ui) -> Result<Shown> {
    let Wanted { tail, since, stamps } = wanted.clone();
    let mut events = read_log(cluster, &pod.pod, &pod.container_name, LogOptions { tail, since, stamps, previous: false });
    let mut seen = false;
    while let Some(event) = events.recv().await {
        match event {
            LogEvent::Unavailable(why) if !seen => return Ok(Shown::Unavailable(why)),
            LogEvent::Unavailable(why) => tell(LogEvent::Gap(Gap { after: None, until: None, why }), view, ui)?,
            LogEvent::End => break,
            event => {
                seen = true;
                tell(event, view, ui)?;
            }
        }
        if ui.is_closed() {
            break;
        }
    }
    Ok(if seen { Shown::Output } else { Shown::Empty })
}

fn tell(event: LogEvent, view: &mut FollowView, ui: &mut Ui) -> Result<()> {
    match event {
        LogEvent::Bytes { bytes, .. } => view.show(ui, JobEvent::Output(bytes), now()),
        LogEvent::Gap(gap) => view.show(ui, JobEvent::Gap(gap), now()),
        LogEvent::End | LogEvent::Unavailable(_) => Ok(()),
    }
}

/// Returns what of `tail`, the end of all output, comes after `kept`; nothing when they do not meet.
fn rest<'tail>(kept: &str, tail: &'tail str) -> Option<&'tail str> {
    let lines = tail.match_indices('\n').map(|(end, _)| end + 1).chain([tail.len()]);
    let mut ends: Vec<usize> = lines.collect();
    ends.dedup();
    let meets = |end: &usize| {
        let before = kept.strip_suffix(&tail[..*end]);
        *end > 0 && before.is_some_and(|before| before.is_empty() || before.ends_with('\n'))
    };
    ends.into_iter().rev().find(meets).map(|end| &tail[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_on_the_job_goes_on_where_the_kept_output_ends() {
        for (kept, tail, expected) in [
            ("a\nb\nc\n", "b\nc\nd\n", Some("d\n")),
            ("a\nb\nc\n", "c\n", Some("")),
            ("a\nb", "a\nb", Some("")),
            ("a\nb\n", "c\nd\n", None),
            ("a\nxb\n", "b\nc\n", None),
            ("same\nsame\n", "same\nsame\nsame\n", Some("same\n")),
            ("", "a\n", None),
            ("a\n", "", None),
        ] {
            assert_eq!(rest(kept, tail), expected, "{kept:?} {tail:?}");
        }
    }
}
