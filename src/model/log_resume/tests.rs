use proptest::prelude::*;

use super::*;

const NOON: i64 = 1_767_268_800;

/// A chunk of a container's log file: what the kubelet stamps, filters and rotates.
#[derive(Debug, Clone)]
struct Chunk {
    nanoseconds: i64,
    bytes: Vec<u8>,
}

/// A log file as the kubelet reads it.
#[derive(Debug, Clone, Default)]
struct LogFile(Vec<Chunk>);

/// The container runtime splits lines at this length.
const CRI_CHUNK: usize = 16 * 1024;

impl LogFile {
    /// Appends a line; its chunks come a microsecond apart.
    fn line(&mut self, nanoseconds: i64, line: &[u8]) {
        for (index, bytes) in (0..).zip(line.chunks(CRI_CHUNK)) {
            self.0.push(Chunk { nanoseconds: nanoseconds + index * 1000, bytes: bytes.to_vec() });
        }
    }

    /// `k8s.io/cri-client`: `sinceTime` per chunk and inclusive, a stamp only at the start of a line.
    fn read(&self, since: Option<Timestamp>) -> Vec<u8> {
        let since = since.map_or(i64::MIN, |since| {
            assert_eq!(since.subsec_nanosecond(), 0, "the API server cuts to the second");
            i64::try_from(since.as_nanosecond()).unwrap()
        });
        let (mut stream, mut is_new_line) = (Vec::new(), true);
        for chunk in &self.0 {
            if chunk.nanoseconds >= since {
                if is_new_line {
                    stream.extend(stamp(chunk.nanoseconds).into_bytes());
                }
                stream.extend(&chunk.bytes);
            }
            is_new_line = chunk.bytes.ends_with(b"\n");
        }
        stream
    }
}

fn stamp(nanoseconds: i64) -> String {
    format!("{:.9} ", Timestamp::from_nanosecond(nanoseconds.into()).unwrap())
}

/// What came out: the bytes, and after how many of them there was a gap.
fn output(log: &mut LogResume) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut gaps) = (Vec::new(), Vec::new());
    for event in log.take() {
        match event {
            LogEvent::Bytes { bytes: more, .. } => bytes.extend(more),
            LogEvent::Gap(_) => gaps.push(bytes.len()),
            other => panic!("{other:?}"),
        }
    }
    (bytes, gaps)
}

/// A line as a flow may write it: short, repeated, binary, with carriage returns, or very long.
fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let ended = |mut line: Vec<u8>| {
        line.retain(|byte| *byte != b'\n');
        line.push(b'\n');
        line
    };
    prop_oneof![
        4 => Just(b"same\n".to_vec()),
        1 => Just(b"\n".to_vec()),
        4 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(ended),
        2 => "[a-z]{0,20}\r[a-z]{0,20}".prop_map(move |line| ended(line.into_bytes())),
        1 => (0usize..200_000, any::<u8>()).prop_map(move |(length, byte)| ended(vec![byte; length])),
        1 => (16_380usize..16_390, Just(b'x')).prop_map(move |(length, byte)| ended(vec![byte; length])),
        1 => (65_490usize..65_550, Just(b'y')).prop_map(move |(length, byte)| ended(vec![byte; length])),
    ]
}

/// Lines with the time since the one before: often none at all, often across a second.
fn any_log(lines: usize) -> impl Strategy<Value = Vec<(i64, Vec<u8>)>> {
    let pause = prop_oneof![4 => Just(0i64), 2 => 1i64..1000, 2 => Just(300_000_000), 1 => Just(999_999_999), 1 => Just(5_000_000_000)];
    proptest::collection::vec((pause, any_line()), 1..lines)
}

fn mk_file(lines: &[(i64, Vec<u8>)]) -> LogFile {
    let (mut file, mut time) = (LogFile::default(), NOON * 1_000_000_000);
    for (pause, line) in lines {
        time = time.max(file.0.last().map_or(0, |chunk| chunk.nanoseconds)) + pause;
        file.line(time, line);
    }
    file
}

/// Lets a line of standard error come between the chunks of every long line: the kubelet glues it on.
fn interleave(file: &mut LogFile) {
    let chunks = std::mem::take(&mut file.0);
    for chunk in chunks {
        let (nanoseconds, long) = (chunk.nanoseconds, !chunk.bytes.ends_with(b"\n"));
        file.0.push(chunk);
        if long {
            file.0.push(Chunk { nanoseconds, bytes: b"error\n".to_vec() });
        }
    }
}

/// Feeds a stream in pieces of a size.
fn feed(log: &mut LogResume, stream: &[u8], piece: usize) {
    stream.chunks(piece.max(1)).for_each(|piece| log.feed(piece));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// However often and wherever streams break, while the log grows, everything comes out once.
    #[test]
    fn streams_that_break_make_one_log(
        lines in any_log(60),
        breaks in proptest::collection::vec((0.0f64..=1.0, 0.0f64..=1.0, 1usize..50_000), 0..8),
        ended in any::<bool>(),
        interleaved in any::<bool>(),
    ) {
        let mut lines = lines;
        if !ended {
            // A flow may end without a line feed.
            lines.push((1, b"no line feed".to_vec()));
        }
        let mut whole = mk_file(&lines);
        if interleaved {
            interleave(&mut whole);
        }
        let expected: Vec<u8> = whole.0.iter().flat_map(|chunk| chunk.bytes.clone()).collect();
        let mut log = LogResume::new(Stamps::Dropped);
        let mut written = 0.0f64;
        for (grown, read, piece) in breaks {
            written = written.max(grown);
            let file = LogFile(whole.0[..share(whole.0.len(), written)].to_vec());
            let stream = file.read(log.resume_point());
            feed(&mut log, &stream[..share(stream.len(), read)], piece);
            log.reconnect();
        }
        let stream = whole.read(log.resume_point());
        feed(&mut log, &stream, 10_000);
        log.finish();
        let (bytes, gaps) = output(&mut log);
        prop_assert!(bytes == expected, "{} of {} bytes, {:?}", bytes.len(), expected.len(), first_difference(&bytes, &expected));
        prop_assert_eq!(gaps, Vec::<usize>::new());
    }

    /// When the start of the log is gone, no line comes twice and none is missing without a gap in its place.
    #[test]
    fn a_rotated_log_has_gaps_and_no_repetitions(
        pauses in proptest::collection::vec(prop_oneof![Just(0i64), 1i64..1000, Just(400_000_000), Just(2_000_000_000)], 2..60),
        breaks in proptest::collection::vec((0.0f64..=1.0, 0.0f64..=1.0, 0.0f64..=1.0), 1..6),
    ) {
        let lines: Vec<(i64, Vec<u8>)> = pauses.iter().zip(0..).map(|(pause, number)| (*pause, format!("line {number}\n").into_bytes())).collect();
        let whole = mk_file(&lines);
        let mut log = LogResume::new(Stamps::Dropped);
        let (mut written, mut rotated) = (0.0f64, 0);
        for (grown, lost, read) in breaks {
            written = written.max(grown);
            let end = share(whole.0.len(), written);
            rotated = rotated.max(share(end, lost * lost));
            let stream = LogFile(whole.0[rotated..end].to_vec()).read(log.resume_point());
            feed(&mut log, &stream[..share(stream.len(), read)], 100);
            log.reconnect();
        }
        let stream = LogFile(whole.0[rotated..].to_vec()).read(log.resume_point());
        feed(&mut log, &stream, 100);
        log.finish();
        let (bytes, gaps) = output(&mut log);
        let text = String::from_utf8(bytes).unwrap();
        let (mut next, mut position, mut first) = (0, 0, true);
        for line in text.lines() {
            let number: usize = line.strip_prefix("line ").unwrap().parse().unwrap();
            prop_assert!(number >= next, "line {number} again, in {text}");
            // What was rotated away before the first line was ever read is not ours to announce.
            prop_assert!(number == next || first || gaps.contains(&position), "{next} to {number} missing in silence, gaps {gaps:?} in {text}");
            (next, position, first) = (number + 1, position + line.len() + 1, false);
        }
        prop_assert!(next == lines.len() || gaps.contains(&text.len()) || text.is_empty(), "the end is missing in silence");
    }
}

/// Returns a part of a length.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "lengths of tests are small")]
fn share(length: usize, part: f64) -> usize {
    ((length as f64 * part) as usize).min(length)
}

fn first_difference(left: &[u8], right: &[u8]) -> Option<usize> {
    left.iter().zip(right).position(|(left, right)| left != right)
}

/// A file of lines at these times, in nanoseconds after noon.
fn mk_lines(lines: &[(i64, &str)]) -> LogFile {
    let mut file = LogFile::default();
    for (time, line) in lines {
        file.line(NOON * 1_000_000_000 + time, line.as_bytes());
    }
    file
}

fn texts(log: &mut LogResume) -> Vec<String> {
    log.take()
        .into_iter()
        .map(|event| match event {
            LogEvent::Bytes { bytes, .. } => String::from_utf8(bytes).unwrap(),
            LogEvent::Gap(gap) => format!("gap {:?} {:?} {}", gap.after.map(|at| at.to_string()), gap.until.map(|at| at.to_string()), gap.why),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_gap_names_its_times() {
    let mut log = LogResume::new(Stamps::Dropped);
    log.feed(&mk_lines(&[(0, "a\n"), (1_000_000_000, "b\n")]).read(None));
    assert_eq!(log.resume_point().unwrap().to_string(), "2026-01-01T12:00:00Z", "a tenth of a second is left for disorder");
    log.reconnect();
    log.feed(&mk_lines(&[(7_000_000_000, "x\n")]).read(log.resume_point()));
    let gap = r#"gap Some("2026-01-01T12:00:01Z") Some("2026-01-01T12:00:07Z") the log was rotated on its node"#;
    assert_eq!(texts(&mut log), ["a\nb\n", gap, "x\n"]);
}

#[test]
fn a_log_that_ends_before_what_was_read_has_a_gap_at_its_end() {
    let mut log = LogResume::new(Stamps::Dropped);
    log.feed(&mk_lines(&[(0, "a\n"), (1, "b\n")]).read(None));
    log.reconnect();
    log.finish();
    assert_eq!(texts(&mut log), ["a\nb\n", r#"gap Some("2026-01-01T12:00:00.000000001Z") None the log was rotated on its node"#]);
}

#[test]
fn lines_that_look_alike_are_counted() {
    let mut log = LogResume::new(Stamps::Dropped);
    let file = mk_lines(&[(5, "x\n"), (5, "x\n"), (5, "x\n"), (5, "y\n"), (5, "x\n")]);
    let stream = file.read(None);
    log.feed(&stream[..stream.len() / 5 * 2]);
    log.reconnect();
    log.feed(&file.read(log.resume_point()));
    assert_eq!(texts(&mut log).concat(), "x\nx\nx\ny\nx\n");
}

#[test]
fn lines_out_of_order_are_neither_lost_nor_repeated_after_a_rotation() {
    let mut log = LogResume::new(Stamps::Dropped);
    log.feed(&mk_lines(&[(100, "a\n"), (300, "b\n"), (200, "c\n")]).read(None));
    log.reconnect();
    // The file now begins with a line that is no later than what was read: it is new, `b` and `c` are not.
    log.feed(&mk_lines(&[(250, "n\n"), (300, "b\n"), (200, "c\n"), (400, "d\n")]).read(log.resume_point()));
    log.finish();
    let gap = r#"gap Some("2026-01-01T12:00:00.0000002Z") Some("2026-01-01T12:00:00.00000025Z") the log was rotated on its node"#;
    assert_eq!(texts(&mut log), ["a\nb\nc\n", gap, "n\nd\n"]);
}

#[test]
fn the_tail_of_a_line_that_began_before_the_second_is_dropped() {
    let mut file = LogFile::default();
    // Eight of its chunks come before the full second and eight after it.
    let line = [vec![b'x'; 16 * CRI_CHUNK - 1], b"\n".to_vec()].concat();
    for (index, bytes) in (-8..).zip(line.chunks(CRI_CHUNK)) {
        file.0.push(Chunk { nanoseconds: (NOON + 1) * 1_000_000_000 + index, bytes: bytes.to_vec() });
    }
    file.line((NOON + 1) * 1_000_000_000 + 500_000_000, b"a\n");
    let mut log = LogResume::new(Stamps::Dropped);
    log.feed(&file.read(None));
    log.reconnect();
    file.line((NOON + 1) * 1_000_000_000 + 600_000_000, b"b\n");
    let stream = file.read(log.resume_point());
    assert!(stream.starts_with(b"xxx") && stream.len() > WHOLE_LINE, "the stream begins in the middle of the line");
    log.feed(&stream);
    log.finish();
    let (bytes, gaps) = output(&mut log);
    assert!(bytes == [&line, b"a\nb\n".as_slice()].concat() && gaps.is_empty(), "{} bytes, gaps {gaps:?}", bytes.len());
}

#[test]
fn a_clock_that_was_set_back_is_a_gap() {
    let mut log = LogResume::new(Stamps::Dropped);
    log.feed(&mk_lines(&[(9_000_000_000, "a\n"), (1_000_000_000, "b\n")]).read(None));
    log.reconnect();
    let gap = r#"gap Some("2026-01-01T12:00:01Z") Some("2026-01-01T12:00:09Z") the clock of the node was set back"#;
    assert_eq!(texts(&mut log), ["a\nb\n", gap]);
}

#[test]
fn stamps_can_be_kept_and_a_batch_has_the_newest_time() {
    let mut log = LogResume::new(Stamps::InLines);
    log.feed(&mk_lines(&[(0, "a\n"), (1, "b\n")]).read(None));
    let events = log.take();
    let [LogEvent::Bytes { at, bytes, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(std::str::from_utf8(bytes).unwrap(), "2026-01-01T12:00:00.000000000Z a\n2026-01-01T12:00:00.000000001Z b\n");
    assert_eq!(at.unwrap().to_string(), "2026-01-01T12:00:00.000000001Z");
}

#[test]
fn more_lines_in_a_second_than_are_remembered() {
    let mut file = LogFile::default();
    for number in 0..100_000 {
        file.line(NOON * 1_000_000_000 + 500_000_000 + number * 1000, format!("{number}\n").as_bytes());
    }
    let stream = file.read(None);
    let mut log = LogResume::new(Stamps::Dropped);
    log.feed(&stream[..stream.len() - 10]);
    log.reconnect();
    log.feed(&file.read(log.resume_point()));
    log.finish();
    let expected: Vec<String> = (0..100_000).map(|number| format!("{number}\n")).collect();
    let (bytes, gaps) = output(&mut log);
    assert!(bytes == expected.concat().as_bytes() && gaps.is_empty(), "{} bytes, gaps {gaps:?}", bytes.len());
}

#[test]
fn a_log_without_stamps_passes_unchanged() {
    let mut log = LogResume::new(Stamps::Dropped);
    log.feed(b"a\nb\n");
    log.reconnect();
    assert_eq!(log.resume_point(), None);
    log.feed(b"a\nb\nc");
    log.finish();
    assert_eq!(texts(&mut log), ["a\nb\nc"]);
}
