use super::*;
use crate::model::{
    job_event::{Gap, LineTime, LogEvent},
    log_resume::Stamps,
};

fn logs(folder: &Path) -> KeptLogs {
    let variables = [("XDG_STATE_HOME".to_owned(), folder.to_str().unwrap().to_owned())].into();
    KeptLogs::of(&Environment { variables, ..Environment::default() }).unwrap()
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_268_800 + seconds).unwrap()
}

fn origin(job: &str, pod: &str) -> Origin {
    Origin {
        schema: Origin::SCHEMA,
        server: "https://cluster.example".into(),
        namespace: "flows".into(),
        job: job.into(),
        job_uid: format!("uid-of-{job}"),
        pod: pod.into(),
        pod_uid: format!("uid-of-{pod}"),
        created: Some(time(0)),
        ..Origin::default()
    }
}

/// Returns lines that came a second apart.
fn output(first: i64, lines: &[&[u8]]) -> LogEvent {
    let (mut bytes, mut times) = (Vec::new(), Vec::new());
    for (line, second) in lines.iter().zip(first..) {
        times.push(LineTime { offset: bytes.len(), at: time(second) });
        bytes.extend_from_slice(line);
    }
    LogEvent::Bytes { at: times.last().map(|time| time.at), times, bytes }
}

fn more(bytes: &[u8]) -> LogEvent {
    LogEvent::Bytes { at: None, times: Vec::new(), bytes: bytes.to_vec() }
}

fn record(logs: &KeptLogs, origin: Origin, events: &[LogEvent]) {
    let mut recording = logs.record(origin).unwrap();
    for event in events {
        recording.record(event).unwrap();
    }
}

/// Returns output and gaps as text, and how it ended.
fn read(log: &KeptLog, wanted: &Wanted) -> (String, KeptEnd) {
    let mut text = Vec::new();
    let end = log.read(wanted, &mut |event| {
        match event {
            LogEvent::Bytes { bytes, .. } => text.extend(bytes),
            LogEvent::Gap(gap) => text.extend(format!("<{}>", gap.why).into_bytes()),
            other => panic!("{other:?}"),
        }
        Ok(())
    });
    (String::from_utf8_lossy(&text).into_owned(), end.unwrap())
}

fn whole(log: &KeptLog) -> String {
    read(log, &Wanted::default()).0
}

#[test]
fn output_is_read_back_byte_by_byte() {
    let folder = tempfile::tempdir().unwrap();
    let logs = logs(folder.path());
    let gap = Gap { after: Some(time(2)), until: None, why: "lost".into() };
    let events = [
        output(0, &[b"a\n", b"! {\"end\":{\"open\":false}}\n", b"half"]),
        more(b" and more\n- no stamp\n"),
        output(9, &[b"2026-01-01T00:00:00Z not its time\n", b"10%\r20%\n", b"\xff\n", b"open"]),
        LogEvent::Gap(gap),
        output(20, &[b"\n", b"no end"]),
        LogEvent::End,
    ];
    record(&logs, origin("etl", "etl-a"), &events);
    let kept = logs.find("uid-of-etl");
    assert_eq!((kept.len(), kept[0].complete), (1, true));
    let mut expected = "a\n! {\"end\":{\"open\":false}}\nhalf and more\n- no stamp\n".to_owned();
    expected += "2026-01-01T00:00:00Z not its time\n10%\r20%\n\u{fffd}\nopen<lost>\nno end";
    let (text, end) = read(&kept[0], &Wanted::default());
    assert_eq!((text, end.complete, end.last), (expected, true, Some(time(21))));
}

#[test]
fn what_can_be_asked_of_a_log_can_be_asked_of_kept_output() {
    let folder = tempfile::tempdir().unwrap();
    let logs = logs(folder.path());
    let gap = LogEvent::Gap(Gap { after: Some(time(1)), until: Some(time(2)), why: "lost".into() });
    record(&logs, origin("etl", "etl-a"), &[output(0, &[b"a\n", b"b\n"]), gap, output(2, &[b"c\n", b"d\n"]), LogEvent::End]);
    let kept = logs.find("uid-of-etl").remove(0);
    let half_past = time(3) + SignedDuration::from_millis(500);
    for (tail, since, stamps, expected) in [
        (Some(2), None, Stamps::Dropped, "c\nd\n"),
        (Some(3), None, Stamps::Dropped, "b\n<lost>c\nd\n"),
        (Some(0), None, Stamps::Dropped, ""),
        (Some(9), None, Stamps::Dropped, "a\nb\n<lost>c\nd\n"),
        (None, Some(half_past), Stamps::Dropped, "d\n"),
        (Some(1), Some(time(1)), Stamps::Dropped, "d\n"),
        (Some(1), None, Stamps::InLines, "2026-01-01T12:00:03.000000000Z d\n"),
    ] {
        let wanted = Wanted { tail, since, stamps };
        let (text, end) = read(&kept, &wanted);
        assert_eq!((text.as_str(), end.complete), (expected, true), "{wanted:?}");
    }
}

#[test]
fn of_several_followers_the_one_that_saw_the_end_counts() {
    let folder = tempfile::tempdir().unwrap();
    let logs = logs(folder.path());
    record(&logs, origin("etl", "etl-a"), &[output(0, &[b"a\n", b"b\n"])]);
    record(&logs, origin("etl", "etl-a"), &[output(0, &[b"a\n"]), LogEvent::Unavailable("the pod is gone".into())]);
    let kept = logs.find("uid-of-etl");
    assert_eq!((kept.len(), kept[0].complete, logs.paths().len()), (1, false, 2));
    record(&logs, origin("etl", "etl-a"), &[output(0, &[b"a\n", b"b\n", b"c\n", b"d\n", b"e\n"]), LogEvent::End]);
    assert_eq!(whole(&logs.find("uid-of-etl")[0]), "a\nb\nc\nd\ne\n");
    assert_eq!(logs.paths().len(), 1, "the others have nothing that it has not");
    let (mut one, mut other) = (logs.record(origin("etl", "etl-a")).unwrap(), logs.record(origin("etl", "etl-a")).unwrap());
    for event in [output(0, &[b"a\n"]), LogEvent::End] {
        one.record(&event).unwrap();
        other.record(&event).unwrap();
    }
    assert_eq!((whole(&logs.find("uid-of-etl")[0]), logs.paths().len()), ("a\nb\nc\nd\ne\n".to_owned(), 1), "the fullest of whole ones");
    let next = Origin { created: Some(time(60)), ..origin("etl", "etl-0") };
    record(&logs, next, &[output(60, &[b"again\n"])]);
    let pods: Vec<String> = logs.find("uid-of-etl").into_iter().map(|log| log.origin.pod).collect();
    assert_eq!(pods, ["etl-a", "etl-0"], "the oldest attempt comes first");
    assert_eq!(logs.find("uid-of"), [], "a job is found by its whole UID");
}

#[test]
fn a_killed_follower_leaves_what_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let logs = logs(folder.path());
    record(&logs, origin("etl", "etl-a"), &[output(0, &[b"a\n", b"b"])]);
    let path = logs.paths().remove(0);
    let text = fs::read(&path).unwrap();
    fs::write(&path, &text[..text.len() - 3]).unwrap(); // in the middle of a write
    let (text, end) = read(&logs.find("uid-of-etl")[0], &Wanted::default());
    assert_eq!((text.as_str(), end.complete), ("a\n", false));
    fs::write(&path, "").unwrap();
    assert_eq!(logs.find("uid-of-etl"), [], "not even whose it is");
}

#[test]
fn the_older_half_of_too_much_output_goes() {
    let folder = tempfile::tempdir().unwrap();
    let logs = KeptLogs { log_limit: 4096, ..logs(folder.path()) };
    let mut recording = logs.record(origin("etl", "etl-a")).unwrap();
    for number in 0..500 {
        recording.record(&output(number, &[format!("line {number}\n").as_bytes()])).unwrap();
        assert!(fs::metadata(&logs.paths()[0]).unwrap().len() <= 4096);
    }
    recording.record(&LogEvent::End).unwrap();
    let kept = logs.find("uid-of-etl").remove(0);
    let text = whole(&kept);
    let (gap, lines) = text.split_once("kept>").expect("a gap comes first");
    assert!(gap.starts_with("<only the last ") && lines.ends_with("line 499\n"), "{text}");
    let numbers: Vec<i64> = lines.lines().map(|line| line.strip_prefix("line ").unwrap().parse().unwrap()).collect();
    assert!(numbers.len() > 30 && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{text}");

    let mut recording = logs.record(origin("etl", "etl-b")).unwrap();
    for _ in 0..20 {
        recording.record(&more(&[b'x'; 1000])).unwrap(); // one line without an end
    }
    let size = fs::metadata(recording_of(&logs, "uid-of-etl-b")).unwrap().len();
    assert!(size <= 4096, "{size}");
}

fn recording_of(logs: &KeptLogs, pod: &str) -> PathBuf {
    logs.paths().into_iter().find(|path| path.to_string_lossy().contains(pod)).unwrap()
}

#[test]
fn old_output_is_forgotten_and_so_is_too_much_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let logs = logs(folder.path());
    record(&logs, origin("etl", "etl-a"), &[output(0, &[b"a\n"]), LogEvent::End]);
    let now = environment::now();
    logs.prune(now + SignedDuration::from_hours(13 * 24));
    assert_eq!(logs.paths().len(), 1);
    let large = |name: &str, size: u64, age: i64| {
        let file = fs::File::create(logs.folder.join(name)).unwrap();
        file.set_len(size).unwrap(); // takes no room
        file.set_modified((now - SignedDuration::from_secs(age)).into()).unwrap();
    };
    for number in 0..5 {
        large(&format!("job-{number}.a.x.log"), JOB_LIMIT - 1, 100 + number);
    }
    large("job-0.b.x.log", 2, 50);
    logs.prune(now);
    let left = logs.paths();
    let total: u64 = left.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(total <= TOTAL_LIMIT, "{left:?}");
    assert!(!left.iter().any(|path| path.ends_with("job-0.a.x.log")), "the older of a job with too much: {left:?}");
    assert!(left.iter().any(|path| path.ends_with("job-0.b.x.log")), "{left:?}");
    logs.prune(now + SignedDuration::from_hours(15 * 24));
    assert_eq!(logs.paths(), [] as [PathBuf; 0]);
}

#[test]
fn a_job_that_is_gone_is_found_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let logs = logs(folder.path());
    let old = Origin { job_uid: "older".into(), created: Some(time(-60)), ..origin("etl-1", "etl-1-a") };
    record(&logs, old, &[LogEvent::End]);
    record(&logs, Origin { run_id: Some("01run".into()), ..origin("etl-1", "etl-1-b") }, &[LogEvent::End]);
    record(&logs, origin("etl-12", "etl-12-a"), &[LogEvent::End]);
    let find = |reference: &str, namespace: &str| -> Vec<String> {
        logs.find_by_name(reference, namespace, "https://cluster.example").into_iter().map(|log| log.origin.pod).collect()
    };
    assert_eq!(find("etl-1", "flows"), ["etl-1-b"], "the newest of a name");
    assert_eq!(find("01run", "flows"), ["etl-1-b"]);
    assert_eq!(find("etl-12", "flows"), ["etl-12-a"]);
    assert_eq!(find("etl", "flows"), [] as [&str; 0], "two jobs begin so");
    assert_eq!(find("etl-1", "other"), [] as [&str; 0]);
}

#[cfg(unix)]
#[test]
fn kept_output_is_private_and_no_link_is_followed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let logs = KeptLogs { log_limit: 512, ..logs(folder.path()) };
    let mut recording = logs.record(origin("etl", "etl-a")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for number in 0..50 {
        recording.record(&output(number, &[b"a line of output\n"])).unwrap();
        assert_eq!(mode(&logs.paths()[0]), 0o600, "after {number}");
    }
    assert_eq!(mode(&logs.folder), 0o700);

    let victim = folder.path().join("victim");
    fs::rename(&logs.paths()[0], &victim).unwrap();
    symlink(&victim, logs.folder.join("uid-of-etl.uid-of-etl-a.x.log")).unwrap();
    assert_eq!(logs.find("uid-of-etl"), []);

    let elsewhere = tempfile::tempdir().unwrap();
    fs::remove_dir_all(&logs.folder).unwrap();
    symlink(elsewhere.path(), &logs.folder).unwrap();
    assert!(logs.record(origin("etl", "etl-a")).is_err());
    let sly = Origin { job_uid: "../../x".into(), pod_uid: "/etc/y.z".into(), ..origin("etl", "etl-a") };
    fs::remove_file(&logs.folder).unwrap();
    drop(logs.record(sly).unwrap());
    assert_eq!(logs.paths().len(), 1, "an id cannot lead out of the folder");
}
