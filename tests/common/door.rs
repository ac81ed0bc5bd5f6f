//! A door in front of a real HTTP server. What comes through is the real server's word; what the door itself says, the test decides: a
//! refusal that the real server gives under load or with other settings, or nothing at all while the door is shut, as if nobody listened.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::Value;

use super::http::request;

/// What the door does about a request, such as `POST /api/flows/`.
pub(crate) enum Answer {
    /// The real server's answer.
    Through,
    /// This status and body; the real server never hears of it.
    Instead(u16, &'static str),
    /// The real server is asked, but its answer is lost: this status comes instead.
    After(u16, &'static str),
    /// The real server's answer, so much later.
    Late(Duration),
}

type Rule = Box<dyn FnMut(&str) -> Answer + Send>;

/// A door, until it is dropped.
pub(crate) struct Door {
    port: u16,
    shut: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    rule: Arc<Mutex<Rule>>,
}

impl Door {
    /// Opens a door in front of `host`, through which everything comes.
    pub(crate) fn before(host: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (shut, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(|_| Answer::Through)));
        let door = Self { port, shut: shut.clone(), ended: ended.clone(), rule: rule.clone() };
        let host = host.to_owned();
        std::thread::spawn(move || keep(listener, port, &host, &shut, &ended, &rule));
        door
    }

    /// Returns the address of a Prefect API behind it.
    pub(crate) fn api(&self) -> String {
        format!("http://127.0.0.1:{}/api", self.port)
    }

    /// Decides from now on what becomes of requests.
    pub(crate) fn decide(&self, rule: impl FnMut(&str) -> Answer + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// Shuts it: nobody listens there. Returns once that is so.
    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Opens it again.
    pub(crate) fn open(&self) {
        self.shut.store(false, Ordering::SeqCst);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

fn keep(listener: TcpListener, port: u16, host: &str, shut: &AtomicBool, ended: &AtomicBool, rule: &Arc<Mutex<Rule>>) {
    let mut listener = Some(listener);
    while !ended.load(Ordering::SeqCst) {
        if shut.load(Ordering::SeqCst) {
            listener = None;
        } else {
            let open = listener.get_or_insert_with(|| TcpListener::bind(("127.0.0.1", port)).unwrap());
            open.set_nonblocking(true).unwrap();
            if let Ok((stream, _)) = open.accept() {
                stream.set_nonblocking(false).unwrap();
                let (host, rule) = (host.to_owned(), rule.clone());
                std::thread::spawn(move || pass(stream, &host, &rule));
                continue;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Answers one request; whoever has more opens another connection.
fn pass(stream: TcpStream, host: &str, rule: &Mutex<Rule>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let (method, path) = line.trim_end().strip_suffix(" HTTP/1.1")?.split_once(' ')?;
    let (mut length, mut header) = (0, String::new());
    while reader.read_line(&mut header).ok()? > 2 {
        let (name, value) = header.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
        header.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let answer = (rule.lock().unwrap())(&format!("{method} {path}"));
    let asked = || request(host, method, path, &body).ok();
    let (status, text) = match answer {
        Answer::Through => asked()?,
        Answer::Instead(status, text) => (status, text.to_owned()),
        Answer::After(status, text) => asked().map(|_| (status, text.to_owned()))?,
        Answer::Late(by) => {
            let answer = asked()?;
            std::thread::sleep(by);
            answer
        }
    };
    let head = format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
    // 204 has no body, and a length is no harm.
    reader.get_mut().write_all((head + &text).as_bytes()).ok()
}
