//! A real node on loopback, and raw clients for it.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use bc_core::{
    basics::{Digest, Fingerprint, Properties, SystemClock, digest::hash},
    generation::{Acceptance, Entry, Manifest, Name, Role, Run, Withheld},
    keys::{Identity, OwnKeys, PeersFile, Token, Trust},
    node::both::BothNodes,
    primary::{
        Offer, Standbys,
        scan::snapshot::{Snapshot, Source},
    },
    role::StateDir,
    settings::{Flag, Settings},
    status::{Phase, Status, StatusBoard},
};
use bc_server::{
    client::HttpTransport,
    context::Context,
    listener::{self, BoundListener, Limits},
    md5s::Md5Desk,
    paths,
    rejection_log::RejectionLog,
    routes,
    tls::{self, client::TrustSource},
};
use bc_testkit::secrets;
use bytes::Bytes;
use rustls::ServerConfig;
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

/// Below the routes of every node.
pub(crate) const PREFIX: &str = paths::PREFIX;

/// A node that answers on a free port of loopback.
pub(crate) struct Node {
    pub(crate) folder: TempDir,
    pub(crate) identity: Identity,
    pub(crate) context: Context,
    pub(crate) token: watch::Sender<Option<Token>>,
    pub(crate) address: SocketAddr,
    pub(crate) closing: CancellationToken,
    pub(crate) served: JoinHandle<()>,
}

/// Whether a test's node gives out files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Primary,
    Held,
}

impl Node {
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::start_with(kind, Limits::default()).await
    }

    pub(crate) async fn start_with(kind: Kind, limits: Limits) -> Self {
        Self::start_beside(kind, limits, None).await
    }

    /// A held node whose files, and those of its primary, are looked at through `nodes`.
    pub(crate) async fn held_beside(nodes: Arc<dyn BothNodes>) -> Self {
        Self::start_beside(Kind::Held, Limits::default(), Some(nodes)).await
    }

    async fn start_beside(kind: Kind, limits: Limits, nodes: Option<Arc<dyn BothNodes>>) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let state = Arc::new(StateDir::open(&folder.path().join("state")).expect("state"));
        let identity = Identity::load_or_create(state.path()).expect("identity");
        let run = Run::begin(Some("primarygo".to_owned()), state.path(), 0).expect("random");
        let offer = (kind == Kind::Primary).then(|| {
            let offer = Offer::new(state, Some("26.1.0".to_owned()), 60_000).expect("offer");
            Arc::new(offer.by(&run))
        });
        let token = watch::Sender::new(Some(token()));
        let board = Arc::new(StatusBoard::new(status(kind), Arc::new(SystemClock)));
        let properties: Properties = [("user.dir", folder.path().display().to_string())]
            .into_iter()
            .collect();
        let context = Context {
            files: tokio::runtime::Handle::current(),
            md5s: Md5Desk::new(nodes, CancellationToken::new()),
            settings: Arc::new(Settings::parse(&properties, |_| false).0),
            status: Arc::clone(&board),
            token: token.subscribe(),
            standbys: offer.is_some().then(|| standbys(folder.path(), &identity, &run)),
            offer,
            rejections: RejectionLog::new(board),
            run: Arc::new(run),
            replaced: Arc::default(),
            still: Arc::default(),
        };
        let tls = tls::server::config(&identity).expect("identity");
        let bound = bound(limits).await.with_rejections(context.rejections.clone());
        let (address, closing, served) = spawn(bound, routes::router(context.clone()), Some(tls));
        Self {
            folder,
            identity,
            context,
            token,
            address,
            closing,
            served,
        }
    }

    /// Writes these files below the node's folder and offers them: plugins from disk, the others from memory.
    pub(crate) fn publish(&self, files: &[(Name, &[u8])]) -> Digest {
        self.publish_withholding(files, Withheld::default())
    }

    /// The same of a primary that withholds something besides.
    pub(crate) fn publish_withholding(&self, files: &[(Name, &[u8])], withheld: Withheld) -> Digest {
        let mut snapshot = snapshot(self.folder.path(), files);
        snapshot.manifest.withheld = withheld;
        snapshot.generation = snapshot.manifest.generation();
        let generation = snapshot.generation;
        let offer = self.context.offer.as_ref().expect("a primary");
        offer.publish(snapshot).expect("publish");
        generation
    }

    /// A standby's transport to this node, which pins its key.
    pub(crate) fn transport(&self) -> HttpTransport {
        transport(self.address, pinned(self.identity.fingerprint()), &self.token)
    }

    /// An open TLS connection to this node.
    pub(crate) async fn connect(&self) -> TlsStream<TcpStream> {
        connect(self.address, self.identity.fingerprint()).await.expect("TLS")
    }

    /// Sends these bytes on a connection of their own and returns everything that comes back.
    pub(crate) async fn raw(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.expect("send");
        let mut answer = Vec::new();
        // The end without close_notify is as good: what counts is what came.
        let _ = stream.read_to_end(&mut answer).await;
        Answer(answer)
    }

    /// GET with the token, raw path and further header lines.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> Answer {
        self.raw(format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\n{}{headers}Connection: close\r\n\r\n",
            authorization()
        ))
        .await
    }
}

/// The list of standbys of a primary that nobody follows yet; its peers file is `peers`.
fn standbys(folder: &Path, identity: &Identity, run: &Run) -> Arc<Standbys> {
    let own = Arc::new(OwnKeys::new(
        "0123456789abcdef".repeat(2).parse().expect("id"),
        identity.fingerprint(),
    ));
    let peers = PeersFile::new(&folder.join("peers"), Some(folder));
    let (standbys, problem) = Standbys::open(folder, peers, own, Duration::from_secs(120));
    assert_eq!(problem, None);
    Arc::new(standbys.by(run))
}

/// Serves `router` on a free port of loopback until the token is cancelled.
pub(crate) async fn serve(
    router: Router,
    tls: Option<Arc<ServerConfig>>,
    limits: Limits,
) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    spawn(bound(limits).await, router, tls)
}

async fn bound(limits: Limits) -> BoundListener {
    listener::bind("127.0.0.1:0".parse().expect("address"), "bc.listen")
        .await
        .expect("a free port")
        .with_limits(limits)
}

fn spawn(
    bound: BoundListener,
    router: Router,
    tls: Option<Arc<ServerConfig>>,
) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let address = bound.address();
    let closing = CancellationToken::new();
    let served = tokio::spawn(bound.serve(router, tls, closing.clone()));
    (address, closing, served)
}

/// What a raw request got.
pub(crate) struct Answer(pub Vec<u8>);

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        let head = self.head();
        let word = head
            .split(' ')
            .nth(1)
            .unwrap_or_else(|| panic!("no HTTP answer: {head:?}"));
        word.parse().expect("a status")
    }

    pub(crate) fn head(&self) -> String {
        String::from_utf8_lossy(&self.0[..self.body_start()]).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.head().lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.0[self.body_start()..]
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.body()).expect("JSON")
    }

    fn body_start(&self) -> usize {
        let end = self.0.windows(4).position(|window| window == b"\r\n\r\n");
        end.map_or(self.0.len(), |end| end + 4)
    }
}

/// The token of all tests.
pub(crate) fn token() -> Token {
    let text = "standby = right-and-known-to-both";
    secrets::register_token(text);
    Token::parse(text.as_bytes(), Path::new("token")).expect("valid")
}

/// Its header line.
pub(crate) fn authorization() -> String {
    format!("Authorization: {}\r\n", token().basic_credentials())
}

pub(crate) fn pinned(fingerprint: Fingerprint) -> TrustSource {
    Arc::new(move || Trust::Pinned(fingerprint).into())
}

/// The key of a standby in tests.
pub(crate) fn own_key() -> Fingerprint {
    Fingerprint::of_public_key(b"the standby's own")
}

pub(crate) fn transport(
    address: SocketAddr,
    trust: TrustSource,
    token: &watch::Sender<Option<Token>>,
) -> HttpTransport {
    let url = format!("https://{address}").parse().expect("URL");
    HttpTransport::new(&url, own_key(), trust, token.subscribe(), Duration::from_secs(2)).expect("client")
}

pub(crate) async fn connect(address: SocketAddr, fingerprint: Fingerprint) -> std::io::Result<TlsStream<TcpStream>> {
    let verifier = tls::client::Verifier::new(pinned(fingerprint), own_key());
    let connector = TlsConnector::from(Arc::new(tls::client::config(verifier)));
    let stream = TcpStream::connect(address).await?;
    connector.connect(ServerName::from(address.ip()), stream).await
}

pub(crate) fn jar(name: &str) -> Name {
    Name::Plugin(name.parse().expect("a jar name"))
}

pub(crate) fn snapshot(folder: &Path, files: &[(Name, &[u8])]) -> Snapshot {
    let mut manifest = Manifest::default();
    let mut sources = HashMap::new();
    for (name, content) in files {
        let digests = hash(*content).expect("memory does not fail");
        let source = match name {
            Name::Plugin(jar) => {
                let path = folder.join(jar.as_str());
                fs::write(&path, content).expect("write");
                Source::File {
                    path,
                    size: digests.size,
                }
            }
            _ => Source::Memory(Bytes::copy_from_slice(content)),
        };
        sources.insert(digests.sha256, source);
        let entry = Entry::new(digests, 1, None);
        manifest.files.insert(name.clone(), entry);
    }
    Snapshot {
        generation: manifest.generation(),
        manifest,
        own_jars: BTreeMap::new(),
        server_id: Some("größer".to_owned()),
        schema_version: Some("139".to_owned()),
        acceptance: Acceptance::Pending,
        scanned_ms: 1_700_000_000_000,
        warnings: Vec::new(),
        withheld_lines: Vec::new(),
        sources,
        read_again: None,
    }
}

fn status(kind: Kind) -> Status {
    let is_primary = kind == Kind::Primary;
    Status {
        flag: if is_primary { Flag::None } else { Flag::Property },
        ..Status::new(
            "0123456789abcdef0123456789abcdef",
            if is_primary { Role::Primary } else { Role::Standby },
            if is_primary { Phase::Running } else { Phase::Holding },
            0,
        )
    }
}

/// GET with the token that [`bc_testkit::gocd_dir::GocdDir`] has, from a whole node.
#[cfg(unix)]
pub(crate) async fn get_of_whole(node: &crate::whole::Whole, path: &str) -> Answer {
    use bc_testkit::gocd_dir::TOKEN;

    let token = Token::parse(format!("{} = {}", TOKEN.0, TOKEN.1).as_bytes(), Path::new("token")).expect("valid");
    let mut stream = connect(node.address(), node.key()).await.expect("TLS");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nConnection: close\r\n\r\n",
        token.basic_credentials()
    );
    stream.write_all(request.as_bytes()).await.expect("send");
    let mut answer = Vec::new();
    // The end without close_notify is as good: what counts is what came.
    let _ = stream.read_to_end(&mut answer).await;
    Answer(answer)
}
