//! What a port speaks that is not TLS, or that hangs up as soon as TLS begins.
//!
//! The library that failed to agree on TLS keeps no byte of what came. So the greeting is said once more, on a
//! connection of its own, and what comes back is looked at. Nothing but that greeting is ever sent there: no request,
//! no token.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bc_core::basics::{Error, Kind, lock, words};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::who::host_and_port;
use crate::{
    first_bytes::Speech,
    tls::client::{Verifier, config},
};

/// The longest wait for it all.
const LONGEST: Duration = Duration::from_secs(5);
/// How many of the first bytes are kept.
const KEPT: usize = 64;

/// Says what the primary's port at `base` speaks in place of TLS; `failed` where that cannot be found out.
pub(super) async fn explained(base: &str, verifier: &Arc<Verifier>, failed: Error) -> Error {
    match timeout(LONGEST, first_bytes(base, verifier)).await {
        Ok(Some(first)) => named(base, &first).unwrap_or(failed),
        _ => failed,
    }
}

/// Sends our TLS greeting once more, and returns the first bytes that come back. None where there is nobody, or where
/// it was TLS after all.
async fn first_bytes(base: &str, verifier: &Arc<Verifier>) -> Option<Vec<u8>> {
    let (host, port) = host_and_port(base)?;
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let stream = TcpStream::connect((host, port)).await.ok()?;
    let first = Arc::default();
    let overheard = Overheard {
        stream,
        first: Arc::clone(&first),
    };
    let connector = TlsConnector::from(Arc::new(config(Arc::clone(verifier))));
    match connector.connect(name, overheard).await {
        Ok(_) => None,
        Err(_) => Some(lock(&first).clone()),
    }
}

/// Names what a port speaks that begins with these bytes; none where that is TLS.
fn named(base: &str, first: &[u8]) -> Option<Error> {
    if first.is_empty() {
        return Some(Error::new(
            Kind::Unreachable,
            format!("{base} takes the connection and hangs up as soon as TLS begins"),
            "A firewall that looks into TLS does so, a load balancer that has no server behind it, and one that itself wants a \
             PROXY header. The primary's log names whom it turns away; from here try `openssl s_client -connect HOST:PORT`.",
        ));
    }
    let speech = Speech::of(first);
    let speaks = match speech {
        Speech::Tls => return None,
        Speech::Other => match quoted(first) {
            Some(text) => format!("something that begins with \"{text}\""),
            None => speech.to_string(),
        },
        _ => speech.to_string(),
    };
    let guidance = match speech {
        Speech::HttpRequest | Speech::HttpAnswer | Speech::Http2 => {
            "Name the primary's TLS port in bc.primary.url: 8155 unless its bc.listen says otherwise. 8153 is GoCD's own port, \
             and that of bc.listen.plain is for a proxy on the primary; a proxy between the two servers must speak TLS."
        }
        _ => "Name the primary's Business Continuity port in bc.primary.url: 8155 unless its bc.listen says otherwise.",
    };
    Some(Error::new(
        Kind::Protocol,
        format!("{base} does not speak TLS but {speaks}"),
        guidance,
    ))
}

/// The first line of what came back to our TLS greeting, where it is one of text.
fn quoted(first: &[u8]) -> Option<String> {
    let line = first.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    let is_text = !line.is_empty() && line.iter().all(|byte| matches!(byte, b' '..=b'~'));
    is_text.then(|| words::shown(&String::from_utf8_lossy(line), 40))
}

/// A connection that keeps the first bytes that come over it.
struct Overheard {
    stream: TcpStream,
    first: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Overheard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let mut first = lock(&self.first);
        let room = KEPT - first.len();
        first.extend(buffer.filled()[before..].iter().take(room));
        polled
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
