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
//! Whoever meets a limit is noted in the [`RejectionLog`]. Who leaves without a word is not: load balancers probe
//! like that.
//!
//! Closing stops accepting at once, ends long polls ([`Connection::closing`]), lets other answers finish for two
//! seconds and then drops what is left.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fmt,
    future::{Future, pending},
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo, http::StatusCode};
use bc_core::{
    counters::Rejection,
    error::{Error, Kind},
    fingerprint::Fingerprint,
    network::Network,
};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::{rejection_log::RejectionLog, tls};

/// A port that is ours but not answered yet.
#[derive(Debug)]
pub struct BoundListener {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    rejections: Option<RejectionLog>,
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

/// Takes the port `address`, which the setting `property` names. Port 0 takes a free one.
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
    })
}

fn cannot_bind(address: SocketAddr, property: &str, error: &io::Error) -> Error {
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

impl BoundListener {
    /// Where it really listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same listener with other limits.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The same listener, which notes there whom it turns away.
    pub fn with_rejections(self, rejections: RejectionLog) -> Self {
        Self {
            rejections: Some(rejections),
            ..self
        }
    }

    /// Answers with `router` until `closing` is cancelled; without `tls` in the clear. Every request carries its
    /// [`Connection`] and axum's `ConnectInfo<SocketAddr>` as extensions.
    ///
    /// Returns when the port is given back and the last connection is gone, at most [`Limits::farewell`] after
    /// `closing`.
    pub async fn serve(self, router: Router, tls: Option<Arc<ServerConfig>>, closing: CancellationToken) {
        let Self {
            listener,
            limits,
            rejections,
            ..
        } = self;
        let encrypted = tls.is_some();
        let conversation = Conversation {
            router,
            tls: tls.map(TlsAcceptor::from),
            limits,
        };
        let register = Arc::new(Register::new(limits.connections));
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = closing.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let connection = Connection::new(peer, encrypted, closing.clone(), rejections.clone());
                    if let Some(rejections) = &rejections {
                        rejections.connected();
                    }
                    if let Some(entry) = Register::enter(&register, &connection) {
                        let conversation = conversation.clone();
                        tasks.spawn(async move {
                            let _entry = entry;
                            let evicted = connection.inner.evicted.clone();
                            tokio::select! {
                                () = evicted.cancelled() => {}
                                () = conversation.hold(stream, connection) => {}
                            }
                        });
                    }
                }
                Err(error) => {
                    // Out of file descriptors, mostly. Others may be about to give some back.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::select! {
                        () = closing.cancelled() => break,
                        () = sleep(Duration::from_millis(500)) => {}
                    }
                }
            }
        }
        drop(listener);
        tasks.close();
        tasks.wait().await;
    }
}

/// One connection, as its requests see it.
#[derive(Debug, Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    peer: SocketAddr,
    encrypted: bool,
    client_key: OnceLock<Fingerprint>,
    asked: AtomicBool,
    proven: AtomicBool,
    closing: CancellationToken,
    evicted: CancellationToken,
    rejections: Option<RejectionLog>,
}

impl Connection {
    fn new(peer: SocketAddr, encrypted: bool, closing: CancellationToken, rejections: Option<RejectionLog>) -> Self {
        Self {
            inner: Arc::new(Inner {
                peer,
                encrypted,
                client_key: OnceLock::new(),
                asked: AtomicBool::new(false),
                proven: AtomicBool::new(false),
                closing,
                evicted: CancellationToken::new(),
                rejections,
            }),
        }
    }

    /// Who connected.
    pub fn peer(&self) -> SocketAddr {
        self.inner.peer
    }

    /// Whether it is TLS.
    pub fn is_encrypted(&self) -> bool {
        self.inner.encrypted
    }

    /// The key that the client has proven to hold in the handshake, if it showed one.
    pub fn client_key(&self) -> Option<Fingerprint> {
        self.inner.client_key.get().copied()
    }

    /// Right credentials came over it: it may stay, however many others come.
    pub fn mark_proven(&self) {
        self.inner.proven.store(true, Ordering::Relaxed);
    }

    /// Closes this connection without another byte. A handler that calls it must not answer.
    pub fn cut(&self) {
        self.inner.evicted.cancel();
    }

    /// Resolves when the listener closes: whoever makes a client wait must answer then.
    pub async fn closing(&self) {
        self.inner.closing.cancelled().await;
    }

    fn is_proven(&self) -> bool {
        self.inner.proven.load(Ordering::Relaxed)
    }

    fn has_asked(&self) -> bool {
        self.inner.asked.load(Ordering::Relaxed)
    }

    /// Counts that this peer was turned away, and says it once a burst.
    pub(crate) fn reject(&self, rejection: Rejection, detail: impl fmt::Display) {
        if let Some(rejections) = &self.inner.rejections {
            rejections.note_with(rejection, self.peer().ip(), detail);
        }
    }
}

/// How every connection is answered.
#[derive(Clone)]
struct Conversation {
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: Limits,
}

impl Conversation {
    async fn hold(self, stream: TcpStream, connection: Connection) {
        prepare(&stream);
        let Some(acceptor) = self.tls.clone() else {
            return self.answer(stream, connection).await;
        };
        let handshake = timeout(self.limits.handshake, handshake(acceptor, stream));
        let stream = tokio::select! {
            () = connection.closing() => return,
            stream = handshake => stream,
        };
        match stream {
            Ok(Ok(Some(stream))) => {
                if let Some(key) = client_key(&stream) {
                    connection.inner.client_key.get_or_init(|| key);
                }
                self.answer(stream, connection).await;
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => connection.reject(Rejection::Handshake, error),
            Err(_) => connection.reject(Rejection::Handshake, "the handshake took too long"),
        }
    }

    async fn answer(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send, connection: Connection) {
        let Self { router, limits, .. } = self;
        let service = service_fn(|mut request: Request<Incoming>| {
            connection.inner.asked.store(true, Ordering::Relaxed);
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
        if is_late && !connection.inner.closing.is_cancelled() {
            connection.reject(Rejection::Slow, "no whole request in time");
        }
    }
}

/// None when the peer left without a word.
async fn handshake(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
    if stream.peek(&mut [0]).await? == 0 {
        return Ok(None);
    }
    acceptor.accept(stream).await.map(Some)
}

fn client_key(stream: &TlsStream<TcpStream>) -> Option<Fingerprint> {
    let (_, session) = stream.get_ref();
    // One that is not understood has not come through the handshake.
    tls::fingerprint_of_certificate(session.peer_certificates()?.first()?).ok()
}

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

/// Socket options that only make things better; without them everything still works.
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

/// All open connections, oldest first.
struct Register {
    limit: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, Connection>,
}

/// A place in the register, given back when this is dropped.
struct Entry {
    number: u64,
    register: Arc<Register>,
}

impl Register {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            open: Mutex::default(),
        }
    }

    /// Finds room for `connection`: where all is taken, that of a connection that never showed right credentials.
    /// None when all others did.
    fn enter(register: &Arc<Self>, connection: &Connection) -> Option<Entry> {
        let mut open = register.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.connections.len() >= register.limit {
            let evicted = open
                .most_dispensable()
                .and_then(|number| open.connections.remove(&number));
            let Some(evicted) = evicted else {
                drop(open);
                connection.reject(Rejection::Full, "");
                return None;
            };
            evicted.inner.evicted.cancel();
            evicted.reject(
                Rejection::Full,
                "closed for another one, it never showed right credentials",
            );
        }
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, connection.clone());
        drop(open);
        Some(Entry {
            number,
            register: Arc::clone(register),
        })
    }
}

impl Open {
    /// The oldest connection without right credentials, of the network that has most of them: whoever opens many
    /// loses his own.
    fn most_dispensable(&self) -> Option<u64> {
        let mut strangers: HashMap<Network, (usize, u64)> = HashMap::new();
        for (number, connection) in &self.connections {
            if !connection.is_proven() {
                let network = Network::of(connection.peer().ip());
                strangers.entry(network).or_insert((0, *number)).0 += 1;
            }
        }
        let most = strangers
            .into_values()
            .max_by_key(|(count, oldest)| (*count, Reverse(*oldest)));
        most.map(|(_, oldest)| oldest)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut open = self.register.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.connections.remove(&self.number);
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

    #[test]
    fn the_oldest_stranger_makes_room_and_proven_ones_stay() {
        let register = Arc::new(Register::new(2));
        let connect = || connection([127, 0, 0, 1]);
        let (standby, stranger, late, later) = (connect(), connect(), connect(), connect());
        let _standby = Register::enter(&register, &standby).expect("room");
        standby.mark_proven();
        let _stranger = Register::enter(&register, &stranger).expect("room");
        let late_entry = Register::enter(&register, &late).expect("the stranger's room");
        assert!(stranger.inner.evicted.is_cancelled());
        assert!(!standby.inner.evicted.is_cancelled());
        late.mark_proven();
        assert!(Register::enter(&register, &later).is_none());
        drop(late_entry);
        assert!(Register::enter(&register, &later).is_some());
    }

    #[test]
    fn who_opens_many_connections_crowds_out_his_own() {
        let register = Arc::new(Register::new(3));
        let standby = connection([10, 0, 0, 1]);
        let many: Vec<_> = (0..4).map(|_| connection([10, 0, 0, 2])).collect();
        let _standby = Register::enter(&register, &standby).expect("room");
        let _others: Vec<_> = many
            .iter()
            .map(|other| Register::enter(&register, other).expect("room"))
            .collect();
        let evicted: Vec<_> = many.iter().map(|other| other.inner.evicted.is_cancelled()).collect();
        assert_eq!(evicted, [true, true, false, false]);
        assert!(
            !standby.inner.evicted.is_cancelled(),
            "the oldest of all, and not proven yet"
        );
    }

    fn connection(address: [u8; 4]) -> Connection {
        Connection::new(SocketAddr::from((address, 1)), true, CancellationToken::new(), None)
    }
}
