//! Our port: accepts connections, speaks TLS and HTTP/1.1 on them, and bounds what strangers can take.
//!
//! hyper is used directly, since the limits below need a connection in hand while its requests are answered:
//!
//! | limit | why |
//! |---|---|
//! | handshake and request head: 10 s each | slow senders, and idle connections between requests |
//! | a connection without right credentials: 30 s | slow bodies, connections held open for nothing |
//! | 512 connections; a further one closes the oldest without right credentials, of the network that has most of them | strangers never keep a standby out, and crowd out each other first |
//! | request heads of 32 KiB and 64 lines | memory |
//! | bodies of 16 KiB (the routers say so) | memory |
//! | unacknowledged bytes: 60 s (Linux) | transfers to a host that is gone |
//!
//! Whoever meets a limit, or speaks another protocol, is noted in the [`RejectionLog`]. Who leaves without a word is
//! not: load balancers probe like that.
//!
//! | module | has |
//! |---|---|
//! | this one | the bound port: accepts, bounds, closes |
//! | `connection` | what is known of one connection, for its requests |
//! | `wrong_protocol` | who begins with another protocol than a port is for |
//! | `conversation` | handshake, requests and answers on one, and its end |
//! | `register` | all of them, and who must leave where there are too many |
//!
//! Closing stops accepting at once, ends long polls ([`Connection::closing`]), lets other answers finish for two
//! seconds and then drops what is left.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use bc_core::{
    basics::{Error, Kind, Shortage},
    keys::Token,
};
use rustls::ServerConfig;
use tokio::{net::TcpListener, sync::watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accepting::{Accepting, Tell},
    rejection_log::RejectionLog,
};

mod connection;
mod conversation;
mod register;
mod wrong_protocol;

pub use connection::Connection;

use conversation::Conversation;
use register::Register;

/// A port that is ours but not answered yet.
pub struct BoundListener {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    rejections: Option<RejectionLog>,
    token: Option<watch::Receiver<Option<Token>>>,
    accepting: Accepting,
}

/// What a listener grants to those who connect.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time for the head of a request, from the end of the one before.
    pub head: Duration,
    /// Life of a connection that never showed right credentials.
    pub unproven: Duration,
    /// Time for answers under way when the listener closes.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            unproven: Duration::from_secs(30),
            farewell: Duration::from_secs(2),
        }
    }
}

/// Binds a port of our own at `address`, which the setting `property` names. Port 0 takes a free one.
///
/// # Errors
/// [`Kind::Busy`] when somebody has the port, [`Kind::Setting`] when this host has no such address or the user
/// may not take the port; each names the property.
pub async fn bind(address: SocketAddr, property: &str) -> Result<BoundListener, Error> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| cannot_bind(address, property, &error))?;
    let address = listener
        .local_addr()
        .map_err(|error| cannot_bind(address, property, &error))?;
    Ok(BoundListener {
        listener,
        address,
        limits: Limits::default(),
        rejections: None,
        token: None,
        accepting: Accepting::new(format!("the port {address} ({property})"), Box::new(|_| {})),
    })
}

/// Says why a port of our own cannot be taken, and what to do.
fn cannot_bind(address: SocketAddr, property: &str, error: &io::Error) -> Error {
    if let Some(shortage) = Shortage::of(error) {
        return shortage.error(&format!("listen on {address} ({property})"));
    }
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => Error::new(
            Kind::Busy,
            format!("port {port} ({property}) is in use"),
            format!(
                "See who has it with `ss -ltnp sport = :{port}`, and stop that, or choose another port with {property}."
            ),
        ),
        io::ErrorKind::AddrNotAvailable => Error::new(
            Kind::Setting,
            format!("{property} names {}, which is no address of this host", address.ip()),
            format!("Write 0.0.0.0:{port} or an address of this host into {property}."),
        ),
        io::ErrorKind::PermissionDenied => Error::new(
            Kind::Setting,
            format!("the user of this process may not take port {port} ({property})"),
            format!("Choose a port above 1023 with {property}."),
        ),
        _ => Error::new(
            Kind::Setting,
            format!("cannot listen on {address} ({property}): {error}"),
            format!("Correct {property}."),
        ),
    }
}

impl fmt::Debug for BoundListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoundListener({})", self.address)
    }
}

impl BoundListener {
    /// The address at which a port of our own really listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives a port other limits for those who connect.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Gives a port the log in which it notes whom it turns away.
    pub fn with_rejections(self, rejections: RejectionLog) -> Self {
        Self {
            rejections: Some(rejections),
            ..self
        }
    }

    /// Gives a TLS port the token of the moment, so that it says where that comes to it in the clear.
    pub(crate) fn knowing(self, token: watch::Receiver<Option<Token>>) -> Self {
        Self {
            token: Some(token),
            ..self
        }
    }

    /// Has a port tell why nobody can connect to it where that is so, and when it is over.
    pub(crate) fn telling(mut self, tell: Tell) -> Self {
        self.accepting = self.accepting.telling(tell);
        self
    }

    /// Answers on a port of our own with `router` until `closing` is cancelled; without `tls` in the clear. Every
    /// request carries its [`Connection`] and axum's `ConnectInfo<SocketAddr>` as extensions.
    ///
    /// Returns when the port is given back and the last connection is gone, at most [`Limits::farewell`] after
    /// `closing`.
    pub async fn serve(self, router: Router, tls: Option<Arc<ServerConfig>>, closing: CancellationToken) {
        let Self {
            listener,
            limits,
            rejections,
            token,
            mut accepting,
            ..
        } = self;
        let encrypted = tls.is_some();
        let conversation = Conversation {
            router,
            tls: tls.map(TlsAcceptor::from),
            token,
            limits,
        };
        let register = Arc::new(Register::new(limits.connections));
        let tasks = TaskTracker::new();
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = closing.cancelled() => break,
                accepted = accepting.next(|| listener.accept()) => accepted,
            };
            let connection = Connection::new(peer, encrypted, closing.clone(), rejections.clone());
            if let Some(rejections) = &rejections {
                rejections.connected();
            }
            if let Some(entry) = Register::enter(&register, &connection) {
                let conversation = conversation.clone();
                tasks.spawn(async move {
                    let _entry = entry;
                    let watched = connection.clone();
                    tokio::select! {
                        () = watched.evicted() => {}
                        () = conversation.hold(stream, connection) => {}
                    }
                });
            }
        }
        drop(listener);
        tasks.close();
        tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_with_its_property() {
        let first = bind("127.0.0.1:0".parse().expect("address"), "bc.listen")
            .await
            .expect("free");
        let port = first.address().port();
        let error = bind(first.address(), "bc.listen").await.expect_err("taken");
        assert_eq!(error.kind(), Kind::Busy);
        assert_eq!(error.message(), format!("port {port} (bc.listen) is in use"));
        assert!(error.guidance().contains("bc.listen"));
    }

    #[tokio::test]
    async fn a_foreign_address_is_named_with_its_property() {
        let error = bind("192.0.2.1:0".parse().expect("address"), "bc.listen")
            .await
            .expect_err("not ours");
        assert_eq!(error.kind(), Kind::Setting);
        assert_eq!(
            error.message(),
            "bc.listen names 192.0.2.1, which is no address of this host"
        );
    }
}
