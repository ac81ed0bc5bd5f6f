//! The output of a container: no line twice, no gap in silence.
//!
//! A log request never says whether there is more to come: an unscheduled pod gives an empty answer, and the API
//! server ends a stream in the same way whether the container ended or its node broke down. Whoever follows a job
//! therefore tells the state of the container, and only the end of the container, followed by one read to the end of
//! its log, is the end.

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use self::reader::{Progress, Reader};
use crate::{
    kubernetes::connect::Cluster,
    model::{
        job_event::{LogEvent, LogState},
        log_resume::Stamps,
    },
};

mod reader;
mod request;

/// Events on their way: with up to 64 KiB each, a slow reader holds up the stream and not the memory.
const CHANNEL: usize = 16;

/// What to read of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Only this many lines from the end.
    pub tail: Option<u64>,
    /// Only from this time on, to the second.
    pub since: Option<Timestamp>,
    /// What becomes of the platform's RFC 3339 time and a space before each line.
    pub stamps: Stamps,
    /// Of the container's previous run.
    pub previous: bool,
}

/// Follows a container's log until the container has ended and its log was read to the end.
///
/// Opens nothing before `state` says that the container runs or has ended. The last event is [`LogEvent::End`] or
/// [`LogEvent::Unavailable`]. Ends early when the receiver is dropped, or when the sender of `state` is dropped
/// before the container has ended.
#[must_use]
pub fn follow_log(cluster: &Cluster, pod: &str, container: &str, state: watch::Receiver<LogState>, options: LogOptions) -> mpsc::Receiver<LogEvent> {
    start(cluster, pod, container, options, state, Progress::Follow)
}

/// Reads what there is of a container's log now, and ends with [`LogEvent::End`] or [`LogEvent::Unavailable`].
#[must_use]
pub fn read_log(cluster: &Cluster, pod: &str, container: &str, options: LogOptions) -> mpsc::Receiver<LogEvent> {
    // For a single read it is all the same whether the container still runs.
    let (_, state) = watch::channel(LogState::Ended);
    start(cluster, pod, container, options, state, Progress::Once)
}

fn start(
    cluster: &Cluster,
    pod: &str,
    container: &str,
    options: LogOptions,
    state: watch::Receiver<LogState>,
    progress: Progress,
) -> mpsc::Receiver<LogEvent> {
    let (events, receiver) = mpsc::channel(CHANNEL);
    let reader = Reader::new(cluster.clone(), pod, container, options, state, events);
    tokio::spawn(reader.run(progress));
    receiver
}

#[cfg(test)]
mod tests;
