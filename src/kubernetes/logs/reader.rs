//! Reads one container's log over as many streams as it takes.

use std::time::Duration;

use http_body_util::BodyExt;
use jiff::Timestamp;
use kube::{api::LogParams, client::Body};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    LogOptions,
    request::{self, Refusal},
};
use crate::{
    kubernetes::{connect::Cluster, retry},
    model::{
        job_event::{LogEvent, LogState},
        log_resume::{LogResume, Stamps, whole::WholeLog},
    },
};

/// A stream this quiet while the container runs may be half-open behind a proxy that keepalive does not see through;
/// reading on in a new one costs one request.
const QUIET_WHILE_RUNNING: Duration = Duration::from_secs(300);
/// The kubelet ends a stream up to 2 s after its container. What is there can be had at once by a request of its own,
/// so that a stream that has nothing more to say is left.
const QUIET_AFTER_END: Duration = Duration::from_millis(300);
/// The kubelet answers a request for what there is at once. Unless it is not there: the API server waits half a minute for it and says so.
const ANSWER_WHILE_DRAINING: Duration = Duration::from_secs(40);
/// What it has begun to send comes in one go. Short enough for a second and a third try within the time that a verdict waits for its output.
const QUIET_WHILE_DRAINING: Duration = Duration::from_secs(8);
/// How long a stream ended by the server waits for news that its container ended too.
const END_NEWS: Duration = Duration::from_secs(1);
/// The runtime says that a container has ended before it has written the last of its output down.
const SETTLING: Duration = Duration::from_millis(250);
/// A stream that lived this long was a good one.
const HEALTHY: Duration = Duration::from_secs(10);
/// How long to try for the log of a container that has ended.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);
/// When to say that a running container's log cannot be read, and how often to say it again.
const SILENCE: Duration = Duration::from_secs(10);
const REMINDER: Duration = Duration::from_secs(60);

/// How long lines are gathered into one event. Nobody sees such a delay, and an event for each line costs more than
/// the line.
const GATHER: Duration = Duration::from_millis(3);
const POD_GONE: &str = "the pod is gone";
const NOT_STARTED: &str = "the container has not started";

/// One piece of a body.
type Frame = hyper::body::Frame<<Body as hyper::body::Body>::Data>;

/// How far to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// To the end of the container.
    Follow,
    /// To the present end of the log.
    Once,
}

/// Reads the log of one container and sends what it finds.
pub(super) struct Reader {
    cluster: Cluster,
    pod: String,
    container: String,
    options: LogOptions,
    state: watch::Receiver<LogState>,
    events: mpsc::Sender<LogEvent>,
    /// Events sent so far.
    sent: u64,
}

/// The log as it is put together.
enum Log {
    /// It may grow: lines are told apart by their stamps.
    Growing(Box<LogResume>),
    /// It grows no more: bytes are counted. The kubelet is quicker without stamps.
    Whole(WholeLog),
}

/// How a stream ended.
enum StreamEnd {
    /// The server ended it.
    Clean,
    /// It broke, or nothing came for too long.
    Broken(String),
    /// There was none.
    Refused(Refusal),
    /// Nobody listens any more.
    Unwanted,
}

/// Whether an end that a server calls the end is believed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// At once.
    Whole,
    /// Something on the way ends answers early as if they were whole: only when it is said once more and nothing new came with it.
    Twice,
    /// It was said once.
    Once,
}

impl Trust {
    /// Takes the word of an end, with nothing new before it or something, and returns whether it is believed.
    fn believes(&mut self, nothing_new: bool) -> bool {
        let believed = *self == Self::Whole || (*self == Self::Once && nothing_new);
        if *self == Self::Twice {
            *self = Self::Once;
        }
        believed
    }
}

/// Failures since the last good stream.
#[derive(Default)]
struct Failures {
    count: u32,
    since: Option<Instant>,
    told: Option<Instant>,
}

impl Reader {
    pub(super) fn new(
        cluster: Cluster,
        pod: &str,
        container: &str,
        options: LogOptions,
        state: watch::Receiver<LogState>,
        events: mpsc::Sender<LogEvent>,
    ) -> Self {
        Self { cluster, pod: pod.to_owned(), container: container.to_owned(), options, state, events, sent: 0 }
    }

    /// Reads until there is no more, and says how it ended.
    pub(super) async fn run(mut self, progress: Progress) {
        if let Some(last) = self.read(progress).await {
            // The receiver may be gone, and then nobody is interested.
            drop(self.events.send(last).await);
        }
    }

    /// Returns the last event; none when nobody listens.
    async fn read(&mut self, progress: Progress) -> Option<LogEvent> {
        let mut state = self.started().await?;
        let whole = state == LogState::Ended && self.options.stamps == Stamps::Dropped && self.options.tail.is_none();
        let mut log = if whole { Log::Whole(WholeLog::default()) } else { Log::Growing(Box::new(LogResume::new(self.options.stamps))) };
        let mut failures = Failures::default();
        let mut draining_since = None;
        let mut trust = Trust::Whole;
        loop {
            if state == LogState::Gone {
                return Some(LogEvent::Unavailable(POD_GONE.to_owned()));
            }
            let draining = state == LogState::Ended;
            let (began, sent) = (Instant::now(), self.sent);
            let end = self.stream(&mut log, draining).await;
            if began.elapsed() >= HEALTHY && !matches!(end, StreamEnd::Refused(_)) {
                failures = Failures::default();
            }
            if draining && matches!(end, StreamEnd::Clean) {
                if !trust.believes(self.sent == sent) {
                    log.reconnect();
                    continue;
                }
                log.finish();
                self.send(&mut log).await?;
                return Some(LogEvent::End);
            }
            log.reconnect();
            self.send(&mut log).await?;
            let why = match end {
                StreamEnd::Unwanted => return None,
                StreamEnd::Clean => {
                    let ended = *self.state.borrow() == LogState::Ended;
                    self.news(if ended { SETTLING } else { END_NEWS }).await?;
                    state = self.started().await?;
                    if state == LogState::Running {
                        trust = Trust::Twice;
                    }
                    continue;
                }
                StreamEnd::Broken(why) => why,
                StreamEnd::Refused(refusal) => match self.judge(refusal, progress, &mut failures) {
                    Ok(why) => why,
                    Err(last) => return Some(last),
                },
            };
            if draining && draining_since.get_or_insert(began).elapsed() >= DRAIN_PATIENCE {
                return Some(LogEvent::Unavailable(format!("the log cannot be read any more: {why}")));
            }
            failures.since.get_or_insert(began);
            let pause = retry::pause(failures.count);
            failures.count += 1;
            self.news(pause).await?;
            state = self.started().await?;
        }
    }

    /// Returns why there is no log now, or the last event if there will be none.
    fn judge(&self, refusal: Refusal, progress: Progress, failures: &mut Failures) -> Result<String, LogEvent> {
        match refusal {
            Refusal::PodGone => Err(LogEvent::Unavailable(POD_GONE.to_owned())),
            Refusal::Final(why) => Err(LogEvent::Unavailable(why)),
            Refusal::NotStarted if progress == Progress::Once => Err(LogEvent::Unavailable(NOT_STARTED.to_owned())),
            Refusal::NotStarted => Ok(NOT_STARTED.to_owned()),
            Refusal::Server(why) => Ok(why),
            Refusal::Node(why) => {
                self.complain(failures, &why);
                Ok(why)
            }
        }
    }

    /// Waits until the container has a log; none when nobody listens.
    async fn started(&mut self) -> Option<LogState> {
        let known = |state: &LogState| *state != LogState::Waiting;
        tokio::select! {
            () = self.events.closed() => None,
            state = self.state.wait_for(known) => state.ok().map(|state| *state),
        }
    }

    /// Waits for news of the container, at most this long; none when nobody listens.
    async fn news(&mut self, limit: Duration) -> Option<()> {
        let ended = matches!(*self.state.borrow_and_update(), LogState::Ended | LogState::Gone);
        tokio::select! {
            () = self.events.closed() => None,
            () = tokio::time::sleep(limit) => Some(()),
            changed = self.state.changed(), if !ended => changed.ok(),
        }
    }

    /// Says that the log of a running container cannot be read, when that has gone on for a while.
    fn complain(&self, failures: &mut Failures, why: &str) {
        let since = failures.since.unwrap_or_else(Instant::now);
        let due = failures.told.map_or(since + SILENCE, |told| told + REMINDER);
        if Instant::now() >= due && *self.state.borrow() == LogState::Running {
            failures.told = Some(Instant::now());
            (self.cluster.notices)(format!(
                "the output of pod `{}` could not be read for {} s ({why}); still trying",
                self.pod,
                since.elapsed().as_secs()
            ));
        }
    }

    /// Reads one stream to its end.
    async fn stream(&mut self, log: &mut Log, draining: bool) -> StreamEnd {
        let parameters = self.parameters(log, !draining);
        let opening = request::open(&self.cluster, &self.pod, &parameters);
        let mut body = tokio::select! {
            body = opening => match body {
                Ok(body) => body,
                Err(refusal) => return StreamEnd::Refused(refusal),
            },
            end = interruption(&mut self.state, &self.events, draining.then_some(ANSWER_WHILE_DRAINING)) => return end,
        };
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                end = interruption(&mut self.state, &self.events, draining.then_some(QUIET_WHILE_DRAINING)) => return end,
            };
            let end = take_frames(&mut body, frame, log).await;
            if self.send(log).await.is_none() {
                return StreamEnd::Unwanted;
            }
            if let Some(end) = end {
                return end;
            }
        }
    }

    fn parameters(&self, log: &Log, follow: bool) -> LogParams {
        let resume = match log {
            Log::Growing(log) => log.resume_point(),
            Log::Whole(_) => None,
        };
        // kube rounds to the nearest second, and half of what it rounds up would be lost.
        let since = self.options.since.and_then(|since| Timestamp::from_second(since.as_second()).ok());
        LogParams {
            container: Some(self.container.clone()),
            follow,
            previous: self.options.previous,
            since_time: resume.max(since),
            tail_lines: self.options.tail.filter(|_| resume.is_none()).and_then(|lines| i64::try_from(lines).ok()),
            timestamps: matches!(log, Log::Growing(_)),
            ..LogParams::default()
        }
    }

    /// Sends what has come out of the log; none when nobody listens. Waits for a slow listener.
    async fn send(&mut self, log: &mut Log) -> Option<()> {
        for event in log.take() {
            self.events.send(event).await.ok()?;
            self.sent += 1;
        }
        Some(())
    }
}

/// Takes this frame and what follows at once, up to a batch. Returns the end of the stream, if it is there.
///
/// The kubelet sends every line as a chunk of its own, and hyper hands over one chunk at a time.
async fn take_frames(body: &mut Body, first: Option<kube::Result<Frame>>, log: &mut Log) -> Option<StreamEnd> {
    let until = Instant::now() + GATHER;
    let mut next = first;
    loop {
        match next {
            None => return Some(StreamEnd::Clean),
            Some(Err(_)) => return Some(StreamEnd::Broken("the connection broke".to_owned())),
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    log.feed(bytes);
                }
            }
        }
        if log.is_full() {
            return None;
        }
        next = tokio::time::timeout_at(until, body.frame()).await.ok()?;
    }
}

/// Returns when a stream has been quiet for too long from now on, or nobody wants it any more.
async fn interruption(state: &mut watch::Receiver<LogState>, events: &mpsc::Sender<LogEvent>, draining: Option<Duration>) -> StreamEnd {
    let began = Instant::now();
    loop {
        let ended = matches!(*state.borrow_and_update(), LogState::Ended | LogState::Gone);
        let limit = match (draining, ended) {
            (Some(limit), _) => limit,
            (None, true) => QUIET_AFTER_END,
            (None, false) => QUIET_WHILE_RUNNING,
        };
        tokio::select! {
            () = events.closed() => return StreamEnd::Unwanted,
            () = tokio::time::sleep_until(began + limit) => return StreamEnd::Broken(format!("nothing came for {} s", limit.as_secs())),
            changed = state.changed(), if !ended => if changed.is_err() {
                return StreamEnd::Unwanted;
            },
        }
    }
}

impl Log {
    fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::Growing(log) => log.feed(bytes),
            Self::Whole(log) => log.feed(bytes),
        }
    }

    fn reconnect(&mut self) {
        match self {
            Self::Growing(log) => log.reconnect(),
            Self::Whole(log) => log.reconnect(),
        }
    }

    fn finish(&mut self) {
        match self {
            Self::Growing(log) => log.finish(),
            Self::Whole(log) => log.finish(),
        }
    }

    fn is_full(&self) -> bool {
        match self {
            Self::Growing(log) => log.is_full(),
            Self::Whole(log) => log.is_full(),
        }
    }

    fn take(&mut self) -> Vec<LogEvent> {
        match self {
            Self::Growing(log) => log.take(),
            Self::Whole(log) => log.take(),
        }
    }
}
