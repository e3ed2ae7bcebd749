//! GoCD's own port while GoCD is held, answered over real connections.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use bc_core::{
    basics::{Properties, Severity, error},
    settings::Settings,
    status::Topic,
};
use bc_server::{context::Context, held};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::common::{self, Answer, Kind, Node, PREFIX};

const DASHBOARD: &str = "/go/add-on/business-continuity/admin/dashboard";
/// Where the TLS port of these tests' node is said to listen.
const LISTENING: &str = "0.0.0.0:18155";

/// A held node and its port.
struct Held {
    node: Node,
    port: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Held {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Context)) -> Self {
        let mut node = Node::start(Kind::Held).await;
        change(&mut node.context);
        node.context
            .status
            .update(|status| status.listening = Some(LISTENING.to_owned()));
        let bound = held::bind("0.0.0.0:0".parse().expect("address")).await.expect("free");
        let port = SocketAddr::from(([127, 0, 0, 1], bound.address().port()));
        let stop = CancellationToken::new();
        let served = tokio::spawn(held::serve(bound, node.context.clone(), stop.clone()));
        Self {
            node,
            port,
            stop,
            served,
        }
    }

    /// Every byte that comes back for these until the connection is closed.
    async fn raw(&self, to: IpAddr, request: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect((to, self.port.port())).await.expect("connect");
        stream.write_all(request.as_bytes()).await.expect("send");
        let mut bytes = Vec::new();
        let end = timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await;
        // A reset is an end as good as any; staying open is not.
        let _ = end.unwrap_or_else(|_| panic!("the connection stayed open after {request:?}"));
        bytes
    }

    async fn ask_at(&self, to: IpAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        // Asks to keep the connection, as agents and browsers do.
        let request = format!("{method} {path} HTTP/1.1\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
        let answer = Answer(self.raw(to, &request).await);
        assert_eq!(answer.header("connection").as_deref(), Some("close"), "{method} {path}");
        assert_eq!(
            answer.header("cache-control").as_deref(),
            Some("no-store"),
            "{method} {path}"
        );
        for never in ["content-md5", "strict-transport-security"] {
            assert_eq!(answer.header(never), None, "{method} {path}");
        }
        answer
    }

    /// From this host, by the name `localhost`, as through a tunnel.
    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let headers = format!("Host: localhost:8153\r\n{headers}");
        self.ask_at(self.port.ip(), method, path, &headers, "").await
    }
}

fn assert_redirected(answer: &Answer, target: &str, why: &str) {
    assert_eq!(answer.status(), 307, "{why}: {}", answer.head());
    assert_eq!(answer.header("location").as_deref(), Some(target), "{why}");
    assert_eq!(answer.header("set-cookie"), None, "{why}");
}

#[tokio::test]
async fn what_agents_send_gets_no_byte() {
    let held = Held::start().await;
    let bodies = [
        ("GET", "", ""),
        ("POST", "Content-Type: application/json\r\nContent-Length: 2\r\n", "{}"),
        ("PUT", "Content-Length: 100000\r\nExpect: 100-continue\r\n", ""),
        ("POST", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"),
        (
            "GET",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            "",
        ),
    ];
    for path in [
        "/go/remoting",
        "/go/remoting/api/agent/ping",
        "/go/remoting/files/p/1/s/1/j/cruise-output/console.log?attempt=1",
        "http://localhost/go/remoting/api/agent/ping",
        "//go/%2572emoting;a=b/api/agent/ping",
    ] {
        for (method, headers, body) in bodies {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}");
            let bytes = held.raw(held.port.ip(), &request).await;
            assert_eq!(String::from_utf8_lossy(&bytes), "", "{method} {path}");
        }
    }
}

#[tokio::test]
async fn agents_that_ask_for_a_token_or_a_jar_meet_a_failure_that_passes() {
    let held = Held::start().await;
    held.node
        .context
        .status
        .update(|status| status.external_url = Some("https://dr.example.com".to_owned()));
    for path in [
        "/go/admin/agent",
        "/go/admin/agent/token?uuid=1",
        "/go/admin/agent-launcher.jar",
        "/go/admin/agent-plugins.zip",
        "/go/admin/latest-agent.status",
        "/go/admin/tfs-impl.jar",
        "//go//admin/agent",
        "/go/admin/%61gent",
        "/go/admin;x=y/agent;z/token",
        &format!("{PREFIX}/admin/../../../admin/agent"),
        &format!("{PREFIX}/admin/%2e%2e/%2e%2e/..;/admin/agent/token"),
    ] {
        for method in ["GET", "POST", "HEAD"] {
            // From elsewhere, so that it would be sent to the TLS port if it were taken for the dashboard.
            let headers = "Host: standbygo:8153\r\nAccept: text/html\r\nX-Forwarded-For: 192.0.2.1\r\n";
            let answer = held.ask_at(held.port.ip(), method, path, headers, "").await;
            assert_eq!(answer.status(), 503, "{method} {path}");
            assert!(
                answer.header("content-type").expect("a type").starts_with("text/plain"),
                "{method} {path}"
            );
            assert_eq!(answer.header("location"), None, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn probes_and_all_other_paths_tell_what_this_is() {
    let held = Held::start().await;
    let health = held.ask("GET", "/go/api/v1/health", "").await;
    assert_eq!(
        (health.status(), health.body()),
        (503, &b"{\"health\":\"STANDBY\"}"[..])
    );
    assert_eq!(health.header("content-type").as_deref(), Some("application/json"));
    assert!(health.header("retry-after").is_some());
    assert_eq!(held.ask("GET", &format!("{PREFIX}/live"), "").await.status(), 200);
    assert_eq!(held.ask("GET", &format!("{PREFIX}/ready"), "").await.status(), 503);
    for path in [
        "/",
        "/go/pipelines",
        "/go/api/version",
        "/go/agent-websocket",
        &format!("{PREFIX}/api/v2/manifest"),
        &format!("{PREFIX}/administration"),
    ] {
        let page = held.ask("GET", path, "Accept: text/html, */*\r\n").await;
        assert_eq!(page.status(), 503, "{path}");
        let text = String::from_utf8_lossy(page.body()).into_owned();
        assert!(text.contains("GoCD does not run on this server"), "{path}: {text}");
        assert!(
            text.contains(&format!("https://localhost:18155{DASHBOARD}")),
            "{path}: {text}"
        );
        assert!(page.header("content-security-policy").is_some(), "{path}");

        let json = held.ask("GET", path, &common::authorization()).await;
        assert_eq!(json.status(), 503, "{path}");
        assert_eq!(json.json()["role"], "standby", "{path}");
        assert_eq!(json.json()["problems"], serde_json::json!([]), "{path}");
    }
}

#[tokio::test]
async fn a_chart_that_probes_health_can_be_told_that_all_is_well() {
    let held = Held::start_with(|context| {
        let properties = Properties::from_iter([("bc.held.health", "200")]);
        context.settings = Arc::new(Settings::parse(&properties, |_| false).0);
    })
    .await;
    let health = held.ask("GET", "/go/api/v1/health", "").await;
    assert_eq!(
        (health.status(), health.body()),
        (200, &b"{\"health\":\"STANDBY\"}"[..])
    );
    assert_eq!(held.ask("GET", &format!("{PREFIX}/ready"), "").await.status(), 503);
}

#[tokio::test]
async fn people_on_this_host_log_in_without_tls() {
    let held = Held::start().await;
    let to_form = held.ask("GET", DASHBOARD, "Accept: text/html\r\n").await;
    assert_eq!(to_form.status(), 303);
    assert_eq!(to_form.header("location"), Some(format!("{PREFIX}/admin/login")));
    let answer = held
        .ask_at(
            held.port.ip(),
            "POST",
            &format!("{PREFIX}/admin/login"),
            "Host: localhost:18153\r\nOrigin: http://localhost:18153\r\nContent-Type: application/x-www-form-urlencoded\r\n",
            "user=standby&password=right-and-known-to-both",
        )
        .await;
    assert_eq!(answer.status(), 303, "{}", answer.head());
    let cookie = answer.header("set-cookie").expect("a cookie");
    assert!(!cookie.contains("Secure"), "a browser would not send it back: {cookie}");
    let line = format!("Cookie: {}\r\n", cookie.split(';').next().expect("a pair"));
    assert_eq!(held.ask("GET", DASHBOARD, &line).await.status(), 200);
    assert_eq!(held.ask("GET", DASHBOARD, &common::authorization()).await.status(), 200);
}

#[tokio::test]
async fn whoever_came_through_a_proxy_without_tls_is_sent_to_the_encrypted_port() {
    let held = Held::start().await;
    let path = format!("{DASHBOARD}?tab=files");
    for (headers, host) in [
        ("Host: localhost:8153\r\nX-Forwarded-For: 192.0.2.1\r\n", "localhost"),
        ("Host: localhost:8153\r\nForwarded: for=192.0.2.1\r\n", "localhost"),
        ("Host: localhost:8153\r\nVia: 1.1 proxy\r\n", "localhost"),
        ("Host: localhost:8153\r\nX-Forwarded-Proto: http\r\n", "localhost"),
        (
            "Host: localhost:8153\r\nX-Forwarded-Proto: https, http\r\n",
            "localhost",
        ),
        ("Host: standbygo:8153\r\n", "standbygo"),
        ("Host: [2001:db8::7]:8153\r\n", "[2001:db8::7]"),
    ] {
        for method in ["GET", "POST"] {
            let answer = held.ask_at(held.port.ip(), method, &path, headers, "").await;
            assert_redirected(&answer, &format!("https://{host}:18155{path}"), headers);
        }
    }
    for hostile in ["evil.example/x?", "evil.example:8153@x", "a b", "evil.example#", ""] {
        let headers = format!("Host: {hostile}\r\nX-Forwarded-For: 192.0.2.1\r\n");
        let answer = held.ask_at(held.port.ip(), "GET", DASHBOARD, &headers, "").await;
        assert!(
            answer
                .header("location")
                .is_none_or(|target| target.starts_with("https://evil.example:18155/")),
            "{}",
            answer.head()
        );
        assert_ne!(answer.status(), 200, "{hostile}");
    }
    let through_tls = format!(
        "X-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.1\r\n{}",
        common::authorization()
    );
    assert_eq!(held.ask("GET", DASHBOARD, &through_tls).await.status(), 200);

    held.node
        .context
        .status
        .update(|status| status.external_url = Some("https://dr.example.com:9443".to_owned()));
    let answer = held.ask("GET", &path, "X-Forwarded-For: 192.0.2.1\r\n").await;
    assert_redirected(
        &answer,
        &format!("https://dr.example.com:9443{path}"),
        "bc.external.url",
    );
}

/// An address of this machine that is not loopback, where it has one. No packet is sent to find it.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[tokio::test]
async fn only_a_proxy_that_is_named_may_vouch_for_encryption() {
    let Some(outer) = outer_address() else {
        println!("this machine has no address but loopback");
        return;
    };
    let claims = format!(
        "Host: localhost\r\nX-Forwarded-Proto: https\r\n{}",
        common::authorization()
    );
    let held = Held::start().await;
    let stranger = held.ask_at(outer, "GET", DASHBOARD, &claims, "").await;
    assert_redirected(&stranger, &format!("https://localhost:18155{DASHBOARD}"), "a stranger");

    let trusting = Held::start_with(|context| {
        let properties = Properties::from_iter([("bc.trusted.proxies", outer.to_string().as_str())]);
        context.settings = Arc::new(Settings::parse(&properties, |_| false).0);
    })
    .await;
    let proxied = trusting.ask_at(outer, "GET", DASHBOARD, &claims, "").await;
    assert_eq!(proxied.status(), 200);
}

#[tokio::test]
async fn without_a_token_only_what_is_wrong_is_shown_and_nothing_is_redirected() {
    let held = Held::start().await;
    let status = &held.node.context.status;
    status.raise(&Topic::Token, Severity::Critical, "the token file holds <two> users");
    status.raise(&Topic::Primary, Severity::Warning, "the primary does not answer");
    held.node.token.send_replace(None);
    for path in [DASHBOARD, &format!("{PREFIX}/admin/login"), "/go/pipelines"] {
        for headers in ["", "X-Forwarded-For: 192.0.2.1\r\n", &common::authorization()] {
            let page = held.ask("GET", path, &format!("{headers}Accept: text/html\r\n")).await;
            assert_eq!(page.status(), 503, "{path}");
            assert_eq!(page.header("location"), None, "{path}");
            let text = String::from_utf8_lossy(page.body()).into_owned();
            assert!(text.contains("holds &#60;two&#62; users"), "{path}: {text}");
            let json = held.ask("GET", path, headers).await;
            assert_eq!(
                json.json()["problems"],
                serde_json::json!(["the token file holds <two> users", "the primary does not answer"]),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn a_tls_port_that_cannot_open_is_named_to_anybody_and_nothing_else_is() {
    let held = Held::start().await;
    let status = &held.node.context.status;
    status.update(|status| status.listening = None);
    status.raise(
        &Topic::Port("bc.listen".to_owned()),
        Severity::Critical,
        "port 8155 is in use",
    );
    status.raise(&Topic::Primary, Severity::Warning, "the primary shows another key");
    for path in [DASHBOARD, "/go/pipelines"] {
        let answer = held.ask("GET", path, "X-Forwarded-For: 192.0.2.1\r\n").await;
        assert_eq!(answer.status(), 503, "{path}");
        assert_eq!(
            answer.json()["problems"],
            serde_json::json!(["port 8155 is in use"]),
            "{path}"
        );
    }
    assert_eq!(held.ask("GET", DASHBOARD, &common::authorization()).await.status(), 200);
}

#[tokio::test]
async fn gocd_finds_its_port_free_and_no_connection_left() {
    let held = Held::start().await;
    let mut idle = TcpStream::connect(held.port).await.expect("connect");
    let mut half = TcpStream::connect(held.port).await.expect("connect");
    half.write_all(b"GET /go/api/v1/hea").await.expect("send");
    // Both are known to the server once a later connection has been answered.
    assert_eq!(held.ask("GET", "/go/api/v1/health", "").await.status(), 503);
    let mut first = [0];
    let open = timeout(Duration::from_millis(200), idle.read(&mut first)).await;
    assert!(open.is_err(), "open until told to stop: {open:?}");

    held.stop.cancel();
    timeout(Duration::from_secs(4), held.served)
        .await
        .expect("ends in time")
        .expect("no panic");
    for stream in [&mut idle, &mut half] {
        let read = timeout(Duration::from_secs(2), stream.read(&mut first))
            .await
            .expect("closed");
        assert_eq!(read.unwrap_or(0), 0, "closed without a byte");
    }
    assert!(TcpStream::connect(held.port).await.is_err(), "the port refuses");
    held::bind(held.port).await.expect("free at once");
}

#[tokio::test]
async fn a_port_that_gocd_or_another_has_is_named_by_gocds_property() {
    let held = Held::start().await;
    let error = held::bind(held.port).await.expect_err("taken");
    assert_eq!(error.kind(), error::Kind::Busy);
    assert_eq!(
        error.message(),
        format!("port {} (cruise.server.port) is in use", held.port.port())
    );
    assert!(error.guidance().contains("ss -ltnp"), "{}", error.guidance());
}
