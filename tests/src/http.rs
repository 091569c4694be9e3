//! One HTTP GET to an agent's admin server.

use crate::error::{Context, Error, Result};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Asks for `path`. HTTP/1.0, so that the body needs no chunk decoding.
///
/// # Errors
/// If nobody listens, or the answer is not HTTP.
pub fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    let limit = Duration::from_secs(5);
    let attempt = || format!("GET http://{address}{path}");
    let mut stream = TcpStream::connect_timeout(&address, limit).context(attempt)?;
    stream.set_read_timeout(Some(limit)).context(attempt)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").context(attempt)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).context(attempt)?;
    parse(&text).ok_or_else(|| Error::Unreadable {
        from: attempt(),
        answer: text.clone(),
    })
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        body: body.to_owned(),
    })
}
