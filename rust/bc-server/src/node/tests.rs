//! Whole nodes of which parts fail, and a standby whose live files are not what they should be.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicU32, Ordering},
};

use bc_core::{
    basics::Fingerprint,
    generation::Layout,
    node::{Order, Reply, control::SOCKET},
    primary::scan::watch::{Hint, Hints, Interval, Waker},
    standby::store::Permit,
};
use bc_testkit::{free_port, gocd_dir::GocdDir, wait};
use supervisor::provoke::Provoked;

use super::*;

mod clocks;
mod hanging_guard;
mod lines;
mod steps;
mod stuck;

/// How long anything may take that is not held up on purpose. Within half of it a standby looks once by itself.
const SOON: Duration = Duration::from_secs(50);
const CONFIG: &str = "config/cruise-config.xml";

/// A node in a folder, whose board is in our hands and whose parts fail when we say so.
struct Scene {
    dir: GocdDir,
    board: Arc<StatusBoard>,
    provoked: Arc<Provoked>,
    node: Node,
}

impl Scene {
    fn open(dir: GocdDir, settings: &[(&str, &str)], restart_waits: RestartWaits, hints: HintsOf) -> Self {
        Self::open_as(dir, settings, |assembly| {
            assembly.restart_waits = restart_waits;
            assembly.hints = hints;
        })
    }

    fn open_as(dir: GocdDir, settings: &[(&str, &str)], change: impl FnOnce(&mut Assembly)) -> Self {
        let mut properties = Properties::from_iter([("bc.face", "cli"), ("bc.operator", "owner")]);
        properties.set("user.dir", dir.path().to_str().expect("UTF-8"));
        properties.set("cruise.server.port", dir.gocd_port.to_string());
        properties.set("bc.listen", format!("127.0.0.1:{}", dir.port));
        // It has GoCD's H2, of which a node warns.
        properties.set("bc.db.watch", "off");
        for (name, value) in settings {
            properties.set(*name, *value);
        }
        let mut parts = None;
        let node = Node::open_as(&properties, |assembly| {
            change(assembly);
            parts = Some((Arc::clone(&assembly.board), Arc::clone(&assembly.provoked)));
        });
        let node = node.expect("the state folder is fresh");
        let (board, provoked) = parts.expect("the node was put together");
        Self {
            dir,
            board,
            provoked,
            node,
        }
    }

    fn primary(settings: &[(&str, &str)], restart_waits: RestartWaits, hints: HintsOf) -> Self {
        let scene = Self::open(GocdDir::new(), settings, restart_waits, hints);
        scene.until("it listens and has read its files", |status| {
            status.listening.is_some() && status.generation.is_some()
        });
        scene
    }

    /// A standby of that primary that is in sync.
    fn standby_of(primary: &Scene, settings: &[(&str, &str)], restart_waits: RestartWaits, hints: HintsOf) -> Self {
        let key: Option<Fingerprint> = primary.board.look(|status| status.fingerprint);
        let url = format!("https://127.0.0.1:{}", primary.dir.port);
        let key = key.expect("every node has one").to_string();
        let mut all = vec![
            ("go.server.mode", "standby"),
            ("bc.primary.url", url.as_str()),
            ("bc.primary.fingerprint", key.as_str()),
        ];
        all.extend(settings);
        let scene = Self::open(GocdDir::new(), &all, restart_waits, hints);
        scene.until("in sync", is_in_sync);
        primary.until("the primary knows", |status| {
            status.standbys.iter().any(|one| one.in_sync)
        });
        scene
    }

    fn until(&self, what: &str, holds: impl Fn(&Status) -> bool) {
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until(what, SOON, || self.board.look(&holds).then_some(()));
        }));
        assert!(waited.is_ok(), "waited in vain: {what}; {:#?}", self.board.picture());
    }

    fn order(&self, order: &Order) -> Reply {
        let mut stream = UnixStream::connect(self.dir.state().join(SOCKET)).expect("it listens");
        let order = serde_json::to_string(order).expect("an order is plain");
        stream.write_all(format!("{order}\n").as_bytes()).expect("sent");
        let lines = BufReader::new(stream).lines().map(|line| line.expect("text"));
        let mut replies = lines.map(|line| serde_json::from_str(&line).expect("a reply"));
        replies
            .find(|reply| !matches!(reply, Reply::Progress { .. }))
            .expect("an answer")
    }

    /// One part after the other fails, is named and down, and runs again.
    fn parts_fail(&self, parts: &[&'static str]) {
        for &part in parts {
            let starts = self.provoked.starts(part);
            self.provoked.panic(part);
            let topic = Topic::Part(part.to_string());
            self.until(&format!("{part} is down"), |status| {
                let is_said = status
                    .problems
                    .iter()
                    .any(|problem| problem.topic == topic && problem.severity == Severity::Critical);
                is_said && status.failed_parts == [part] && !is_in_sync(status)
            });
            self.until(&format!("{part} runs again"), |status| {
                status.failed_parts.is_empty() && status.problems.iter().all(|problem| problem.topic != topic)
            });
            assert_eq!(self.provoked.starts(part), starts + 1, "{part}");
        }
    }
}

fn is_in_sync(status: &Status) -> bool {
    status.sync.as_ref().is_some_and(|sync| sync.in_sync)
}

/// Long enough to be seen, short enough for a test.
fn short() -> RestartWaits {
    RestartWaits {
        first: Duration::from_millis(100),
        longest: Duration::from_millis(100),
        proven: Duration::from_millis(300),
        hangs: Duration::from_secs(1),
    }
}

/// Parts on threads of their own: other tests make them fail.
const ON_THREADS: [&str; 2] = ["live watch", "scan"];

#[test]
fn every_part_that_fails_is_named_and_started_again() {
    let given = tempfile::tempdir().expect("folder");
    let identity = Identity::load_or_create(given.path()).expect("identity");
    let (certificate, key) = (given.path().join("node.pem"), given.path().join("node.key"));
    fs::write(&certificate, identity.certificate_pem()).expect("write");
    fs::write(&key, identity.key_pem()).expect("write");
    let plain = format!("127.0.0.1:{}", free_port());
    let settings = [
        ("bc.face", "plugin"),
        ("bc.db.watch", ""),
        ("bc.listen.plain", plain.as_str()),
        ("bc.tls.certificate", certificate.to_str().expect("UTF-8")),
        ("bc.tls.private.key", key.to_str().expect("UTF-8")),
    ];
    let primary = Scene::primary(&settings, short(), watch::watch);
    let standby = Scene::standby_of(
        &primary,
        &[("bc.face", "agent"), ("bc.db.watch", "")],
        short(),
        watch::watch,
    );
    standby.until("it holds", |status| status.holding.is_some());

    let of_primary = [
        "artifacts",
        "certificate",
        "database",
        "gocd",
        "health",
        "local socket",
        "peers",
        "plain port",
        "port",
        "rotation",
        "scan",
        "scan watch",
        "standbys",
        "token",
    ];
    let of_standby = [
        "artifacts",
        "database",
        "held port",
        "keeper",
        "live watch",
        "local socket",
        "port",
        "preflight",
        "puller",
        "reporter",
        "token",
    ];
    assert_eq!(primary.provoked.parts(), of_primary);
    assert_eq!(standby.provoked.parts(), of_standby);
    let not_on_threads = |parts: &[&'static str]| {
        let parts = parts.iter().copied();
        parts.filter(|part| !ON_THREADS.contains(part)).collect::<Vec<_>>()
    };
    standby.parts_fail(&not_on_threads(&of_standby));
    standby.until("all is as before", |status| {
        is_in_sync(status) && status.holding.is_some() && status.listening.is_some()
    });
    primary.parts_fail(&not_on_threads(&of_primary));
    primary.until("all is as before", |status| status.listening.is_some());

    // The new parts do their work.
    let path = primary.dir.path().join(CONFIG);
    let edited = fs::read_to_string(&path).expect("read").replace("up42", "up43");
    fs::write(path, &edited).expect("write");
    wait::until("the edit is on the standby", SOON, || {
        (fs::read(standby.dir.path().join(CONFIG)).ok()? == edited.as_bytes()).then_some(())
    });
    standby.until("in sync", is_in_sync);
    primary.until("the primary knows", |status| {
        status.standbys.iter().any(|one| one.in_sync)
    });
    primary.node.close();
    standby.node.close();
}

#[test]
fn orders_are_answered_while_the_puller_is_down_and_reach_the_next_one() {
    let primary = Scene::primary(&[], short(), watch::watch);
    let restart_waits = RestartWaits {
        first: Duration::from_secs(3),
        ..short()
    };
    let restart_waits = RestartWaits {
        longest: restart_waits.first,
        ..restart_waits
    };
    let standby = Scene::standby_of(&primary, &[], restart_waits, watch::watch);
    standby.provoked.panic("puller");
    standby.until("the puller is down", |status| status.failed_parts == ["puller"]);
    let sync = Order::Sync(Permit::default());
    let refused = standby.order(&sync);
    assert!(
        matches!(&refused, Reply::Refused { message, .. } if message.contains("about to be started again")),
        "{refused:?}"
    );
    primary.until("the primary hears of it", |status| {
        status.standbys.iter().all(|one| !one.in_sync)
            && status.problems.iter().any(|problem| {
                problem.severity == Severity::Critical && problem.message.contains("follows the primary has failed")
            })
    });
    wait::until("the next puller runs", SOON, || {
        (standby.provoked.starts("puller") == 2).then_some(())
    });
    let done = standby.order(&sync);
    assert!(matches!(done, Reply::Done { .. }), "{done:?}");
    standby.until("in sync", is_in_sync);
}

#[test]
fn a_token_that_changes_while_nobody_watches_it_is_taken_up_afterwards() {
    let restart_waits = RestartWaits {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(1),
        ..short()
    };
    let primary = Scene::primary(&[], restart_waits, watch::watch);
    primary.provoked.panic("token");
    primary.until("nobody watches", |status| status.failed_parts == ["token"]);
    primary.dir.write_token("somebody-else = with-another-password\n");
    assert!(
        primary.board.look(|status| status.listening.is_some()),
        "the port stays open meanwhile"
    );
    primary.until("the new token counts", |status| {
        status.user.as_deref() == Some("somebody-else")
    });
    primary.until("it is watched again", |status| status.failed_parts.is_empty());
}

/// So many waits for a hint of a primary panic.
static PANICS_OF_SCAN: AtomicU32 = AtomicU32::new(0);
/// The same of a standby.
static PANICS_OF_LIVE_WATCH: AtomicU32 = AtomicU32::new(0);

/// Hears nothing, and panics while it is told to.
struct Panics(Interval, &'static AtomicU32);

impl Hints for Panics {
    fn wait(&mut self, timeout: Duration) -> Hint {
        // Short, so that it soon sees that it is to panic.
        let hint = self.0.wait(timeout.min(Duration::from_millis(50)));
        let left = self
            .1
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(left.is_err(), "the kernel said something odd");
        hint
    }

    fn waker(&self) -> Waker {
        self.0.waker()
    }

    fn problem(&self) -> Option<String> {
        None
    }
}

fn panics_in_scan(_: &Layout) -> Box<dyn Hints> {
    Box::new(Panics(Interval::default(), &PANICS_OF_SCAN))
}

fn panics_in_live_watch(_: &Layout) -> Box<dyn Hints> {
    Box::new(Panics(Interval::default(), &PANICS_OF_LIVE_WATCH))
}

#[test]
fn a_primary_whose_reading_fails_says_so_and_reads_again() {
    let primary = Scene::primary(&[], short(), panics_in_scan);
    for number in 0..2 {
        PANICS_OF_SCAN.store(1, Ordering::SeqCst);
        primary.until("it is said", |status| {
            status.severity() == Severity::Critical
                && status.problems.iter().any(|problem| {
                    problem.topic == Topic::Part("scan".to_owned())
                        && problem.message.contains("the kernel said something odd")
                })
        });
        let before = primary.board.look(|status| status.generation.clone());
        let path = primary.dir.path().join(CONFIG);
        let edited = fs::read_to_string(&path)
            .expect("read")
            .replace("up42", &format!("up{number}"));
        fs::write(path, edited + "\n").expect("write");
        primary.until("the next thread offers it", |status| status.generation != before);
        primary.until("it is relied upon", |status| status.problems.is_empty());
    }
    let begun = std::time::Instant::now();
    primary.node.close();
    assert!(begun.elapsed() < CLOSE_WITHIN, "the thread was not told to end");
}

#[test]
fn without_a_watch_of_the_live_files_they_are_looked_at_all_the_same() {
    let primary = Scene::primary(&[], short(), watch::watch);
    let restart_waits = RestartWaits {
        first: Duration::from_secs(120),
        longest: Duration::from_secs(120),
        ..short()
    };
    let standby = Scene::standby_of(&primary, &[], restart_waits, panics_in_live_watch);
    PANICS_OF_LIVE_WATCH.store(1, Ordering::SeqCst);
    standby.until("it is said", |status| {
        status.failed_parts == ["live watch"] && !is_in_sync(status)
    });
    let path = standby.dir.path().join(CONFIG);
    let right = fs::read(&path).expect("read");
    fs::write(&path, "<cruise>mine</cruise>").expect("write");
    // 25 s at most.
    wait::until("it is mended", Duration::from_secs(90), || {
        (fs::read(&path).ok()? == right).then_some(())
    });
}

#[test]
fn what_differs_on_a_standby_ends_in_sync_on_both_nodes_until_it_is_mended() {
    let primary = Scene::primary(&[], short(), watch::watch);
    let standby = Scene::standby_of(&primary, &[], short(), watch::watch);
    let path = standby.dir.path().join(CONFIG);
    let right = fs::read(&path).expect("read");
    let is_mended = || (fs::read(&path).ok()? == right).then_some(());

    // Edited or removed: mended at once.
    let began = std::time::Instant::now();
    fs::write(&path, "<cruise>mine</cruise>").expect("write");
    wait::until("the edit is undone", SOON, is_mended);
    fs::remove_file(&path).expect("remove");
    wait::until("the file is back", SOON, is_mended);
    assert!(
        began.elapsed() < Duration::from_secs(24),
        "{:?}: without waiting for a look",
        began.elapsed()
    );
    standby.until("in sync", is_in_sync);

    // A folder in its place cannot be mended.
    fs::remove_file(&path).expect("remove");
    fs::create_dir_all(path.join("in the way")).expect("folder");
    standby.until("the standby says so", |status| {
        !is_in_sync(status)
            && status.sync.as_ref().is_some_and(|sync| sync.behind_since_ms.is_some())
            && status
                .problems
                .iter()
                .any(|problem| problem.message.contains("cruise-config.xml"))
    });
    primary.until("the primary says so", |status| {
        status.standbys.iter().all(|one| !one.in_sync && one.problem.is_some())
    });
    fs::remove_dir_all(&path).expect("remove");
    wait::until("the file is back", SOON, is_mended);
    standby.until("in sync", is_in_sync);
    primary.until("the primary knows", |status| {
        status.standbys.iter().any(|one| one.in_sync)
    });

    // A file that cannot be looked at: a link that leads to itself.
    let jar = standby.dir.plugins().join("loop.jar");
    std::os::unix::fs::symlink("loop.jar", &jar).expect("link");
    standby.until("nobody knows", |status| {
        !is_in_sync(status)
            && status
                .problems
                .iter()
                .any(|problem| problem.message.contains("loop.jar"))
    });
    primary.until("the primary does not know", |status| {
        status.standbys.iter().all(|one| !one.in_sync)
    });
    fs::remove_file(&jar).expect("remove");
    standby.until("in sync", is_in_sync);
    primary.until("the primary knows", |status| {
        status.standbys.iter().any(|one| one.in_sync)
    });
}
