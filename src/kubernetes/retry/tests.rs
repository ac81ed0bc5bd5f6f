use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use serde_json::json;

use super::{
    script::{Reply, Said, Server, connect},
    *,
};

/// Calls a server that treats the nth request as `script` says.
async fn call(
    repeat: Repeat,
    patience: Patience,
    script: impl Fn(usize) -> Reply + Send + Sync + 'static,
) -> (Result<ConfigMap, CallError>, usize, Said) {
    let server = Server::start(move |nth, _| script(nth)).await;
    let (cluster, said) = connect(&server.url, json!({})).await;
    let api = cluster.api::<ConfigMap>();
    let result = match repeat {
        Repeat::Create => {
            let (parameters, object) = (PostParams::default(), ConfigMap::default());
            cluster.call(repeat, patience, "creating ConfigMap `x`", || api.create(&parameters, &object)).await
        }
        Repeat::Read | Repeat::Change => cluster.call(repeat, patience, "reading ConfigMap `x`", || api.get("x")).await,
    };
    (result, server.seen().len(), said)
}

/// The last line of a result: done, refused or ambiguous, and why.
fn words(result: &Result<ConfigMap, CallError>) -> String {
    match result {
        Ok(_) => "done".to_owned(),
        Err(CallError::Refused(error)) => format!("refused: {}", cause::cause(error)),
        Err(CallError::Ambiguous(error)) => format!("ambiguous: {}", cause::cause(error)),
    }
}

fn patience(milliseconds: u64) -> Patience {
    Patience(Duration::from_millis(milliseconds))
}

#[tokio::test]
async fn the_table_of_repetitions() {
    type Script = fn() -> Reply;
    let quota = || Reply::status(409, "Conflict", "Operation cannot be fulfilled on resourcequotas \"q\": the object has been modified");
    // First reply (the second is good), repetition, how it ends, number of requests.
    let table: &[(Script, Repeat, &str, usize)] = &[
        (Reply::object, Repeat::Read, "done", 1),
        (|| Reply::Reset, Repeat::Read, "done", 2),
        (|| Reply::Reset, Repeat::Create, "ambiguous: connection closed", 1),
        (|| Reply::Reset, Repeat::Change, "done", 2),
        (|| Reply::status(500, "InternalError", "etcdserver: leader changed"), Repeat::Read, "done", 2),
        (|| Reply::status(500, "InternalError", "etcdserver: leader changed"), Repeat::Create, "ambiguous: status 500, InternalError", 1),
        (|| Reply::status(503, "ServiceUnavailable", ""), Repeat::Change, "done", 2),
        (|| Reply::Answer(503, "", b"upstream connect error".to_vec()), Repeat::Create, "ambiguous: status 503", 1),
        (|| Reply::Answer(429, "Retry-After: 0\r\n", b"Too many requests".to_vec()), Repeat::Create, "done", 2),
        (|| Reply::Answer(200, "", b"<html>log in</html>".to_vec()), Repeat::Read, "done", 2),
        (|| Reply::Answer(200, "", b"{\"kind\":".to_vec()), Repeat::Create, "ambiguous: the answer is not JSON", 1),
        (quota, Repeat::Create, "done", 2),
        (|| Reply::status(409, "AlreadyExists", "x"), Repeat::Create, "refused: status 409, AlreadyExists", 1),
        (|| Reply::status(403, "Forbidden", "x"), Repeat::Read, "refused: status 403, Forbidden", 1),
        (|| Reply::status(404, "NotFound", "x"), Repeat::Change, "refused: status 404, NotFound", 1),
        (|| Reply::status(422, "Invalid", "x"), Repeat::Create, "refused: status 422, Invalid", 1),
        (|| Reply::status(401, "Unauthorized", "x"), Repeat::Read, "refused: credentials not accepted", 1),
    ];
    for (first, repeat, end, requests) in table {
        let first = *first;
        let (result, seen, _) = call(*repeat, patience(5000), move |nth| if nth == 0 { first() } else { Reply::object() }).await;
        assert_eq!((words(&result).as_str(), seen), (*end, *requests), "{repeat:?} {}", code(&first()));
    }
}

/// Names a reply for the message of a failed assertion.
fn code(reply: &Reply) -> u16 {
    if let Reply::Answer(code, ..) = reply { *code } else { 0 }
}

#[tokio::test]
async fn a_create_is_repeated_while_nothing_could_be_sent() {
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (cluster, _) = connect(&format!("http://{unused}"), json!({})).await;
    let (mut tries, api) = (0, cluster.api::<ConfigMap>());
    let (parameters, object) = (PostParams::default(), ConfigMap::default());
    let result = cluster.call(Repeat::Create, patience(1200), "creating it", || {
        tries += 1;
        api.create(&parameters, &object)
    });
    assert_eq!(words(&result.await), "refused: connection refused");
    assert!(tries >= 3, "{tries}");
}

#[tokio::test]
async fn patience_ends_and_once_means_once() {
    let trouble = || Reply::status(503, "ServiceUnavailable", "");
    let (result, seen, _) = call(Repeat::Read, Patience::ONCE, move |_| trouble()).await;
    assert_eq!((words(&result).as_str(), seen), ("refused: status 503, ServiceUnavailable", 1));
    let started = Instant::now();
    let (result, seen, _) = call(Repeat::Change, patience(1000), move |_| trouble()).await;
    assert_eq!(words(&result), "ambiguous: status 503, ServiceUnavailable");
    assert!(seen > 2 && started.elapsed() < Duration::from_secs(3), "{seen} requests in {:?}", started.elapsed());
}

#[tokio::test]
async fn retry_after_is_honoured_but_not_for_ever() {
    let started = Instant::now();
    let reply = |nth| if nth == 0 { Reply::Answer(429, "Retry-After: 1\r\n", Vec::new()) } else { Reply::object() };
    let (result, ..) = call(Repeat::Read, patience(10_000), reply).await;
    assert_eq!(words(&result), "done");
    assert!(started.elapsed() >= Duration::from_millis(990), "{:?}", started.elapsed());
    let started = Instant::now();
    let (result, seen, _) = call(Repeat::Read, patience(3000), |_| Reply::Answer(429, "Retry-After: 3600\r\n", Vec::new())).await;
    assert_eq!((words(&result).as_str(), seen), ("refused: status 429", 1));
    assert!(started.elapsed() < Duration::from_secs(1), "nobody waits for a server that asks for longer than there is");
}

#[tokio::test]
async fn one_answer_that_asks_for_a_pause_holds_every_call() {
    let began = Instant::now();
    let times = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = times.clone();
    let server = Server::start(move |nth, _| {
        log.lock().unwrap().push(began.elapsed());
        match nth {
            0 => Reply::Answer(429, "Retry-After: 5\r\n", Vec::new()),
            // Answers to what was under way take nothing back.
            _ => Reply::object(),
        }
    });
    let server = server.await;
    let (cluster, _) = connect(&server.url, json!({})).await;
    let api = cluster.api::<ConfigMap>();
    let read = |after: u64, patience: Patience| {
        let (cluster, api) = (&cluster, &api);
        async move {
            tokio::time::sleep(Duration::from_millis(after)).await;
            cluster.call(Repeat::Change, patience, "deleting", || api.get("x")).await
        }
    };
    // The first is refused; the second comes meanwhile, and so does one that has no time to wait.
    let (first, second, hasty) = tokio::join!(read(0, patience(30_000)), read(200, patience(30_000)), read(400, patience(300)));
    assert_eq!((words(&first), words(&second), words(&hasty)), ("done".to_owned(), "done".to_owned(), "done".to_owned()));
    let times = times.lock().unwrap().clone();
    let held: Vec<_> = times.iter().skip(1).filter(|time| **time < times[0] + Duration::from_millis(4990)).collect();
    assert_eq!((times.len(), held.len()), (4, 1), "only who has no time goes on: {times:?}");
}

#[tokio::test]
async fn a_stall_is_announced_and_ends_with_the_patience() {
    let started = Instant::now();
    let (result, _, said) = call(Repeat::Create, patience(2600), |_| Reply::Stall).await;
    assert_eq!(words(&result), "ambiguous: no answer");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    let said = said.lock().unwrap().clone();
    let [line] = said.as_slice() else { panic!("{said:?}") };
    let (start, time) = line.rsplit_once(' ').unwrap();
    assert_eq!(start, "the API server has not answered for 2 s while creating ConfigMap `x`; trying until");
    assert!(time.len() == 8 && time.split(':').count() == 3, "{time}");
}

#[tokio::test]
async fn calls_that_wait_together_have_one_voice() {
    let server = Server::start(|_, _| Reply::Stall).await;
    let (cluster, said) = connect(&server.url, json!({})).await;
    let api = cluster.api::<ConfigMap>();
    let read = || cluster.call(Repeat::Read, patience(7500), "listing", || api.get("x"));
    drop(tokio::join!(read(), read(), read()));
    let said = said.lock().unwrap().clone();
    assert_eq!(said.len(), 1, "{said:?}");
}

#[tokio::test]
async fn the_end_of_an_announced_trouble_is_announced() {
    let started = Instant::now();
    let trouble = move |_| {
        let over = started.elapsed() > Duration::from_millis(2500);
        if over { Reply::object() } else { Reply::status(503, "ServiceUnavailable", "") }
    };
    let (result, _, said) = call(Repeat::Read, Patience::FOLLOW, trouble).await;
    assert_eq!(words(&result), "done");
    let said = said.lock().unwrap().clone();
    let [first, last] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(first, "the API server has been in trouble for 2 s (status 503, ServiceUnavailable) while reading ConfigMap `x`; still trying");
    assert!(last.starts_with("the API server answers again, after "), "{last}");
}

#[test]
fn pauses_grow_and_stay_below_their_cap() {
    for (attempt, longest) in [(0, 250), (1, 500), (3, 2000), (5, 8000), (60, 8000)] {
        let pauses: Vec<_> = (0..50).map(|_| pause(attempt)).collect();
        let limit = Duration::from_millis(longest);
        assert!(pauses.iter().all(|pause| *pause <= limit) && pauses.iter().any(|pause| *pause > limit / 4), "{pauses:?}");
    }
}
