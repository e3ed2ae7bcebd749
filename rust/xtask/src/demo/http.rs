//! Just enough of HTTP to ask a server on this machine: one GET, one connection.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result};

const PATIENCE: Duration = Duration::from_secs(10);

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    /// As sent: a chunked body still has its chunk sizes.
    pub(crate) body: String,
}

impl Answer {
    /// A header's value; names have no case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Reads what a server sent.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Some(Self {
            status,
            headers,
            body: body.to_owned(),
        })
    }
}

/// Asks for a path on loopback; none if the server closed the connection without a byte.
///
/// # Errors
/// Nothing listens there, it does not answer in time, or what it says is no HTTP.
pub(crate) fn get(port: u16, path: &str, accept: &str) -> Result<Option<Answer>> {
    ask(port, path, accept).with_context(|| format!("GET http://127.0.0.1:{port}{path}"))
}

fn ask(port: u16, path: &str, accept: &str) -> Result<Option<Answer>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        // A server that closes with our request unread resets the connection.
        Err(error) if error.kind() == ErrorKind::ConnectionReset && bytes.is_empty() => return Ok(None),
        read => read?,
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    Answer::parse(&bytes).map(Some).context("the answer is no HTTP")
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    fn served(answer: &'static [u8]) -> Result<Option<Answer>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 1024];
            let length = stream.read(&mut request).expect("a request");
            stream.write_all(answer).expect("written");
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let answer = get(port, "/go/x", "text/html");
        assert!(server.join().expect("served").starts_with("GET /go/x HTTP/1.1\r\n"));
        answer
    }

    #[test]
    fn status_headers_and_body() {
        let answer = served(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 30\r\n\r\n{\"health\":\"STANDBY\"}");
        let answer = answer.expect("answered").expect("not empty");
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("Retry-After"), Some("30"));
        assert_eq!(answer.body, "{\"health\":\"STANDBY\"}");
    }

    #[test]
    fn silence_is_no_error_but_nonsense_is() {
        assert_eq!(served(b"").expect("closed"), None);
        assert!(served(b"hello").is_err());
    }
}
