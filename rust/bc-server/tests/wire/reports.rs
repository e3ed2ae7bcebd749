//! Reports of standbys, with and without a client certificate.

use std::{sync::Arc, time::Duration};

use bc_core::{
    basics::{Digest, Error, Fingerprint, Kind as ErrorKind, NodeId},
    generation::{Name, Run},
    keys::{Identity, PeersFile, Standing},
    role::inquiry::Heard,
    standby::{ManifestReply, Transport},
    status::{Phase, Report, ReportReply, ReportedGeneration},
};
use bc_server::{
    client::HttpTransport,
    tls::{
        self,
        client::Verifier,
        node_key::{NodeKey, Shown},
    },
};
use rustls::{SignatureScheme, client::ResolvesClientCert, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::common::{self, Answer, Kind, Node, PREFIX, pinned};

/// A standby with a key of its own.
struct Standby {
    identity: Identity,
    transport: HttpTransport,
    _folder: TempDir,
}

impl Standby {
    async fn of(node: &Node) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let identity = Identity::load_or_create(folder.path()).expect("identity");
        let key = NodeKey::new(Shown::identity(&identity).expect("a pair"));
        let transport = HttpTransport::of_node(
            &format!("https://{}", node.address).parse().expect("URL"),
            &key,
            pinned(node.identity.fingerprint()),
            node.token.subscribe(),
            Duration::from_secs(2),
        )
        .expect("client");
        transport.manifest(None, Duration::ZERO).await.expect("an answer");
        Self {
            identity,
            transport,
            _folder: folder,
        }
    }

    /// To the one node that there is.
    async fn reports(&self, report: &Report) -> Result<Option<ReportReply>, Error> {
        self.transport.report(report, "the primary").await
    }
}

/// Shows one certificate and signs with another key.
#[derive(Debug)]
struct Stolen(Arc<CertifiedKey>);

impl ResolvesClientCert for Stolen {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn stolen(shown: &Identity, held: &Identity) -> Arc<CertifiedKey> {
    let certificate = CertificateDer::from_pem_slice(shown.certificate_pem().as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(held.key_pem().as_bytes()).expect("PEM");
    let key = rustls::crypto::ring::default_provider()
        .key_provider
        .load_private_key(key);
    Arc::new(CertifiedKey::new(vec![certificate], key.expect("a key")))
}

async fn primary() -> Node {
    let node = Node::start(Kind::Primary).await;
    node.publish(&[(Name::CruiseConfig, b"<cruise/>")]);
    let own = node.identity.fingerprint();
    node.context.status.update(|status| status.fingerprint = Some(own));
    node
}

pub(crate) fn report(name: char) -> Report {
    Report {
        node_id: name.to_string().repeat(32).parse().expect("id"),
        generation: Some(ReportedGeneration {
            id: Digest::of(b"set"),
            sequence: 1,
        }),
        in_sync: Some(true),
        applied_ago_ms: Some(100),
        error: None,
        problem: None,
        url: Some("https://standbygo:8155".to_owned()),
        product_version: "0.1.0".to_owned(),
        gocd_version: None,
        confirms: Vec::new(),
        run: None,
    }
}

fn trusted(node: &Node) -> Vec<Fingerprint> {
    let peers = PeersFile::new(&node.folder.path().join("peers"), Some(node.folder.path()));
    let peers = peers.load().expect("peers");
    peers.all().iter().map(|peer| peer.fingerprint).collect()
}

fn standing(node: &Node, key: Option<Fingerprint>) -> Standing {
    let standbys = node.context.standbys.as_ref().expect("a primary");
    if let Some(stranger) = standbys.strangers().iter().find(|stranger| stranger.fingerprint == key) {
        return stranger.standing;
    }
    let list = standbys.picture(None);
    let found = list.iter().find(|standby| standby.fingerprint == key);
    found.expect("on the list").standing
}

async fn post(node: &Node, headers: &str, body: &[u8]) -> Answer {
    let mut request = format!(
        "POST {PREFIX}/api/v2/reports HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    node.raw(request).await
}

#[tokio::test]
async fn the_first_standby_joins_by_its_connections_key_and_the_second_is_seen() {
    let node = primary().await;
    let (first, second) = (Standby::of(&node).await, Standby::of(&node).await);
    let reply = first.reports(&report('a')).await.expect("taken").expect("a reply");
    assert_eq!(reply.keys, [node.identity.fingerprint()]);
    assert_eq!(reply.peers.len(), 1);
    assert_eq!(reply.peers[0].fingerprint, first.identity.fingerprint());
    second.reports(&report('b')).await.expect("taken");
    assert_eq!(trusted(&node), [first.identity.fingerprint()]);
    assert_eq!(standing(&node, Some(first.identity.fingerprint())), Standing::Trusted);
    assert_eq!(standing(&node, Some(second.identity.fingerprint())), Standing::Seen);
}

#[tokio::test]
async fn nobody_joins_under_a_foreign_key() {
    let node = primary().await;
    let (right, thief) = (Standby::of(&node).await, Standby::of(&node).await);
    // Whatever a report says of keys: that of the connection counts.
    let mut json = serde_json::to_value(report('a')).expect("plain");
    json["fingerprint"] = right.identity.fingerprint().to_string().into();
    let headers = format!("{}Content-Type: application/json\r\n", common::authorization());
    let answer = post(&node, &headers, json.to_string().as_bytes()).await;
    assert_eq!(answer.status(), 200, "{}", answer.head());
    assert_eq!(standing(&node, None), Standing::Unproven);
    assert!(trusted(&node).is_empty(), "without a client certificate nobody joins");
    right.reports(&report('a')).await.expect("taken");
    let error = thief.reports(&report('a')).await.expect_err("not its node");
    assert!(
        error.message().contains(&right.identity.fingerprint().to_string()),
        "{error}"
    );
    assert_eq!(trusted(&node), [right.identity.fingerprint()]);
    assert_eq!(standing(&node, Some(thief.identity.fingerprint())), Standing::Foreign);
    assert_eq!(standing(&node, Some(right.identity.fingerprint())), Standing::Trusted);
}

#[tokio::test]
async fn the_certificate_of_another_without_its_key_ends_the_connection() {
    let node = primary().await;
    let right = Standby::of(&node).await;
    let folder = tempfile::tempdir().expect("folder");
    let thief = Identity::load_or_create(folder.path()).expect("identity");
    let verifier = Verifier::new(pinned(node.identity.fingerprint()), common::own_key());
    let mut config = tls::client::config(verifier);
    config.client_auth_cert_resolver = Arc::new(Stolen(stolen(&right.identity, &thief)));
    let stream = TcpStream::connect(node.address).await.expect("accepted");
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector
        .connect(ServerName::from(node.address.ip()), stream)
        .await
        .expect("the client's side of the handshake is over first");
    let request = format!(
        "GET {PREFIX}/api/v2/node HTTP/1.1\r\nHost: x\r\n{}\r\n",
        common::authorization()
    );
    // The primary may have ended it already.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect_err("ended with an alert");
    assert!(answer.is_empty());
}

#[tokio::test]
async fn a_held_node_takes_no_report() {
    let node = Node::start(Kind::Held).await;
    let headers = format!("{}Content-Type: application/json\r\n", common::authorization());
    let body = serde_json::to_vec(&report('a')).expect("plain");
    assert_eq!(post(&node, &headers, &body).await.status(), 409);
}

#[tokio::test]
async fn malformed_reports_leave_no_trace() {
    let node = primary().await;
    let token = common::authorization();
    let json = format!("{token}Content-Type: application/json\r\n");
    let right = serde_json::to_value(report('a')).expect("plain");
    let with = |field: &str, value: serde_json::Value| {
        let mut spoilt = right.clone();
        spoilt[field] = value;
        spoilt.to_string().into_bytes()
    };
    let whole = right.to_string().into_bytes();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("", whole.clone(), 401),
        (&token, whole.clone(), 415),
        (&json, b"".to_vec(), 400),
        (&json, b"[]".to_vec(), 400),
        (&json, b"{\"node_id\":".to_vec(), 400),
        (&json, b"\xff\xfe{}".to_vec(), 400),
        (&json, "[".repeat(10_000).into_bytes(), 400),
        (&json, vec![b' '; 16 * 1024 + 1], 413),
        (&json, with("node_id", "../../etc/passwd".into()), 400),
        (&json, with("node_id", "A".repeat(32).into()), 400),
        (&json, with("node_id", 7.into()), 400),
        (&json, with("product_version", "1\r\nX: y".into()), 400),
        (&json, with("product_version", "".into()), 400),
        (&json, with("gocd_version", "\u{202e}1.62".into()), 400),
        (&json, with("url", "javascript:alert(1)".into()), 400),
        (&json, with("url", "https://a:1/<script>".into()), 400),
        (&json, with("url", "https://user:password@a:1".into()), 400),
        (&json, with("error", "a\0b".into()), 400),
        (&json, with("error", "x".repeat(1001).into()), 400),
        (&json, with("applied_ago_ms", (-1).into()), 400),
        (&json, with("applied_ago_ms", 1e30.into()), 400),
        (
            &json,
            with("problem", serde_json::json!({"severity": "FATAL", "message": ""})),
            400,
        ),
        (
            &json,
            with("generation", serde_json::json!({"id": "xyz", "sequence": 1})),
            400,
        ),
        (&json, with("confirms", vec!["0".repeat(64); 9].into()), 400),
        (&json, with("confirms", vec!["0".repeat(63)].into()), 400),
        (&json, with("node_id", "0123456789abcdef".repeat(2).into()), 403),
    ];
    for (headers, body, expected) in cases {
        let answer = post(&node, headers, &body).await;
        let shown: String = String::from_utf8_lossy(&body).chars().take(100).collect();
        assert_eq!(answer.status(), expected, "{shown}");
        assert!(!String::from_utf8_lossy(answer.body()).contains(node.folder.path().to_str().expect("text")));
    }
    let standbys = node.context.standbys.as_ref().expect("a primary");
    assert!(standbys.picture(None).is_empty() && standbys.strangers().is_empty());
    let answer = post(&node, &json, &with("applied_ago_ms", u64::MAX.into())).await;
    assert_eq!(answer.status(), 200, "as long ago as can be");
}

#[tokio::test]
async fn what_the_primary_says_against_a_report_is_told() {
    let node = primary().await;
    let standby = Standby::of(&node).await;
    let own = Report {
        node_id: "0123456789abcdef".repeat(2).parse().expect("id"),
        ..report('a')
    };
    let error = standby.reports(&own).await.expect_err("the primary's own id");
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.message().contains("this node's own id"), "{error}");
}

#[tokio::test]
async fn a_key_that_is_shown_anew_is_seen_on_the_next_connection() {
    let node = primary().await;
    let folder = tempfile::tempdir().expect("folder");
    let identity = Identity::load_or_create(folder.path()).expect("identity");
    let key = NodeKey::new(Shown::identity(&identity).expect("a pair"));
    let config = tls::server::config_of(Arc::clone(&key), &identity);
    let router = bc_server::routes::router(node.context.clone());
    let (address, ..) = common::serve(router, Some(config), bc_server::listener::Limits::default()).await;
    common::connect(address, identity.fingerprint())
        .await
        .expect("the first key");
    let other = tempfile::tempdir().expect("folder");
    let other = Identity::load_or_create(other.path()).expect("identity");
    key.show(Shown::identity(&other).expect("a pair"));
    common::connect(address, other.fingerprint())
        .await
        .expect("the second key");
    common::connect(address, identity.fingerprint())
        .await
        .expect_err("no longer");
}

#[tokio::test]
async fn a_copy_of_the_primary_that_asks_it_hears_and_is_heard_that_it_is_one() {
    let node = primary().await;
    let standbys = node.context.standbys.clone().expect("a primary");
    let key = NodeKey::new(Shown::identity(&node.identity).expect("a pair"));
    let own_id = node.context.status.look(|status| status.node_id.parse()).expect("id");
    let asks_as = async |run: Arc<Run>, node_id: &NodeId| {
        let transport = HttpTransport::of_node(
            &format!("https://{}", node.address).parse().expect("URL"),
            &key,
            pinned(Fingerprint::of_public_key(b"whoever it expects")),
            node.token.subscribe(),
            Duration::from_secs(30),
        )
        .expect("client")
        .by(&run, node_id);
        // As a standby that follows it, and as one whose flag is gone.
        let asked = transport.manifest(None, Duration::ZERO).await;
        let (_, heard) = transport.who().await.swap_remove(0);
        (asked.expect_err("never followed"), heard)
    };
    let (itself, heard) = asks_as(Arc::clone(&node.context.run), &own_id).await;
    assert_eq!(heard, Heard::Itself);
    assert_eq!(itself.kind(), ErrorKind::Refused);
    assert!(itself.message().contains("leads back to this node"), "{itself}");
    assert_eq!(standbys.copies(), [], "it is this very process");

    let copy = Run::begin(Some("clonego".to_owned()), node.folder.path(), 0).expect("random");
    node.context.status.update(|status| status.phase = Phase::Holding);
    let (_, heard) = asks_as(Arc::new(copy.clone()), &own_id).await;
    assert!(matches!(heard, Heard::OwnKey { runs: false, .. }), "{heard:?}");
    node.context.status.update(|status| status.phase = Phase::Running);
    let (refused, heard) = asks_as(Arc::new(copy.clone()), &own_id).await;
    assert!(
        matches!(heard, Heard::OwnKey { runs: true, .. }),
        "neither the primary nor silence: {heard:?}"
    );
    assert_eq!(refused.kind(), ErrorKind::Trust, "CRITICAL at once");
    for part in ["has the identity of this one", "primarygo at 127.0.0.1"] {
        assert!(refused.message().contains(part), "{refused}");
    }
    assert!(refused.guidance().contains("gocd-bc identity new"), "{refused}");
    assert_eq!(standbys.copies(), [copy.at(Some(node.address.ip()))]);
    assert!(standbys.strangers().is_empty() && standbys.picture(None).is_empty());

    // Another node, which has the same file in bc.tls.certificate.
    let sharer = Run::begin(Some("sharego".to_owned()), node.folder.path(), 1).expect("random");
    let (refused, heard) = asks_as(Arc::new(sharer.clone()), &"a".repeat(32).parse().expect("id")).await;
    assert!(matches!(heard, Heard::Unproven(_)), "{heard:?}");
    assert_eq!(refused.kind(), ErrorKind::Trust);
    for part in [
        "is another node and shows the key of this one",
        "primarygo at 127.0.0.1",
    ] {
        assert!(refused.message().contains(part), "{refused}");
    }
    assert!(refused.guidance().contains("bc.tls.certificate"), "{refused}");
    assert_eq!(standbys.sharers(), [sharer.at(Some(node.address.ip()))]);
    assert_eq!(standbys.copies().len(), 1);
}

#[tokio::test]
async fn nobody_but_who_holds_the_key_is_told_which_run_it_is_or_names_another() {
    let node = primary().await;
    let standby = Standby::of(&node).await;
    let copy = Run::begin(Some("clonego".to_owned()), node.folder.path(), 0).expect("random");
    let header = format!("gocd-bc-run: {}\r\n", serde_json::to_string(&copy).expect("plain"));
    for credentials in [String::new(), common::authorization()] {
        let request =
            format!("GET {PREFIX}/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}{credentials}\r\n");
        let answer = node.raw(request).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("gocd-bc-run"), None);
    }
    standby.reports(&report('a')).await.expect("taken");
    assert_eq!(node.context.standbys.as_ref().expect("a primary").copies(), []);
}

#[tokio::test]
async fn each_answer_says_which_run_of_the_primary_gives_it_and_from_where() {
    let node = primary().await;
    let standby = Standby::of(&node).await;
    let own = Run::clone(&node.context.run).at(Some(node.address.ip()));
    let ManifestReply::Changed(document) = standby
        .transport
        .manifest(None, Duration::ZERO)
        .await
        .expect("answered")
    else {
        panic!("the whole document")
    };
    let known = standby.transport.manifest(Some(document.generation), Duration::ZERO);
    let ManifestReply::Unchanged(envelope) = known.await.expect("answered") else {
        panic!("the envelope alone")
    };
    let reply = standby.reports(&report('a')).await.expect("taken").expect("a reply");
    for told in [document.envelope.run, envelope.run, reply.run] {
        assert_eq!(told.as_ref(), Some(&own));
    }
}
