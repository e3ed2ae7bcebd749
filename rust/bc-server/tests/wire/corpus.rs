//! Hostile requests against every path of the table, byte for byte as written here, with and without the token.
//!
//! The oracle: nothing that lies on the disk but is not on offer ever comes back, strangers get no file at all,
//! whatever is not a right request is answered 4xx or closed within the limits, and a right request is answered
//! as before afterwards.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use bc_core::{basics::Digest, generation::Name};
use bc_server::{
    listener::Limits,
    routes::{Access, ROUTES, Route},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::common::{self, Answer, Kind, Node, PREFIX, jar};

const CONFIG: &[u8] = b"<cruise><!-- on offer: the configuration --></cruise>";
const CIPHER: &[u8] = b"269298bc31c44620aabbccddeeff0011";
const PLUGIN: &[u8] = b"on offer: a plugin";
/// What lies beside the files on offer, and is in no answer ever.
const SECRET: &[u8] = b"nobody may read this";

/// A primary whose folders hold more than it offers, in the clear on loopback, where each request is quick.
struct Target {
    node: Node,
    plain: SocketAddr,
}

impl Target {
    async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    async fn start_with(limits: Limits) -> Self {
        let node = Node::start_with(Kind::Primary, limits).await;
        node.publish(&[
            (Name::CruiseConfig, CONFIG),
            (Name::CipherAes, CIPHER),
            (jar("a.jar"), PLUGIN),
        ]);
        for name in [
            "secret.jar",
            "db.properties",
            "business-continuity-token",
            "NUL",
            "CON.jar",
        ] {
            fs::write(node.folder.path().join(name), SECRET).expect("write");
        }
        let router = bc_server::routes::router(node.context.clone());
        let (plain, ..) = common::serve(router, None, limits).await;
        Self { node, plain }
    }

    /// Everything that comes back for these bytes until the connection ends.
    async fn send(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.plain).await.expect("accepted");
        // Whoever refuses early may have closed before all was written.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::with_capacity(1024);
        let reading = timeout(Duration::from_secs(15), stream.read_to_end(&mut answer)).await;
        assert!(reading.is_ok(), "still open: {}", shown(request));
        Answer(answer)
    }

    /// A right request is answered on both ports.
    async fn is_well(&self) {
        let path = format!("{PREFIX}/api/v2/blobs/{}", Digest::of(PLUGIN));
        assert_eq!(self.node.get(&path, "").await.body(), PLUGIN);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\n{}Connection: close\r\n\r\n",
            common::authorization()
        );
        assert_eq!(self.send(request.as_bytes()).await.body(), PLUGIN);
    }

    fn folder(&self) -> &Path {
        self.node.folder.path()
    }
}

/// Whether the sender knows the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Stranger,
    Peer,
}

const SENDERS: [Sender; 2] = [Sender::Stranger, Sender::Peer];

impl Sender {
    fn credentials(self) -> String {
        match self {
            Sender::Stranger => String::new(),
            Sender::Peer => common::authorization(),
        }
    }

    fn get(self, target: &[u8], headers: &[u8]) -> Vec<u8> {
        [
            b"GET ",
            target,
            b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
            self.credentials().as_bytes(),
            headers,
            b"\r\n",
        ]
        .concat()
    }
}

/// Names that lead elsewhere, are none, or read as others.
fn names(folder: &Path) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "secret.jar",
        "../secret.jar",
        "../../../../../../etc/passwd",
        "/etc/passwd",
        "//etc/passwd",
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/environ",
        "file:///etc/passwd",
        "..%2fsecret.jar",
        "%2e%2e/secret.jar",
        "%2e%2e%2fsecret.jar",
        "%252e%252e%252fsecret.jar",
        "..%5csecret.jar",
        "..\\secret.jar",
        "..;/secret.jar",
        "....//secret.jar",
        "./././secret.jar",
        "a.jar/../secret.jar",
        "%c0%ae%c0%ae%c0%afsecret.jar",
        "%e0%80%ae%e0%80%ae/secret.jar",
        "..%c1%9csecret.jar",
        "%uff0e%uff0e/secret.jar",
        "secret.jar%00",
        "secret.jar%00a.jar",
        "a.jar%0d%0aX-Evil:%201",
        "a.jar%0a",
        "%e2%80%aeraj.terces",
        "%ff%fe",
        "%",
        "%zz",
        "CON.jar",
        "NUL",
        "COM1",
        "secret.jar::$DATA",
        "C:%5csecret.jar",
        "%5c%5chost%5cshare%5ca.jar",
        "~/secret.jar",
        "$HOME",
        "*.jar",
        "-rf",
    ]
    .map(|name| name.as_bytes().to_vec())
    .to_vec();
    names.push(folder.join("secret.jar").display().to_string().into_bytes());
    names.push([b"a".repeat(300), b".jar".to_vec()].concat());
    names.push(b"../".repeat(2000));
    // As no client writes them: bytes that are no text, and text that is no ASCII.
    names.extend([
        b"\xff\xfe.jar".to_vec(),
        b"\xc0\xae\xc0\xae\xc0\xafsecret.jar".to_vec(),
        b"secret.jar\0".to_vec(),
        "\u{202E}raj.terces".as_bytes().to_vec(),
    ]);
    names
}

fn contains(answer: &Answer, what: &[u8]) -> bool {
    answer.0.windows(what.len()).any(|window| window == what)
}

fn shown(request: &[u8]) -> String {
    String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned()
}

/// Nothing comes back that must not.
fn check(answer: &Answer, sender: Sender, request: &[u8]) {
    let what = shown(request);
    for secret in [SECRET, b"root:", b"PRIVATE KEY", b"right-and-known", b"PATH="] {
        assert!(
            !contains(answer, secret),
            "{} came back for {what}",
            String::from_utf8_lossy(secret)
        );
    }
    assert!(!answer.head().to_ascii_lowercase().contains("\r\nx-evil"), "{what}");
    if sender == Sender::Stranger {
        for file in [CONFIG, CIPHER, PLUGIN] {
            assert!(!contains(answer, file), "a stranger got a file for {what}");
        }
    }
}

fn is_refusal(answer: &Answer) -> bool {
    answer.0.is_empty() || (400..500).contains(&answer.status())
}

/// The path of a route, with a digest that is on offer for its capture.
fn path(route: &Route) -> String {
    format!(
        "{PREFIX}{}",
        route.path.replace("{sha256}", &Digest::of(PLUGIN).to_string())
    )
}

#[tokio::test]
async fn names_in_the_path() {
    let target = Target::start().await;
    for route in ROUTES {
        for name in names(target.folder()) {
            let above = path(route);
            let above = above.rsplit_once('/').expect("absolute").0;
            for place in [
                [path(route).as_bytes(), b"/", &name].concat(),
                [path(route).as_bytes(), b"/../", &name].concat(),
                [above.as_bytes(), b"/", &name].concat(),
            ] {
                for sender in SENDERS {
                    let request = sender.get(&place, b"");
                    let answer = target.send(&request).await;
                    assert!(is_refusal(&answer), "{} for {}", answer.head(), shown(&request));
                    check(&answer, sender, &request);
                }
            }
        }
    }
    target.is_well().await;
}

#[tokio::test]
async fn names_in_the_query() {
    let target = Target::start().await;
    for route in ROUTES {
        for name in names(target.folder()) {
            for query in [
                [b"?folderName=external&pluginName=".as_slice(), &name].concat(),
                [b"?pluginName=a.jar&folderName=".as_slice(), &name].concat(),
                [b"?".as_slice(), &name].concat(),
            ] {
                for sender in SENDERS {
                    let request = sender.get(&[path(route).as_bytes(), &query].concat(), b"");
                    let answer = target.send(&request).await;
                    check(&answer, sender, &request);
                    let must_refuse = sender == Sender::Stranger && route.access == Access::Token;
                    if must_refuse || route.path == "/api/plugin" {
                        assert!(is_refusal(&answer), "{} for {}", answer.head(), shown(&request));
                    }
                }
            }
        }
    }
    target.is_well().await;
}

#[tokio::test]
async fn names_in_headers() {
    let target = Target::start().await;
    for route in ROUTES {
        for name in names(target.folder()) {
            let name: Vec<u8> = name.into_iter().filter(|byte| !b"\0\r\n".contains(byte)).collect();
            let headers = [
                "Range: bytes=",
                "If-None-Match: ",
                "Prefer: wait=",
                "X-Original-URL: ",
                "Cookie: ",
            ];
            let lines = headers.map(|header| [header.as_bytes(), &name, b"\r\n"].concat());
            for sender in SENDERS {
                let request = sender.get(path(route).as_bytes(), &lines.concat());
                let answer = target.send(&request).await;
                check(&answer, sender, &request);
                if sender == Sender::Stranger && route.access == Access::Token {
                    assert!(is_refusal(&answer), "{} for {}", answer.head(), shown(&request));
                }
            }
        }
    }
    target.is_well().await;
}

#[tokio::test]
async fn requests_that_are_none() {
    let target = Target::start().await;
    let blob = format!("{PREFIX}/api/v2/blobs/{}", Digest::of(PLUGIN));
    let head = |line: &str| format!("{line}\r\nHost: x\r\nConnection: close\r\n");
    let requests: Vec<Vec<u8>> = vec![
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"\0\0\0\0\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        format!("GET {blob}\r\n\r\n").into_bytes(),
        format!("{}\r\n", head(&format!("GET {blob} HTTP/3.0"))).into_bytes(),
        format!("{}\r\n", head(&format!("get {blob} HTTP/1.1"))).into_bytes(),
        format!("{}\r\n", head("CONNECT 127.0.0.1:22 HTTP/1.1")).into_bytes(),
        format!("{}\r\n", head("GET http://169.254.169.254/ HTTP/1.1")).into_bytes(),
        format!("{}\r\n", head("GET file:///etc/passwd HTTP/1.1")).into_bytes(),
        format!("{}\r\n", head("OPTIONS * HTTP/1.1")).into_bytes(),
        // Two lengths, and a length beside pieces: what the one who is behind a proxy could smuggle.
        format!(
            "{}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            head(&format!("POST {blob} HTTP/1.1"))
        )
        .into_bytes(),
        format!("{}Content-Length: -1\r\n\r\n", head(&format!("POST {blob} HTTP/1.1"))).into_bytes(),
        format!(
            "{}Content-Length: 99999999999999999999999\r\n\r\n",
            head(&format!("POST {blob} HTTP/1.1"))
        )
        .into_bytes(),
        format!(
            "{}Transfer-Encoding: gzip, identity\r\n\r\nx",
            head(&format!("POST {blob} HTTP/1.1"))
        )
        .into_bytes(),
        format!(
            "{}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            head(&format!("POST {blob} HTTP/1.1"))
        )
        .into_bytes(),
        format!("{}: nameless\r\n\r\n", head(&format!("GET {blob} HTTP/1.1"))).into_bytes(),
        format!("{}X-A: a\0b\r\n\r\n", head(&format!("GET {blob} HTTP/1.1"))).into_bytes(),
        format!("{} folded\r\n\r\n", head(&format!("GET {blob} HTTP/1.1"))).into_bytes(),
        format!(
            "{}Authorization: {}\r\n\r\n",
            head(&format!("GET {blob} HTTP/1.1")),
            "A".repeat(20_000)
        )
        .into_bytes(),
        format!(
            "{}Authorization: Basic {}\r\n\r\n",
            head(&format!("GET {blob} HTTP/1.1")),
            "=".repeat(2_000)
        )
        .into_bytes(),
        format!(
            "{}Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            head(&format!("GET {blob} HTTP/1.1"))
        )
        .into_bytes(),
    ];
    for request in requests {
        let answer = target.send(&request).await;
        assert!(is_refusal(&answer), "{} for {}", answer.head(), shown(&request));
        check(&answer, Sender::Stranger, &request);
    }
    target.is_well().await;
}

#[tokio::test]
async fn heads_that_are_too_large() {
    let target = Target::start().await;
    let many = "X-Many: 1\r\n".repeat(5000).into_bytes();
    let large = format!("X-Large: {}\r\n", "a".repeat(256 * 1024)).into_bytes();
    let long = format!("{}\r\n", "n".repeat(256 * 1024)).into_bytes();
    for route in ROUTES {
        for sender in SENDERS {
            for headers in [&many, &large, &long] {
                let answer = target.send(&sender.get(path(route).as_bytes(), headers)).await;
                assert!(is_refusal(&answer), "{} at {}", answer.head(), route.path);
            }
            let far = [path(route).as_bytes(), b"?", &b"a".repeat(256 * 1024)].concat();
            let answer = target.send(&sender.get(&far, b"")).await;
            assert!(is_refusal(&answer), "{} at {}", answer.head(), route.path);
        }
    }
    target.is_well().await;
}

/// Most bytes that may be taken from somebody who sends without end: what two sockets hold on their own, and what
/// one reading of the server is.
const TAKEN: usize = 16 * 1024 * 1024;

#[tokio::test]
async fn bodies_without_end() {
    let target = Target::start().await;
    let piece = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    for route in ROUTES {
        for (method, sender) in [
            ("GET", Sender::Stranger),
            ("POST", Sender::Stranger),
            ("POST", Sender::Peer),
        ] {
            for framing in ["Transfer-Encoding: chunked", "Content-Length: 1000000000000"] {
                let mut stream = TcpStream::connect(target.plain).await.expect("accepted");
                let head = format!(
                    "{method} {} HTTP/1.1\r\nHost: x\r\n{}{framing}\r\n\r\n",
                    path(route),
                    sender.credentials()
                );
                stream.write_all(head.as_bytes()).await.expect("sent");
                let mut taken = 0;
                let sending = async {
                    while stream.write_all(&piece).await.is_ok() {
                        taken += piece.len();
                        assert!(taken < TAKEN, "{method} {framing} at {}", route.path);
                    }
                };
                timeout(Duration::from_secs(15), sending)
                    .await
                    .unwrap_or_else(|_| panic!("neither read nor closed: {method} {framing} at {}", route.path));
            }
        }
    }
    target.is_well().await;
}

#[tokio::test]
async fn slow_senders() {
    let limits = Limits {
        head: Duration::from_millis(600),
        unproven: Duration::from_millis(1200),
        farewell: Duration::from_millis(100),
        ..Limits::default()
    };
    let target = Target::start_with(limits).await;
    let mut slow = Vec::new();
    for route in ROUTES {
        for sender in SENDERS {
            let head = sender.get(path(route).as_bytes(), b"X-Slow: ");
            let head = head[..head.len() - 2].to_vec();
            slow.push((head, sender));
        }
        let body = format!(
            "POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n",
            path(route)
        );
        slow.push((body.into_bytes(), Sender::Stranger));
    }
    let mut running = Vec::new();
    for (start, sender) in slow {
        let address = target.plain;
        running.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("accepted");
            let opened = Instant::now();
            stream.write_all(&start).await.expect("sent");
            // A byte now and then, as if it were about to go on.
            while stream.write_all(b"a").await.is_ok() {
                assert!(opened.elapsed() < Duration::from_secs(4), "may stay: {}", shown(&start));
                sleep(Duration::from_millis(50)).await;
            }
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            check(&Answer(answer), sender, &start);
        }));
    }
    target.is_well().await;
    for sender in running {
        sender.await.expect("closed in time");
    }
    target.is_well().await;
}
