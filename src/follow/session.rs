//! One session of the follow loop.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{
    Control, Controls, Detail, FollowOptions, Followed, RunningJob,
    outage::Outage,
    output::{Output, Pumped},
};
use crate::{
    error::{Error, ErrorKind, Result},
    model::{
        diagnose::{self, diagnose},
        evidence::{Ending, Evidence},
        job_event::{Gap, JobEvent},
        outcome::Outcome,
        reason::Reason,
        story::{Phase, Story, Verdict},
    },
};

/// How often to look while nothing has been heard.
const LOOK_WAITING: Duration = Duration::from_secs(3);
/// How often to look while it runs; the watch and the end of the log wake the loop earlier.
const LOOK_RUNNING: Duration = Duration::from_secs(5);
/// How often to look whether the pods of an ended job are gone.
const LOOK_SETTLING: Duration = Duration::from_secs(1);
/// How often to look for what explains a wait.
const LOOK_CLOSELY: SignedDuration = SignedDuration::from_secs(6);
/// How often to look at the node of a running job: one that falls silent says nothing by itself.
const LOOK_AROUND: SignedDuration = SignedDuration::from_secs(30);
/// How long the output may lag behind the verdict.
const DRAIN: SignedDuration = SignedDuration::from_secs(30);
/// How long pods may take to go, beyond their grace, before sbrun says that the job may still run.
const SETTLE: Duration = Duration::from_secs(45);
/// A round of the loop that took longer was not one: sbrun itself did not run, or could not ask.
const DEAF: SignedDuration = SignedDuration::from_secs(20);

/// What woke the loop.
enum Step {
    Look,
    Output(Pumped),
}

/// Returns whether an exit with this verdict promises that nothing of the job runs any more.
fn needs_settling(verdict: &Verdict) -> bool {
    matches!(verdict.outcome, Outcome::NoNode | Outcome::Rejected | Outcome::Lost)
}

pub(super) struct Session<'job, J, V> {
    job: &'job mut J,
    evidence: Evidence,
    options: FollowOptions,
    view: V,
    told: Option<Story>,
    last_told: Timestamp,
    last_round: Timestamp,
    output: Output,
    attempts_told: BTreeSet<String>,
    /// When the last look was over.
    looked: Instant,
    looked_closely: Option<Timestamp>,
    nodes_seen: BTreeSet<String>,
    cluster: Outage,
    prefect: Outage,
    flow_run_seen: bool,
    lease_renewed: Timestamp,
    ending_sent: bool,
    leave_by: Option<Timestamp>,
    leaving: bool,
    drain_until: Option<Timestamp>,
    looked_back: bool,
    settle_until: Option<Timestamp>,
}

impl<'job, J, V> Session<'job, J, V>
where
    J: RunningJob,
    V: FnMut(JobEvent, Timestamp) -> Result<()>,
{
    pub(super) fn new(job: &'job mut J, evidence: Evidence, options: FollowOptions, view: V) -> Self {
        let now = job.now();
        Self {
            job,
            evidence,
            output: Output::new(options.output, options.keep.clone()),
            attempts_told: options.known_attempts.clone(),
            options,
            view,
            told: None,
            last_told: now,
            last_round: now,
            looked: Instant::now(),
            looked_closely: None,
            nodes_seen: BTreeSet::new(),
            cluster: Outage::default(),
            prefect: Outage::default(),
            flow_run_seen: false,
            lease_renewed: now,
            ending_sent: false,
            leave_by: None,
            leaving: false,
            drain_until: None,
            looked_back: false,
            settle_until: None,
        }
    }

    /// Follows to the end. Whatever is under way, a control is heard at once: what it cuts off is begun anew, and everything that is
    /// changed outside may be asked for twice.
    pub(super) async fn run(mut self, controls: &mut Controls) -> Result<Followed> {
        loop {
            let control = tokio::select! {
                biased;
                control = controls.next() => control,
                followed = self.watch() => return followed,
            };
            let control = match control {
                Control::Ask(quiet) => {
                    (self.view)(JobEvent::Asking, self.job.now())?;
                    quiet.send(()).ok(); // whoever waited in vain for it asks all the same
                    self.wait_for_answer(controls).await
                }
                decided => decided,
            };
            tokio::select! {
                biased;
                followed = self.obey(control) => if let Some(followed) = followed? {
                    return Ok(followed);
                },
                further = controls.next() => controls.put_back(further),
            }
        }
    }

    /// Looks, tells and acts until there is nothing left to follow. May be dropped at any time.
    async fn watch(&mut self) -> Result<Followed> {
        loop {
            self.look().await?;
            loop {
                if let Some(followed) = self.advance().await? {
                    return Ok(followed);
                }
                match self.step().await {
                    Step::Look => break,
                    Step::Output(pumped) => self.tell_output(pumped)?,
                }
            }
        }
    }

    /// Waits for whatever comes first.
    async fn step(&mut self) -> Step {
        // Output that never pauses must not keep the loop from looking.
        let due = self.usual_patience().saturating_sub(self.looked.elapsed());
        if due.is_zero() {
            return Step::Look;
        }
        let limit = self.patience().min(due);
        tokio::select! {
            biased;
            pumped = self.output.next() => Step::Output(pumped),
            () = self.job.changed(limit) => Step::Look,
        }
    }

    /// Returns how long to wait for news between two looks.
    fn usual_patience(&self) -> Duration {
        let running = self.told.as_ref().is_some_and(|story| story.phase == Phase::Running);
        match self.settle_until {
            Some(_) => LOOK_SETTLING,
            None if running => LOOK_RUNNING,
            None => LOOK_WAITING,
        }
    }

    /// Returns how long to wait for news from now on.
    fn patience(&self) -> Duration {
        let usual = self.usual_patience();
        let held = self.told.as_ref().and_then(|story| story.held_until);
        let next = [held, self.leave_by, self.drain_until].into_iter().flatten().min();
        let until = next.map_or(usual, |time| Duration::try_from(time.duration_since(self.job.now())).unwrap_or_default());
        until.max(Duration::from_millis(100)).min(usual)
    }

    async fn look(&mut self) -> Result<()> {
        let detail = self.detail();
        self.look_at(detail).await
    }

    /// Looks at the job, while output goes on.
    async fn look_at(&mut self, detail: Detail) -> Result<()> {
        let heard = self.output.last_output;
        let result = {
            let Self { job, evidence, output, view, .. } = self;
            let observation = job.observe(evidence, detail);
            tokio::pin!(observation);
            loop {
                tokio::select! {
                    result = &mut observation => break result,
                    pumped = output.next() => output.tell(pumped, view)?,
                }
            }
        };
        self.looked = Instant::now();
        self.hear(heard);
        match result {
            Ok(()) => self.reached(),
            Err(error) if error.kind() == ErrorKind::Unreachable => self.missed(error),
            Err(error) => Err(error),
        }
    }

    /// Returns how closely to look this time.
    fn detail(&mut self) -> Detail {
        let open = self.told.as_ref().filter(|story| story.verdict.is_none());
        let waits = open.is_some_and(|story| story.phase < Phase::Running || story.held_until.is_some());
        // The machine behind a node is known while it is there: should it be taken, only its name says why.
        let bound = self.evidence.attempts.last().filter(|attempt| attempt.node.is_some() && attempt.node_created.is_none());
        if open.is_some() && bound.is_some_and(|attempt| self.nodes_seen.insert(attempt.uid.clone())) {
            self.looked_closely = Some(self.job.now());
            return Detail::Waiting;
        }
        let interval = if waits { LOOK_CLOSELY } else { LOOK_AROUND };
        let due = self.looked_closely.is_none_or(|last| self.job.now().duration_since(last) >= interval);
        if open.is_some() && due {
            self.looked_closely = Some(self.job.now());
            return Detail::Waiting;
        }
        Detail::Basic
    }

    /// Notes that the cluster answers, and says whether Prefect does, for a run of its.
    fn reached(&mut self) -> Result<()> {
        let now = self.job.now();
        if self.cluster.lasts() {
            self.evidence.last_output = Some(now); // nor was an outage silence of the flow
        }
        if let Some(seconds) = self.cluster.answered(now) {
            (self.view)(JobEvent::Notice(format!("the cluster answers again after {seconds} s")), now)?;
        }
        match self.evidence.flow_run.obstacle() {
            Some(why) if self.flow_run_seen => {
                let Some(seconds) = self.prefect.missed(now) else { return Ok(()) };
                (self.view)(JobEvent::Notice(format!("{why} ({seconds} s so far); the run goes on, sbrun keeps asking")), now)
            }
            Some(_) => Ok(()),
            None => {
                self.flow_run_seen |= self.evidence.flow_run.value().is_some();
                let Some(seconds) = self.prefect.answered(now) else { return Ok(()) };
                (self.view)(JobEvent::Notice(format!("the Prefect API answers again after {seconds} s")), now)
            }
        }
    }

    /// Says that the cluster does not answer, until the job's own deadline makes waiting pointless.
    fn missed(&mut self, error: Error) -> Result<()> {
        let now = self.job.now();
        let job = self.evidence.job.as_ref();
        let plan = job.and_then(|job| job.plan.as_ref());
        let deadline = plan.map(|plan| plan.limits.job_deadline(plan.infrastructure_retries));
        let over =
            job.and_then(|job| job.created).zip(deadline).is_some_and(|(created, deadline)| now.duration_since(created).unsigned_abs() > deadline);
        if over || job.is_none() {
            return Err(error);
        }
        let Some(seconds) = self.cluster.missed(now) else { return Ok(()) };
        (self.view)(JobEvent::Notice(format!("{} for {seconds} s; the job goes on, sbrun keeps trying", error.message())), now)
    }

    /// Tells what is new, ends what must end; returns when there is nothing left to follow.
    async fn advance(&mut self) -> Result<Option<Followed>> {
        let now = self.job.now();
        // A laptop that slept, a process that was stopped: what was not listened to was no silence.
        if now.duration_since(std::mem::replace(&mut self.last_round, now)) > DEAF {
            self.evidence.last_output = Some(now);
        }
        let story = diagnose(&self.evidence, now);
        if story.phase == Phase::Queued {
            self.evidence.last_queued = Some(now);
        }
        self.open_logs(now)?;
        self.tell_change(&story, now)?;
        if self.leave_by.is_some_and(|time| now >= time) {
            self.check_settled()?;
            self.job.keep_tail(&self.evidence, &self.output.tail()).await;
            return Ok(Some(Followed::Ending(Box::new((story, self.evidence.clone())))));
        }
        if story.verdict.is_some() && story.held_until.is_none() {
            return self.finish(story, now).await;
        }
        self.enforce(&story, now).await?;
        self.renew_lease(now).await?;
        Ok(None)
    }

    fn tell_change(&mut self, story: &Story, now: Timestamp) -> Result<()> {
        let changed = self.told.as_ref().is_none_or(|told| {
            let cause = |story: &Story| story.cause.as_ref().map(|cause| (cause.reason, cause.summary.clone()));
            told.phase != story.phase || told.place != story.place || told.attempts != story.attempts || cause(told) != cause(story)
        });
        let silence = if story.phase == Phase::Running { self.options.heartbeat_running } else { self.options.heartbeat_waiting };
        let last = self.output.last_output.map_or(self.last_told, |output| output.max(self.last_told));
        if changed && story.verdict.is_none() {
            self.last_told = now;
            (self.view)(JobEvent::Changed(story.clone()), now)?;
        } else if story.verdict.is_none() && now.duration_since(last).unsigned_abs() >= silence {
            self.last_told = now;
            (self.view)(JobEvent::Heartbeat(story.clone()), now)?;
        }
        self.told = Some(story.clone());
        Ok(())
    }

    /// Opens the log of the next attempt, once the one before has been read to its end.
    fn open_logs(&mut self, now: Timestamp) -> Result<()> {
        for index in 0..self.evidence.attempts.len() {
            let attempt = &self.evidence.attempts[index];
            self.output.update(attempt);
            if self.output.is_open() || self.attempts_told.contains(&attempt.uid) {
                continue;
            }
            self.attempts_told.insert(attempt.uid.clone());
            let number = index + 1 + self.options.earlier_attempts;
            if number > 1 {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                (self.view)(JobEvent::Attempt { number, pod: attempt.pod.clone() }, now)?;
            }
            self.output.open(self.job, &self.evidence, attempt);
        }
        Ok(())
    }

    fn tell_output(&mut self, pumped: Pumped) -> Result<()> {
        let heard = self.output.last_output;
        self.output.tell(pumped, &mut self.view)?;
        self.hear(heard);
        Ok(())
    }

    /// Notes that output came since `before`, by the clock that everything else is judged by.
    fn hear(&mut self, before: Option<Timestamp>) {
        if self.output.last_output != before {
            self.evidence.last_output = Some(self.job.now());
        }
    }

    /// Ends the job when one of its own limits has passed, or when waiting cannot mend it.
    async fn enforce(&mut self, story: &Story, now: Timestamp) -> Result<()> {
        let plan = self.evidence.job.as_ref().and_then(|job| job.plan.as_ref()).map(|plan| plan.limits);
        let Some(mut limits) = self.options.limits.or(plan) else { return Ok(()) };
        if self.ending_sent || self.cluster.lasts() {
            return Ok(());
        }
        if !self.options.output {
            limits.stall_timeout = None; // who does not read the output cannot tell silence
        }
        let decided = diagnose::decide(story, &self.evidence, &limits, now);
        let Some(mut ending) = decided.or_else(|| diagnose::too_many_attempts(story, self.options.most_attempts?, now)) else { return Ok(()) };
        ending.by.clone_from(&self.options.follower);
        self.evidence.decided_on = story.cause.iter().chain(&story.details).cloned().collect();
        self.end(ending).await
    }

    /// Ends the job as decided. Without the right to do so, the job keeps its own deadlines and following goes on.
    async fn end(&mut self, ending: Ending) -> Result<()> {
        match self.job.end(&self.evidence, &ending).await {
            Ok(()) => {
                self.ending_sent = true;
                self.evidence.ended = Some(ending);
            }
            Err(error) if error.kind() == ErrorKind::Unreachable && ending.outcome != Outcome::Cancelled => {} // tried again at the next look
            Err(error) if ending.outcome == Outcome::Cancelled => {
                let name = self.evidence.name();
                return Err(error.hinted(format!("the job may still run: `sbrun cancel {name}` ends it, `sbrun why {name}` tells how it is")));
            }
            Err(error) => {
                self.ending_sent = true;
                (self.view)(JobEvent::Notice(format!("cannot end the job: {}", error.message())), self.job.now())?;
            }
        }
        self.look().await
    }

    async fn renew_lease(&mut self, now: Timestamp) -> Result<()> {
        let Some(interval) = self.options.lease_interval else { return Ok(()) };
        if now.duration_since(self.lease_renewed).unsigned_abs() < interval || self.ending_sent {
            return Ok(());
        }
        match self.job.renew_lease(&self.evidence).await {
            Ok(()) => self.lease_renewed = now,
            Err(error) if error.kind() == ErrorKind::Unreachable => {}
            Err(error) => {
                self.lease_renewed = now;
                (self.view)(JobEvent::Notice(format!("cannot renew the lease of the job: {}", error.message())), now)?;
            }
        }
        Ok(())
    }

    /// Does what was decided outside. A further control may cut it off and finds what became of it in `ending_sent` and `leaving`.
    async fn obey(&mut self, control: Control) -> Result<Option<Followed>> {
        match control {
            Control::Ask(_) => Ok(None), // answered before it comes here
            Control::Detach if self.settle_until.is_some() => {
                self.check_settled()?;
                Ok(None)
            }
            Control::Detach if self.leave_by.is_some() => {
                if !self.ending_sent {
                    return Err(self.unsure("cancelling"));
                }
                let story = diagnose(&self.evidence, self.job.now());
                Ok(Some(Followed::Ending(Box::new((story, self.evidence.clone())))))
            }
            Control::Detach => {
                let story = diagnose(&self.evidence, self.job.now());
                if let Some(verdict) = story.verdict.as_ref().filter(|_| story.held_until.is_none()) {
                    // It is over, so nothing goes on; of some ends sbrun promises that nothing runs, and has not seen that yet.
                    self.settle_until = needs_settling(verdict).then(|| self.job.now());
                    self.check_settled()?;
                    return Ok(Some(Followed::Finished(Box::new((story, self.evidence.clone())))));
                }
                self.give_up_lease().await?;
                Ok(Some(Followed::Detached(Box::new((story, self.evidence.clone())))))
            }
            Control::Cancel { by, patience } => {
                let ending =
                    Ending { outcome: Outcome::Cancelled, reason: Reason::CancelledByUser.code().to_owned(), by, at: self.job.now(), message: None };
                self.leave_by = Some(self.job.now() + patience);
                self.end(ending).await?;
                Ok(None)
            }
        }
    }

    /// Lets the job live on without this follower.
    async fn give_up_lease(&mut self) -> Result<()> {
        let Some(interval) = self.options.lease_interval else { return Ok(()) };
        let ends = format!("nobody renews its lease now: the job ends by itself within {} s", interval.as_secs() * 3);
        if std::mem::replace(&mut self.leaving, true) {
            return Err(self.unsure("detaching").hinted(ends));
        }
        self.job.drop_lease(&self.evidence).await.map_err(|error| error.hinted(ends))
    }

    /// Returns the error of who was in too much of a hurry to learn whether a change was made.
    fn unsure(&self, doing: &str) -> Error {
        let name = self.evidence.name();
        Error::unreachable(format!("interrupted while {doing} `{name}`: it is not known whether the cluster was told"))
            .hinted(format!("`sbrun why {name}` tells how it is, `sbrun cancel {name}` ends it"))
    }

    /// Waits for what somebody decides, and keeps the job alive meanwhile.
    async fn wait_for_answer(&mut self, controls: &mut Controls) -> Control {
        loop {
            let renewal = tokio::time::sleep(self.options.lease_interval.unwrap_or(Duration::from_secs(3600)));
            tokio::select! {
                control = controls.next() => return control,
                () = renewal => drop(self.job.renew_lease(&self.evidence).await),
            }
        }
    }

    /// Lets the rest of the output come home, sees the pods go where that is promised, and leaves the verdict.
    async fn finish(&mut self, mut story: Story, now: Timestamp) -> Result<Option<Followed>> {
        let drain_until = *self.drain_until.get_or_insert(now + DRAIN);
        // A Job alone may say how it ended. Whose output that was, its pods know, and they have not been seen while the server is out of reach.
        if self.output.is_unread() || self.cluster.lasts() {
            if now < drain_until {
                return Ok(None);
            }
            let gap = Gap { after: self.output.last_line, until: None, why: "the end of the output could not be read in time".to_owned() };
            (self.view)(JobEvent::Gap(gap), now)?;
        }
        if let Some(detail) = self.last_detail(&story) {
            self.looked_back = true;
            self.look_at(detail).await?;
            story = diagnose(&self.evidence, now);
        }
        let Some(verdict) = story.verdict.clone() else { return Ok(None) };
        self.forbid_replacement(&verdict, now).await?;
        if needs_settling(&verdict) && !self.settled(now).await? {
            return Ok(None);
        }
        let tail = self.output.tail();
        if !tail.is_empty() {
            self.evidence.log_tail = Some(String::from_utf8_lossy(&tail).into_owned());
        }
        let story = diagnose(&self.evidence, now);
        let Some(verdict) = story.verdict.as_ref() else { return Ok(None) };
        self.job.keep_verdict(&self.evidence, verdict, &tail).await;
        (self.view)(JobEvent::Finished(story.clone()), now)?;
        Ok(Some(Followed::Finished(Box::new((story, self.evidence.clone())))))
    }

    /// Returns what to look at once more before the verdict: what took a machine, or a node that came and did its work between two looks.
    fn last_detail(&self, story: &Story) -> Option<Detail> {
        if self.looked_back || self.cluster.lasts() {
            return None;
        }
        if story.verdict.as_ref().is_some_and(|verdict| verdict.outcome == Outcome::Lost) {
            return Some(Detail::Loss);
        }
        let attempt = self.evidence.attempts.last()?;
        let waited = story.phases.iter().any(|start| start.phase == Phase::Pending);
        let unseen = attempt.node.is_some() && attempt.node_created.is_none() && attempt.node_gone.is_none();
        (waited && unseen && self.evidence.nodes.is_some()).then_some(Detail::Waiting)
    }

    /// Ends the Job of an attempt that ran too long: one that exits with 0 on SIGTERM matches no rule of the failure policy, and
    /// would be replaced although its time is over.
    async fn forbid_replacement(&mut self, verdict: &Verdict, now: Timestamp) -> Result<()> {
        let Some(job) = &self.evidence.job else { return Ok(()) };
        let replaceable = job.plan.as_ref().is_some_and(|plan| plan.infrastructure_retries > 0) && job.conditions.is_empty();
        if verdict.outcome != Outcome::TimedOut || !replaceable || self.ending_sent {
            return Ok(());
        }
        let reason = verdict.cause.reason.code().to_owned();
        let ending = Ending { outcome: verdict.outcome, reason, by: self.options.follower.clone(), at: now, message: None };
        self.end(ending).await
    }

    /// Returns whether no pod of the ended job is left: 75 and 78 promise that nothing runs any more.
    async fn settled(&mut self, now: Timestamp) -> Result<bool> {
        if self.job.settle(&self.evidence, Duration::ZERO).await? {
            self.settle_until = None;
            return Ok(true);
        }
        let grace = self.evidence.job.as_ref().and_then(|job| job.plan.as_ref()).map_or(Duration::ZERO, |plan| plan.limits.grace);
        if self.settle_until.is_none() {
            self.settle_until = Some(now + SETTLE + grace);
            (self.view)(JobEvent::Notice(format!("the job has ended; its pod has up to {} s to go", grace.as_secs())), now)?;
        }
        if self.settle_until.is_some_and(|until| now >= until) {
            self.check_settled()?;
        }
        Ok(false)
    }

    /// Returns an error while a pod of the ended job is still there.
    fn check_settled(&self) -> Result<()> {
        if self.settle_until.is_none() {
            return Ok(());
        }
        let name = self.evidence.name();
        Err(Error::unreachable(format!("job `{name}` has ended, but one of its pods is still there: it may still run"))
            .hinted(format!("look again with `sbrun why {name}`")))
    }
}
