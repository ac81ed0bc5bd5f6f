//! What the follow loop tells, and what every view of a job consumes.

use jiff::Timestamp;

use crate::model::story::Story;

/// One thing that happened to a followed job.
#[derive(Debug, Clone, PartialEq)]
pub enum JobEvent {
    /// Phase, cause or attempt changed.
    Changed(Story),
    /// Nothing changed for a while; here is where it stands.
    Heartbeat(Story),
    /// A further attempt starts; the story says why the previous one ended.
    Attempt {
        /// Counted from 1.
        number: u32,
        /// Name of the pod.
        pod: String,
    },
    /// Output of the flow, as it came: complete lines, or a piece of a very long one.
    Output(Vec<u8>),
    /// Output was lost here.
    Gap(Gap),
    /// Something worth a line that is no change of the job, such as a server that does not answer.
    Notice(String),
    /// Somebody is being asked a question: nothing else may be drawn until the next event.
    Asking,
    /// It ended; the story has the verdict.
    Finished(Story),
}

/// A piece of output that cannot be had any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Time of the last line before it.
    pub after: Option<Timestamp>,
    /// Time of the first line after it; none when nothing came after.
    pub until: Option<Timestamp>,
    /// Why, such as `the log was rotated on its node`.
    pub why: String,
}

/// When a line came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineTime {
    /// Where it starts in the bytes that it came with.
    pub offset: usize,
    /// When the platform received it.
    pub at: Timestamp,
}

/// What a log follower delivers, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEvent {
    /// Bytes of output: complete lines with their line feed, or a piece of a very long line.
    Bytes {
        /// When the platform received the newest line in it; none for a continuation and with `--local`.
        at: Option<Timestamp>,
        /// When each line in it came, in order, where that was asked for; a continuation has no time.
        times: Vec<LineTime>,
        /// The bytes, unchanged.
        bytes: Vec<u8>,
    },
    /// Output was lost here.
    Gap(Gap),
    /// There is no more: the container ended and its log was read to the end.
    End,
    /// There may have been more, but it cannot be read any more.
    Unavailable(String),
}

/// What is known of a container whose log is followed. The log itself never decides this.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogState {
    /// It has not started.
    #[default]
    Waiting,
    /// It runs.
    Running,
    /// It ended; its log can still be read.
    Ended,
    /// The pod is gone, and its log with it.
    Gone,
}
