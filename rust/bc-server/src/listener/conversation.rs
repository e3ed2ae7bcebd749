//! What is said on one connection: TLS handshake, requests, answers, and how it ends.

use std::{
    convert::Infallible,
    future::{Future, pending},
    io,
    pin::pin,
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo, http::StatusCode};
use bc_core::{basics::Fingerprint, keys::Token, status::Rejection};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::ServiceExt;

use super::{
    Connection, Limits,
    wrong_protocol::{self, Port},
};
use crate::tls::{self, failure::causes};

/// How every connection is answered.
#[derive(Clone)]
pub(super) struct Conversation {
    pub(super) router: Router,
    /// None in the clear.
    pub(super) tls: Option<TlsAcceptor>,
    /// What nobody should send in the clear, where that is known.
    pub(super) token: Option<watch::Receiver<Option<Token>>>,
    pub(super) limits: Limits,
}

impl Conversation {
    /// Speaks with whoever connected to our port (protocol, TLS, HTTP), until one of both has had enough.
    pub(super) async fn hold(self, stream: TcpStream, connection: Connection) {
        prepare(&stream);
        let (port, patience) = match self.tls {
            Some(_) => (Port::Tls, self.limits.handshake),
            None => (Port::Plain, self.limits.head),
        };
        let until = Instant::now() + patience;
        let speech = tokio::select! {
            () = connection.closing() => return,
            speech = timeout_at(until, wrong_protocol::begun(&stream)) => speech,
        };
        match speech {
            Ok(Ok(Some(speech))) if port.is_for(speech) => {}
            Ok(Ok(Some(speech))) => {
                let detail =
                    wrong_protocol::turn_away(stream, speech, port, |user, password| self.has_token(user, password))
                        .await;
                return connection.reject(port.refuses_as(), detail);
            }
            // It left without a word.
            Ok(Ok(None) | Err(_)) => return,
            Err(_) => {
                return match port {
                    Port::Tls => connection.reject(Rejection::Handshake, "the handshake took too long"),
                    Port::Plain => connection.reject(Rejection::Slow, "no request in time"),
                };
            }
        }
        let Some(acceptor) = self.tls.clone() else {
            return self.answer(stream, connection).await;
        };
        let stream = tokio::select! {
            () = connection.closing() => return,
            stream = timeout_at(until, acceptor.accept(stream)) => stream,
        };
        match stream {
            Ok(Ok(stream)) => {
                if let Some(key) = client_key(&stream) {
                    connection.set_client_key(key);
                }
                self.answer(stream, connection).await;
            }
            Ok(Err(error)) => connection.reject(Rejection::Handshake, handshake_failure(&error)),
            Err(_) => connection.reject(Rejection::Handshake, "the handshake took too long"),
        }
    }

    /// Whether user and password that came to our port in the clear are the token.
    fn has_token(&self, user: &str, password: &str) -> bool {
        let token = self.token.as_ref().map(|token| token.borrow());
        let token = token.as_ref().and_then(|token| token.as_ref());
        token.is_some_and(|token| token.matches(user, password))
    }

    /// Answers the HTTP requests that come over one connection to our port, within its limits.
    async fn answer(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send, connection: Connection) {
        let Self { router, limits, .. } = self;
        let service = service_fn(|mut request: Request<Incoming>| {
            connection.mark_asked();
            request.extensions_mut().insert(ConnectInfo(connection.peer()));
            request.extensions_mut().insert(connection.clone());
            let answer = router.clone().oneshot(request.map(Body::new));
            let connection = connection.clone();
            async move {
                let answer = answer.await?;
                if answer.status() == StatusCode::PAYLOAD_TOO_LARGE {
                    connection.reject(Rejection::TooLarge, "its body");
                }
                Ok::<_, Infallible>(answer)
            }
        });
        let http = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(32 * 1024)
            .max_headers(64)
            .serve_connection(TokioIo::new(stream), service);
        let mut http = pin!(http);
        tokio::select! {
            end = http.as_mut() => return log_end(&connection, end),
            () = time_to_leave(&connection, limits.unproven) => {}
        }
        // Without a first request there is nothing to finish, and hyper would wait for it.
        let mut is_late = !connection.has_asked();
        if !is_late {
            http.as_mut().graceful_shutdown();
            match timeout(limits.farewell, http).await {
                Ok(end) => log_end(&connection, end),
                Err(_) => is_late = true,
            }
        }
        if is_late && !connection.is_closing() {
            connection.reject(Rejection::Slow, "no whole request in time");
        }
    }
}

/// Says why the TLS handshake of a client with our port failed.
fn handshake_failure(error: &io::Error) -> String {
    match causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(reason) => tls::failure::described(reason).to_owned(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "it left in the middle of the handshake".to_owned(),
        None => error.to_string(),
    }
}

/// The key that the client of a TLS connection to our port has proven to hold.
fn client_key(stream: &TlsStream<TcpStream>) -> Option<Fingerprint> {
    let (_, session) = stream.get_ref();
    // One that is not understood has not come through the handshake.
    tls::fingerprint_of_certificate(session.peer_certificates()?.first()?).ok()
}

/// Waits until a connection has had its time without right credentials, or its port closes.
fn time_to_leave(connection: &Connection, unproven: Duration) -> impl Future<Output = ()> {
    let expired = async move {
        sleep(unproven).await;
        if connection.is_proven() {
            pending::<()>().await;
        }
    };
    async move {
        tokio::select! {
            () = connection.closing() => {}
            () = expired => {}
        }
    }
}

/// Counts how a connection to our port ended, where it was turned away for it.
fn log_end(connection: &Connection, end: Result<(), hyper::Error>) {
    let Err(error) = end else { return };
    if error.is_parse_too_large() {
        connection.reject(Rejection::TooLarge, "its head");
    } else if error.is_parse() {
        connection.reject(Rejection::Malformed, error);
    } else if error.is_timeout() && !connection.has_asked() {
        // After a request this is only an idle connection.
        connection.reject(Rejection::Slow, "no request in time");
    } else {
        tracing::debug!("the connection with {} ended: {error}", connection.peer());
    }
}

/// Sets options of an accepted socket that only make things better; without them everything still works.
fn prepare(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("cannot set TCP_NODELAY: {error}");
    }
    #[cfg(target_os = "linux")]
    {
        use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
        if let Err(error) = setsockopt(stream, TcpUserTimeout, &60_000) {
            tracing::debug!("cannot set TCP_USER_TIMEOUT: {error}");
        }
    }
}
