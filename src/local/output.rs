//! The flow's output: stdout and stderr through one pipe, so that their order is that of writing.

use std::{io, os::fd::OwnedFd, time::Duration};

use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    sync::{mpsc, watch},
    time::sleep,
};

use crate::{local::keeper::Progress, model::job_event::LogEvent};

/// What a pipe holds by default: one read can take all of it.
const CHUNK: usize = 64 << 10;
/// Chunks that wait for a slow reader, before the flow has to wait too.
const WAITING_CHUNKS: usize = 16;
/// The most that a pipe can be made to hold (`/proc/sys/fs/pipe-max-size`): what is unread when the flow has ended is
/// not more. Whoever writes more has escaped.
const PIPE_LIMIT: usize = 1 << 20;
/// After the flow's end: an escaped process may hold the pipe open for ever.
const SILENCE_LIMIT: Duration = Duration::from_secs(1);

/// Reads a pipe to its end and returns where its bytes come out, ended by [`LogEvent::End`].
pub(super) fn follow(reader: OwnedFd, progress: watch::Receiver<Progress>) -> io::Result<mpsc::Receiver<LogEvent>> {
    let pipe = pipe::Receiver::from_owned_fd(reader)?;
    let (sender, receiver) = mpsc::channel(WAITING_CHUNKS);
    tokio::spawn(read(pipe, progress, sender));
    Ok(receiver)
}

/// Returns output that has already ended.
pub(super) fn nothing() -> mpsc::Receiver<LogEvent> {
    let (sender, receiver) = mpsc::channel(1);
    sender.try_send(LogEvent::End).ok();
    receiver
}

async fn read(mut pipe: pipe::Receiver, mut progress: watch::Receiver<Progress>, sender: mpsc::Sender<LogEvent>) {
    let mut buffer = vec![0; CHUNK];
    let mut after_end = 0;
    while after_end < PIPE_LIMIT {
        let ended = progress.borrow().ended.is_some();
        let read = tokio::select! {
            biased;
            read = pipe.read(&mut buffer) => read,
            () = silence(&mut progress) => break,
        };
        let Ok(length @ 1..) = read else { break };
        if ended {
            after_end += length;
        }
        let bytes = buffer[..length].to_vec();
        if sender.send(LogEvent::Bytes { at: None, times: Vec::new(), bytes }).await.is_err() {
            // Nobody reads any more. The flow finds the pipe closed, as with any closed pipe.
            return;
        }
    }
    sender.send(LogEvent::End).await.ok();
}

/// Returns when the flow has ended and the time of silence has passed.
async fn silence(progress: &mut watch::Receiver<Progress>) {
    // An error means that nobody is left to tell of the end.
    progress.wait_for(|progress| progress.ended.is_some()).await.ok();
    sleep(SILENCE_LIMIT).await;
}
