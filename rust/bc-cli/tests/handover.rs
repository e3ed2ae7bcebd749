//! The planned hand-over: two whole nodes without a JVM that hand over to each other and back.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    net::TcpListener,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use bc_testkit::postgres::{DATABASE, Postgres, USER};
use pair::{
    Foreground, boot_in_either_order, comment_of, config, folders, key_of_primary, primary_in, standby_in, status,
    wait_for,
};
use serde_json::Value;
use support::{Answer, NOBODY, Place};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// The folders of both nodes.
const NODES: [&str; 2] = ["primary", "standby"];
/// So many times, where nobody says otherwise: as many as fit into a minute.
const HAND_OVERS: usize = 20;

/// Two nodes that keep their addresses, one of which follows the other.
struct Two {
    place: Place,
    nodes: [Option<Foreground>; 2],
    addresses: [String; 2],
}

impl Two {
    fn start() -> Self {
        Self::start_in(Place::new())
    }

    /// In sync, in folders in which a database may be configured.
    fn start_in(place: Place) -> Self {
        folders(&place);
        let addresses = NODES.map(|_| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.local_addr().expect("bound").to_string()
        });
        let mut two = Self {
            place,
            nodes: [None, None],
            addresses,
        };
        two.nodes[0] = Some(primary_in(&two.place, NODES[0], &two.addresses[0], &[]));
        two.wait("the primary listens", 0, |status| status["listening"].is_string());
        let key = key_of_primary(&two.place);
        let trusted = two.place.run(&["trust", &key, "--config", "standby/config"]);
        assert_eq!(trusted.code, 0, "{trusted:?}");
        two.follow(1);
        two
    }

    /// Starts a node as the standby of the other one, and waits until it is in sync and that one knows it.
    fn follow(&mut self, at: usize) {
        let listen = format!("bc.listen={}", self.addresses[at]);
        let url = format!("https://{}", self.addresses[1 - at]);
        let wait = ["--property", &listen, "--property", "bc.guard.wait=2500"];
        self.nodes[at] = Some(standby_in(&self.place, NODES[at], &url, &wait));
        self.wait("it is in sync", at, |status| status["sync"]["in_sync"] == true);
        self.wait("the primary knows that, and where it is", 1 - at, |status| {
            let standbys = status["standbys"].as_array();
            standbys.is_some_and(|standbys| standbys.iter().any(|standby| standby["in_sync"] == true))
        });
    }

    fn stop(&mut self, at: usize) -> String {
        self.nodes[at].take().expect("it runs").end().1
    }

    fn status(&self, at: usize) -> Value {
        status(&self.place, NODES[at])
    }

    fn wait(&self, what: &str, at: usize, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || Some(self.status(at)).filter(|status| is_so(status)))
    }

    fn run(&self, at: usize, words: &[&str]) -> Answer {
        let state = format!("{}/db/business-continuity", NODES[at]);
        self.place.run(&[words, &["--state-dir", &state]].concat())
    }

    fn hand_over(&self, at: usize) -> Answer {
        let ordered = self.run(at, &["demote", "--handover", "--wait", "60"]);
        assert_eq!(ordered.code, 0, "{ordered:?}");
        assert!(ordered.stdout.contains("handed over: generation"), "{ordered:?}");
        ordered
    }

    fn promote(&self, at: usize, words: &[&str]) {
        let promoted = self.run(at, &[&["promote", "--wait", "60"], words].concat());
        // A node that closes on a busy machine may be gone before its last word is out; all steps were taken then.
        let is_cut = promoted.stderr.contains("release GoCD") && promoted.stderr.contains("without a last word");
        assert!(promoted.code == 0 || is_cut, "{promoted:?}");
    }

    fn runs(&self, at: usize) -> Value {
        self.wait("it runs as the primary", at, |status| {
            status["role"] == "primary" && status["phase"] == "running"
        })
    }

    fn is_fenced(&self, at: usize) -> Value {
        self.wait("it is fenced", at, |status| {
            status["role"] == "fenced" && status["phase"] == "holding"
        })
    }

    /// Makes a node that has handed over the standby of the other one, by what it says.
    fn come_back(&mut self, at: usize) {
        self.is_fenced(at);
        self.wait("it says to whom it handed over, and what to do", at, |status| {
            let said = status["problems"].to_string();
            said.contains("has handed over") && said.contains("`gocd-bc demote`")
        });
        assert!(!self.place.path(&handover(at)).exists(), "it is over");
        let ended = self.ended(at, "taken-over");
        assert_eq!(ended["to"]["node_id"], self.status(1 - at)["node_id"], "{ended:#}");
        assert_eq!(ended["token"], self.status(1 - at)["promotion"]["handed_over"]);
        let shown = self.run(at, &["status"]);
        assert!(shown.stdout.contains("taken over by the node"), "{shown:?}");
        let late = self.run(at, &["promote", "--yes"]);
        assert!(
            late.code == 1 && late.stderr.contains("took over with epoch") && late.stderr.contains("`gocd-bc demote`"),
            "{late:?}"
        );
        let demoted = self.run(at, &["demote"]);
        assert_eq!(demoted.code, 0, "{demoted:?}");
        self.stop(at);
        self.follow(at);
        assert_eq!(self.ended(at, "taken-over"), ended, "also after a restart");
    }

    /// How the last hand-over of a node ended, once it says that it ended so.
    fn ended(&self, at: usize, end: &str) -> Value {
        let status = self.wait("it says how its hand-over ended", at, |status| {
            status["handed_over"]["end"] == end
        });
        status["handed_over"].clone()
    }
}

/// The file that says that a node hands over.
fn handover(at: usize) -> String {
    format!("{}/db/business-continuity/handover.json", NODES[at])
}

/// How long a promotion took from its first step to the release, in ms.
fn took_ms(status: &Value) -> i64 {
    let steps = status["promotion"]["steps"].as_array().expect("steps");
    let began = |step: &Value| step["began_ms"].as_i64().expect("a time");
    began(steps.last().expect("one")) - began(steps.first().expect("one"))
}

#[test]
fn twenty_hand_overs_back_and_forth_lose_no_edit() {
    let wanted = std::env::var("BC_HAND_OVERS").ok().and_then(|given| given.parse().ok());
    let mut two = Two::start();
    let (mut lost, mut slowest) = (0, 0);
    let begun = Instant::now();
    let mut done = 0;
    for number in 0..wanted.unwrap_or(HAND_OVERS) {
        if wanted.is_none() && begun.elapsed() > Duration::from_secs(60) {
            break;
        }
        let (from, to) = (number % 2, 1 - number % 2);
        // Up to the very order.
        let last = comment_of(&two.place, NODES[from], &format!("edit {number}"));
        two.hand_over(from);
        assert_eq!(two.status(to)["role"], "standby");
        two.promote(to, &["--without-database"]);
        lost += usize::from(config(&two.place, NODES[to]) != last);
        let status = two.runs(to);
        slowest = slowest.max(took_ms(&status));
        assert_eq!(
            status["promotion"]["handed_over"]["epoch"]["number"],
            number + 1,
            "{status:#}"
        );
        two.come_back(from);
        done += 1;
    }
    println!(
        "{done} hand-overs in {:?}: {lost} lost edits, at most {slowest} ms to the release",
        begun.elapsed()
    );
    assert_eq!(lost, 0);
    assert!(done > 0);
    let history = two.run(1 - (done % 2), &["history"]);
    assert!(
        history.stdout.contains("hand-over") && history.stdout.contains("handed over"),
        "{history:?}"
    );
}

#[test]
fn after_a_hand_over_whoever_took_over_runs_whichever_boots_first() {
    let mut two = Two::start();
    two.hand_over(0);
    two.promote(1, &["--without-database"]);
    two.runs(1);
    two.is_fenced(0);
    for at in [0, 1] {
        two.stop(at);
    }
    let [of_former, of_winner] = &two.addresses;
    boot_in_either_order(&two.place, [(NODES[1], of_winner), (NODES[0], of_former)], 2, || ());
}

#[test]
fn a_hand_over_survives_a_kill_and_is_taken_back_where_the_standby_answers() {
    let mut two = Two::start();
    let handed = two.hand_over(0);
    assert!(handed.stderr.contains("to 127.0.0.1"), "it says to whom: {handed:?}");
    let record = || fs::read_to_string(two.place.path("primary/db/business-continuity/role")).expect("read");
    assert!(
        record().contains("role=primary") && record().contains("hold=yes"),
        "{}",
        record()
    );
    two.wait("the standby hears of it", 1, |status| {
        status["primary"]["hands_over"]["token"]["sequence"].is_number()
    });
    for words in [&["demote"][..], &["demote", "--forget"], &["demote", "--handover"]] {
        let refused = two.run(0, words);
        assert_eq!(refused.code, 1, "{words:?}: {refused:?}");
    }
    // Killed with -9, and started as ever.
    drop(two.nodes[0].take());
    two.nodes[0] = Some(primary_in(&two.place, NODES[0], &two.addresses[0], &[]));
    let held = two.wait("it hands over again", 0, |status| {
        status["hands_over"]["token"].is_object()
    });
    assert_eq!((&held["role"], &held["phase"]), (&"primary".into(), &"holding".into()));

    let back = two.run(0, &["promote", "--wait", "60"]);
    assert_eq!(back.code, 0, "{back:?}");
    let status = two.runs(0);
    assert_eq!(status["epoch"]["number"], 1, "the same one: {status:#}");
    assert!(two.ended(0, "taken-back")["token"].is_object(), "{status:#}");
    assert!(!two.place.path(&handover(0)).exists());
    let edit = comment_of(&two.place, NODES[0], "after it was taken back");
    wait_for("the standby follows as before", || {
        (config(&two.place, NODES[1]) == edit).then_some(())
    });
    let history = two.run(0, &["history"]);
    assert!(
        history.stdout.contains("hand-over") && history.stdout.contains("take-back"),
        "{history:?}"
    );
}

#[test]
fn what_may_have_been_taken_over_unseen_is_not_taken_back_and_what_is_damaged_holds() {
    let mut two = Two::start();
    two.hand_over(0);
    two.stop(1);
    let refused = two.run(0, &["promote"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("does not answer") && refused.stderr.contains("--take-over"),
        "{refused:?}"
    );
    two.wait("it hands over still", 0, |status| {
        status["hands_over"]["token"].is_object()
    });
    two.stop(0);
    fs::write(two.place.path(&handover(0)), "{\"format\":1").expect("write");
    two.nodes[0] = Some(primary_in(&two.place, NODES[0], &two.addresses[0], &[]));
    let held = two.wait("it is held, and says why", 0, |status| {
        status["problems"].to_string().contains("handover.json is damaged")
    });
    assert_eq!((&held["role"], &held["phase"]), (&"primary".into(), &"holding".into()));
    let taken = two.run(0, &["promote", "--take-over", "--accept-loss", "--yes", "--wait", "60"]);
    assert_eq!(taken.code, 0, "{taken:?}");
    assert_eq!(two.runs(0)["epoch"]["number"], 2);
    assert!(!two.place.path(&handover(0)).exists());
}

/// What a replica of this server is told.
fn replica_of(written: &Postgres) -> Postgres {
    let conninfo = format!(
        "host=127.0.0.1 port={} user=postgres application_name=standby",
        written.port()
    );
    Postgres::standby_with(written, &[("primary_conninfo", &conninfo)])
}

/// GoCD's own session, which is in the middle of something and writes a row at its end.
fn late_session(server: &Postgres) -> Child {
    let properties = server.properties();
    let password = properties
        .lines()
        .find_map(|line| line.strip_prefix("db.password="))
        .expect("one");
    let mut psql = std::process::Command::new(server.programs().join("psql"));
    let port = server.port().to_string();
    psql.args(["-h", "127.0.0.1", "-p", &port, "-U", USER, "-d", DATABASE])
        .args(["-c", "select pg_sleep(3)", "-c", "insert into jobs values (-1)"])
        .env("PGPASSWORD", password)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    psql.spawn().expect("psql runs")
}

#[test]
fn hand_overs_with_the_database_lose_no_row_not_even_of_a_session_that_ends_late() {
    let written = Postgres::primary();
    written.sql_in(
        DATABASE,
        &format!("grant execute on function pg_promote(boolean,integer) to {USER}"),
    );
    let copy = replica_of(&written);
    let place = Place::new();
    let mut servers = [written, copy];
    let configure = |place: &Place, at: usize, server: &Postgres| {
        place.folder(NODES[at], NOBODY);
        place.folder(&format!("{}/config", NODES[at]), NOBODY);
        place.file(
            &format!("{}/config/db.properties", NODES[at]),
            &server.properties(),
            NOBODY,
        );
    };
    for (at, server) in servers.iter().enumerate() {
        configure(&place, at, server);
    }
    servers[0].sql_in(
        DATABASE,
        &format!("create table jobs (id int); grant all on jobs to {USER}"),
    );
    let mut two = Two::start_in(place);
    let (mut lost_rows, mut lost_edits, mut slowest) = (0, 0, 0);
    const ROUNDS: usize = 3;
    for number in 0..ROUNDS {
        let (from, to) = (number % 2, 1 - number % 2);
        two.wait("its database follows", to, |status| {
            status["database"]["following"] == "streaming" && status["database"]["loss_bytes"] == 0
        });
        let mut late = late_session(&servers[from]);
        servers[from].sql_in(DATABASE, "insert into jobs select generate_series(1, 1000)");
        let edit = comment_of(&two.place, NODES[from], &format!("edit {number}"));
        two.hand_over(from);
        assert!(
            late.try_wait().expect("it ran").is_some(),
            "the token waits for GoCD's sessions"
        );
        let rows = |server: &Postgres| server.sql_in(DATABASE, "select count(*) from jobs");
        let wanted = rows(&servers[from]);
        let dry = two.run(to, &["promote", "--dry-run"]);
        assert!(
            dry.code == 0 && dry.stdout.contains("The primary hands over"),
            "{dry:?}"
        );
        // Nobody is there to answer a question, and none is asked.
        two.promote(to, &[]);
        let status = two.runs(to);
        slowest = slowest.max(took_ms(&status));
        assert!(
            status["promotion"]["handed_over"]["database"]["written"].is_string(),
            "{status:#}"
        );
        let there = rows(&servers[to]);
        let number_of = |text: &str| text.parse::<i64>().expect("a number");
        lost_rows += number_of(&wanted) - number_of(&there);
        lost_edits += usize::from(config(&two.place, NODES[to]) != edit);
        if number + 1 < ROUNDS {
            servers[from] = replica_of(&servers[to]);
            configure(&two.place, from, &servers[from]);
            two.come_back(from);
        } else {
            two.is_fenced(from);
        }
    }
    println!(
        "{ROUNDS} with the database: {lost_rows} lost rows, {lost_edits} lost edits, at most {slowest} ms to the release"
    );
    assert_eq!((lost_rows, lost_edits), (0, 0));
}
