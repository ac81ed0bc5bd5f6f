//! HTTP for tests: one request, one answer.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;

/// Sends a request to `HOST:PORT`, its body as JSON unless it is null, and returns status and body; an error when nobody answers.
pub(crate) fn request(host: &str, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, String)> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect(host)?;
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let cut = || std::io::Error::other(format!("{method} {path}: a cut answer: {answer:?}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
    Ok((status, body.to_owned()))
}
