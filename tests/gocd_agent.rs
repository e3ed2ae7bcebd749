//! What GoCD's own agents, load balancers and people meet on GoCD's port while GoCD is held.
//!
//! An agent takes any HTTP status for the answer of a GoCD: it drops the output of a running build
//! (`ConsoleOutputTransmitter`), stores a 200 as its token (`TokenRequester`) and deletes its token after a 403
//! (`SslInfrastructureService`). So these tests look at every byte that comes.

use std::{
    io::{Read, Write},
    net::{IpAddr, TcpStream, UdpSocket},
    time::Duration,
};

use bc_testkit::{
    gocd_dir::GocdDir,
    http::{self, Answer},
    process::Process,
};
use bc_tests::Pair;
use serde_json::Value;

const START: Duration = Duration::from_secs(60);
const DASHBOARD: &str = "/go/add-on/business-continuity/admin/dashboard";

/// A held standby whose primary does not answer.
fn held(more: &[&str]) -> (GocdDir, Process) {
    let standby = GocdDir::with_jar();
    let jvm = standby.launch(
        "held standby",
        standby.java(17).args(GocdDir::standby_arguments(1)).args(more),
    );
    standby.wait_for_status("both ports are open", START, |status| {
        status["holding"].is_string() && status["listening"].is_string()
    });
    (standby, jvm)
}

fn ask(standby: &GocdDir, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let answer = http::plain(standby.gocd_port, method, path, headers, "")
        .unwrap_or_else(|| panic!("{method} {path}: no answer"));
    assert_common(&answer, path);
    answer
}

/// GoCD answers on this port later: nothing may be kept, and no connection.
fn assert_common(answer: &Answer, path: &str) {
    assert_eq!(answer.header("connection"), Some("close"), "{path}: {}", answer.head);
    assert_eq!(
        answer.header("cache-control"),
        Some("no-store"),
        "{path}: {}",
        answer.head
    );
    assert_eq!(answer.header("strict-transport-security"), None, "{path}");
    assert_eq!(answer.header("content-md5"), None, "{path}");
}

/// An address of this machine that is not loopback, where it has one. No packet is sent to find it.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn calls_of_agents_get_no_byte() {
    let (standby, _jvm) = held(&[]);
    let paths = [
        "/go/remoting",
        "/go/remoting/",
        "/go/remoting/api/agent/ping",
        "/go/remoting/api/agent/report_completed?x=1",
        "/go/remoting/files/up42/1/build/1/job/cruise-output/console.log?attempt=1",
        "/go/remoting;jsessionid=1/api/agent/ping",
        "/go/%72emoting/api/agent/ping",
        "/go/%2572emoting/api/agent/ping",
        "/go%2Fremoting/api/agent/ping",
        "//go//remoting//api/agent/ping",
        "/go/./remoting/api/agent/ping",
        "/go/api/../remoting/api/agent/ping",
        "/go/api/%2e%2e/remoting/api/agent/ping",
        "/go/api/..;/remoting/api/agent/ping",
        "/go/Remoting/api/agent/ping",
    ];
    for path in paths {
        for (method, headers, body) in [
            ("GET", "", ""),
            ("POST", "Content-Type: application/json\r\nContent-Length: 2\r\n", "{}"),
            ("PUT", "Content-Length: 1000\r\nExpect: 100-continue\r\n", ""),
            ("HEAD", "Connection: keep-alive\r\n", ""),
        ] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: standbygo\r\n{headers}\r\n{body}");
            let bytes = http::raw(standby.gocd_port, &request).expect("the port is open");
            assert!(bytes.is_empty(), "{method} {path}: {}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn what_an_agent_would_keep_is_refused_as_a_failure_that_passes() {
    let (standby, _jvm) = held(&[]);
    let paths = [
        "/go/admin/agent",
        "/go/admin/agent/token?uuid=x",
        "/go/admin/agent-plugins.zip",
        "/go/admin/agent-launcher.jar",
        "/go/admin/latest-agent.status",
        "/go/admin/tfs-impl.jar",
        "/go/admin/%61gent/token?uuid=x",
        "//go//admin//agent/token?uuid=x",
        "/go/admin/agent;a=b/token?uuid=x",
    ];
    for path in paths {
        for method in ["GET", "HEAD", "POST"] {
            let answer = ask(&standby, method, path, &[("Accept", "text/html, */*")]);
            assert_eq!(answer.status, 503, "{method} {path}");
            let kind = answer.header("content-type").unwrap_or_default();
            assert!(kind.starts_with("text/plain"), "{method} {path}: {}", answer.head);
            assert_eq!(answer.header("location"), None, "{method} {path}");
        }
    }
}

#[test]
fn probes_and_everything_else_say_that_this_is_a_standby() {
    let (standby, jvm) = held(&[]);
    let health = ask(&standby, "GET", "/go/api/v1/health", &[]);
    assert_eq!((health.status, health.body.as_str()), (503, "{\"health\":\"STANDBY\"}"));
    assert_eq!(health.header("content-type"), Some("application/json"));
    let seconds: u32 = health
        .header("retry-after")
        .expect("Retry-After")
        .parse()
        .expect("seconds");
    assert!(seconds > 0);
    assert_eq!(
        ask(&standby, "GET", "/go/add-on/business-continuity/live", &[]).status,
        200
    );
    assert_eq!(
        ask(&standby, "GET", "/go/add-on/business-continuity/ready", &[]).status,
        503
    );

    for path in [
        "/",
        "/go",
        "/go/",
        "/go/pipelines",
        "/go/api/version",
        "/go/auth/login",
        "/go/add-on/business-continuity/api/cruise_config",
    ] {
        let page = ask(&standby, "GET", path, &[("Accept", "text/html,application/xhtml+xml")]);
        assert_eq!(page.status, 503, "{path}");
        assert!(
            page.header("content-type")
                .is_some_and(|kind| kind.starts_with("text/html")),
            "{path}"
        );
        assert!(page.header("retry-after").is_some(), "{path}");
        assert!(
            page.body.contains("Standby: not in sync, GoCD is held"),
            "{path}: {}",
            page.body
        );

        let answer = ask(&standby, "GET", path, &[("Accept", "application/vnd.go.cd+json")]);
        assert_eq!(answer.status, 503, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
        let json: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(json["role"], "standby", "{path}");
        let message = json["message"].as_str().expect("a text");
        assert!(
            message.contains("GoCD does not run on this server"),
            "{path}: {message}"
        );
        assert_eq!(
            json["dashboard"],
            format!("https://localhost:{}{DASHBOARD}", standby.port),
            "{path}"
        );
    }
    assert!(!jvm.output().contains("gocd-host: launcher runs"));
}

#[test]
fn people_on_other_hosts_are_sent_to_the_encrypted_port() {
    let (standby, _jvm) = held(&[]);
    for header in [
        ("X-Forwarded-For", "203.0.113.9"),
        ("Forwarded", "for=203.0.113.9"),
        ("X-Forwarded-Proto", "http"),
    ] {
        let answer = ask(&standby, "GET", &format!("{DASHBOARD}?tab=files"), &[header]);
        assert_eq!(answer.status, 307, "{header:?}");
        let target = format!("https://localhost:{}{DASHBOARD}?tab=files", standby.port);
        assert_eq!(answer.header("location"), Some(target.as_str()), "{header:?}");
        assert_eq!(answer.header("set-cookie"), None, "{header:?}");
    }
    let forged = ask(
        &standby,
        "GET",
        DASHBOARD,
        &[("X-Forwarded-For", "203.0.113.9"), ("Host", "evil.example/x?")],
    );
    assert_ne!(forged.status, 200);
    assert!(!forged.head.contains("evil.example"), "{}", forged.head);

    if let Some(outer) = outer_address() {
        let mut stream = TcpStream::connect((outer, standby.gocd_port)).expect("GoCD's port is open to others");
        write!(stream, "GET {DASHBOARD} HTTP/1.1\r\nHost: standbygo:8153\r\n\r\n").expect("send");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer that ends");
        assert!(answer.starts_with("HTTP/1.1 307 "), "{answer}");
        let target = format!("location: https://standbygo:{}{DASHBOARD}\r\n", standby.port);
        assert!(answer.to_lowercase().contains(&target), "{answer}");
    }
}

#[test]
fn health_and_address_can_be_set() {
    let (standby, _jvm) = held(&["-Dbc.held.health=200", "-Dbc.external.url=https://dr.example.com:9443/"]);
    let health = ask(&standby, "GET", "/go/api/v1/health", &[]);
    assert_eq!((health.status, health.body.as_str()), (200, "{\"health\":\"STANDBY\"}"));
    assert_eq!(
        ask(&standby, "GET", "/go/add-on/business-continuity/ready", &[]).status,
        503
    );
    let answer = ask(&standby, "GET", DASHBOARD, &[("X-Forwarded-For", "203.0.113.9")]);
    assert_eq!(answer.status, 307);
    assert_eq!(
        answer.header("location"),
        Some(format!("https://dr.example.com:9443{DASHBOARD}").as_str())
    );
}

#[test]
fn after_a_promotion_gocd_itself_answers_on_the_port() {
    let pair = Pair::start(17);
    let standby = &pair.standby;
    assert_eq!(ask(standby, "GET", "/go/api/v1/health", &[]).status, 503);
    let promoted = standby.cli(&["promote", "--without-database"]);
    assert!(
        promoted.status.success(),
        "{}",
        String::from_utf8_lossy(&promoted.stderr)
    );
    standby.wait_for_gocd();
    let health = http::get(standby.gocd_port, "/go/api/v1/health").expect("GoCD answers");
    assert_eq!(health.status, 200);
    assert!(!health.body.contains("STANDBY"), "{}", health.body);
    standby.wait_for_status("the plugin's node runs", START, |status| status["face"] == "plugin");
    assert_eq!(
        http::get(standby.gocd_port, "/go/api/v1/health").map(|answer| answer.status),
        Some(200)
    );
}
