//! A line to a server that a test can cut, as when a network goes.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// Passes connections on, until it is cut.
pub(crate) struct Line {
    /// Where it is taken up: `127.0.0.1:PORT`.
    pub(crate) address: String,
    /// Both ends of every connection; none while it is cut.
    ends: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Line {
    /// Returns a line to `host:port`.
    pub(crate) fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (ends, server) = (Arc::new(Mutex::new(Some(Vec::new()))), server.to_owned());
        let line = Self { address, ends: Arc::clone(&ends) };
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if let Some(ends) = ends.lock().unwrap().as_mut() {
                    let server = TcpStream::connect(&server).unwrap();
                    let copy = |end: &TcpStream| end.try_clone().unwrap();
                    ends.extend([copy(&client), copy(&server)]);
                    pass(copy(&client), copy(&server));
                    pass(server, client);
                }
            }
        });
        line
    }

    /// Ends all connections, and refuses new ones.
    pub(crate) fn cut(&self) {
        for end in self.ends.lock().unwrap().take().into_iter().flatten() {
            drop(end.shutdown(Shutdown::Both)); // it may have ended by itself
        }
    }

    /// Passes new connections on again.
    pub(crate) fn mend(&self) {
        *self.ends.lock().unwrap() = Some(Vec::new());
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        drop(io::copy(&mut from, &mut to)); // either end may go at any time
        drop(to.shutdown(Shutdown::Both));
    });
}
