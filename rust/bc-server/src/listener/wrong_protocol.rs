//! Who begins with something else than a port is for: named by what it speaks, and told in plain HTTP where it may
//! understand that.
//!
//! Nothing that came is repeated but the host that a request names, once that is a host.

use std::{io, time::Duration};

use bc_core::{basics::Host, status::Rejection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{
    credentials::basic_pair,
    first_bytes::{ENOUGH, Speech},
};

/// The longest wait for the rest of what tells a protocol, and for the head of a request that is refused in any case.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much of such a request is read, in bytes.
const LONGEST_HEAD: usize = 4096;

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    Tls,
    Plain,
}

impl Port {
    /// Whether somebody whose first bytes are of this protocol is in the right place at this port. On a plain port
    /// whatever is unknown is HTTP's to judge.
    pub(super) fn is_for(self, speech: Speech) -> bool {
        match self {
            Port::Tls => speech == Speech::Tls,
            Port::Plain => matches!(speech, Speech::HttpRequest | Speech::Other),
        }
    }

    /// The rejection as which somebody with the wrong protocol is counted.
    pub(super) fn refuses_as(self) -> Rejection {
        match self {
            Port::Tls => Rejection::Handshake,
            Port::Plain => Rejection::Malformed,
        }
    }
}

/// Peeks at the protocol with which a client of our port begins; its bytes stay to be read. None when it left without a
/// word.
pub(super) async fn begun(stream: &TcpStream) -> io::Result<Option<Speech>> {
    let mut first = [0; ENOUGH];
    let mut length = stream.peek(&mut first).await?;
    if length == 0 {
        return Ok(None);
    }
    let until = Instant::now() + PATIENCE;
    // TLS is told by its first byte; others may come in pieces.
    while length < ENOUGH && Speech::of(&first[..length]) == Speech::Other && Instant::now() < until {
        sleep(Duration::from_millis(20)).await;
        length = stream.peek(&mut first).await?;
    }
    Ok(Some(Speech::of(&first[..length])))
}

/// Closes a connection that speaks the wrong protocol for this port, and returns what the log says of it. `is_token`
/// tells whether a user and password are the token: any others are no reason for alarm.
pub(super) async fn turn_away(
    mut stream: TcpStream,
    speech: Speech,
    port: Port,
    is_token: impl Fn(&str, &str) -> bool,
) -> String {
    match (port, speech) {
        (Port::Tls, Speech::HttpRequest) => {
            let head = head(&mut stream).await;
            let address = asked_host(&head).map_or_else(String::new, |host| format!(": https://{host}/"));
            answer(&mut stream, &format!("this port speaks HTTPS{address}\n")).await;
            match field(&head, "authorization").map(basic_pair) {
                Some(Some((user, password))) if is_token(&user, &password) => {
                    "plain HTTP with the token, which anybody on the way could read: give both servers another token, and \
                     begin that address with https://"
                }
                Some(_) => "plain HTTP with credentials that are not ours: that address must begin with https://",
                None => "plain HTTP: that address must begin with https://",
            }
            .to_owned()
        }
        (Port::Plain, Speech::Tls | Speech::OldTls) => {
            head(&mut stream).await;
            answer(&mut stream, "this port speaks plain HTTP, not HTTPS\n").await;
            format!("{speech} on a port for plain HTTP: that address needs http://, or the port of bc.listen")
        }
        (_, Speech::ProxyHeader(_)) => format!(
            "{speech}: turn that off in the load balancer in front (HAProxy: send-proxy, nginx: proxy_protocol), which must \
             pass on the bytes as they are"
        ),
        _ => speech.to_string(),
    }
}

/// Reads the head of a request that is refused for its protocol, as far as it comes soon.
async fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        let mut piece = [0; 1024];
        while bytes.len() < LONGEST_HEAD && !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
            match stream.read(&mut piece).await {
                Ok(length) if length > 0 => bytes.extend_from_slice(&piece[..length]),
                _ => break,
            }
            if bytes[0] == 0x16 {
                // A ClientHello comes at once, and nothing of it is looked at.
                break;
            }
        }
    };
    // What came in time is what there is.
    let _ = timeout(PATIENCE, reading).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Answers somebody with the wrong protocol with a 400 of one line.
async fn answer(stream: &mut TcpStream, line: &str) {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: \
         no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{line}",
        line.len()
    );
    // Whoever does not take it has left.
    let sending = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    };
    let _ = timeout(PATIENCE, sending).await;
}

/// The value of the field with this name in the head of a request that is refused.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Host and port that a request with the wrong protocol was meant for.
fn asked_host(head: &str) -> Option<String> {
    let (host, port) = Host::with_port(field(head, "host")?).ok()?;
    match port {
        Some(port) => Some(format!("{host}:{}", port.parse::<u16>().ok()?)),
        None => Some(host.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_host_is_repeated() {
        let asked = |host: &str| asked_host(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"));
        assert_eq!(asked("Primary-Go:8155").as_deref(), Some("primary-go:8155"));
        assert_eq!(asked("[fd00::1]").as_deref(), Some("[fd00::1]"));
        for text in ["", "a b", "a:x", "<script>", "a/b", "a:99999", "a@b"] {
            assert_eq!(asked(text), None, "{text}");
        }
        assert_eq!(asked_host("Host: first-line\r\n"), None);
        assert_eq!(
            field("GET / HTTP/1.1\r\nAUTHORIZATION: Basic x\r\n\r\n", "authorization"),
            Some("Basic x")
        );
        assert_eq!(
            field(
                "GET /?authorization: HTTP/1.1\r\nX: authorization\r\n\r\n",
                "authorization"
            ),
            None
        );
    }
}
