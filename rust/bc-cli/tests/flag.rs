//! A standby whose flag is gone: what it asks, what it makes of the answer, and what an administrator can do, as whole
//! nodes without a JVM. `gocd-bc primary` in the folder of a standby is a start without the flag.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    net::TcpListener,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use bc_core::{basics::Properties, node::Event, role::StateDir};
use bc_server::node::Node;
use pair::{
    CONFIG, Foreground, STANDBY_STATE, comment, config, folders, pair, primary_in, standby, status, wait_for,
    wait_until_on_standby,
};
use serde_json::Value;
use support::{Answer, NOBODY, Place};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// The standby's folder, started without the flag.
fn without_flag(place: &Place, settings: &[&str]) -> Foreground {
    let usual = ["--property", "bc.guard.wait=2500"];
    primary_in(place, "standby", "127.0.0.1:0", &[&usual[..], settings].concat())
}

fn on_standby(place: &Place, arguments: &[&str]) -> Answer {
    place.run(&[arguments, &["--state-dir", STANDBY_STATE]].concat())
}

/// The problem of this topic, once there is one for which `is_it` holds.
fn problem(place: &Place, topic: &str, is_it: impl Fn(&str) -> bool) -> (String, String) {
    wait_for(&format!("a problem of the topic {topic}"), || {
        let status = status(place, "standby");
        let problems = status["problems"].as_array()?;
        let found = problems.iter().find(|problem| problem["topic"] == topic)?;
        let message = found["message"].as_str()?.to_owned();
        is_it(&message).then(|| (found["severity"].as_str().unwrap_or_default().to_owned(), message))
    })
}

/// What is said once it is decided that it stays held.
fn held(place: &Place) -> String {
    let (severity, message) = problem(place, "flag", |message| message.contains("stays held"));
    assert_eq!(severity, "CRITICAL", "{message}");
    for part in [
        "-Dgo.server.mode=standby (recorded at 20",
        "`gocd-bc promote",
        "`gocd-bc demote --forget`",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let status = status(place, "standby");
    assert_eq!(
        (&status["role"], &status["phase"], &status["asks"]),
        (&"standby".into(), &"holding".into(), &Value::Null)
    );
    message
}

fn runs_as_primary(place: &Place) -> Value {
    wait_for("it runs as the primary", || {
        let status = status(place, "standby");
        (status["role"] == "primary" && status["phase"] == "running").then_some(status)
    })
}

#[test]
fn a_standby_whose_flag_is_gone_stays_held_and_follows_while_the_primary_answers() {
    let place = Place::new();
    let (primary, following, address) = pair(&place);
    following.end();
    let node = without_flag(&place, &[]);
    let message = held(&place);
    assert!(
        message.contains(&format!("https://{address} answers as the primary")),
        "{message}"
    );
    let record = fs::read_to_string(place.path(STANDBY_STATE).join("role")).expect("read");
    assert!(
        record.contains("role=standby") && record.contains("flag=property"),
        "{record}"
    );
    wait_until_on_standby(&place, &comment(&place, "it follows, by the address of its record"));

    // The way on for a machine that is to be something else.
    let forgotten = on_standby(&place, &["demote", "--forget"]);
    assert_eq!(forgotten.code, 0, "{forgotten:?}");
    assert!(
        forgotten.stdout.contains("starts as a primary, unless"),
        "{forgotten:?}"
    );
    let (code, log) = node.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stays held, since"), "{log}");
    // Not beside the one that runs, which goes on.
    let beside = without_flag(&place, &[]);
    let (_, message) = problem(&place, "guard", |message| {
        message.contains("claims to be the primary as well")
    });
    assert!(message.contains("gocd-bc demote"), "{message}");
    // Longer than from one question of a running primary to the next.
    thread::sleep(Duration::from_secs(12));
    let there = status(&place, "primary");
    assert_eq!(
        (&there["role"], &there["phase"]),
        (&"primary".into(), &"running".into())
    );
    assert!(!there["problems"].to_string().contains("\"guard\""), "{there}");
    beside.end();
    primary.end();
    let _alone = without_flag(&place, &[]);
    assert_eq!(runs_as_primary(&place)["epoch"]["number"], 1, "nobody promoted it");
}

#[test]
fn a_standby_that_is_demoted_needs_no_flag_and_asks_nobody() {
    let place = Place::new();
    let (_primary, following, _) = pair(&place);
    following.end();
    let node = without_flag(&place, &[]);
    held(&place);
    let demoted = on_standby(&place, &["demote"]);
    assert!(
        demoted.code == 0 && demoted.stdout.contains("with or without a flag"),
        "{demoted:?}"
    );
    node.end();
    let _again = without_flag(&place, &[]);
    wait_for("it follows", || {
        (status(&place, "standby")["sync"]["in_sync"] == true).then_some(())
    });
    let status = status(&place, "standby");
    assert_eq!(
        (&status["problems"], &status["flag"]),
        (&serde_json::json!([]), &"none".into())
    );
}

#[test]
fn who_is_demoted_under_a_flag_is_not_promoted_where_that_goes() {
    let place = Place::new();
    let (first, following, _) = pair(&place);
    let demoted = on_standby(&place, &["demote"]);
    assert!(
        demoted.code == 0 && demoted.stdout.contains("with or without a flag"),
        "{demoted:?}"
    );
    following.end();
    first.end();
    let _node = without_flag(&place, &[]);
    wait_for("it follows", || status(&place, "standby")["sync"].as_object().map(drop));
    // Longer than bc.guard.wait.
    thread::sleep(Duration::from_secs(4));
    let status = status(&place, "standby");
    assert_eq!(
        (&status["role"], &status["phase"], &status["asks"]),
        (&"standby".into(), &"holding".into(), &Value::Null)
    );
}

#[test]
fn a_standby_whose_flag_is_gone_promotes_itself_on_verified_files_where_nobody_answers_and_never_unseen() {
    let place = Place::new();
    let (first, following, _) = pair(&place);
    let right = config(&place, "standby");
    first.end();
    following.end();
    // The accident that takes the flag may leave more behind.
    place.file(&format!("standby/{CONFIG}"), "<cruise>half a co", NOBODY);
    let begun = Instant::now();
    let node = without_flag(&place, &[]);
    wait_for("it says what it waits for", || {
        let status = status(&place, "standby");
        (status["asks"].as_str()?.contains("asking the primary") && status["phase"] == "holding").then_some(())
    });
    let status = runs_as_primary(&place);
    assert!(
        begun.elapsed() >= Duration::from_millis(2000),
        "it waited for an answer"
    );
    assert_eq!(status["epoch"]["number"], 2);
    assert_eq!(config(&place, "standby"), right);
    let (severity, message) = problem(&place, "unordered promotion", |_| true);
    assert_eq!(severity, "CRITICAL");
    for part in [
        "promoted itself at 20",
        "epoch 2",
        "-Dgo.server.mode=standby",
        "verified files",
        "`gocd-bc acknowledge`",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let kept = on_standby(&place, &["generations", "list", "--json"]).json();
    assert_eq!(kept.as_array().map(Vec::len), Some(1), "its generations stay: {kept}");
    let aside = fs::read_dir(place.path(STANDBY_STATE).join("aside/edited")).expect("kept aside");
    let aside: Vec<_> = aside.flatten().map(|file| fs::read_to_string(file.path())).collect();
    assert!(
        aside.iter().flatten().any(|text| text == "<cruise>half a co"),
        "what was there is kept: {aside:?}"
    );
    wait_for("it is in the audit", || {
        let told = on_standby(&place, &["history"]).stdout;
        told.contains("this node itself  promote without-database  done")
            .then_some(())
    });

    let (_, log) = node.end();
    assert!(log.contains("CRITICAL this server promoted itself at"), "{log}");
    let node = without_flag(&place, &[]);
    problem(&place, "unordered promotion", |again| again == message);
    let acknowledged = on_standby(&place, &["acknowledge"]);
    assert_eq!(acknowledged.code, 0, "{acknowledged:?}");
    let problems = || pair::status(&place, "standby")["problems"].to_string();
    assert!(!problems().contains("promoted itself"), "{}", problems());
    node.end();
    let _node = without_flag(&place, &[]);
    assert_eq!(runs_as_primary(&place)["epoch"]["number"], 2);
    assert!(!problems().contains("promoted itself"), "{}", problems());
}

#[test]
fn whoever_answers_without_proof_holds_it() {
    let place = Place::new();
    let (first, following, address) = pair(&place);
    first.end();
    following.end();
    // Another server there: another key, the same token.
    pair::gocd(&place, "other");
    for name in ["cruise-config.xml", "business-continuity-token"] {
        let text = fs::read_to_string(place.path(&format!("primary/config/{name}"))).expect("read");
        place.file(&format!("other/config/{name}"), &text, NOBODY);
    }
    let other = primary_in(&place, "other", &address, &[]);
    wait_for("the other listens", || {
        status(&place, "other")["listening"].as_str().map(drop)
    });
    let node = without_flag(&place, &[]);
    let message = held(&place);
    assert!(message.contains("cannot be proven who that is"), "{message}");
    node.end();
    other.end();

    // Somebody who takes connections and says nothing of ours.
    let listener = TcpListener::bind(&address).expect("free");
    thread::spawn(move || listener.incoming().flatten().for_each(drop));
    let node = without_flag(&place, &[]);
    let message = held(&place);
    assert!(
        message.contains("does not answer") || message.contains("cannot be proven"),
        "{message}"
    );
    node.end();
}

#[test]
fn a_refused_token_holds_it_and_so_does_a_question_that_cannot_be_asked() {
    let place = Place::new();
    let (_primary, following, _) = pair(&place);
    following.end();
    let token = "standby/config/business-continuity-token";
    let right = fs::read_to_string(place.path(token)).expect("read");
    place.file(token, "somebody = else-with-a-long-password", NOBODY);
    let node = without_flag(&place, &[]);
    let message = held(&place);
    assert!(message.contains("refuses our token"), "{message}");
    node.end();
    fs::remove_file(place.path(token)).expect("remove");
    let node = without_flag(&place, &[]);
    let message = held(&place);
    assert!(message.contains("no valid token"), "{message}");
    node.end();

    // A record of the version before names no primary.
    place.file(token, &right, NOBODY);
    place.file(
        &format!("{STANDBY_STATE}/role"),
        "role=standby\nflag=property\n",
        NOBODY,
    );
    let _node = without_flag(&place, &[]);
    let (_, message) = problem(&place, "flag", |message| message.contains("stays held"));
    assert!(message.contains("not recorded which primary it followed"), "{message}");
}

#[test]
fn a_record_that_is_not_understood_opens_nothing_until_a_person_decides() {
    let place = Place::new();
    folders(&place);
    place.folder(STANDBY_STATE, NOBODY);
    place.file(&format!("{STANDBY_STATE}/role"), "role=king\n", NOBODY);
    let node = without_flag(&place, &[]);
    let (severity, message) = problem(&place, "role", |_| true);
    assert_eq!(severity, "CRITICAL");
    assert!(
        message.contains("role is `king`") && message.contains("gocd-bc demote --forget"),
        "{message}"
    );
    thread::sleep(Duration::from_millis(500));
    let held = status(&place, "standby");
    assert_eq!((&held["phase"], &held["sync"]), (&"holding".into(), &Value::Null));
    let refused = on_standby(&place, &["promote", "--without-database", "--wait", "30"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("--as-it-is"),
        "nothing was ever verified here: {refused:?}"
    );
    node.end();
    assert_eq!(
        fs::read_to_string(place.path(STANDBY_STATE).join("role")).expect("read"),
        "role=king\n",
        "nothing is lost of it"
    );
    let node = without_flag(&place, &["--property", "bc.primary.url=https://127.0.0.1:1"]);
    problem(&place, "role", |_| true);
    let followed = on_standby(&place, &["sync"]);
    assert!(
        followed.code == 1 && followed.stderr.contains("`gocd-bc status` says why") && !followed.stderr.contains("Run"),
        "this is the standby: {followed:?}"
    );
    let demoted = on_standby(&place, &["demote"]);
    assert!(
        demoted.code == 0 && demoted.stdout.contains("restart it, and it will follow"),
        "nobody follows before that: {demoted:?}"
    );
    node.end();
    place.file(&format!("{STANDBY_STATE}/role"), "role=king\n", NOBODY);
    // No node answers: root may all the same.
    let forgotten = on_standby(&place, &["demote", "--forget"]);
    if support::is_root() {
        assert_eq!(forgotten.code, 0, "{forgotten:?}");
        let _node = without_flag(&place, &[]);
        runs_as_primary(&place);
    } else {
        assert!(
            forgotten.code == 1 && forgotten.stderr.contains("root"),
            "{forgotten:?}"
        );
    }
}

#[test]
fn a_primary_goes_on_under_a_flag_that_went_and_holds_under_one_that_appeared() {
    let place = Place::new();
    let (first, following, address) = pair(&place);
    first.end();
    let promoted = on_standby(&place, &["promote", "--without-database", "--wait", "60"]);
    assert_eq!(promoted.code, 0, "{promoted:?}");
    following.end();
    let node = without_flag(&place, &[]);
    runs_as_primary(&place);
    node.end();
    let _held = standby(&place, &format!("https://{address}"), &[]);
    wait_for("a flag that appeared is an order", || {
        let status = status(&place, "standby");
        (status["role"] == "standby" && status["phase"] == "holding").then_some(())
    });
    // What it wrote as a primary is nobody's edit on a standby, and nothing verified that GoCD could start on.
    let refused = on_standby(&place, &["promote", "--without-database", "--wait", "30"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("--as-it-is"),
        "{refused:?}"
    );
}

/// A node as the plugin is one: in a GoCD that runs, without the agent.
fn plugin(place: &Place, folder: &Path) -> Node {
    let mut properties = Properties::from_iter([
        ("bc.face", "plugin"),
        ("bc.listen", "127.0.0.1:0"),
        ("cruise.server.port", "0"),
        ("bc.guard.wait", "1500"),
    ]);
    properties.set("user.dir", folder.display().to_string());
    properties.set(
        "cruise.config.file",
        place.path("standby/config/cruise-config.xml").display().to_string(),
    );
    Node::open(&properties).expect("opens")
}

/// The newest list of health messages that has this text.
fn health(node: &Node, text: &str) -> Vec<String> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < end, "no health message says {text}");
        if let Some(Event::Health(messages)) = node.next_event(Duration::from_millis(200))
            && messages.iter().any(|message| message.contains(text))
        {
            return messages;
        }
    }
}

#[test]
fn a_running_gocd_whose_flag_and_agent_are_gone_serves_nothing_before_it_has_asked() {
    let place = Place::new();
    let (first, following, _) = pair(&place);
    following.end();
    let folder = place.path("standby");
    let node = plugin(&place, &folder);
    let messages = health(&node, "two active servers");
    assert!(
        messages.iter().any(|message| message.starts_with("CRITICAL")),
        "{messages:?}"
    );
    let shown = status(&place, "standby");
    assert_eq!(
        (&shown["role"], &shown["generation"]),
        (&"standby".into(), &Value::Null)
    );
    node.close();

    first.end();
    // Another process has not let go of the state folder yet, as after a restart in a hurry.
    let lock = StateDir::open(&place.path(STANDBY_STATE)).expect("free");
    let node = plugin(&place, &folder);
    drop(lock);
    let messages = health(&node, "promoted itself");
    assert!(
        messages
            .iter()
            .any(|message| message.starts_with("CRITICAL") && message.contains("not verified")),
        "{messages:?}"
    );
    let serves = runs_as_primary(&place);
    assert_eq!(
        (&serves["face"], &serves["epoch"]["number"]),
        (&"plugin".into(), &2.into())
    );
    wait_for("it offers", || {
        status(&place, "standby")["generation"]["sequence"].as_u64()
    });
    node.close();
}
