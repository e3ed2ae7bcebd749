//! Input that is wrong, or was made to do harm: requests to a primary, answers to a standby, folders that are not
//! as they should be. Nothing leaks, nothing live changes, and every message names what is to be mended.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use bc_core::{
    basics::{Digest, Fingerprint},
    generation::{Entry, Envelope, Manifest, ManifestDocument, Name, Role},
    keys::Identity,
};
use bc_testkit::{
    artefacts, free_port,
    gocd_dir::{GocdDir, TOKEN, write_plugin_jar},
    http,
    process::Process,
    wait,
};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

const LAUNCHED: &str = "gocd-host: launcher runs";
const PREFIX: &str = "/go/add-on/business-continuity/api";
const SOON: Duration = Duration::from_secs(60);

/// A node without a JVM in this folder: `gocd-bc primary` or `gocd-bc standby`.
fn node(dir: &GocdDir, kind: &str, more: &[&str]) -> Process {
    let mut command = Command::new(artefacts::cli());
    command
        .arg("--state-dir")
        .arg(dir.state())
        .arg(kind)
        .arg("--working-dir")
        .arg(dir.path());
    command
        .arg("--listen")
        .arg(format!("127.0.0.1:{}", dir.port))
        .args(more);
    Process::start(kind, &mut command)
}

/// `TOKEN` as a client sends it.
fn credentials() -> String {
    let request = http::tls_client()
        .get("https://localhost")
        .basic_auth(TOKEN.0, Some(TOKEN.1))
        .build();
    let headers = request.expect("a request").headers().clone();
    headers["authorization"].to_str().expect("ASCII").to_owned()
}

/// Everything that must not change on a standby: GoCD's files and its plugins.
fn live(dir: &GocdDir) -> BTreeMap<String, Vec<u8>> {
    let folders = [dir.config(), dir.plugins()];
    let entries = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("list").flatten());
    entries
        .map(|entry| (entry.file_name().into_string().expect("UTF-8"), entry.path()))
        // The node itself writes its own key there.
        .filter(|(name, _)| name != "business-continuity-peers")
        .map(|(name, path)| (name, fs::read(path).expect("read")))
        .collect()
}

#[test]
fn no_name_from_the_wire_leads_to_a_file() {
    let primary = GocdDir::with_jar();
    write_plugin_jar(&primary.plugins().join("sample.jar"), "sample", "1");
    fs::write(primary.path().join("outside.jar"), "a secret outside").expect("write");
    let plain = free_port();
    let _node = node(
        &primary,
        "primary",
        &["--property", &format!("bc.listen.plain=127.0.0.1:{plain}")],
    );
    let authorization = credentials();
    // Bytes, since a client would tidy the path up before it sends it.
    let send = |target: &[u8]| {
        let mut request = b"GET ".to_vec();
        request.extend_from_slice(target);
        request.extend_from_slice(
            format!(" HTTP/1.1\r\nHost: primarygo\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        );
        answer_to(plain, &request)
    };
    wait::until("the primary offers its files", SOON, || {
        let answer = TcpStream::connect(("127.0.0.1", plain))
            .ok()
            .map(|_| send(format!("{PREFIX}/config_files_status").as_bytes()))?;
        answer.starts_with("HTTP/1.1 200 ").then_some(())
    });
    let proper = send(format!("{PREFIX}/plugin?folderName=external&pluginName=sample.jar").as_bytes());
    assert!(proper.starts_with("HTTP/1.1 200 "), "{proper}");

    let outside = primary.path().join("outside.jar");
    let secrets: Vec<String> = ["cruise-config.xml", "cipher.aes", "business-continuity-token"]
        .iter()
        .map(|name| {
            fs::read_to_string(primary.config().join(name))
                .expect("read")
                .trim()
                .chars()
                .take(40)
                .collect()
        })
        .chain([
            "a secret outside".to_owned(),
            "root:x:".to_owned(),
            "-----BEGIN".to_owned(),
            TOKEN.1.to_owned(),
        ])
        .collect();
    let names = names_that_do_harm(&outside);
    let mut targets: Vec<Vec<u8>> = Vec::new();
    for name in &names {
        for folder in ["external", "", "bundled", "..", "%2e%2e"] {
            targets.push(
                [
                    format!("{PREFIX}/plugin?folderName={folder}&pluginName=").as_bytes(),
                    name,
                ]
                .concat(),
            );
        }
        targets.push(
            [
                format!("{PREFIX}/plugin?folderName=").as_bytes(),
                name,
                b"&pluginName=sample.jar",
            ]
            .concat(),
        );
        targets.push(
            [
                format!("{PREFIX}/plugin?folderName=").as_bytes(),
                name,
                b"&pluginName=cipher.aes",
            ]
            .concat(),
        );
        targets.push([format!("{PREFIX}/v2/blobs/").as_bytes(), name].concat());
        targets.push([format!("{PREFIX}/").as_bytes(), name].concat());
    }
    for query in [
        "pluginName=sample.jar&pluginName=../../outside.jar&folderName=external",
        "pluginName[]=sample.jar",
        "",
        "&&&=",
        "pluginName=sample.jar",
    ] {
        targets.push(format!("{PREFIX}/plugin?{query}").into_bytes());
    }
    for target in targets {
        let shown = target.escape_ascii().to_string();
        let answer = send(&target);
        assert!(answer.starts_with("HTTP/1.1 4"), "{shown}: {answer}");
        for secret in &secrets {
            assert!(!answer.contains(secret), "{shown} leaks {secret}: {answer}");
        }
    }
}

/// What does harm where a name becomes part of a path, as it is written into a request.
fn names_that_do_harm(outside: &Path) -> Vec<Vec<u8>> {
    let absolute = outside.display().to_string();
    let mut names: Vec<Vec<u8>> = [
        "../../outside.jar",
        "../../config/cipher.aes",
        "../../../../../../../../etc/passwd",
        "..%2f..%2foutside.jar",
        "%2e%2e%2f%2e%2e%2foutside.jar",
        "%252e%252e%252f%252e%252e%252foutside.jar",
        "..%5c..%5coutside.jar",
        "..\\..\\outside.jar",
        "....//....//outside.jar",
        "..;/..;/outside.jar",
        "./sample.jar",
        "sample.jar/",
        "sample.jar%00",
        "sample.jar%00.jar",
        "..%c0%af..%c0%afoutside.jar",
        "sample.jar%0a",
        "sample.jar%0d%0aX-Injected:%201",
        "%ff%fe.jar",
        "%80",
        "%e2%80%aerah.elpmas",
        "sample%e2%80%8f.jar",
        "CON",
        "CON.jar",
        "nul.jar",
        "COM1.jar",
        "C:%5cwindows%5cwin.ini",
        "%5c%5chost%5cshare%5cx.jar",
        "file:///etc/passwd",
        ".",
        "..",
        "",
        "%",
        "%2",
        "%zz",
        "*.jar",
        "gocd-business-continuity.jar",
        "SAMPLE.JAR",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push(absolute.clone().into_bytes());
    names.push(absolute.replace('/', "%2f").into_bytes());
    names.push(absolute.replace('/', "%252F").into_bytes());
    names.push([b"a".repeat(300).as_slice(), b".jar"].concat());
    names.push(b"raw-\xff\xfe.jar".to_vec());
    names.push("raw-\u{202e}raj.jar".as_bytes().to_vec());
    names.push(b"0".repeat(63));
    names.push(b"0".repeat(64));
    names.push(b"g".repeat(64));
    names
}

fn answer_to(port: u16, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the port is open");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    stream.write_all(request).expect("send");
    let mut answer = Vec::new();
    // A request that is none ends with a reset after the answer.
    drop(std::io::Read::read_to_end(&mut stream, &mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// How a server misbehaves.
#[derive(Debug, Clone)]
enum Manner {
    /// Accepts and says nothing, not even TLS.
    NoHandshake,
    /// Speaks TLS and then says nothing.
    Silent,
    /// These bytes, and then the end.
    Says(Vec<u8>),
    /// A manifest, and whatever the second part is for every blob.
    Offers(Vec<u8>, Vec<u8>),
    /// What a primary with these files would say.
    Honest(BTreeMap<Name, Vec<u8>>),
}

/// A TLS server that behaves as a test wants, and keeps the heads of all requests.
struct Hostile {
    port: u16,
    fingerprint: Fingerprint,
    manner: Arc<Mutex<Manner>>,
    requests: Arc<Mutex<Vec<String>>>,
    _state: tempfile::TempDir,
}

impl Hostile {
    fn start(manner: Manner) -> Self {
        let state = tempfile::tempdir().expect("folder");
        let identity = Identity::load_or_create(state.path()).expect("a key of its own");
        let certificate = CertificateDer::from_pem_slice(identity.certificate_pem().as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes()).expect("PEM");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a pair");
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let hostile = Self {
            port: listener.local_addr().expect("bound").port(),
            fingerprint: identity.fingerprint(),
            manner: Arc::new(Mutex::new(manner)),
            requests: Arc::default(),
            _state: state,
        };
        let (config, manner, requests) = (
            Arc::new(config),
            Arc::clone(&hostile.manner),
            Arc::clone(&hostile.requests),
        );
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, requests) = (Arc::clone(&config), Arc::clone(&requests));
                let manner = manner.lock().expect("no panic").clone();
                // A client that goes away is its own affair.
                thread::spawn(move || drop(serve(stream, config, &manner, &requests)));
            }
        });
        hostile
    }

    fn behave(&self, manner: Manner) {
        *self.manner.lock().expect("no panic") = manner;
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    manner: &Manner,
    requests: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    if matches!(manner, Manner::NoHandshake) {
        thread::sleep(SOON);
        return Ok(());
    }
    let mut stream = StreamOwned::new(ServerConnection::new(config).expect("a session"), stream);
    let mut head = String::new();
    let mut reader = BufReader::new(&mut stream);
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    requests.lock().expect("no panic").push(head.clone());
    let answer = match manner {
        Manner::NoHandshake | Manner::Silent => {
            thread::sleep(SOON);
            return Ok(());
        }
        Manner::Says(bytes) => bytes.clone(),
        Manner::Offers(_, blob) if head.contains("/blobs/") => blob.clone(),
        Manner::Offers(manifest, _) => manifest.clone(),
        Manner::Honest(files) => match head.split_once("/blobs/") {
            Some((_, digest)) => {
                let asked = files
                    .values()
                    .find(|content| digest.starts_with(&Digest::of(content).to_string()));
                response("200 OK", "", asked.expect("a digest of the manifest"))
            }
            None => {
                // A primary lets a client that knows everything wait.
                thread::sleep(Duration::from_millis(300));
                offered(&serde_json::to_value(manifest(files)).expect("JSON"))
            }
        },
    };
    stream.write_all(&answer)?;
    stream.flush()
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The first half of what `response` makes: the announced length never comes.
fn half(response: &[u8]) -> Vec<u8> {
    response[..response.len() - 10].to_vec()
}

/// The manifest of a primary with these files.
fn manifest(files: &BTreeMap<Name, Vec<u8>>) -> ManifestDocument {
    let entry = |content: &[u8]| Entry {
        sha256: Digest::of(content),
        size: content.len() as u64,
        modified_ms: 1,
        plugin: None,
    };
    let files: BTreeMap<_, _> = files
        .iter()
        .map(|(name, content)| (name.clone(), entry(content)))
        .collect();
    ManifestDocument {
        format: bc_core::generation::manifest::FORMAT,
        generation: Manifest {
            files: files.clone(),
            ..Manifest::default()
        }
        .generation(),
        envelope: Envelope {
            sequence: 1,
            generated_ms: 1,
            scanned_ms: 1,
            now_ms: 1,
            file_check_interval_ms: 60_000,
            ..Envelope::of(&"f".repeat(32), Role::Primary)
        },
        files,
        withheld: Default::default(),
        retained: Default::default(),
        own_jars: BTreeMap::new(),
        lineage: Default::default(),
        extra_is_unknown: false,
    }
}

fn offered(document: &serde_json::Value) -> Vec<u8> {
    response(
        "200 OK",
        "Content-Type: application/json\r\n",
        document.to_string().as_bytes(),
    )
}

/// A held standby that trusts exactly this key.
fn standby_of(primary: &Hostile, trusted: Fingerprint) -> (GocdDir, Process) {
    let standby = GocdDir::with_jar();
    write_plugin_jar(&standby.plugins().join("only-here.jar"), "only.here", "1");
    let mut java = standby.java(17);
    java.args(GocdDir::standby_arguments(primary.port))
        .arg(format!("-Dbc.primary.fingerprint={trusted}"))
        .arg("-Dprimary.server.connection.timeout=2000");
    let jvm = standby.launch("standby", &mut java);
    (standby, jvm)
}

#[test]
fn a_hostile_primary_changes_nothing_and_is_named() {
    let elsewhere = Hostile::start(Manner::Says(response("200 OK", "", b"you were redirected")));
    let good = b"<cruise schemaVersion=\"139\"><server/></cruise>";
    let plugin = Name::Plugin("hostile.jar".parse().expect("a jar"));
    let files = BTreeMap::from([(plugin, good.to_vec()), (Name::CruiseConfig, good.to_vec())]);
    let mut document = serde_json::to_value(manifest(&files)).expect("JSON");
    // Newer than the honest one, or that alone would be a reason to refuse it.
    document["envelope"]["sequence"] = 1000.into();
    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut document = document.clone();
        change(&mut document);
        offered(&document)
    };
    let right_blob = response("200 OK", "", good);
    let redirect = format!(
        "Location: https://127.0.0.1:{}/go/add-on/business-continuity/api/v2/manifest\r\n",
        elsewhere.port
    );
    let html = b"<!DOCTYPE html><title>A proxy</title>";
    let cases: Vec<(&str, Manner, &str)> = vec![
        (
            "not HTTP",
            Manner::Says(b"220 mail.example.com ESMTP\r\n\r\n\r\n".to_vec()),
            "it sent something that is not HTTP",
        ),
        (
            "garbage",
            Manner::Says(response(
                "200 OK",
                "Content-Type: application/json\r\n",
                b"\x00\xffgarbage{{{",
            )),
            "the primary's manifest is not understood",
        ),
        (
            "HTML",
            Manner::Says(response("200 OK", "Content-Type: text/html\r\n", html)),
            "in the primary's place, with a web page",
        ),
        (
            "half a manifest",
            Manner::Says(half(&offered(&document))),
            "broke off in the middle of an answer",
        ),
        ("no TLS", Manner::NoHandshake, "it took too long"),
        ("no answer", Manner::Silent, "primary.server.connection.timeout"),
        (
            "a redirect",
            Manner::Says(response("302 Found", &redirect, b"")),
            "a redirect (302), which is never followed",
        ),
        (
            "500",
            Manner::Says(response("500 Internal Server Error", "", b"broken")),
            "status 500",
        ),
        (
            "another role",
            Manner::Offers(
                changed(&|document| document["envelope"]["role"] = "standby".into()),
                right_blob.clone(),
            ),
            "a node whose role is standby",
        ),
        (
            "a generation that is none",
            Manner::Offers(
                changed(&|document| document["generation"] = "0".repeat(64).into()),
                right_blob.clone(),
            ),
            "not the generation that it claims to be",
        ),
        (
            "a name that leads out",
            Manner::Offers(
                changed(&|document| {
                    let entry = document["files"]["plugins/external/hostile.jar"].clone();
                    document["files"]["plugins/external/../../hostile.jar"] = entry;
                }),
                right_blob,
            ),
            "hostile.jar",
        ),
        (
            "wrong bytes",
            Manner::Offers(offered(&document), response("200 OK", "", &good.map(|byte| byte ^ 1))),
            "as announced",
        ),
        (
            "half a blob",
            Manner::Offers(offered(&document), half(&response("200 OK", "", good))),
            "broke off in the middle of an answer",
        ),
        (
            "no blob",
            Manner::Offers(offered(&document), response("500 Internal Server Error", "", b"")),
            "status 500",
        ),
    ];

    let hostile = Hostile::start(Manner::Silent);
    let (standby, mut jvm) = standby_of(&hostile, hostile.fingerprint);
    let before = live(&standby);
    let own = [
        Name::CipherAes,
        Name::JettyXml,
        Name::FeatureToggles,
        Name::CruiseConfig,
    ];
    let honest: BTreeMap<_, _> = own
        .into_iter()
        .map(|name| (name.clone(), before[&name.to_string()].clone()))
        .collect();
    for (what, manner, fragment) in cases {
        hostile.behave(Manner::Honest(honest.clone()));
        standby.wait_for_status(&format!("in sync before {what}"), SOON, |status| {
            status["sync"]["in_sync"] == true && newest_error(status).is_empty()
        });
        hostile.behave(manner);
        let status = standby.wait_for_status(what, SOON, |status| newest_error(status).contains(fragment));
        let problems: Vec<_> = status["problems"].as_array().expect("a list").iter().collect();
        let telling = problems
            .iter()
            .filter(|problem| problem["message"].as_str().is_some_and(|text| text.contains(fragment)));
        assert_eq!(telling.count(), 1, "{what}: {problems:?}");
        let shown = standby.cli(&["status"]);
        assert!(!shown.status.success(), "{what}");
        let shown = String::from_utf8_lossy(&shown.stdout)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        assert!(shown.contains(fragment), "{what}: {shown}");
        assert!(!shown.contains(TOKEN.1), "{what}: {shown}");
        assert_eq!(status["role"], "standby", "{what}");
        assert_ne!(status["sync"]["in_sync"], true, "{what}");
        let after = live(&standby);
        assert!(before == after, "{what}: {:?} became {:?}", before.keys(), after.keys());
    }
    assert!(!standby.path().join("hostile.jar").exists());
    assert!(jvm.is_running() && !jvm.output().contains(LAUNCHED), "{}", jvm.output());
    assert!(!jvm.output().contains(TOKEN.1), "{}", jvm.output());
    assert_eq!(elsewhere.requests(), Vec::<String>::new(), "a redirect was followed");
    let authorization = credentials();
    assert!(
        hostile.requests().iter().all(|head| head.contains(&authorization)),
        "the trusted key gets the token"
    );
}

fn newest_error(status: &serde_json::Value) -> String {
    let errors = status["sync"]["errors"].as_array();
    errors
        .and_then(|errors| errors.last()?["message"].as_str())
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_server_with_another_key_never_sees_a_request() {
    let trusted = Hostile::start(Manner::Silent);
    let hostile = Hostile::start(Manner::Says(response("200 OK", "", b"{}")));
    let (standby, jvm) = standby_of(&hostile, trusted.fingerprint);
    let status = standby.wait_for_status("the key is refused", SOON, |status| {
        status["sync"]["errors"]
            .as_array()
            .is_some_and(|errors| errors.len() >= 3)
    });
    let error = newest_error(&status);
    assert!(
        error.contains("bc.primary.fingerprint") && error.contains(&hostile.fingerprint.to_string()),
        "{error}"
    );
    assert_eq!(status["primary"]["trusted"], false);
    assert_eq!(
        hostile.requests(),
        Vec::<String>::new(),
        "something was sent to an unknown key"
    );
    assert!(!jvm.output().contains(LAUNCHED));
}

#[test]
fn a_primary_offers_what_it_can_and_names_what_it_cannot() {
    let primary = GocdDir::new();
    fs::remove_dir(primary.plugins()).expect("an empty folder");
    let primary_node = node(
        &primary,
        "primary",
        &["--property", "bc.file.status.check.interval=500"],
    );
    primary.wait_for_port();
    let status = primary.wait_for_status("the missing folder is named", SOON, |status| {
        status["problems"]
            .to_string()
            .contains("plugins/external does not exist")
    });
    assert_eq!(status["problems"][0]["severity"], "WARNING");
    let identity = status["fingerprint"].as_str().expect("a key").to_owned();

    let standby = GocdDir::with_jar();
    fs::remove_file(standby.config().join("cruise-config.xml")).expect("remove");
    let url = format!("https://127.0.0.1:{}", primary.port);
    let trust = format!("bc.primary.fingerprint={identity}");
    let standby_node = node(&standby, "standby", &["--primary-url", &url, "--property", &trust]);
    bc_tests::wait_for_sync(&standby);
    let config = |dir: &GocdDir| fs::read(dir.config().join("cruise-config.xml")).expect("read");
    assert_eq!(config(&standby), config(&primary));
    let status = standby.wait_for_status("its warnings are gone or its own", SOON, |_| true);
    assert_eq!(status["files"].as_array().map(Vec::len), Some(4), "{}", status["files"]);

    // A jar that is none: for a while somebody may be copying it, then it is taken as it is.
    fs::create_dir_all(primary.plugins()).expect("folder");
    fs::write(primary.plugins().join("no-zip.jar"), "this is no zip").expect("write");
    let begun = std::time::Instant::now();
    primary.wait_for_status("the jar is waited for", Duration::from_secs(29), |status| {
        status["awaited"].to_string().contains("no-zip.jar")
    });
    assert!(!standby.plugins().join("no-zip.jar").exists());
    wait::until("the jar is synced as it is", Duration::from_secs(30) + SOON, || {
        (fs::read(standby.plugins().join("no-zip.jar")).ok()? == b"this is no zip").then_some(())
    });
    assert!(begun.elapsed() >= Duration::from_secs(25), "{:?}", begun.elapsed());
    primary.wait_for_status("the jar is named", SOON, |status| {
        status["problems"]
            .to_string()
            .contains("no-zip.jar is not a jar that can be read; it is synced as it is")
    });

    // A folder where the configuration should be: named; the standby keeps what it has.
    let before = config(&standby);
    let path = primary.config().join("cruise-config.xml");
    fs::remove_file(&path).expect("remove");
    fs::create_dir(&path).expect("a folder in its place");
    let status = primary.wait_for_status("the folder is named", SOON, |status| {
        status["problems"]
            .to_string()
            .contains("cruise-config.xml is no regular file")
    });
    assert_eq!(status["withheld"]["files"]["cruise-config.xml"], "irregular");
    fs::remove_dir(&path).expect("remove");
    fs::write(&path, &before).expect("write");
    primary.wait_for_status("all is well again", SOON, |status| {
        !status["problems"].to_string().contains("cruise-config.xml")
    });
    assert_eq!(config(&standby), before);
    drop((primary_node, standby_node));
}

/// A server with the agent and these arguments.
fn with_agent(dir: &GocdDir, name: &str, standby: bool, more: &[&str]) -> Process {
    let mut java = dir.java(17);
    java.arg("-javaagent:plugins/external/gocd-business-continuity.jar")
        .args(more);
    if standby {
        java.args(["-Dgo.server.mode=standby", "-Dbc.primary.url=https://127.0.0.1:1"]);
    }
    dir.launch(name, &mut java)
}

/// Still held, well after the time in which a primary would have been let go.
fn assert_stays_held(process: &mut Process) {
    thread::sleep(Duration::from_secs(12));
    assert!(
        process.is_running() && !process.output().contains(LAUNCHED),
        "{}",
        process.output()
    );
}

#[test]
fn a_configuration_folder_that_is_a_file_is_named_and_the_standby_stays_held() {
    let standby = GocdDir::with_jar();
    fs::write(standby.path().join("flat"), "no folder").expect("write");
    let mut jvm = with_agent(
        &standby,
        "config is a file",
        true,
        &[
            "-Dcruise.config.dir=flat",
            "-Dcruise.config.file=flat/cruise-config.xml",
        ],
    );
    jvm.wait_for("flat/", SOON);
    let status = standby.wait_for_status("the path is named", SOON, |status| {
        status["problems"].to_string().contains("flat/")
    });
    assert_eq!(status["role"], "standby");
    assert_stays_held(&mut jvm);
    assert_eq!(
        fs::read_to_string(standby.path().join("flat")).expect("read"),
        "no folder"
    );
}

#[test]
fn a_state_folder_that_is_a_file_holds_a_standby_and_releases_a_primary() {
    for standby in [true, false] {
        let dir = GocdDir::with_jar();
        let state = dir.path().join("taken");
        fs::write(&state, "no folder").expect("write");
        let property = format!("-Dbc.state.dir={}", state.display());
        let mut jvm = with_agent(&dir, "state is a file", standby, &[&property]);
        jvm.wait_for(&state.display().to_string(), SOON);
        if standby {
            assert_stays_held(&mut jvm);
            assert!(jvm.output().contains("stays held"), "{}", jvm.output());
        } else {
            jvm.wait_for(LAUNCHED, SOON);
        }
    }
}

#[test]
fn an_architecture_without_a_library_holds_a_standby_and_releases_a_primary() {
    for standby in [true, false] {
        let dir = GocdDir::with_jar();
        let mut jvm = with_agent(&dir, "riscv64", standby, &["-Dos.arch=riscv64"]);
        jvm.wait_for("no native library for Linux on riscv64", SOON);
        if standby {
            assert_stays_held(&mut jvm);
            assert!(jvm.output().contains("Linux (x86_64, aarch64)"), "{}", jvm.output());
        } else {
            jvm.wait_for(LAUNCHED, SOON);
        }
    }
}
