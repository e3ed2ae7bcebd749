//! A pair of nodes beside real databases: what they say of these while all is well, and what when it is not.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use bc_core::database::lsn::Lsn;
use bc_testkit::{
    http::tls_client,
    postgres::{DATABASE, PASSWORD, Postgres},
};
use pair::{
    FIXTURE, Foreground, STANDBY_STATE, comment, gocd, pair, pair_with, primary_in, status, wait_for,
    wait_until_on_standby,
};
use serde_json::Value;
use support::{NOBODY, Place, is_root};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

fn properties(place: &Place, node: &str, server: &Postgres) {
    place.folder(node, NOBODY);
    place.folder(&format!("{node}/config"), NOBODY);
    place.file(&format!("{node}/config/db.properties"), &server.properties(), NOBODY);
}

/// What a node says of its database: the whole of it, and its problem.
fn said(place: &Place, node: &str) -> (Value, String) {
    let mut status = status(place, node);
    let problems = status["problems"].as_array().cloned().unwrap_or_default();
    let of_database = problems.iter().find(|problem| problem["topic"] == "database");
    let text = of_database.map(|problem| format!("{} {}", problem["severity"], problem["message"]));
    (status["database"].take(), text.unwrap_or_default())
}

#[test]
fn both_nodes_say_where_their_databases_are() {
    let place = Place::new();
    let primary = Postgres::primary();
    let standby = Postgres::standby_of(&primary);
    properties(&place, "primary", &primary);
    properties(&place, "standby", &standby);
    let (_first, _second, _url) = pair(&place);
    let seen = wait_for("the standby to know how far its database is", || {
        let (database, problem) = said(&place, "standby");
        let is_known = database["behind_bytes"] == 0 && database["behind_s"].as_u64()? <= 2;
        (is_known && problem.is_empty()).then_some(database)
    });
    assert_eq!(
        (&seen["following"], &seen["servers"][0]["role"]),
        (&"streaming".into(), &"standby".into())
    );
    let (there, problem) = said(&place, "primary");
    assert_eq!(
        (&there["servers"][0]["role"], problem.as_str()),
        (&"primary".into(), "")
    );
    assert_eq!(there["servers"][0]["system"], seen["servers"][0]["system"]);
    let shown = place.run(&["status", "--state-dir", STANDBY_STATE]);
    for words in [
        "Standby: in sync with the primary, database streaming, GoCD is held",
        "streaming, 0 bytes and ",
        "now loses nothing that the primary is known to have written",
    ] {
        assert!(shown.stdout.contains(words), "{words}: {shown:?}");
    }
    // As scripts for the original product ask.
    let (v1, _) = get(&place, "primary", "/api/latest_database_wal_location");
    assert!(v1.parse::<Lsn>().is_ok(), "{v1}");
    let (json, _) = get(&place, "standby", "/admin/dashboard.json");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    for (side, field) in [
        ("primaryServerDetails", "latestDatabaseWalLocation"),
        ("standbyServerDetails", "latestReceivedDatabaseWalLocation"),
    ] {
        let position = json[side][field].as_str().expect("a text");
        assert!(position.parse::<Lsn>().is_ok(), "{field}: {position}");
    }
    let (page, _) = get(&place, "standby", "/admin/dashboard");
    assert!(page.contains("A promotion now loses nothing"), "{page}");
    // A generation that is made from now on says where the database was.
    let changed = comment(&place, "one more");
    wait_until_on_standby(&place, &changed);
    // It is live a moment before it is in the list.
    wait_for("the generation to be kept with that", || {
        let kept = place.run(&["generations", "list", "--json", "--state-dir", STANDBY_STATE]);
        kept.stdout.contains("\"written\"").then_some(())
    });
    assert!(!shown.stdout.contains(PASSWORD), "{shown:?}");

    standby.sql("select pg_wal_replay_pause()");
    primary.sql("create table something as select generate_series(1, 1000)");
    wait_for("a pause to be said", || {
        let (database, problem) = said(&place, "standby");
        let is_behind = database["behind_bytes"].as_u64()? > 0;
        (is_behind && problem.starts_with("\"CRITICAL\"") && problem.contains("is paused")).then_some(())
    });
    standby.sql("select pg_wal_replay_resume()");
    wait_for("all to be well again", || {
        said(&place, "standby").1.is_empty().then_some(())
    });

    primary.crash();
    let ended = Instant::now();
    wait_for("a receiver that ended to be said", || {
        said(&place, "standby").1.contains("is not receiving").then_some(())
    });
    println!("an ended receiver is seen after {:.1} s", ended.elapsed().as_secs_f64());
    // 6 s are meant, on a machine that has nothing else to do.
    assert!(ended.elapsed() < Duration::from_secs(20), "{:?}", ended.elapsed());
    wait_for("the primary to say that its database is gone", || {
        said(&place, "primary").1.starts_with("\"WARNING\"").then_some(())
    });
    primary.start();
    wait_for("the connections to come back", || {
        (said(&place, "standby").1.is_empty() && said(&place, "primary").1.is_empty()).then_some(())
    });
    standby.freeze(true);
    wait_for("a frozen database to be said", || {
        said(&place, "standby").1.contains("does not answer").then_some(())
    });
    standby.freeze(false);
    wait_for("it to be heard again", || {
        said(&place, "standby").1.is_empty().then_some(())
    });
    standby.sql("select pg_promote()");
    wait_for("a standby that takes writes to be said", || {
        said(&place, "standby").1.contains("takes writes").then_some(())
    });
}

/// What the port of a node answers to whoever has the token, and how long that takes.
fn get(place: &Place, node: &str, path: &str) -> (String, Duration) {
    let token = fs::read_to_string(place.path("primary/config/business-continuity-token")).expect("made");
    let pair = token.lines().find(|line| !line.starts_with('#')).expect("a line");
    let (user, password) = pair.split_once('=').expect("user = password");
    let address = status(place, node)["listening"]
        .as_str()
        .expect("it listens")
        .to_owned();
    let client = tls_client();
    let request = client
        .get(format!("https://{address}/go/add-on/business-continuity{path}"))
        .basic_auth(user.trim(), Some(password.trim()));
    let asked = Instant::now();
    let answer = request.send().expect("an answer");
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    let text = answer.text().expect("text");
    (text, asked.elapsed())
}

/// Whatever a database does: nobody who asks the node waits for it.
#[test]
fn status_and_dashboard_answer_at_once_while_the_database_is_frozen() {
    let place = Place::new();
    let database = Postgres::primary();
    properties(&place, "primary", &database);
    properties(&place, "standby", &database);
    let (_first, _second, _url) = pair(&place);
    wait_for("the database to be seen", || {
        (said(&place, "primary").0["servers"][0]["role"] == "primary").then_some(())
    });
    database.freeze(true);
    wait_for("a frozen database to be said", || {
        said(&place, "primary").1.contains("does not answer").then_some(())
    });
    // The quickest of some: that others use this machine is not what is looked at.
    let quickest = |ask: &dyn Fn() -> Duration| (0..20).map(|_| ask()).min().expect("some");
    let command = quickest(&|| {
        let asked = Instant::now();
        let shown = place.run(&["status", "--state-dir", STANDBY_STATE]);
        assert!(shown.stdout.contains("does not answer"), "{shown:?}");
        asked.elapsed()
    });
    let page = quickest(&|| get(&place, "standby", "/admin/dashboard").1);
    let json = quickest(&|| get(&place, "standby", "/admin/dashboard.json").1);
    for (what, took) in [("status", command), ("dashboard", page), ("dashboard.json", json)] {
        println!("{what}: {} ms while the database is frozen", took.as_millis());
        assert!(took < Duration::from_millis(100), "{what}: {took:?}");
    }
    database.freeze(false);
}

/// An archive that brings nothing more is told from one that has nothing to bring by the primary's position alone.
#[test]
fn a_database_that_stands_still_is_said_within_35_seconds() {
    let place = Place::new();
    let primary = Postgres::primary();
    let share = primary.folder_of("share");
    primary.archive_to(&share);
    let standby = Postgres::archive_standby_of(&primary, &share);
    properties(&place, "primary", &primary);
    properties(&place, "standby", &standby);
    let (_first, _second, _url) = pair(&place);
    primary.switch_log();
    wait_for("the archive to be replayed", || {
        let (database, problem) = said(&place, "standby");
        (database["following"] == "restoring" && problem.is_empty()).then_some(())
    });
    // What is written from now on reaches nobody.
    primary.configure("postgresql.conf", "archive_command = 'true'");
    primary.switch_log();
    let stands = Instant::now();
    wait_for("one that stands still to be said", || {
        said(&place, "standby").1.contains("is stuck").then_some(())
    });
    println!("stuck is seen after {:.1} s", stands.elapsed().as_secs_f64());
    // 35 s are meant, on a machine that has nothing else to do.
    assert!(stands.elapsed() < Duration::from_secs(55), "{:?}", stands.elapsed());
}

/// A database that fails over by itself: both nodes name both servers, and each knows its own.
#[test]
fn of_several_servers_in_one_url_each_is_asked_alone() {
    let place = Place::new();
    let primary = Postgres::primary();
    let standby = Postgres::standby_of(&primary);
    let both = primary.properties().replace(
        &format!("127.0.0.1:{}/{DATABASE}", primary.port()),
        &format!(
            "127.0.0.1:{},localhost:{}/{DATABASE}?targetServerType=primary",
            primary.port(),
            standby.port()
        ),
    );
    for node in ["primary", "standby"] {
        place.folder(node, NOBODY);
        place.folder(&format!("{node}/config"), NOBODY);
        place.file(&format!("{node}/config/db.properties"), &both, NOBODY);
    }
    let own = format!("bc.db.local.host=localhost:{}", standby.port());
    let (_first, _second, _url) = pair_with(&place, &["--property", &own]);
    let seen = wait_for("both to be seen", || {
        let (database, problem) = said(&place, "standby");
        (database["behind_bytes"] == 0 && problem.is_empty()).then_some(database)
    });
    let servers = seen["servers"].as_array().expect("a list");
    let roles: Vec<_> = servers
        .iter()
        .map(|server| (&server["role"], &server["is_own"]))
        .collect();
    assert_eq!(
        roles,
        [(&"primary".into(), &false.into()), (&"standby".into(), &true.into())]
    );
    let (there, problem) = said(&place, "primary");
    assert_eq!(
        (there["servers"].as_array().map(Vec::len), problem.as_str()),
        (Some(2), "")
    );

    // One of them alone does not answer, which keeps nobody from asking the other.
    standby.freeze(true);
    wait_for("the frozen one to be said", || {
        let (database, problem) = said(&place, "primary");
        let is_seen = database["servers"][0]["role"] == "primary" && database["servers"][1]["role"].is_null();
        (is_seen && problem.starts_with("\"WARNING\"") && problem.contains("does not answer")).then_some(())
    });
    standby.freeze(false);

    // They change places, and nothing is to be set anew.
    wait_for("all to be well again", || {
        said(&place, "standby").1.is_empty().then_some(())
    });
    primary.crash();
    standby.promote();
    wait_for("the other one to be the one that takes writes", || {
        let (database, _) = said(&place, "primary");
        (database["servers"][1]["role"] == "primary").then_some(())
    });
    wait_for("the standby to say that nothing takes over now", || {
        said(&place, "standby").1.contains("nothing takes over").then_some(())
    });
}

/// Whatever the network between them does.
#[test]
fn two_primaries_on_one_database_see_each_other_in_it() {
    let place = Place::new();
    let server = Postgres::primary();
    for node in ["one", "other"] {
        gocd(&place, node);
        for name in ["cruise-config.xml", "cipher.aes"] {
            let text = fs::read_to_string(format!("{FIXTURE}/{name}")).expect("the sample configuration");
            place.file(&format!("{node}/config/{name}"), &text, NOBODY);
        }
        properties(&place, node, &server);
    }
    let claimed = |node: &str| {
        let problems = status(&place, node)["problems"].as_array().cloned().unwrap_or_default();
        let claim = problems
            .into_iter()
            .find(|problem| problem["topic"] == "claim on the database");
        claim.map(|problem| problem["message"].as_str().unwrap_or_default().to_owned())
    };
    let one = primary_in(&place, "one", "127.0.0.1:0", &[]);
    let row = "select number || '/' || node_id from gocd_business_continuity.epoch";
    let node_id = wait_for("the first one to claim it", || {
        let node_id = status(&place, "one")["node_id"].as_str()?.to_owned();
        let written = server.try_sql(DATABASE, row).ok()?;
        (written == format!("1/{node_id}")).then_some(node_id)
    });
    assert_eq!(claimed("one"), None);
    let other = primary_in(&place, "other", "127.0.0.1:0", &[]);
    let message = wait_for("the second one to see the first", || claimed("other"));
    assert!(message.contains(&format!("node {} runs", &node_id[..8])), "{message}");
    assert_eq!(claimed("one"), None);
    drop(one);
    wait_for("the second one to have the lock", || {
        claimed("other").is_none().then_some(())
    });
    // What has a higher epoch in there has taken over, wherever it is.
    server.sql_in(
        DATABASE,
        &format!(
            "update gocd_business_continuity.epoch set number = 7, promotion = 'seventh', node_id = '{}'",
            "ab".repeat(16)
        ),
    );
    wait_for("it to be fenced", || {
        (status(&place, "other")["role"] == "fenced").then_some(())
    });
    let (_, log) = other.end();
    assert!(
        log.contains("the node abababab took over with epoch 7") && log.contains("GoCD ends here now"),
        "{log}"
    );
    let again = primary_in(&place, "other", "127.0.0.1:0", &[]);
    wait_for("it to stay held", || {
        (status(&place, "other")["role"] == "fenced").then_some(())
    });
    drop(again);
}

/// Which one is asked, and which one GoCD uses, is chance. In a namespace of its own, where the name leads to this machine
/// twice.
#[test]
fn a_name_that_leads_to_two_machines_is_said() {
    assert!(is_root(), "mounting needs root");
    let place = Place::new();
    let hosts = place.file("hosts", "127.0.0.1 localhost\n10.99.0.5 pair\n10.99.0.6 pair\n", 0);
    gocd(&place, "primary");
    let text = "db.url=jdbc:postgresql://pair:5432/cruise\ndb.user=gocd\n";
    place.file("primary/config/db.properties", text, NOBODY);
    let arguments = ["primary", "--working-dir", "primary", "--listen", "127.0.0.1:0"];
    let node = place.command(&arguments);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--net", "sh", "-c"])
        .arg(format!(
            "ip link set lo up && mount --bind {} /etc/hosts && exec \"$0\" \"$@\"",
            hosts.display()
        ))
        .arg(node.get_program())
        .args(node.get_args())
        .current_dir(place.path(""));
    let _node = Foreground::start(command);
    let problem = wait_for("the two to be said", || {
        let (_, problem) = said(&place, "primary");
        problem.contains("several machines").then_some(problem)
    });
    assert!(problem.contains("10.99.0.5, 10.99.0.6"), "{problem}");
}

#[test]
fn a_database_that_cannot_be_found_says_which_property_to_mend() {
    let place = Place::new();
    place.folder("standby", NOBODY);
    place.folder("standby/config", NOBODY);
    place.file(
        "standby/config/db.properties",
        "db.url=jdbc:postgresql://gocd:hush@db/cruise\ndb.user=gocd\n",
        NOBODY,
    );
    place.folder("primary", NOBODY);
    place.folder("primary/config", NOBODY);
    place.file("primary/config/db.properties", "db.url=\n", NOBODY);
    let (_first, _second, _url) = pair(&place);
    let problem = wait_for("the mistake to be said", || {
        let (_, problem) = said(&place, "standby");
        (!problem.is_empty()).then_some(problem)
    });
    assert!(problem.contains("db.url has a user in front of the host"), "{problem}");
    assert!(!problem.contains("hush"), "{problem}");
    let (database, problem) = said(&place, "primary");
    assert!(
        problem.starts_with("\"WARNING\"") && problem.contains("does not cover"),
        "{problem}"
    );
    assert_eq!(database["findings"][0]["name"], "not-covered", "{database}");
    assert!(
        database["not_covered"]
            .as_str()
            .is_some_and(|what| what.starts_with("H2")),
        "{database}"
    );
}
