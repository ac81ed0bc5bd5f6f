use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::kubernetes::retry::script::{End, Reply, Seen, Server, connect};

/// Stamped lines of a log: one for each text, a tenth of a second apart, from noon on.
fn stamped(range: std::ops::Range<i64>) -> Vec<u8> {
    let lines = range.map(|number| {
        let time = Timestamp::from_nanosecond(i128::from(1_767_268_800_000_000_000 + number * 100_000_000)).unwrap();
        format!("{time:.9} line {number}\n")
    });
    lines.collect::<String>().into_bytes()
}

fn plain(range: std::ops::Range<i64>) -> String {
    let lines: Vec<String> = range.map(|number| format!("line {number}\n")).collect();
    lines.concat()
}

fn query(seen: &Seen, key: &str) -> Option<String> {
    let pairs = seen.target.split_once('?')?.1.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value.replace("%3A", ":"))
}

/// Follows the log of a server, with the container in this state.
async fn follow(server: &Server, state: LogState, options: LogOptions) -> (mpsc::Receiver<LogEvent>, watch::Sender<LogState>) {
    let (cluster, _) = connect(&server.url, json!({})).await;
    let (sender, receiver) = watch::channel(state);
    (follow_log(&cluster, "p", "flow", receiver, options), sender)
}

/// Collects output and the last event.
async fn collect(mut events: mpsc::Receiver<LogEvent>) -> (String, Option<LogEvent>) {
    let (mut output, mut last) = (String::new(), None);
    while let Some(event) = events.recv().await {
        match event {
            LogEvent::Bytes { bytes, .. } => output.push_str(&String::from_utf8(bytes).unwrap()),
            LogEvent::Gap(gap) => output.push_str(&gap.why),
            end => last = Some(end),
        }
    }
    (output, last)
}

#[tokio::test]
async fn streams_that_break_are_resumed_and_the_end_is_read_once_more() {
    let server = Server::start(|nth, seen| {
        let since: i64 = query(seen, "sinceTime").map_or(0, |since| {
            let second = since.parse::<Timestamp>().unwrap().as_second() - 1_767_268_800;
            second * 10
        });
        match nth {
            0 => Reply::Stream(vec![stamped(since..25), b"2026-01-01T12:00:0".to_vec()], End::Cut),
            1 => Reply::Stream(vec![stamped(since..40)], End::Clean),
            _ => Reply::Stream(vec![stamped(since..50), b"2026-01-01T12:00:05.000000000Z end".to_vec()], End::Clean),
        }
    })
    .await;
    let (mut events, state) = follow(&server, LogState::Running, LogOptions::default()).await;
    let mut output = String::new();
    while output.len() < plain(0..40).len() {
        let Some(LogEvent::Bytes { bytes, .. }) = events.recv().await else { panic!("no more after {output}") };
        output.push_str(&String::from_utf8(bytes).unwrap());
    }
    state.send(LogState::Ended).unwrap();
    let (rest, last) = collect(events).await;
    assert_eq!((output + &rest, last), (plain(0..50) + "end", Some(LogEvent::End)));
    let asked: Vec<_> = server.seen().iter().map(|seen| (query(seen, "follow"), query(seen, "sinceTime"))).collect();
    let following = Some("true".to_owned());
    assert_eq!(
        asked,
        [(following.clone(), None), (following, Some("2026-01-01T12:00:02Z".to_owned())), (None, Some("2026-01-01T12:00:03Z".to_owned()))]
    );
    assert!(server.seen().iter().all(|seen| seen.method == "GET" && seen.target.starts_with("/api/v1/namespaces/flows/pods/p/log?&container=flow")));
}

#[tokio::test]
async fn nothing_is_asked_before_the_container_runs() {
    let server = Server::start(|nth, _| match nth {
        0 => Reply::Answer(204, "", Vec::new()),
        1 => Reply::status(400, "BadRequest", "container \"flow\" in pod \"p\" is waiting to start: ContainerCreating"),
        _ => Reply::Stream(vec![stamped(0..3)], End::Clean),
    })
    .await;
    let (events, state) = follow(&server, LogState::Waiting, LogOptions::default()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(server.seen().is_empty());
    state.send(LogState::Running).unwrap();
    let all = tokio::spawn(collect(events));
    while server.seen().len() < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    state.send(LogState::Ended).unwrap();
    assert_eq!(all.await.unwrap(), (plain(0..3), Some(LogEvent::End)));
}

#[tokio::test]
async fn a_finished_log_is_read_without_stamps_and_counted() {
    let server = Server::start(|nth, _| match nth {
        0 => Reply::Stream(vec![plain(0..10).into_bytes(), b"line 1".to_vec()], End::Cut),
        _ => Reply::Stream(vec![plain(0..1000).into_bytes()], End::Clean),
    })
    .await;
    let (events, _state) = follow(&server, LogState::Ended, LogOptions::default()).await;
    assert_eq!(collect(events).await, (plain(0..1000), Some(LogEvent::End)));
    assert!(server.seen().iter().all(|seen| query(seen, "timestamps").is_none() && query(seen, "follow").is_none()));
}

#[tokio::test]
async fn a_stream_that_outlives_its_container_is_left() {
    let server = Server::start(|nth, _| match nth {
        0 => Reply::Stream(vec![stamped(0..5)], End::Hang),
        _ => Reply::Stream(vec![stamped(0..7)], End::Clean),
    })
    .await;
    let (events, state) = follow(&server, LogState::Running, LogOptions::default()).await;
    let all = tokio::spawn(collect(events));
    tokio::time::sleep(Duration::from_millis(300)).await;
    state.send(LogState::Ended).unwrap();
    let started = Instant::now();
    assert_eq!(all.await.unwrap(), (plain(0..7), Some(LogEvent::End)));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_can_never_be_read_is_said() {
    let gone = || {
        Reply::json(404, &json!({ "kind": "Status", "code": 404, "reason": "NotFound", "message": "", "details": { "kind": "pods", "name": "p" } }))
    };
    let server = Server::start(move |_, _| gone()).await;
    let (events, _state) = follow(&server, LogState::Running, LogOptions::default()).await;
    assert_eq!(collect(events).await, (String::new(), Some(LogEvent::Unavailable("the pod is gone".to_owned()))));
    let (events, _state) = follow(&server, LogState::Gone, LogOptions::default()).await;
    assert_eq!(collect(events).await, (String::new(), Some(LogEvent::Unavailable("the pod is gone".to_owned()))));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_stream() {
    let server = Server::start(|_, _| Reply::Stream(vec![stamped(0..5)], End::Hang)).await;
    let (cluster, _) = connect(&server.url, json!({})).await;
    let (state, receiver) = watch::channel(LogState::Running);
    let mut events = follow_log(&cluster, "p", "flow", receiver, LogOptions::default());
    events.recv().await.unwrap();
    drop(events);
    tokio::time::timeout(Duration::from_secs(2), state.closed()).await.expect("the task ends");
}

#[tokio::test]
async fn one_read_takes_what_there_is() {
    let server = Server::start(|_, seen| {
        let lines = if query(seen, "timestamps").is_some() { stamped(7..10) } else { plain(7..10).into_bytes() };
        Reply::Stream(vec![lines], End::Clean)
    })
    .await;
    let (cluster, _) = connect(&server.url, json!({})).await;
    let options = LogOptions { tail: Some(3), since: Some("2026-01-01T12:00:00.7Z".parse().unwrap()), ..LogOptions::default() };
    assert_eq!(collect(read_log(&cluster, "p", "flow", options)).await, (plain(7..10), Some(LogEvent::End)));
    let seen = server.seen();
    assert_eq!((query(&seen[0], "tailLines"), query(&seen[0], "sinceTime")), (Some("3".into()), Some("2026-01-01T12:00:00Z".into())));
    let kept = LogOptions { stamps: Stamps::InLines, previous: true, ..LogOptions::default() };
    let (output, _) = collect(read_log(&cluster, "p", "flow", kept)).await;
    assert_eq!(output.as_bytes(), stamped(7..10));
    assert_eq!(query(&server.seen()[1], "previous").as_deref(), Some("true"));
}

#[tokio::test]
async fn one_read_of_a_container_that_has_not_started_says_so() {
    let server = Server::start(|_, _| Reply::Answer(204, "", Vec::new())).await;
    let (cluster, _) = connect(&server.url, json!({})).await;
    let unavailable = LogEvent::Unavailable("the container has not started".to_owned());
    assert_eq!(collect(read_log(&cluster, "p", "flow", LogOptions::default())).await, (String::new(), Some(unavailable)));
}
