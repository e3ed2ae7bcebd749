//! `bc.tls.ca` with certificates as administrators make them, over real TLS: what vouches, what does not, and what the
//! message says to do.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use bc_core::{
    basics::{Error, Kind as ErrorKind},
    generation::Name,
    keys::Trust,
    settings::CertificateAuthority,
    standby::Transport,
    status::Topic,
};
use bc_server::{
    client::HttpTransport,
    listener::Limits,
    tls::{
        self, PemFile,
        client::TrustSource,
        node_key::{NodeKey, Shown},
    },
};
use bc_testkit::{free_port, gocd_dir::GocdDir, messages::assert_for_people, openssl::openssl, process::Process, wait};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;

use crate::{
    common::{self, Kind, Node},
    whole::{Whole, is_in_sync},
};

/// A primary, and files of certificates beside it.
struct Scene {
    node: Node,
}

impl Scene {
    async fn new() -> Self {
        let node = Node::start(Kind::Primary).await;
        node.publish(&[(Name::CruiseConfig, b"<cruise/>")]);
        Self { node }
    }

    fn folder(&self) -> &Path {
        self.node.folder.path()
    }

    fn openssl(&self, arguments: &str) {
        openssl(self.folder(), arguments);
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.folder().join(name), content).expect("write");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder().join(name)).expect(name)
    }

    fn shown(&self, certificate: &str, key: &str) -> Shown {
        let certificates = self.read(certificate);
        let key_bytes = self.read(key);
        let file = |name, bytes| PemFile { name, bytes };
        let files = (
            file(certificate, certificates.as_slice()),
            file(key, key_bytes.as_slice()),
        );
        Shown::from_pem(files.0, files.1).unwrap_or_else(|refused| panic!("{certificate}: {refused:?}"))
    }

    /// The primary's port with this certificate.
    async fn serve(&self, certificate: &str, key: &str) -> SocketAddr {
        let key = NodeKey::new(self.shown(certificate, key));
        let config = tls::server::config_of(key, &self.node.identity);
        self.serve_with(config).await
    }

    async fn serve_with(&self, config: Arc<ServerConfig>) -> SocketAddr {
        let router = bc_server::routes::router(self.node.context.clone());
        common::serve(router, Some(config), Limits::default()).await.0
    }

    /// What a standby that goes by the file `authority` says of the primary at this address.
    async fn judged(&self, address: SocketAddr, authority: &str) -> Result<(), Error> {
        self.judged_as(&format!("https://{address}"), authority).await
    }

    async fn judged_as(&self, url: &str, authority: &str) -> Result<(), Error> {
        let file = self.folder().join(authority);
        let trust: TrustSource = Arc::new(move || Trust::Authority(CertificateAuthority::File(file.clone())).into());
        let transport = HttpTransport::new(
            &url.parse().expect("URL"),
            common::own_key(),
            trust,
            self.node.token.subscribe(),
            Duration::from_secs(30),
        )
        .expect("client");
        transport.manifest(None, Duration::ZERO).await.map(|_| ())
    }

    /// It is refused, with these words, and in words for people.
    async fn refused(&self, address: SocketAddr, authority: &str, words: &[&str]) {
        let error = self.judged(address, authority).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Trust, "{error}");
        let text = error.to_string();
        assert_for_people(&text);
        assert!(!error.guidance().is_empty(), "{error}");
        for word in words.iter().chain(&[authority]) {
            assert!(text.contains(word), "`{word}` is not in: {text}");
        }
    }

    /// Its own authority, made with rcgen where openssl of this age cannot say it.
    fn authority(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Issuer<'static, KeyPair> {
        let key = KeyPair::generate().expect("key");
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut parameters);
        self.write(
            &format!("{name}.pem"),
            parameters.self_signed(&key).expect("certificate").pem(),
        );
        Issuer::new(parameters, key)
    }

    /// A certificate of this issuer in `NAME.pem`, with its key in `NAME.key`.
    fn issue(
        &self,
        name: &str,
        issuer: &Issuer<'static, KeyPair>,
        change: impl FnOnce(&mut CertificateParams),
    ) -> KeyPair {
        let key = KeyPair::generate().expect("key");
        let mut parameters = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        change(&mut parameters);
        self.write(
            &format!("{name}.pem"),
            parameters.signed_by(&key, issuer).expect("certificate").pem(),
        );
        self.write(&format!("{name}.key"), key.serialize_pem());
        key
    }
}

const EC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";

#[tokio::test]
async fn a_plain_self_signed_certificate_is_its_own_authority() {
    let scene = Scene::new().await;
    // A configuration without extensions, as of old: version 1.
    scene.write("bare.cnf", "[req]\ndistinguished_name = dn\n[dn]\n");
    let make = |name: &str, arguments: &str| {
        scene.openssl(&format!(
            "req -x509 -nodes -days 2 -keyout {name}.key -out {name}.pem {arguments}"
        ));
        scene.write(&format!("{name}-ca.pem"), scene.read(&format!("{name}.pem")));
    };
    make("plain", &format!("{EC} -subj /CN=127.0.0.1"));
    make(
        "rsa",
        "-newkey rsa:2048 -subj /CN=primarygo -addext subjectAltName=IP:127.0.0.1,DNS:primarygo",
    );
    make(
        "leaf",
        &format!("{EC} -subj /CN=x -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"),
    );
    make(
        "ed",
        "-newkey ed25519 -subj /O=nobody -addext subjectAltName=IP:127.0.0.1 -addext keyUsage=digitalSignature",
    );
    make("first", &format!("{EC} -subj /CN=127.0.0.1 -config bare.cnf"));
    make("first-rsa", "-newkey rsa:2048 -subj /CN=127.0.0.1 -config bare.cnf");
    for name in ["plain", "rsa", "leaf", "ed", "first", "first-rsa"] {
        let address = scene.serve(&format!("{name}.pem"), &format!("{name}.key")).await;
        let judged = scene.judged(address, &format!("{name}-ca.pem")).await;
        assert_eq!(judged, Ok(()), "{name}");
    }
    let address = scene.serve("plain.pem", "plain.key").await;
    let url = format!("https://localhost:{}", address.port());
    let error = scene.judged_as(&url, "plain-ca.pem").await.expect_err("another name");
    assert!(
        error
            .message()
            .contains("asks for localhost, and the certificate is for 127.0.0.1 (its common name"),
        "{error}"
    );
    assert!(
        error.guidance().contains("-addext subjectAltName=DNS:localhost"),
        "{error}"
    );
}

#[tokio::test]
async fn a_certificate_of_version_1_proves_its_key_in_tls_1_2_too() {
    let scene = Scene::new().await;
    scene.write("bare.cnf", "[req]\ndistinguished_name = dn\n[dn]\n");
    scene.openssl(&format!(
        "req -x509 -nodes -days 2 {EC} -keyout a.key -out a.pem -subj /CN=127.0.0.1 -config bare.cnf"
    ));
    scene.openssl(&format!(
        "req -x509 -nodes -days 2 {EC} -keyout b.key -out b.pem -subj /CN=127.0.0.1 -config bare.cnf"
    ));
    let serve = async |certificate: &str, key: &str| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pem = |name: &str| scene.read(name);
        use rustls_pki_types::pem::PemObject;
        let chain = vec![rustls_pki_types::CertificateDer::from_pem_slice(&pem(certificate)).expect("PEM")];
        let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(&pem(key)).expect("PEM");
        let key = provider.key_provider.load_private_key(key).expect("a key");
        let certified = Arc::new(rustls::sign::CertifiedKey::new(chain, key));
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .expect("TLS 1.2")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
        scene.serve_with(Arc::new(config)).await
    };
    let right = serve("a.pem", "a.key").await;
    assert_eq!(scene.judged(right, "a.pem").await, Ok(()));
    let relay = serve("a.pem", "b.key").await;
    let error = scene.judged(relay, "a.pem").await.expect_err("it has not the key");
    assert_eq!(error.kind(), ErrorKind::Trust);
    assert!(
        error.message().contains("does not prove that it holds its key"),
        "{error}"
    );
}

#[tokio::test]
async fn a_certificate_is_believed_as_the_very_same_alone() {
    let scene = Scene::new().await;
    let san = "-addext subjectAltName=IP:127.0.0.1";
    let no_authority = "-addext basicConstraints=critical,CA:FALSE";
    for (name, kind) in [("authority", ""), ("leaf", no_authority)] {
        scene.openssl(&format!(
            "req -x509 -nodes -days 2 {EC} -keyout {name}.key -out {name}.pem -subj /CN={name} {san} {kind}"
        ));
        // The same key and name, made again, in both kinds.
        for (again, kind) in [("again", ""), ("lesser", no_authority)] {
            scene.openssl(&format!(
                "req -x509 -days 3 -key {name}.key -out {name}-{again}.pem -subj /CN={name} {san} {kind}"
            ));
            let address = scene
                .serve(&format!("{name}-{again}.pem"), &format!("{name}.key"))
                .await;
            scene
                .refused(address, &format!("{name}.pem"), &["the same name or key"])
                .await;
        }
        // The same key under another name.
        scene.openssl(&format!(
            "req -x509 -days 3 -key {name}.key -out {name}-other.pem -subj /CN=other {san} {no_authority}"
        ));
        let address = scene.serve(&format!("{name}-other.pem"), &format!("{name}.key")).await;
        scene
            .refused(address, &format!("{name}.pem"), &["the same name or key"])
            .await;
        // The same name with another key.
        scene.openssl(&format!(
            "req -x509 -nodes -days 3 {EC} -keyout {name}-key.key -out {name}-key.pem -subj /CN={name} {san} {no_authority}"
        ));
        let address = scene
            .serve(&format!("{name}-key.pem"), &format!("{name}-key.key"))
            .await;
        scene
            .refused(address, &format!("{name}.pem"), &["the same name or key"])
            .await;
    }
    // What somebody lets one sign that is no authority.
    scene.write("san.cnf", "subjectAltName=IP:127.0.0.1\n");
    for (issuer, is_believed) in [("authority", true), ("leaf", false)] {
        scene.openssl(&format!(
            "req -nodes {EC} -keyout signed.key -out signed.csr -subj /CN=signed"
        ));
        scene.openssl(&format!(
            "x509 -req -in signed.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -days 2 -extfile san.cnf -out \
             signed.pem"
        ));
        let address = scene.serve("signed.pem", "signed.key").await;
        if is_believed {
            assert_eq!(scene.judged(address, "authority.pem").await, Ok(()));
        } else {
            scene
                .refused(address, "leaf.pem", &["has no authority", "CA:TRUE"])
                .await;
        }
    }
}

#[tokio::test]
async fn a_file_may_have_a_byte_order_mark_line_ends_of_windows_and_text_around() {
    let scene = Scene::new().await;
    scene.openssl(&format!(
        "req -x509 -nodes -days 2 {EC} -keyout node.key -out node.pem -subj /CN=127.0.0.1"
    ));
    scene.openssl("x509 -in node.pem -text -out text.pem");
    let pem = String::from_utf8(scene.read("node.pem")).expect("ASCII");
    let key = String::from_utf8(scene.read("node.key")).expect("ASCII");
    let text = String::from_utf8(scene.read("text.pem")).expect("ASCII");
    assert!(text.starts_with("Certificate:"));
    let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let other = String::from_utf8(scene.read("text.pem")).expect("ASCII");
    for (form, content) in [
        ("a byte order mark", format!("\u{feff}{pem}")),
        ("line ends of Windows", windows(&pem)),
        ("text before it", windows(&text)),
        ("blanks", pem.lines().map(|line| format!("    {line}  \n")).collect()),
        (
            "two files in one without a line end between",
            format!("{}{}", other.trim_end(), pem),
        ),
        (
            "two files with a mark each",
            format!("{}{}", windows(&other), windows(&pem)),
        ),
        ("line ends of old", pem.replace('\n', "\r")),
    ] {
        scene.write("ca.pem", &content);
        scene.write("shown.pem", &content);
        scene.write("shown.key", windows(&key));
        let address = scene.serve("shown.pem", "shown.key").await;
        assert_eq!(scene.judged(address, "ca.pem").await, Ok(()), "{form}");
    }
}

#[tokio::test]
async fn dates_and_names_are_said_as_a_person_reads_them() {
    let scene = Scene::new().await;
    let authority = scene.authority("ca", |_| {});
    let old = |parameters: &mut CertificateParams| {
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = date_time_ymd(2026, 3, 1);
    };
    let young = |parameters: &mut CertificateParams| parameters.not_before = date_time_ymd(2100, 1, 2);
    scene.issue("expired", &authority, old);
    scene.issue("early", &authority, young);
    scene.issue("elsewhere", &authority, |parameters| {
        parameters.subject_alt_names = CertificateParams::new(vec!["primarygo".to_owned(), "10.0.0.7".to_owned()])
            .expect("names")
            .subject_alt_names;
    });
    // The same as its own authority.
    for (name, change) in [
        ("own-expired", &old as &dyn Fn(&mut CertificateParams)),
        ("own-early", &young),
    ] {
        let key = KeyPair::generate().expect("key");
        let mut parameters = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
        change(&mut parameters);
        scene.write(
            &format!("{name}.pem"),
            parameters.self_signed(&key).expect("certificate").pem(),
        );
        scene.write(&format!("{name}.key"), key.serialize_pem());
    }
    for (name, file, words) in [
        (
            "expired",
            "ca.pem",
            &[
                "it expired on 2026-03-01 00:00 UTC",
                "bc.tls.certificate on the primary",
            ][..],
        ),
        (
            "own-expired",
            "own-expired.pem",
            &["it expired on 2026-03-01 00:00 UTC"],
        ),
        (
            "early",
            "ca.pem",
            &[
                "it is not valid before 2100-01-02 00:00 UTC",
                "by the clock of this server",
                "timedatectl",
            ],
        ),
        (
            "own-early",
            "own-early.pem",
            &["it is not valid before 2100-01-02 00:00 UTC", "timedatectl"],
        ),
        (
            "elsewhere",
            "ca.pem",
            &[
                "asks for 127.0.0.1, and the certificate is for primarygo, 10.0.0.7",
                "-addext subjectAltName=IP:127.0.0.1",
            ],
        ),
    ] {
        let address = scene.serve(&format!("{name}.pem"), &format!("{name}.key")).await;
        scene.refused(address, file, words).await;
    }
    // Of an authority's certificate only its subjectAltName counts.
    scene.issue("common", &authority, |parameters| {
        parameters.subject_alt_names.clear();
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, "127.0.0.1");
    });
    let address = scene.serve("common.pem", "common.key").await;
    scene.refused(address, "ca.pem", &["it has no subjectAltName"]).await;
}

#[tokio::test]
async fn a_broken_chain_is_named_by_its_broken_link() {
    let scene = Scene::new().await;
    let authority = scene.authority("root", |_| {});
    let middle = |name: &str, change: fn(&mut CertificateParams)| {
        let mut kept = None;
        let key = scene.issue(name, &authority, |parameters| {
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            change(parameters);
            kept = Some(parameters.clone());
        });
        Issuer::new(kept.expect("made"), key)
    };
    let good = middle("middle", |_| {});
    let old = middle("old-middle", |parameters| {
        parameters.not_after = date_time_ymd(2026, 3, 1)
    });
    scene.issue("node", &good, |_| {});
    scene.issue("late", &old, |_| {});
    scene.issue("client", &authority, |parameters| {
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let stranger = scene.authority("stranger", |_| {});
    let namesake = {
        let key = KeyPair::generate().expect("key");
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "root");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Issuer::new(parameters, key)
    };
    scene.issue("foreign", &stranger, |_| {});
    scene.issue("renewed", &namesake, |_| {});
    let chain = |names: &[&str]| {
        names
            .iter()
            .flat_map(|name| scene.read(&format!("{name}.pem")))
            .collect::<Vec<u8>>()
    };
    scene.write("whole.pem", chain(&["node", "middle"]));
    scene.write("late-chain.pem", chain(&["late", "old-middle"]));
    let whole = scene.serve("whole.pem", "node.key").await;
    assert_eq!(scene.judged(whole, "root.pem").await, Ok(()));
    for (certificate, key, words) in [
        (
            "node.pem",
            "node.key",
            &[
                "it was issued by \"middle\", whose certificate the primary does not send",
                "cat node.pem intermediate.pem",
            ][..],
        ),
        (
            "late-chain.pem",
            "late.key",
            &["the certificate of \"old-middle\", which issued it, expired on 2026-03-01 00:00 UTC"],
        ),
        ("client.pem", "client.key", &["not for servers", "serverAuth"]),
        ("foreign.pem", "foreign.key", &["it was issued by \"stranger\""]),
        (
            "renewed.pem",
            "renewed.key",
            &["it says that \"root\" issued it", "did not sign it"],
        ),
    ] {
        let address = scene.serve(certificate, key).await;
        scene.refused(address, "root.pem", words).await;
    }
}

#[tokio::test]
async fn weak_and_unusual_certificates_of_an_authority_are_called_what_they_are() {
    let scene = Scene::new().await;
    scene.openssl("req -x509 -nodes -days 2 -newkey rsa:2048 -keyout ca.key -out ca.pem -subj /CN=ca");
    scene.write("san.cnf", "subjectAltName=IP:127.0.0.1\n");
    scene.write("none.cnf", "");
    let sign = |name: &str, request: &str, arguments: &str| {
        scene.openssl(&format!(
            "req -nodes {request} -keyout {name}.key -out {name}.csr -subj /CN=127.0.0.1"
        ));
        scene.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 {arguments} -out {name}.pem"
        ));
    };
    sign("forged", EC, "-sha1 -extfile san.cnf");
    sign("old", EC, "-extfile none.cnf");
    for (name, words) in [
        ("forged", &["signed with SHA-1", "SHA-256"][..]),
        ("old", &["version 1"]),
    ] {
        let address = scene.serve(&format!("{name}.pem"), &format!("{name}.key")).await;
        scene.refused(address, "ca.pem", words).await;
    }
}

#[tokio::test]
async fn a_file_that_is_no_certificate_is_called_what_it_is() {
    let scene = Scene::new().await;
    scene.openssl(&format!(
        "req -x509 -nodes -days 2 {EC} -keyout node.key -out node.pem -subj /CN=127.0.0.1"
    ));
    scene.openssl("x509 -in node.pem -outform DER -out node.der");
    scene.openssl("pkcs12 -export -in node.pem -inkey node.key -passout pass:long-enough-password -out node.p12");
    scene.openssl("crl2pkcs7 -nocrl -certfile node.pem -out node.p7");
    scene.openssl("x509 -in node.pem -trustout -out trusted.pem");
    scene.openssl("req -new -key node.key -subj /CN=127.0.0.1 -out node.csr");
    scene.openssl("req -new -key node.key -subj /CN=127.0.0.1 -outform DER -out csr.der");
    scene.openssl("pkey -in node.key -pubout -out public.pem");
    scene.openssl("pkey -in node.key -pubout -outform DER -out public.der");
    scene.openssl("pkey -in node.key -outform DER -out key.der");
    let pem = String::from_utf8(scene.read("node.pem")).expect("ASCII");
    let utf_16: Vec<u8> = format!("\u{feff}{pem}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    scene.write("wide.pem", utf_16);
    scene.write("half.pem", &pem[..pem.len() / 2]);
    scene.write("garbled.pem", pem.replacen("MII", "M*I", 1));
    scene.write(
        "other.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    scene.write(
        "bare.pem",
        pem.lines()
            .filter(|line| !line.starts_with('-'))
            .collect::<Vec<_>>()
            .join("\n"),
    );
    scene.write("store.jks", [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]);
    scene.write("empty.pem", " \n");
    scene.write("text.pem", "a file, but no certificate\n");
    let address = scene.serve("node.pem", "node.key").await;
    for (file, words) in [
        ("node.der", &["certificate in DER form", "openssl x509 -inform DER"][..]),
        ("node.p12", &["PKCS#12", "openssl pkcs12 -in"]),
        ("node.p7", &["PKCS#7", "openssl pkcs7 -in"]),
        ("trusted.pem", &["form of OpenSSL's own", "openssl x509 -in"]),
        ("node.csr", &["request for a certificate", "authority"]),
        ("csr.der", &["request for a certificate in DER form"]),
        ("public.pem", &["is a public key"]),
        ("public.der", &["public key in DER form"]),
        ("key.der", &["private key in DER form"]),
        ("node.key", &["is a private key and no certificate"]),
        ("wide.pem", &["UTF-16", "iconv -f UTF-16"]),
        ("half.pem", &["breaks off"]),
        ("garbled.pem", &["is damaged", "Base64"]),
        ("other.pem", &["damaged, or something else"]),
        (
            "bare.pem",
            &["without the lines around it", "-----BEGIN CERTIFICATE-----"],
        ),
        ("store.jks", &["keystore of Java", "keytool"]),
        ("empty.pem", &["is empty"]),
        ("text.pem", &["no line of it begins with -----BEGIN"]),
        ("missing.pem", &["cannot read", "readable PEM file"]),
    ] {
        scene.refused(address, file, words).await;
    }
}

#[tokio::test]
async fn a_server_with_a_key_that_cannot_be_used_is_not_taken_for_a_thief() {
    let scene = Scene::new().await;
    for (name, key, words) in [
        ("short", "rsa:1024", "RSA of 1024 bits"),
        ("large-curve", "ec -pkeyopt ec_paramgen_curve:P-521", "P-521"),
        ("ed448", "ed448", "Ed448"),
    ] {
        scene.openssl(&format!(
            "req -x509 -nodes -days 2 -newkey {key} -keyout {name}.key -out {name}.pem -subj /CN=127.0.0.1"
        ));
        let port = free_port();
        let mut server = Command::new("openssl");
        server.current_dir(scene.folder()).args(["s_server", "-www", "-quiet"]);
        server.args(["-cipher", "DEFAULT@SECLEVEL=0", "-accept", &format!("127.0.0.1:{port}")]);
        server.args(["-cert", &format!("{name}.pem"), "-key", &format!("{name}.key")]);
        let _server = Process::start(name, &mut server);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        wait::until("it listens", Duration::from_secs(30), || {
            TcpStream::connect(address).ok()
        });
        let error = scene.judged(address, &format!("{name}.pem")).await.expect_err(name);
        assert_for_people(&error.to_string());
        assert!(error.message().contains(words), "{error}");
        assert!(!error.message().contains("does not prove"), "{error}");
    }
}

#[test]
fn two_nodes_follow_each_other_by_a_plain_self_signed_certificate() {
    let primary = GocdDir::new();
    let folder = primary.path().to_owned();
    openssl(
        &folder,
        &format!("req -x509 -nodes -days 2 {EC} -keyout node.key -out node.pem -subj /CN=127.0.0.1"),
    );
    let file = |name: &str| folder.join(name).display().to_string();
    let primary = Whole::open(
        primary,
        &[
            ("bc.tls.certificate", &file("node.pem")),
            ("bc.tls.private.key", &file("node.key")),
        ],
    );
    let status = primary.until("it offers", |status| {
        status.generation.is_some() && status.listening.is_some()
    });
    let dates = status
        .problems
        .iter()
        .find(|problem| problem.topic == Topic::CertificateDates);
    assert!(
        dates.is_some_and(|problem| problem.message.contains("ends on ")),
        "{:?}",
        status.problems
    );
    let dir = GocdDir::new();
    dir.copy_config_of(&primary.dir);
    let url = format!("https://{}", primary.address());
    let standby = Whole::open(
        dir,
        &[
            ("go.server.mode", "standby"),
            ("bc.primary.url", &url),
            ("bc.tls.ca", &file("node.pem")),
        ],
    );
    let status = standby.until("in sync", is_in_sync);
    assert!(status.primary.is_some_and(|primary| primary.trusted));
}
