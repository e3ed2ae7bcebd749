//! The doctor where nobody answers: networks that drop, servers that are frozen, listeners that say nothing. It is over in
//! time, says who was silent, and claims nothing.
#![cfg(target_os = "linux")]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use bc_testkit::postgres::Postgres;
use network::Network;
use pair::{Foreground, STANDBY_STATE, folders, standby, status, wait_for};
use serde_json::Value;
use support::{Answer, NOBODY, Place};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/network.rs"]
mod network;
#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// All is to be said by then.
const IN_TIME: Duration = Duration::from_secs(10);
/// A machine that drops whatever comes.
const DROPPED: &str = "10.99.0.2";

/// A network in which every packet to [`DROPPED`] is lost.
fn black_hole() -> Network {
    // A bridge without any port has no carrier, and no neighbour has to be asked for.
    Network::open(&format!(
        "ip link add hole type bridge && ip addr add 10.99.0.1/24 dev hole && ip link set hole up && ip neigh add {DROPPED} \
         lladdr 02:00:00:00:00:02 dev hole nud permanent"
    ))
}

/// The arguments of the doctor of a standby beside the cluster of `server`.
fn arguments(server: &Postgres) -> Vec<String> {
    let data = server.data().display().to_string();
    ["doctor", "--json", "--state-dir", STANDBY_STATE, "--pgdata", &data]
        .map(str::to_owned)
        .into()
}

/// Runs the doctor, and sees to it that it is over in time.
fn examined(what: &str, mut command: Command) -> Answer {
    let begun = Instant::now();
    let answer = Answer::of(command.output());
    println!("doctor_ms {} ({what})", begun.elapsed().as_millis());
    assert!(begun.elapsed() < IN_TIME, "{what}: {:?}", begun.elapsed());
    assert_eq!(answer.code, 2, "{what}: {answer:?}");
    answer
}

fn level(answer: &Answer, name: &str) -> Option<Value> {
    let json = answer.json();
    let mut findings = json["findings"].as_array().expect("a list").iter();
    findings
        .find(|finding| finding["name"] == name)
        .map(|finding| finding["level"].clone())
}

/// A standby that says of its primary and of its database that they do not answer.
fn wait_until_silence_is_known(place: &Place) {
    wait_for("the standby to know that nobody answers", || {
        let status = status(place, "standby");
        let problems = status["problems"].as_array()?;
        let says = |topic: &str| {
            problems
                .iter()
                .any(|problem| problem["topic"] == topic && problem["severity"] == "CRITICAL")
        };
        (says("database") && says("primary")).then_some(())
    });
}

fn database_at(place: &Place, address: &str) {
    let text = format!("db.url=jdbc:postgresql://{address}/cruise\ndb.user=gocd\ndb.password=hush\n");
    place.file("standby/config/db.properties", &text, NOBODY);
}

/// What a node is told of a primary whose key it trusts.
const SETTINGS: [&str; 4] = [
    "--property",
    "bc.primary.fingerprint=0000000000000000000000000000000000000000000000000000000000000000",
    "--property",
    "bc.primary.status.check.interval=1000",
];

#[test]
fn a_network_that_drops_everything_is_said_in_time() {
    let place = Place::new();
    let hole = black_hole();
    let primary = Postgres::primary();
    let server = Postgres::standby_of(&primary);
    folders(&place);
    database_at(&place, DROPPED);
    let _node = Foreground::start(hole.inside(&pair::standby_command(
        &place,
        "standby",
        &format!("https://{DROPPED}:8155"),
        &SETTINGS,
    )));
    server.follow_otherwise(
        "primary_conninfo",
        &format!("host={DROPPED} user=postgres connect_timeout=60"),
    );
    wait_until_silence_is_known(&place);
    let arguments = arguments(&server);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let answer = examined("the network drops", hole.inside(&place.command(&arguments)));
    for check in ["other-node", "database-answers", "replication"] {
        assert_eq!(level(&answer, check), Some("CRITICAL".into()), "{check}: {answer:?}");
    }
    for check in ["gocd-version", "plugin-version"] {
        assert_eq!(level(&answer, check), Some("UNKNOWN".into()), "{check}: {answer:?}");
    }
}

#[test]
fn servers_that_are_frozen_are_said_in_time() {
    let place = Place::new();
    let primary = Postgres::primary();
    let server = Postgres::standby_of(&primary);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    folders(&place);
    place.file("standby/config/db.properties", &server.properties(), NOBODY);
    let url = format!("https://{}", silent.local_addr().expect("bound"));
    let _node = standby(&place, &url, &SETTINGS);
    primary.freeze(true);
    let arguments = arguments(&server);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The standby's still answers, and still believes that it streams.
    let answer = examined("the primary's database is frozen", place.command(&arguments));
    assert_eq!(
        level(&answer, "database-answers"),
        Some("CRITICAL".into()),
        "{answer:?}"
    );
    server.freeze(true);
    wait_until_silence_is_known(&place);
    let answer = examined("both databases are frozen", place.command(&arguments));
    for check in ["other-node", "database-answers", "cluster-runs"] {
        assert_eq!(level(&answer, check), Some("CRITICAL".into()), "{check}: {answer:?}");
    }
    for check in ["cluster-rules", "cluster-settings"] {
        assert_eq!(level(&answer, check), Some("UNKNOWN".into()), "{check}: {answer:?}");
    }
    server.freeze(false);
    primary.freeze(false);
}

#[test]
fn listeners_that_say_nothing_are_said_in_time() {
    let place = Place::new();
    let primary = Postgres::primary();
    let server = Postgres::standby_of(&primary);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("bound");
    folders(&place);
    database_at(&place, &address.to_string());
    let _node = standby(&place, &format!("https://{address}"), &SETTINGS);
    server.follow_otherwise(
        "primary_conninfo",
        &format!("host=127.0.0.1 port={} user=postgres", address.port()),
    );
    wait_until_silence_is_known(&place);
    let arguments = arguments(&server);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let answer = examined("a listener says nothing", place.command(&arguments));
    for check in ["other-node", "database-answers", "replication"] {
        assert_eq!(level(&answer, check), Some("CRITICAL".into()), "{check}: {answer:?}");
    }
}

#[test]
fn where_gocd_is_down_its_database_is_looked_at_all_the_same() {
    let place = Place::new();
    let server = Postgres::primary();
    folders(&place);
    let properties = |text: &str| drop(place.file("standby/config/db.properties", text, NOBODY));
    properties(&server.properties());
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}", nobody.local_addr().expect("bound"));
    // It leaves a state folder behind.
    let node = standby(&place, &url, &SETTINGS);
    wait_for("the node", || status(&place, "standby").is_object().then_some(()));
    drop(node.end());
    let arguments = ["doctor", "--json", "--state-dir", STANDBY_STATE];
    let examined = |what: &str| examined(what, place.command(&arguments));
    let is_silent = |answer: &Answer| assert_eq!(level(answer, "node-answers"), Some("CRITICAL".into()), "{answer:?}");

    let answer = examined("GoCD is down");
    is_silent(&answer);
    let host = answer.json()["host"].to_string();
    assert!(host.contains("GoCD's database: ") && host.contains("primary"), "{host}");
    assert_eq!(level(&answer, "database-answers"), None, "{answer:?}");

    server.freeze(true);
    let answer = examined("GoCD is down and its database is frozen");
    is_silent(&answer);
    assert_eq!(level(&answer, "database-answers"), Some("WARNING".into()), "{answer:?}");
    assert_eq!(level(&answer, "collations"), Some("UNKNOWN".into()), "{answer:?}");
    server.freeze(false);

    properties(&server.properties_as("gocd", "another-password"));
    let answer = examined("GoCD is down and cannot log in to its database");
    is_silent(&answer);
    assert!(level(&answer, "database-answers").is_some(), "{answer:?}");
    assert!(!answer.stdout.contains("another-password"), "{answer:?}");

    properties("db.url=jdbc:postgresql://127.0.0.1:x/cruise\n");
    let answer = examined("GoCD is down and its db.properties is wrong");
    is_silent(&answer);
    assert_eq!(
        level(&answer, "database-settings"),
        Some("CRITICAL".into()),
        "{answer:?}"
    );
}
