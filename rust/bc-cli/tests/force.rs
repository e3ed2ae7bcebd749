//! `gocd-bc promote --force`: a primary that answers is ordered to stop, and nothing goes on before it has been seen to,
//! in every way in which it was seen before. Beside real PostgreSQL.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use bc_testkit::postgres::{DATABASE, Postgres};
use four::{Four, promote_in, rows_of};
use pair::{
    Foreground, PRIMARY_STATE, STANDBY_STATE, boot_in_either_order, fenced, knows_its_standby, on_one_database,
    pair_with, primary_in, status, wait_for,
};
use serde_json::Value;
use support::Place;

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/four.rs"]
mod four;
#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// An address that stays the same over a promotion.
fn listen() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("bc.listen={}", listener.local_addr().expect("bound"))
}

/// When a step of the standby's last promotion began; none where it did not.
fn began(status: &Value, name: &str) -> Option<i64> {
    let steps = status["promotion"]["steps"].as_array()?;
    steps.iter().find(|step| step["step"] == name)?["began_ms"].as_i64()
}

#[test]
fn a_primary_that_answers_stops_before_the_database_is_touched_and_no_row_is_lost() {
    let mut four = Four::of(15, &[&listen()]);
    knows_its_standby(&four.place);
    four.is_refused("`gocd-bc demote --handover` there first");
    four.is_refused("`gocd-bc promote --force`");
    let dry = four.promote(&["--force", "--dry-run"]);
    assert!(dry.code == 0 && dry.stdout.contains("is ordered to stop"), "{dry:?}");
    let unasked = four.promote(&["--force"]);
    assert!(unasked.code != 0 && unasked.stderr.contains("--yes"), "{unasked:?}");
    // It overrides nothing else.
    four.copy.pause_replay(true);
    wait_for("the pause to be seen", || {
        (four.standby()["database"]["following"] == "paused").then_some(())
    });
    let paused = four.promote(&["--force", "--yes"]);
    assert!(paused.code == 1 && paused.stderr.contains("is paused"), "{paused:?}");
    four.copy.pause_replay(false);
    wait_for("it to go on", || {
        (four.standby()["database"]["following"] != "paused").then_some(())
    });
    assert_eq!(
        status(&four.place, "primary")["role"],
        "primary",
        "it was told nothing yet"
    );
    assert_eq!(four.standby()["epoch"]["number"], 1);

    four.until_known();
    four.write(1000);
    let rows = rows_of(&four.written);
    let forced = four.promote(&["--force", "--yes"]);
    assert_eq!(forced.code, 0, "{forced:?}");
    assert!(forced.stderr.contains("the other primary stops"), "{forced:?}");
    let former = status(&four.place, "primary");
    assert_eq!(
        (&former["role"], &former["phase"]),
        (&"fenced".into(), &"holding".into())
    );
    assert_eq!(rows_of(&four.copy), rows);
    let after = four.standby();
    assert_eq!(
        (&after["role"], &after["epoch"]["number"]),
        (&"primary".into(), &2.into())
    );
    let order = ["begin-epoch", "stop-other", "promote-database", "record-role"].map(|step| began(&after, step));
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{after:#}");
    let history = four.place.run(&["history", "--state-dir", STANDBY_STATE]);
    assert!(history.stdout.contains("promote force"), "{history:?}");
    drop(four.primary.take());
}

/// GoCD's site, which says that GoCD runs until it is told otherwise.
fn site() -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let runs = Arc::new(AtomicBool::new(true));
    let says = Arc::clone(&runs);
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut request = [0; 1024];
            drop(connection.read(&mut request));
            let answer = match says.load(Ordering::Relaxed) {
                true => "HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{\"health\":\"OK\"}",
                false => "HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            };
            drop(connection.write_all(answer.as_bytes()));
        }
    });
    (url, runs)
}

/// Two nodes on one database, in which the primary has its lock.
struct Shared {
    place: Place,
    server: Postgres,
    nodes: Option<[Foreground; 2]>,
    address: String,
}

impl Shared {
    fn open(settings: &[&str]) -> Self {
        let place = Place::new();
        let server = Postgres::primary();
        on_one_database(&place, &server.properties());
        let listen = listen();
        let settings = [&["bc.db.promote=none", "bc.guard.wait=1000", &*listen], settings].concat();
        let words: Vec<&str> = settings.iter().flat_map(|setting| ["--property", *setting]).collect();
        let (primary, standby, address) = pair_with(&place, &words);
        let shared = Self {
            place,
            server,
            nodes: Some([primary, standby]),
            address,
        };
        knows_its_standby(&shared.place);
        wait_for("the primary to have the lock", || shared.is_locked().then_some(()));
        shared
    }

    fn is_locked(&self) -> bool {
        let locks = "select count(*) from pg_locks where locktype = 'advisory' and classid = 1735353188";
        self.server.sql_in(DATABASE, locks) == "1"
    }

    fn status(&self, node: &str) -> Value {
        status(&self.place, node)
    }
}

#[test]
fn it_has_stopped_only_once_node_lock_and_site_all_say_so() {
    let (url, runs) = site();
    let mut shared = Shared::open(&[&format!("bc.site.url={url}")]);
    thread::scope(|scope| {
        let place = &shared.place;
        let forced = scope.spawn(move || promote_in(place, &["--force", "--yes"]));
        fenced(&shared.place, "primary");
        assert!(!shared.is_locked(), "its session is gone");
        // The site says that a GoCD runs still.
        wait_for("it to be waited for", || began(&shared.status("standby"), "stop-other"));
        let waiting = shared.status("standby");
        assert_eq!(
            (&waiting["role"], &waiting["phase"]),
            (&"standby".into(), &"holding".into())
        );
        runs.store(false, Ordering::Relaxed);
        let forced = forced.join().expect("no panic");
        assert_eq!(forced.code, 0, "{forced:?}");
        for part in ["answers as the primary", "GoCD runs at", "lock in the database"] {
            assert!(forced.stderr.contains(part), "{part}: {forced:?}");
        }
    });
    let winner = shared.status("standby");
    assert_eq!(winner["role"], "primary");
    // Both lose their power then.
    let of_winner = winner["listening"].as_str().expect("listens");
    for node in shared.nodes.take().expect("both run") {
        node.end();
    }
    let nodes = [("standby", of_winner), ("primary", &*shared.address)];
    boot_in_either_order(&shared.place, nodes, 2, || ());
}

#[test]
fn one_that_runs_on_behind_its_fence_ends_the_promotion_and_every_way_on_that_it_names_works() {
    let mut shared = Shared::open(&[]);
    let [primary, standby] = shared.nodes.take().expect("both run");
    primary.end();
    let warns = ["--property", "bc.fence=warn"];
    let primary = primary_in(&shared.place, "primary", &shared.address, &warns);
    wait_for("it to run again, and to have the lock", || {
        (shared.status("primary")["phase"] == "running" && shared.is_locked()).then_some(())
    });
    let forced = promote_in(&shared.place, &["--force", "--yes"]);
    assert_eq!(forced.code, 1, "{forced:?}");
    for part in [
        "was ordered to stop",
        "is fenced, and GoCD runs on there",
        "`gocd-bc promote` here again",
        "`gocd-bc promote --abort` here",
    ] {
        assert!(forced.stderr.contains(part), "{part}: {forced:?}");
    }
    let left = shared.status("standby");
    assert_eq!((&left["role"], &left["phase"]), (&"standby".into(), &"holding".into()));
    let former = shared.status("primary");
    assert_eq!(
        (&former["role"], &former["phase"]),
        (&"fenced".into(), &"running".into())
    );
    let early = shared.place.run(&[
        "promote",
        "--take-over",
        "--accept-loss",
        "--yes",
        "--state-dir",
        PRIMARY_STATE,
    ]);
    assert!(early.code == 1 && early.stderr.contains("Restart it"), "{early:?}");

    let aborted = promote_in(&shared.place, &["--abort"]);
    assert!(
        aborted.code == 0 && aborted.stdout.contains("--take-over"),
        "{aborted:?}"
    );
    primary.end();
    let again = primary_in(&shared.place, "primary", &shared.address, &[]);
    fenced(&shared.place, "primary");
    let back = [
        "promote",
        "--take-over",
        "--accept-loss",
        "--yes",
        "--wait",
        "60",
        "--state-dir",
        PRIMARY_STATE,
    ];
    let back = shared.place.run(&back);
    assert_eq!(back.code, 0, "{back:?}");
    wait_for("the standby to follow it again", || {
        (shared.status("standby")["sync"]["in_sync"] == true).then_some(())
    });
    // And by force once more, now that it ends as it is told to.
    wait_for("it to have the lock", || shared.is_locked().then_some(()));
    let forced = promote_in(&shared.place, &["--force", "--yes"]);
    assert_eq!(forced.code, 0, "{forced:?}");
    assert_eq!(shared.status("primary")["role"], "fenced");
    drop((again, standby));
}
