//! The standby's client against a real primary, and against everything that is none.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bc_core::{
    basics::{Digest, Error, Fingerprint, Kind as ErrorKind, Properties},
    generation::Name,
    keys::{Identity, OwnKeys, Peer, Peers, Trust, trust::Judge},
    node::named_files::{self, Told},
    settings::{CertificateAuthority, Property, Settings},
    standby::{ManifestReply, Transport},
};
use bc_server::{
    client::HttpTransport,
    listener::Limits,
    tls::{self, client::TrustSource},
};
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
    time::{Instant, sleep},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    common::{self, Kind, Node, jar, pinned, transport},
    reports::report,
};

pub(crate) fn identity() -> (TempDir, Identity) {
    let folder = tempfile::tempdir().expect("folder");
    let identity = Identity::load_or_create(folder.path()).expect("identity");
    (folder, identity)
}

async fn fetched(transport: &HttpTransport, digest: Digest, offset: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut sink = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    transport.blob(digest, offset, &mut sink).await?;
    Ok(bytes)
}

/// A TLS server that answers every connection's first request with these bytes, and counts what it was sent.
pub(crate) async fn fake(config: Arc<ServerConfig>, answer: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let received = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&received);
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(config);
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, counter) = (acceptor.clone(), Arc::clone(&counter));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut request = [0; 8192];
                let read = stream.read(&mut request).await.unwrap_or(0);
                counter.fetch_add(read, Ordering::SeqCst);
                if read > 0 {
                    let _ = stream.write_all(answer).await;
                    if answer.is_empty() {
                        sleep(Duration::from_secs(60)).await;
                    }
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    (address, received)
}

/// Shows one certificate and signs with another key.
#[derive(Debug)]
struct Relay(Arc<CertifiedKey>);

impl ResolvesServerCert for Relay {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn relay_config(shown: &Identity, held: &Identity) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_slice(shown.certificate_pem().as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(held.key_pem().as_bytes()).expect("PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = provider.key_provider.load_private_key(key).expect("a key");
    let resolver = Relay(Arc::new(CertifiedKey::new(vec![certificate], key)));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    Arc::new(config)
}

#[tokio::test]
async fn follows_a_primary() {
    let node = Node::start(Kind::Primary).await;
    let plugin: Vec<u8> = (0..2_000_000_u32).map(|number| (number % 253) as u8).collect();
    let first = node.publish(&[(Name::CruiseConfig, b"<cruise/>"), (jar("a.jar"), &plugin)]);
    let transport = node.transport();
    assert_eq!(transport.seen(), None);
    let reply = transport.manifest(None, Duration::ZERO).await.expect("an answer");
    let ManifestReply::Changed(document) = reply else {
        panic!("nothing was known")
    };
    assert_eq!(document.generation, first);
    assert_eq!(transport.seen(), Some(node.identity.fingerprint()));
    assert_eq!(
        transport.answering_address(),
        Some(format!("https://{}", node.address).as_str())
    );

    assert!(fetched(&transport, Digest::of(&plugin), 0).await.expect("whole") == plugin);
    assert!(fetched(&transport, Digest::of(&plugin), 1_999_000).await.expect("rest") == plugin[1_999_000..]);
    assert_eq!(
        fetched(&transport, Digest::of(b"<cruise/>"), 0).await.expect("small"),
        b"<cruise/>"
    );
    let gone = fetched(&transport, Digest::of(b"gone"), 0)
        .await
        .expect_err("not on offer");
    assert_eq!(gone.kind(), ErrorKind::Superseded);

    let reply = transport
        .manifest(Some(first), Duration::from_millis(100))
        .await
        .expect("an answer");
    let ManifestReply::Unchanged(envelope) = reply else {
        panic!("nothing changed")
    };
    assert_eq!(envelope.server_id.as_deref(), Some("größer"));

    let change = async {
        sleep(Duration::from_millis(200)).await;
        node.publish(&[(Name::CruiseConfig, b"<cruise></cruise>")]);
        Instant::now()
    };
    let (reply, published) = tokio::join!(transport.manifest(Some(first), Duration::from_secs(20)), change);
    assert!(matches!(reply.expect("an answer"), ManifestReply::Changed(_)));
    assert!(published.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_sink_that_fails_ends_the_transfer_with_its_error() {
    let node = Node::start(Kind::Primary).await;
    node.publish(&[(jar("a.jar"), &[7; 1_000_000])]);
    let full = Error::new(ErrorKind::DiskFull, "no room", "");
    let mut sink = |_: &[u8]| Err(full.clone());
    let transport = node.transport();
    let error = transport
        .blob(Digest::of(&[7; 1_000_000]), 0, &mut sink)
        .await
        .expect_err("the sink's");
    assert_eq!(error, full);
}

#[tokio::test]
async fn another_key_is_refused_with_both_fingerprints_and_never_gets_the_token() {
    let (_folder, stranger) = identity();
    let config = tls::server::config(&stranger).expect("config");
    let (address, received) = fake(config, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let token = watch::Sender::new(Some(common::token()));
    let expected = Fingerprint::of_public_key(b"the primary's");
    for trust in [Trust::Pinned(expected), Trust::Peers(vec![expected]), Trust::Nothing] {
        let wanted = trust.judge(&stranger.fingerprint()).expect_err("another key");
        let source = Arc::new(move || trust.clone().into());
        let transport = transport(address, source, &token);
        let error = transport.manifest(None, Duration::ZERO).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Trust);
        assert!(error.message().starts_with(wanted.message()), "{error}");
        assert!(error.message().contains(&stranger.fingerprint().to_string()));
        assert_eq!(error.guidance(), wanted.guidance());
        assert_eq!(transport.seen(), Some(stranger.fingerprint()));
        assert_eq!(transport.answering_address(), None);
    }
    assert_eq!(received.load(Ordering::SeqCst), 0, "nothing was sent");
}

#[tokio::test]
async fn trust_is_asked_anew_for_each_connection() {
    let node = Node::start(Kind::Primary).await;
    node.publish(&[(Name::CruiseConfig, b"<cruise/>")]);
    let trust = Arc::new(Mutex::new(Judge::from(Trust::Nothing)));
    let source = {
        let trust = Arc::clone(&trust);
        Arc::new(move || trust.lock().expect("not poisoned").clone())
    };
    let transport = transport(node.address, source, &node.token);
    let error = transport
        .manifest(None, Duration::ZERO)
        .await
        .expect_err("nothing is known");
    assert!(
        error
            .guidance()
            .contains(&format!("gocd-bc trust {}", node.identity.fingerprint())),
        "{error}"
    );
    *trust.lock().expect("not poisoned") = Trust::Peers(vec![node.identity.fingerprint()]).into();
    transport.manifest(None, Duration::ZERO).await.expect("trusted now");
    assert_eq!(transport.peer_key().trust, "by the peers file");
    assert!(transport.peer_key().is_proven);
}

/// What a standby without settings goes by whose peers file has these keys, and these removed.
fn judge(known: &[(Fingerprint, &str)], removed: &[Fingerprint]) -> Judge {
    let mut peers = Peers::default();
    for (fingerprint, node_id) in known {
        peers.add(Peer {
            fingerprint: *fingerprint,
            node_id: Some((*node_id).to_owned()),
        });
    }
    for key in removed {
        peers.remove(key);
    }
    let settings = Settings::parse(&Properties::default(), |_| false).0;
    Judge::of(
        &settings,
        Ok(peers),
        &OwnKeys::new("e".repeat(32).parse().expect("id"), common::own_key()),
    )
}

/// Which node a primary says that it is.
async fn node_id(node: &Node) -> String {
    let answer = node.transport().manifest(None, Duration::ZERO).await;
    let ManifestReply::Changed(document) = answer.expect("an answer") else {
        panic!("nothing was known")
    };
    document.envelope.node_id
}

fn of(judge: &Arc<Mutex<Judge>>) -> TrustSource {
    let judge = Arc::clone(judge);
    Arc::new(move || judge.lock().expect("not poisoned").clone())
}

#[tokio::test]
async fn a_removed_key_leads_nobody_over_a_connection_that_is_open() {
    let node = Node::start(Kind::Primary).await;
    let known = node.publish(&[(Name::CruiseConfig, b"<cruise/>")]);
    let (key, id) = (node.identity.fingerprint(), node_id(&node).await);
    let trusted = judge(&[(key, &id)], &[]);
    let now = Arc::new(Mutex::new(trusted.clone()));
    let transport = Arc::new(transport(node.address, of(&now), &node.token));
    transport.manifest(None, Duration::ZERO).await.expect("trusted");
    let asking = {
        let transport = Arc::clone(&transport);
        tokio::spawn(async move { transport.manifest(Some(known), Duration::from_secs(5)).await })
    };
    // The question is on its way, and the answer waits for a change.
    tokio::time::sleep(Duration::from_millis(300)).await;
    *now.lock().expect("not poisoned") = judge(&[(key, &id)], &[key]);
    node.publish(&[(Name::CruiseConfig, b"<cruise><!-- of the thief --></cruise>")]);
    let error = asking.await.expect("no panic").expect_err("the answer counts no more");
    assert_eq!(error.kind(), ErrorKind::Trust);
    assert!(error.message().contains("trusted no longer"), "{error}");
    let error = transport
        .manifest(None, Duration::ZERO)
        .await
        .expect_err("nor is another asked for");
    assert!(error.message().contains("trusted no longer"), "{error}");
    *now.lock().expect("not poisoned") = trusted;
    transport.manifest(None, Duration::ZERO).await.expect("trusted again");
}

#[tokio::test]
async fn the_key_of_one_node_does_not_speak_as_another() {
    let node = Node::start(Kind::Primary).await;
    node.publish(&[(Name::CruiseConfig, b"<cruise/>")]);
    let (key, id) = (node.identity.fingerprint(), node_id(&node).await);
    let (other, standby) = (Fingerprint::of_public_key(b"the primary's"), "b".repeat(32));
    let now = Arc::new(Mutex::new(judge(&[(other, &id), (key, &standby)], &[])));
    let transport = transport(node.address, of(&now), &node.token);
    let error = transport
        .manifest(None, Duration::ZERO)
        .await
        .expect_err("a standby's key");
    assert_eq!(error.kind(), ErrorKind::Trust);
    assert!(
        error.message().contains(&standby) && error.message().contains(&id),
        "{error}"
    );
    *now.lock().expect("not poisoned") = judge(&[(key, &id)], &[]);
    transport.manifest(None, Duration::ZERO).await.expect("its own name");
    transport.report(&report('a'), &id).await.expect("it is followed");
    // It speaks as itself, but another one is followed: its manifest was none to follow.
    let followed = "c".repeat(32);
    let error = transport
        .report(&report('a'), &followed)
        .await
        .expect_err("it names no keys to us");
    assert_eq!(error.kind(), ErrorKind::Trust);
    assert!(error.message().contains(&followed), "{error}");
    // The same address, as if another node answered there now.
    *now.lock().expect("not poisoned") = judge(&[(other, &id), (key, &standby)], &[]);
    let error = transport
        .report(&report('a'), &id)
        .await
        .expect_err("it names no keys to us");
    assert_eq!(error.kind(), ErrorKind::Trust);
}

#[tokio::test]
async fn a_relay_with_the_genuine_certificate_but_not_its_key_is_refused() {
    let (_folder, genuine) = identity();
    let (_other, relay) = identity();
    let (address, received) = fake(relay_config(&genuine, &relay), b"").await;
    let token = watch::Sender::new(Some(common::token()));
    let transport = transport(address, pinned(genuine.fingerprint()), &token);
    let error = transport.manifest(None, Duration::ZERO).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Trust);
    assert!(
        error.message().contains("does not prove that it holds its key"),
        "{error}"
    );
    assert_eq!(received.load(Ordering::SeqCst), 0, "nothing was sent");
}

#[tokio::test]
async fn a_node_does_not_follow_itself() {
    let node = Node::start(Kind::Primary).await;
    let url = format!("https://{}", node.address).parse().expect("URL");
    let own = node.identity.fingerprint();
    let transport =
        HttpTransport::new(&url, own, pinned(own), node.token.subscribe(), Duration::from_secs(2)).expect("client");
    let error = transport.manifest(None, Duration::ZERO).await.expect_err("itself");
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(
        error.message().starts_with("bc.primary.url leads back to this node"),
        "{error}"
    );
}

#[tokio::test]
async fn an_authority_vouches_for_key_and_name() {
    let node = Node::start(Kind::Primary).await;
    node.publish(&[(Name::CruiseConfig, b"<cruise/>")]);
    let file = node.folder.path().join("authority.pem");
    let key = rcgen::KeyPair::generate().expect("key");
    let mut authority = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&key).expect("certificate").pem();
    std::fs::write(&file, authority_pem).expect("write");
    let issuer = rcgen::Issuer::new(authority, key);
    let trust = {
        let file = file.clone();
        Arc::new(move || Trust::Authority(CertificateAuthority::File(file.clone())).into())
    };
    let serve_as = async |name: &str| {
        let leaf_key = rcgen::KeyPair::generate().expect("key");
        let leaf = rcgen::CertificateParams::new(vec![name.to_owned()])
            .expect("parameters")
            .signed_by(&leaf_key, &issuer)
            .expect("certificate");
        let key = PrivateKeyDer::try_from(leaf_key.serialize_der()).expect("key");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .expect("config");
        let router = bc_server::routes::router(node.context.clone());
        common::serve(router, Some(Arc::new(config)), Limits::default()).await.0
    };
    let right = transport(serve_as("127.0.0.1").await, trust.clone(), &node.token);
    right.manifest(None, Duration::ZERO).await.expect("vouched for");
    let other_name = transport(serve_as("other.example.com").await, trust.clone(), &node.token);
    let error = other_name
        .manifest(None, Duration::ZERO)
        .await
        .expect_err("another name");
    assert_eq!(error.kind(), ErrorKind::Trust);
    assert!(error.message().contains("authority.pem"), "{error}");
    let self_signed = transport(node.address, trust.clone(), &node.token);
    let error = self_signed
        .manifest(None, Duration::ZERO)
        .await
        .expect_err("nobody vouches");
    assert_eq!(error.kind(), ErrorKind::Trust);
    assert!(
        error.message().contains(&node.identity.fingerprint().to_string()),
        "{error}"
    );
    std::fs::remove_file(&file).expect("remove");
    let error = self_signed
        .manifest(None, Duration::ZERO)
        .await
        .expect_err("no authority");
    assert_eq!(error.kind(), ErrorKind::Trust);
    assert!(error.message().contains("authority.pem"), "{error}");
}

#[tokio::test]
async fn an_authority_that_cannot_be_used_trusts_nobody() {
    let (folder, primary) = identity();
    let config = tls::server::config(&primary).expect("config");
    let (address, received) = fake(config, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let token = watch::Sender::new(Some(common::token()));
    let key = rcgen::KeyPair::generate().expect("key");
    let leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .expect("parameters")
        .self_signed(&key)
        .expect("certificate")
        .pem();
    let files: [(&str, Option<&[u8]>); 8] = [
        ("missing", None),
        ("empty", Some(b"")),
        ("text", Some(b"a file, but no certificate\n")),
        ("binary", Some(&[0, 159, 146, 150])),
        ("half", Some(&leaf.as_bytes()[..leaf.len() / 2])),
        (
            "garbled",
            Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ),
        (
            "key",
            Some(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
        ),
        ("leaf", Some(leaf.as_bytes())),
    ];
    let large = folder.path().join("large");
    std::fs::File::create(&large)
        .and_then(|file| file.set_len(1 << 40))
        .expect("a file with a hole");
    let written = files.into_iter().map(|(name, content)| {
        let file = folder.path().join(name);
        if let Some(content) = content {
            std::fs::write(&file, content).expect("write");
        }
        file
    });
    for file in written.chain([folder.path().to_owned(), large]) {
        let name = file.display().to_string();
        let trust = Arc::new(move || Trust::Authority(CertificateAuthority::File(file.clone())).into());
        let transport = transport(address, trust, &token);
        let error = transport.manifest(None, Duration::ZERO).await.expect_err(&name);
        assert_eq!(error.kind(), ErrorKind::Trust, "{name}: {error}");
        assert!(error.message().contains(&format!("bc.tls.ca={name}")), "{error}");
    }
    let malformed = Arc::new(|| Trust::Malformed(Property::PrimaryFingerprint).into());
    let error = transport(address, malformed, &token)
        .manifest(None, Duration::ZERO)
        .await
        .expect_err("malformed");
    assert!(
        error.message().starts_with("bc.primary.fingerprint is malformed"),
        "{error}"
    );
    assert_eq!(received.load(Ordering::SeqCst), 0, "nothing was sent");
}

#[tokio::test]
async fn a_wrong_or_missing_token_is_named() {
    let node = Node::start(Kind::Primary).await;
    let other = bc_core::keys::Token::parse(b"standby = wrong", std::path::Path::new("token")).expect("valid");
    let token = watch::Sender::new(Some(other));
    let transport = transport(node.address, pinned(node.identity.fingerprint()), &token);
    let error = transport.manifest(None, Duration::ZERO).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Trust);
    assert_eq!(
        error.message(),
        format!("the primary at https://{} refuses our token", node.address)
    );
    assert!(!error.to_string().contains("wrong"));
    token.send_replace(None);
    let error = transport.manifest(None, Duration::ZERO).await.expect_err("no token");
    assert_eq!(error.kind(), ErrorKind::Setting);
}

#[tokio::test]
async fn a_node_that_is_no_primary_and_one_that_has_nothing_yet() {
    let held = Node::start(Kind::Held).await;
    let error = held.transport().manifest(None, Duration::ZERO).await.expect_err("held");
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.message().contains("is not a primary"), "{error}");
    let early = Node::start(Kind::Primary).await;
    let error = early
        .transport()
        .manifest(None, Duration::ZERO)
        .await
        .expect_err("early");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}

#[tokio::test]
async fn whatever_else_answers_is_said_clearly() {
    let (_folder, identity) = identity();
    let token = watch::Sender::new(Some(common::token()));
    let cases: [(&'static [u8], ErrorKind, &str); 8] = [
        (
            b"SSH-2.0-OpenSSH_9.6\r\n",
            ErrorKind::Protocol,
            "something that is not HTTP",
        ),
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            ErrorKind::Protocol,
            "status 404",
        ),
        (
            b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
            ErrorKind::Protocol,
            "status 500",
        ),
        (
            b"HTTP/1.1 302 Found\r\nLocation: https://evil.example.com/\r\nContent-Length: 0\r\n\r\n",
            ErrorKind::Protocol,
            "a redirect (302), which is never followed",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>",
            ErrorKind::Protocol,
            "is not understood",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"format\":1",
            ErrorKind::Unreachable,
            "broke off",
        ),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", ErrorKind::Protocol, "304"),
        (b"", ErrorKind::Unreachable, "sent nothing for 3 s"),
    ];
    for (answer, kind, words) in cases {
        let (address, _) = fake(tls::server::config(&identity).expect("config"), answer).await;
        let transport = transport(address, pinned(identity.fingerprint()), &token);
        let error = transport.manifest(None, Duration::ZERO).await.expect_err("no primary");
        let answer = String::from_utf8_lossy(answer);
        assert_eq!(error.kind(), kind, "{answer}: {error}");
        assert!(error.message().contains(words), "{answer}: {error}");
        assert!(
            error.message().contains(&format!("https://{address}")) || words == "is not understood",
            "{error}"
        );
        assert_eq!(transport.answering_address(), None);
    }
}

#[tokio::test]
async fn a_port_without_tls_and_a_closed_one_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let server = tokio::spawn(async move {
        if let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let token = watch::Sender::new(Some(common::token()));
    let transport = transport(address, pinned(common::own_key()), &token);
    let error = transport.manifest(None, Duration::ZERO).await.expect_err("no TLS");
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.message().contains("does not speak TLS"), "{error}");
    server.await.expect("no panic");
    let error = transport.manifest(None, Duration::ZERO).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(
        error
            .message()
            .starts_with(&format!("cannot reach the primary at https://{address}: ")),
        "{error}"
    );
    assert!(error.guidance().contains("bc.primary.url"));
}

#[tokio::test]
async fn a_blob_that_stops_half_way_is_no_success() {
    let (_folder, identity) = identity();
    let token = watch::Sender::new(Some(common::token()));
    let cases: [(&'static [u8], u64, ErrorKind); 4] = [
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
            0,
            ErrorKind::Unreachable,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfrom",
            7,
            ErrorKind::Protocol,
        ),
        (
            b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 3-9/10\r\nContent-Length: 7\r\n\r\n3456789",
            7,
            ErrorKind::Protocol,
        ),
        (
            b"HTTP/1.1 404 Not Found\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
                Content-Length: 0\r\n\r\n",
            0,
            ErrorKind::Superseded,
        ),
    ];
    for (answer, offset, kind) in cases {
        let (address, _) = fake(tls::server::config(&identity).expect("config"), answer).await;
        let transport = transport(address, pinned(identity.fingerprint()), &token);
        let error = fetched(&transport, Digest::of(b"x"), offset)
            .await
            .expect_err("not whole");
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test]
async fn each_node_tells_digests_of_the_files_that_its_own_configuration_names() {
    let text = "<cruise><property><key>PasswordFilePath</key><value>config/users</value></property></cruise>";
    let mut told = Vec::new();
    for kind in [Kind::Primary, Kind::Held] {
        let node = Node::start(kind).await;
        let transport = node.transport();
        let empty = transport.named_files().await.expect("an answer");
        assert_eq!(empty, Some(Told::default()), "nothing is configured yet");
        let config = node.folder.path().join("config");
        fs::create_dir(&config).expect("folder");
        fs::write(config.join("cruise-config.xml"), text).expect("write");
        fs::write(config.join("users"), "admin=secret").expect("write");
        let own = named_files::look(&node.context.settings.layout, &common::token()).expect("readable");
        let heard = transport.named_files().await.expect("an answer").expect("it tells");
        assert_eq!(heard.content(own[0].name).as_ref(), Some(&own[0].content));
        told.push(heard);
        // GoCD is writing it.
        fs::write(config.join("cruise-config.xml"), "<cruise>").expect("write");
        let error = transport.named_files().await.expect_err("not now");
        assert!(error.message().contains("cannot look now"), "{error}");
    }
    assert_eq!(told[0], told[1], "where the files are does not matter");
}

#[tokio::test]
async fn a_node_of_the_version_before_tells_nothing_of_named_files_and_nonsense_is_refused() {
    let (_folder, identity) = identity();
    let token = watch::Sender::new(Some(common::token()));
    let cases: [(&'static [u8], bool); 3] = [
        (
            b"HTTP/1.1 404 Not Found\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
                Content-Length: 0\r\n\r\n",
            true,
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false),
        (
            b"HTTP/1.1 404 Not Found\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n",
            false,
        ),
    ];
    for (answer, is_older) in cases {
        let (address, _) = fake(tls::server::config(&identity).expect("config"), answer).await;
        let transport = transport(address, pinned(identity.fingerprint()), &token);
        let heard = transport.named_files().await;
        assert_eq!(heard.ok(), is_older.then_some(None), "{}", answer.escape_ascii());
    }
}

#[tokio::test]
async fn a_plain_connection_to_loopback_works() {
    let node = Node::start(Kind::Primary).await;
    node.publish(&[(Name::CruiseConfig, b"<cruise/>")]);
    let router = bc_server::routes::router(node.context.clone());
    let (address, _closing, _served) = common::serve(router, None, Limits::default()).await;
    let url = format!("http://{address}").parse().expect("URL");
    let trust = Arc::new(|| Trust::Nothing.into());
    let transport = HttpTransport::new(
        &url,
        common::own_key(),
        trust,
        node.token.subscribe(),
        Duration::from_secs(2),
    )
    .expect("client");
    transport.manifest(None, Duration::ZERO).await.expect("an answer");
    assert_eq!(transport.seen(), None);
    assert!(!transport.peer_key().is_proven, "nobody has proven anything");
}
