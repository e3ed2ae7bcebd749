//! A server that was replaced cannot come back by itself: two whole nodes without a JVM. `gocd-bc primary` in the folder
//! of the old primary is its reboot.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use bc_testkit::fault_proxy::{Fault, FaultProxy};
use pair::{
    Foreground, PRIMARY_STATE, STANDBY_STATE, boot_in_either_order, fenced, knows_its_standby, pair, pair_with,
    primary_in, promote, status, wait_for,
};
use serde_json::Value;
use support::{Answer, Place};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

fn problem(status: &Value, topic: &str) -> Option<(String, String)> {
    let found = status["problems"]
        .as_array()?
        .iter()
        .find(|problem| problem["topic"] == topic)?;
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    Some((text("severity"), text("message")))
}

fn runs(place: &Place, node: &str) -> Value {
    wait_for("it runs as the primary", || {
        let status = status(place, node);
        (status["role"] == "primary" && status["phase"] == "running").then_some(status)
    })
}

/// A pair whose standby keeps its port when it is promoted.
fn steady_pair(place: &Place) -> (Foreground, Foreground, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = format!("bc.listen={}", listener.local_addr().expect("bound"));
    drop(listener);
    pair_with(place, &["--property", &listen])
}

/// A pair whose standby was promoted while its primary was down, and the address of that one.
fn replaced(place: &Place) -> (Foreground, String) {
    let (first, following, address) = steady_pair(place);
    knows_its_standby(place);
    let (_, log) = first.end();
    assert!(log.contains("primary"), "{log}");
    promote(place);
    runs(place, "standby");
    (following, address)
}

/// Where a node listens.
fn address_of(place: &Place, node: &str) -> String {
    let status = status(place, node);
    status["listening"].as_str().expect("listens").to_owned()
}

#[test]
fn an_old_primary_that_boots_again_is_fenced_and_says_who_took_over_and_what_to_do() {
    let place = Place::new();
    let (_winner, address) = replaced(&place);
    let begun = Instant::now();
    let old = primary_in(&place, "primary", &address, &[]);
    let shown = fenced(&place, "primary");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let (severity, message) = problem(&shown, "fenced").expect("said");
    assert_eq!(severity, "CRITICAL");
    let winner = status(&place, "standby");
    for part in [
        &format!("node {:.8}", winner["node_id"].as_str().expect("an id")),
        "took over with epoch 2",
        &format!("at https://{}", winner["listening"].as_str().expect("listens")),
        "seen at 20",
        "`gocd-bc demote`",
        "`gocd-bc promote --take-over --accept-loss`",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(shown["fenced_by"]["epoch"]["number"], 2, "{shown}");
    let record = fs::read_to_string(place.path(&format!("{PRIMARY_STATE}/role"))).expect("read");
    assert!(
        record.contains("role=fenced") && record.contains("hold=yes"),
        "{record}"
    );
    let listed = wait_for("it is in the history", || {
        let listed = place.run(&["history", "--state-dir", PRIMARY_STATE]);
        listed.stdout.contains("fence https://").then_some(listed)
    });
    assert!(listed.stdout.contains("epoch=2"), "{listed:?}");
    let (_, log) = old.end();
    assert!(log.contains("CRITICAL this server is fenced"), "{log}");

    // The other one gone too: it stays what it is.
    let _again = primary_in(&place, "primary", &address, &[]);
    assert_eq!(
        problem(&fenced(&place, "primary"), "fenced").map(|(_, message)| message),
        Some(message)
    );
    runs(&place, "standby");
}

#[test]
fn one_that_finds_itself_replaced_when_it_opens_is_in_the_history_once() {
    let place = Place::new();
    let (winner, address) = replaced(&place);
    let old = primary_in(&place, "primary", &address, &[]);
    fenced(&place, "primary");
    old.end();
    winner.end();
    // As after a power cut between what it writes of the higher epoch and its record.
    let state = place.path(PRIMARY_STATE);
    fs::write(state.join("role"), "role=primary\nflag=none\nhold=no\n").expect("write");
    fs::remove_file(state.join("audit.jsonl")).expect("remove");
    let lines = || {
        let listed = place.run(&["history", "--state-dir", PRIMARY_STATE]).stdout;
        listed.lines().filter(|line| line.contains("fence https://")).count()
    };
    let old = primary_in(&place, "primary", &address, &[]);
    fenced(&place, "primary");
    wait_for("it is in the history", || (lines() == 1).then_some(()));
    old.end();
    let old = primary_in(&place, "primary", &address, &[]);
    fenced(&place, "primary");
    old.end();
    assert_eq!(lines(), 1, "it was fenced already");
}

#[test]
fn where_peers_answer_a_start_takes_less_than_a_second_more_and_where_none_does_it_takes_the_wait() {
    let place = Place::new();
    let (first, following, address) = pair(&place);
    knows_its_standby(&place);
    let (_, log) = first.end();
    assert!(!log.contains("GoCD waits"), "nobody was known: {log}");
    let again = primary_in(&place, "primary", &address, &[]);
    runs(&place, "primary");
    let (_, log) = again.end();
    let at = |text: &str| {
        let line = log
            .lines()
            .find(|line| line.contains(text))
            .unwrap_or_else(|| panic!("{text}: {log}"));
        let seconds = line
            .get(17..23)
            .and_then(|text| text.parse::<f64>().ok())
            .expect("a time");
        seconds
            + 60.0
                * line
                    .get(14..16)
                    .and_then(|text| text.parse::<f64>().ok())
                    .expect("a time")
    };
    let took = at("this node goes on as the primary") - at("GoCD waits");
    assert!((0.0..1.0).contains(&took), "{took} s: {log}");
    following.end();
    let begun = Instant::now();
    let alone = primary_in(&place, "primary", &address, &[]);
    let waiting = wait_for("it says what it waits for", || {
        let status = status(&place, "primary");
        (status["phase"] == "starting").then_some(status)
    });
    assert!(
        waiting["deciding"]["peers"][0]
            .as_str()
            .is_some_and(|url| url.contains("127.0.0.1")),
        "{waiting}"
    );
    runs(&place, "primary");
    assert!(begun.elapsed() >= Duration::from_millis(2400), "{:?}", begun.elapsed());
    let (_, log) = alone.end();
    assert!(log.contains("could be asked whether they were promoted"), "{log}");
}

#[test]
fn both_boot_and_exactly_the_one_with_the_higher_epoch_runs_in_either_order() {
    let place = Place::new();
    let (winner, address) = replaced(&place);
    let of_winner = address_of(&place, "standby");
    winner.end();
    let nodes = [("standby", of_winner.as_str()), ("primary", address.as_str())];
    boot_in_either_order(&place, nodes, 2, || {
        // As it was before it learnt of the other one.
        let state = place.path(PRIMARY_STATE);
        fs::write(state.join("role"), "role=primary\nflag=none\nhold=no\n").expect("write");
        fs::remove_file(state.join("ledger.json")).expect("remove");
    });
}

/// Where a node is reached only while this lets connections pass.
fn cut_off(place: &Place) -> (Foreground, Foreground, FaultProxy) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let behind = listener.local_addr().expect("bound");
    drop(listener);
    let line = FaultProxy::start(behind);
    let (listen, shown) = (
        format!("bc.listen={behind}"),
        format!("bc.external.url=https://{}", line.address()),
    );
    let (first, following, _) = pair_with(place, &["--property", &listen, "--property", &shown]);
    (first, following, line)
}

#[test]
fn a_primary_that_was_only_cut_off_ends_within_fifteen_seconds_of_the_line_healing() {
    let place = Place::new();
    let (old, _winner, line) = cut_off(&place);
    knows_its_standby(&place);
    let heard = wait_for("the peers are asked while it runs", || {
        let status = status(&place, "primary");
        (status["peers"][0]["said"] == "agrees").then_some(status)
    });
    assert_eq!(heard["peers"][0]["role"], "standby", "{heard}");
    line.set(Fault::Cut);
    promote(&place);
    runs(&place, "standby");
    assert_eq!(runs(&place, "primary")["epoch"]["number"], 1, "nothing tells it yet");
    address_of(&place, "primary");
    line.set(Fault::None);
    let healed = Instant::now();
    let shown = fenced(&place, "primary");
    assert!(healed.elapsed() < Duration::from_secs(15), "{:?}", healed.elapsed());
    let (severity, message) = problem(&shown, "fenced").expect("said");
    assert!(
        severity == "CRITICAL" && message.contains("took over with epoch 2"),
        "{message}"
    );
    let (_, log) = old.end();
    assert!(log.contains("GoCD ends here now (bc.fence=exit)"), "{log}");
}

#[test]
fn with_warn_a_replaced_primary_runs_on_and_gives_out_nothing() {
    let place = Place::new();
    let (first, _winner, address) = steady_pair(&place);
    knows_its_standby(&place);
    first.end();
    let _old = primary_in(&place, "primary", &address, &["--property", "bc.fence=warn"]);
    runs(&place, "primary");
    promote(&place);
    let shown = wait_for("it says so", || {
        let status = status(&place, "primary");
        (status["role"] == "fenced").then_some(status)
    });
    assert_eq!(shown["phase"], "running", "{shown}");
    let asked = place.run(&["sync", "--state-dir", STANDBY_STATE]);
    assert_ne!(asked.code, 0, "it is a primary: {asked:?}");
    let message = wait_for("it is said", || problem(&status(&place, "primary"), "fenced"));
    assert_eq!(message.0, "CRITICAL");
}

#[test]
fn a_state_folder_from_before_the_promotion_changes_nothing() {
    let place = Place::new();
    let (first, following, address) = steady_pair(&place);
    knows_its_standby(&place);
    first.end();
    let copy = place.path("before");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([place.path(PRIMARY_STATE), copy.clone()])
        .status();
    assert!(copied.expect("runs").success());
    promote(&place);
    runs(&place, "standby");
    let old = primary_in(&place, "primary", &address, &[]);
    fenced(&place, "primary");
    old.end();
    // Restored from a snapshot.
    fs::remove_dir_all(place.path(PRIMARY_STATE)).expect("remove");
    fs::rename(copy, place.path(PRIMARY_STATE)).expect("restore");
    let old = primary_in(&place, "primary", &address, &[]);
    fenced(&place, "primary");
    old.end();
    // Lost as a whole: whom to ask is in the settings alone, and a key of its own is not trusted there.
    fs::remove_dir_all(place.path(PRIMARY_STATE)).expect("remove");
    let of_winner = address_of(&place, "standby");
    let peers = format!("bc.peers=https://{of_winner}");
    let _old = primary_in(&place, "primary", &address, &["--property", &peers]);
    fenced(&place, "primary");
    drop(following);
}

#[test]
fn a_damaged_epoch_file_is_never_taken_for_a_new_node() {
    let place = Place::new();
    let (first, following, address) = steady_pair(&place);
    knows_its_standby(&place);
    let ledger = place.path(&format!("{PRIMARY_STATE}/ledger.json"));
    let damage = || fs::write(&ledger, "{").expect("write");
    first.end();
    damage();
    // Its standby answers and agrees, and what it gave out says where its numbers go on: nothing is lost but time.
    let again = primary_in(&place, "primary", &address, &[]);
    assert_eq!(runs(&place, "primary")["epoch"]["number"], 1);
    let (severity, message) = problem(&status(&place, "primary"), "epochs").expect("said");
    assert!(
        severity == "CRITICAL" && message.contains("ledger.damaged-1"),
        "{message}"
    );
    pair::comment_of(&place, "primary", "after the damage");
    wait_for("the standby follows on", || {
        pair::config(&place, "standby")
            .contains("after the damage")
            .then_some(())
    });
    again.end();
    // Replaced meanwhile, with the file damaged: fenced as with a whole one.
    promote(&place);
    runs(&place, "standby");
    damage();
    let _old = primary_in(&place, "primary", &address, &[]);
    fenced(&place, "primary");
    drop(following);
}

/// What the primary says once it stays held, and its log so far.
fn held(place: &Place) -> String {
    wait_for("it stays held", || {
        let status = status(place, "primary");
        let (severity, message) = problem(&status, "guard")?;
        assert_eq!(
            (status["phase"].as_str(), &*severity),
            (Some("holding"), "CRITICAL"),
            "{message}"
        );
        Some(message)
    })
}

#[test]
fn an_answer_without_proof_holds_until_a_person_goes_on_without_it() {
    let place = Place::new();
    let (first, following, address) = steady_pair(&place);
    knows_its_standby(&place);
    let of_standby = address_of(&place, "standby");
    let peer = format!("https://{of_standby}");
    first.end();
    // Whoever is asked with a wrong token answers later from question to question, up to 2 s.
    let longer = ["--property", "bc.guard.wait=6000"];

    // Another token: the standby refuses ours.
    let token = "primary/config/business-continuity-token";
    let right = fs::read_to_string(place.path(token)).expect("read");
    place.file(token, "somebody = else-with-a-long-password", support::NOBODY);
    let node = primary_in(&place, "primary", &address, &longer);
    let message = held(&place);
    assert!(
        message.contains("refuses our token") && message.contains(&format!("`gocd-bc guard ignore {peer}`")),
        "{message}"
    );
    let wrong = place.run(&["guard", "ignore", "https://nobody:1", "--state-dir", PRIMARY_STATE]);
    assert!(wrong.code == 1 && wrong.stderr.contains(&peer), "{wrong:?}");
    let ignored = place.run(&["guard", "ignore", &peer, "--state-dir", PRIMARY_STATE]);
    assert_eq!(ignored.code, 0, "{ignored:?}");
    runs(&place, "primary");
    let history = fs::read_to_string(place.path(&format!("{PRIMARY_STATE}/audit.jsonl"))).expect("audited");
    assert!(history.contains("ignore-peer") && history.contains(&peer), "{history}");
    node.end();

    // For that start alone; and what is put right lets it start by itself.
    let node = primary_in(&place, "primary", &address, &longer);
    held(&place);
    place.file(token, &right, support::NOBODY);
    runs(&place, "primary");
    node.end();
    following.end();

    // Nonsense in the place of the peer.
    let listener = TcpListener::bind(&of_standby).expect("free");
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut request = [0; 64];
            let _ = connection.read(&mut request);
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        }
    });
    let _node = primary_in(&place, "primary", &address, &longer);
    let message = held(&place);
    assert!(message.contains("gocd-bc guard ignore"), "{message}");
}

#[test]
fn another_server_in_the_place_of_a_peer_proves_nothing() {
    let place = Place::new();
    let (first, following, address) = steady_pair(&place);
    knows_its_standby(&place);
    let of_standby = address_of(&place, "standby");
    first.end();
    following.end();
    pair::gocd(&place, "other");
    for name in ["cruise-config.xml", "business-continuity-token"] {
        let text = fs::read_to_string(place.path(&format!("primary/config/{name}"))).expect("read");
        place.file(&format!("other/config/{name}"), &text, support::NOBODY);
    }
    let _other = primary_in(&place, "other", &of_standby, &[]);
    wait_for("it listens", || status(&place, "other")["listening"].as_str().map(drop));
    let _node = primary_in(&place, "primary", &address, &[]);
    let message = held(&place);
    assert!(message.contains("shows the key"), "{message}");
}

#[test]
fn strict_waits_for_all_peers_and_so_does_a_list_of_them_that_is_damaged() {
    let place = Place::new();
    let (first, following, address) = steady_pair(&place);
    knows_its_standby(&place);
    let of_standby = address_of(&place, "standby");
    first.end();
    following.end();
    let node = primary_in(&place, "primary", &address, &["--property", "bc.guard=strict"]);
    let message = held(&place);
    assert!(
        message.contains("bc.guard=strict") && message.contains(&of_standby),
        "{message}"
    );
    node.end();
    let file = place.path(&format!("{PRIMARY_STATE}/known-peers.json"));
    let mut text = fs::read(&file).expect("read");
    text[20] ^= 1;
    fs::write(&file, &text).expect("write");
    let node = primary_in(&place, "primary", &address, &[]);
    let message = held(&place);
    assert!(message.contains("gocd-bc guard ignore known-peers.json"), "{message}");
    let (severity, _) = problem(&status(&place, "primary"), "known peers").expect("named");
    assert_eq!(severity, "CRITICAL");
    let ignored = place.run(&["guard", "ignore", "known-peers.json", "--state-dir", PRIMARY_STATE]);
    assert_eq!(ignored.code, 0, "{ignored:?}");
    runs(&place, "primary");
    node.end();
    // The next start is not held by it any more.
    let aside = place.path(&format!("{PRIMARY_STATE}/known-peers.damaged"));
    assert_eq!(fs::read(aside).expect("kept aside"), text);
    let _again = primary_in(&place, "primary", &address, &[]);
    runs(&place, "primary");
}

#[test]
fn two_primaries_in_one_epoch_hold_both() {
    let place = Place::new();
    let (first, following, address) = steady_pair(&place);
    knows_its_standby(&place);
    let of_standby = address_of(&place, "standby");
    following.end();
    // What a person does who takes the record and the flag away.
    for name in ["role", "ledger.json"] {
        fs::remove_file(place.path(STANDBY_STATE).join(name)).expect("remove");
    }
    first.end();
    let one = primary_in(&place, "primary", &address, &["--property", "bc.guard.wait=30000"]);
    let peers = format!("bc.peers=https://{address}");
    let _other = primary_in(&place, "standby", &of_standby, &["--property", &peers]);
    let message = held(&place);
    assert!(
        message.contains("claims to be the primary as well") && message.contains("`gocd-bc promote --take-over`"),
        "{message}"
    );
    let (severity, message) = wait_for("the other one holds too", || {
        problem(&status(&place, "standby"), "guard").filter(|_| status(&place, "standby")["phase"] == "holding")
    });
    assert!(
        severity == "CRITICAL" && message.contains("claims to be the primary as well"),
        "{severity} {message}"
    );
    for node in ["primary", "standby"] {
        let held = status(&place, node);
        assert!(
            held["sync"].is_null() && held["listening"].is_string(),
            "nothing is synced either way: {held:#}"
        );
    }
    drop(one);
}

fn on_old(place: &Place, arguments: &[&str]) -> Answer {
    place.run(&[arguments, &["--state-dir", PRIMARY_STATE]].concat())
}

#[test]
fn a_fenced_server_becomes_the_standby_of_the_one_that_took_over() {
    let place = Place::new();
    let (_winner, address) = replaced(&place);
    let old = primary_in(&place, "primary", &address, &[]);
    fenced(&place, "primary");
    let demoted = on_old(&place, &["demote"]);
    assert_eq!(demoted.code, 0, "{demoted:?}");
    assert!(
        demoted
            .stdout
            .contains("restart it, and it will follow https://127.0.0.1:")
            && demoted.stdout.contains("setup database-standby --reseed"),
        "{demoted:?}"
    );
    old.end();
    let _standby = primary_in(&place, "primary", &address, &[]);
    wait_for("it follows", || {
        let status = status(&place, "primary");
        (status["role"] == "standby" && status["sync"]["in_sync"] == true).then_some(())
    });
    pair::comment_of(&place, "standby", "of the new primary");
    wait_for("an edit of the new primary arrives", || {
        pair::config(&place, "primary")
            .contains("of the new primary")
            .then_some(())
    });
}

#[test]
fn a_fenced_server_is_the_primary_again_only_deliberately_and_the_other_one_is_fenced_then() {
    let place = Place::new();
    let (winner, address) = replaced(&place);
    let of_winner = address_of(&place, "standby");
    let old = primary_in(&place, "primary", &address, &[]);
    fenced(&place, "primary");
    let back = ["promote", "--take-over", "--accept-loss", "--yes", "--wait", "60"];
    let alive = on_old(&place, &back);
    assert!(
        alive.code == 1 && alive.stderr.contains("answers as a primary"),
        "{alive:?}"
    );
    winner.end();
    let without = on_old(&place, &back[..2]);
    assert!(
        without.code == 1 && without.stderr.contains("--accept-loss"),
        "{without:?}"
    );
    let taken = on_old(&place, &back);
    assert_eq!(taken.code, 0, "{taken:?}");
    assert_eq!(runs(&place, "primary")["epoch"]["number"], 3);
    let winner = primary_in(&place, "standby", &of_winner, &[]);
    let shown = fenced(&place, "standby");
    assert_eq!(shown["fenced_by"]["epoch"]["number"], 3, "{shown}");
    assert_eq!(runs(&place, "primary")["epoch"]["number"], 3);
    winner.end();
    old.end();
    boot_in_either_order(&place, [("primary", &address), ("standby", &of_winner)], 3, || ());
}
