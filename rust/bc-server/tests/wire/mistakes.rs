//! Mistakes in the settings of whole nodes: what they open, whom they trust, what they show.

use std::net::{TcpListener, TcpStream};

use bc_core::{basics::Severity, status::Status};
use bc_testkit::gocd_dir::GocdDir;

use crate::whole::{Whole, is_in_sync};

const SECRET: &str = "Kennwort-im-falschen-Feld";

fn problem<'a>(status: &'a Status, topic: &str) -> Option<&'a str> {
    let found = status
        .problems
        .iter()
        .find(|problem| problem.topic.to_string() == topic)?;
    assert_eq!(found.severity, Severity::Critical);
    Some(&found.message)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

#[test]
fn a_malformed_listen_address_opens_nothing() {
    for value in [&format!("127.0.0.1.example.org:{SECRET}"), "", "0.0.0.0:8155x"] {
        let node = Whole::open(GocdDir::new(), &[("bc.listen", value)]);
        let status = node.until("the mistake is said", |status| {
            problem(status, "setting bc.listen").is_some() && status.generation.is_some()
        });
        let said = problem(&status, "setting bc.listen").expect("just seen");
        assert!(said.contains("no Business Continuity port is opened"), "{said}");
        assert_eq!(status.listening, None, "{value}");
        assert!(TcpStream::connect(node.address()).is_err(), "{value}");
        let shown = serde_json::to_string(&status).expect("plain");
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[test]
fn a_malformed_fingerprint_trusts_not_even_the_peers_file() {
    let primary = Whole::primary();
    let key = primary.key().to_string();
    let url = format!("https://{}", primary.address());
    let dir = GocdDir::new();
    dir.copy_config_of(&primary.dir);
    let standby = Whole::open(
        dir,
        &[
            ("go.server.mode", "standby"),
            ("bc.primary.url", &url),
            ("bc.primary.fingerprint", &key[1..]),
        ],
    );
    let status = standby.until("the primary was refused", |status| problem(status, "primary").is_some());
    let said = problem(&status, "primary").expect("just seen");
    assert!(said.contains("bc.primary.fingerprint is malformed"), "{said}");
    assert!(problem(&status, "setting bc.primary.fingerprint").is_some());
    let shown = status.primary.expect("it has an address");
    assert!(
        !shown.trusted && !shown.connected && shown.last_exchange_ms.is_none(),
        "{shown:?}"
    );
}

#[test]
fn a_connection_in_the_clear_is_never_shown_as_trusted() {
    let plain = format!("127.0.0.1:{}", free_port());
    let primary = Whole::open(GocdDir::new(), &[("bc.listen.plain", &plain)]);
    primary.until("the primary offers", |status| status.generation.is_some());
    let dir = GocdDir::new();
    dir.copy_config_of(&primary.dir);
    let url = format!("http://{plain}");
    let standby = Whole::open(dir, &[("go.server.mode", "standby"), ("bc.primary.url", &url)]);
    let status = standby.until("in sync", is_in_sync);
    let shown = status.primary.expect("it answers");
    assert!(shown.connected && !shown.trusted, "{shown:?}");
    assert_eq!(shown.seen_fingerprint, None);
    assert!(shown.trust.contains("in the clear"), "{}", shown.trust);
}

#[test]
fn a_secret_in_an_address_is_refused_and_nowhere_shown() {
    let url = format!("https://user:{SECRET}@127.0.0.1:1");
    let node = Whole::open(
        GocdDir::new(),
        &[
            ("go.server.mode", "standby"),
            ("bc.primary.url", &url),
            ("bc.external.url", &url),
            ("bc.operator.group", &format!("x {SECRET}")),
        ],
    );
    let status = node.until("the mistake is said", |status| {
        problem(status, "setting bc.primary.url").is_some()
    });
    assert!(
        problem(&status, "setting bc.external.url").is_some(),
        "{:?}",
        status.problems
    );
    assert!(status.primary.is_none() && status.external_url.is_none());
    let shown = serde_json::to_string(&status).expect("plain");
    assert!(!shown.contains(SECRET), "{shown}");
}
