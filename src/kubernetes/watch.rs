//! Wake-up hints: a watch says that it is worth looking again, and keeps the last words of pods.
//!
//! What is true is what GET and LIST say, and whoever follows a job asks them every few seconds anyway. So a watch may
//! break, be refused or fall silent, and the only harm is that news come a little later. This is why none of it needs
//! a resource version, a cache or an error. One thing only a watch can tell: how a pod was that is gone before anybody
//! looked again.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, Stream, StreamExt, stream::BoxStream};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{Api, api::WatchParams, core::WatchEvent};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::Instant,
};

use crate::{
    kubernetes::{connect::Cluster, labels, observe::attempt_record},
    model::evidence::AttemptRecord,
};

/// Some proxies end every watch at once: kube's own watcher then asks 10,000 times a second.
const BETWEEN_STARTS: Duration = Duration::from_secs(1);
/// The pause grows up to here while watches stay short.
const LONGEST_BETWEEN_STARTS: Duration = Duration::from_secs(30);
/// A watch that lived this long was a good one.
const HEALTHY: Duration = Duration::from_secs(10);
/// An API server answers a watch at once, even when there is nothing to tell.
const OPENING: Duration = Duration::from_secs(15);
/// News come in swarms: Job, pod and container change together.
const SWARM: Duration = Duration::from_millis(150);
/// Between two wake-ups, so that a pod that changes all the time does not cause a request each time.
const BETWEEN_WAKEUPS: Duration = Duration::from_millis(500);

/// Watches one Job and its pods, and wakes whoever polls them. Ends when dropped.
#[derive(Debug)]
pub struct Wakeups {
    news: Arc<Notify>,
    pods: mpsc::UnboundedReceiver<AttemptRecord>,
    last: Option<Instant>,
    /// When the news that have come are to be told.
    due: Option<Instant>,
    _watches: JoinSet<()>,
}

impl Wakeups {
    /// Starts to watch the Job with this name and UID. There is one wake-up soon after, whether anything changes or not.
    #[must_use]
    pub fn start(cluster: &Cluster, job: &str, uid: &str) -> Self {
        let news = Arc::new(Notify::new());
        let (words, pods) = mpsc::unbounded_channel();
        let mut watches = JoinSet::new();
        let of_job = WatchParams::default().fields(&format!("metadata.name={job}"));
        let of_pods = WatchParams::default().labels(&format!("{}={uid}", labels::CONTROLLER_UID));
        watches.spawn(watch(cluster.clone(), Watched::Job(of_job), news.clone(), words.clone()));
        watches.spawn(watch(cluster.clone(), Watched::Pods(of_pods), news.clone(), words));
        Self { news, pods, last: None, due: None, _watches: watches }
    }

    /// Returns how the pods were that changed since the last call, oldest change first.
    pub fn take_pods(&mut self) -> Vec<AttemptRecord> {
        std::iter::from_fn(|| self.pods.try_recv().ok()).collect()
    }

    /// Waits until something has changed, and leaves the news to [`Self::changed`].
    pub async fn has_changed(&self) {
        if self.due.is_some() {
            return;
        }
        self.news.notified().await;
        self.news.notify_one();
    }

    /// Waits until something changed, or for `limit`; returns whether something changed. Who is interrupted and waits again has lost
    /// nothing: a chatty log must not keep the news away.
    pub async fn changed(&mut self, limit: Duration) -> bool {
        let due = match self.due {
            Some(due) => due,
            None if tokio::time::timeout(limit, self.news.notified()).await.is_err() => return false,
            None => {
                let swarm = Instant::now() + SWARM;
                *self.due.insert(self.last.map_or(swarm, |last| swarm.max(last + BETWEEN_WAKEUPS)))
            }
        };
        tokio::time::sleep_until(due).await;
        // What came meanwhile belongs to this wake-up.
        let _: Option<()> = self.news.notified().now_or_never();
        (self.due, self.last) = (None, Some(Instant::now()));
        true
    }
}

/// What a watch looks at.
enum Watched {
    /// A Job: that it changed is enough.
    Job(WatchParams),
    /// Its pods: how they were may be gone at the next look.
    Pods(WatchParams),
}

/// What an event of a watch means.
enum News {
    /// Something changed; of a pod, how it is now or was last.
    Changed(Option<Box<AttemptRecord>>),
    /// Nothing to tell.
    Nothing,
    /// The watch is over.
    Over,
}

impl Watched {
    /// Opens the watch, from the present state on: without a resource version, which could be too old (410), it begins with
    /// the objects that there are.
    async fn open(&self, cluster: &Cluster) -> kube::Result<BoxStream<'static, News>> {
        match self {
            Self::Job(parameters) => {
                let api: Api<Job> = cluster.api();
                Ok(news(api.watch_metadata(parameters, "").await?, |_| None).boxed())
            }
            Self::Pods(parameters) => {
                let api: Api<Pod> = cluster.api();
                Ok(news(api.watch(parameters, "").await?, |pod| Some(Box::new(attempt_record(pod)))).boxed())
            }
        }
    }
}

fn news<K>(
    events: impl Stream<Item = kube::Result<WatchEvent<K>>> + Send + 'static,
    record: impl Fn(&K) -> Option<Box<AttemptRecord>> + Send + 'static,
) -> impl Stream<Item = News> + Send + 'static {
    events.map(move |event| match event {
        Ok(WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object)) => News::Changed(record(&object)),
        Ok(WatchEvent::Bookmark(_)) => News::Nothing,
        Ok(WatchEvent::Error(_)) | Err(_) => News::Over,
    })
}

/// Watches for as long as it is allowed to.
async fn watch(cluster: Cluster, watched: Watched, news: Arc<Notify>, words: mpsc::UnboundedSender<AttemptRecord>) {
    let mut between = BETWEEN_STARTS;
    loop {
        let began = Instant::now();
        // Refused credentials are like any other trouble here; the calls of the poll report them.
        if cluster.authenticate().await.is_ok() && !watch_once(&cluster, &watched, &news, &words).await {
            return;
        }
        let short = began.elapsed() < HEALTHY;
        tokio::time::sleep_until(began + between).await;
        between = if short { (between * 2).min(LONGEST_BETWEEN_STARTS) } else { BETWEEN_STARTS };
    }
}

/// Watches until the watch ends. Returns whether it may be tried again.
async fn watch_once(cluster: &Cluster, watched: &Watched, news: &Notify, words: &mpsc::UnboundedSender<AttemptRecord>) -> bool {
    cluster.turn().await;
    let mut stream = match tokio::time::timeout(OPENING, watched.open(cluster)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(kube::Error::Api(status))) => return !matches!(status.code, 403 | 405),
        Ok(Err(_)) | Err(_) => return true,
    };
    while let Some(event) = stream.next().await {
        match event {
            News::Changed(record) => {
                if record.is_some_and(|record| words.send(*record).is_err()) {
                    return false;
                }
                news.notify_one();
            }
            News::Nothing => {}
            News::Over => return true,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kubernetes::retry::script::{End, Reply, Seen, Server, connect};

    fn event(kind: &str, object: &Value) -> Vec<u8> {
        format!("{}\n", json!({ "type": kind, "object": object })).into_bytes()
    }

    fn changed() -> Vec<u8> {
        event("MODIFIED", &json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": { "name": "x" } }))
    }

    #[tokio::test]
    async fn the_last_words_of_a_pod_are_kept() {
        let condition = json!({ "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI" });
        let pod = json!({ "kind": "Pod", "apiVersion": "v1", "metadata": { "name": "p", "uid": "p1" }, "status": { "phase": "Running", "conditions": [condition] } });
        let script = move |_: usize, seen: &Seen| Reply::Stream(if is_job(seen) { Vec::new() } else { vec![event("DELETED", &pod)] }, End::Hang);
        let (_server, mut wakeups) = start(script).await;
        assert!(wakeups.changed(Duration::from_secs(5)).await);
        let pods = wakeups.take_pods();
        assert_eq!(
            pods.iter().map(|pod| pod.disruption.as_ref().map(|disruption| disruption.reason.as_str())).collect::<Vec<_>>(),
            [Some("EvictionByEvictionAPI")]
        );
        assert!(wakeups.take_pods().is_empty());
    }

    async fn start(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> (Server, Wakeups) {
        let server = Server::start(script).await;
        let (cluster, _) = connect(&server.url, json!({})).await;
        (server, Wakeups::start(&cluster, "job-1", "u1"))
    }

    fn is_job(seen: &Seen) -> bool {
        seen.target.starts_with("/apis/batch/v1/namespaces/flows/jobs?")
    }

    #[tokio::test]
    async fn news_are_told_however_often_the_wait_is_broken_off() {
        let script = |_: usize, seen: &Seen| Reply::Stream(if is_job(seen) { vec![changed()] } else { Vec::new() }, End::Hang);
        let (_server, mut wakeups) = start(script).await;
        let told = async { while tokio::time::timeout(Duration::from_millis(10), wakeups.changed(Duration::from_secs(5))).await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(20), told).await.expect("the news get through");
    }

    #[tokio::test]
    async fn news_of_job_or_pods_wake_once_for_a_swarm() {
        let script = |_: usize, seen: &Seen| Reply::Stream(if is_job(seen) { vec![changed(), changed(), changed()] } else { Vec::new() }, End::Hang);
        let (server, mut wakeups) = start(script).await;
        assert!(wakeups.changed(Duration::from_secs(5)).await);
        assert!(!wakeups.changed(Duration::from_millis(500)).await);
        let mut targets: Vec<String> = server.seen().into_iter().map(|seen| seen.target).collect();
        targets.sort();
        assert_eq!(targets.len(), 2);
        assert!(targets[0].starts_with("/api/v1/namespaces/flows/pods?&watch=true"), "{targets:?}");
        assert!(targets[0].contains("labelSelector=batch.kubernetes.io%2Fcontroller-uid%3Du1"), "{targets:?}");
        assert!(targets[1].contains("fieldSelector=metadata.name%3Djob-1"), "{targets:?}");
    }

    #[tokio::test]
    async fn watches_that_end_at_once_are_not_started_again_at_once() {
        let gone = event("ERROR", &json!({ "kind": "Status", "code": 410, "reason": "Expired", "message": "too old" }));
        for first in [End::Clean, End::Cut] {
            let (first, gone) = (std::sync::Mutex::new(Some(first)), gone.clone());
            let script = move |_: usize, seen: &Seen| {
                if is_job(seen) {
                    return Reply::status(410, "Expired", "too old resource version");
                }
                match first.lock().unwrap().take() {
                    Some(end) => {
                        Reply::Stream(vec![event("MODIFIED", &json!({ "kind": "Pod", "apiVersion": "v1", "metadata": { "name": "x" } }))], end)
                    }
                    None => Reply::Stream(vec![gone.clone()], End::Hang),
                }
            };
            let (server, mut wakeups) = start(script).await;
            tokio::time::sleep(Duration::from_millis(2500)).await;
            let requests = server.seen().len();
            // Two watches, each started at 0 s and 1 s; the next pause is 2 s.
            assert_eq!(requests, 4);
            assert!(wakeups.changed(Duration::from_secs(1)).await);
        }
    }

    #[tokio::test]
    async fn a_watch_that_is_not_allowed_is_left_alone() {
        let (server, mut wakeups) = start(|_, _| Reply::status(403, "Forbidden", "no")).await;
        assert!(!wakeups.changed(Duration::from_millis(1500)).await);
        assert_eq!(server.seen().len(), 2);
    }

    #[tokio::test]
    async fn watches_end_with_their_owner() {
        let (server, wakeups) = start(|_, _| Reply::status(500, "InternalError", "")).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = server.seen().len();
        drop(wakeups);
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!((before, server.seen().len()), (2, 2));
    }
}
