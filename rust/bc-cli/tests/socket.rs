//! The command and the local socket of a node: orders, answers, and who may give them.
//!
//! The socket is the real one. Behind it is a small node that remembers its orders, so that each answer of a node can
//! be had; whole nodes are in `nodes.rs`.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bc_core::{
    basics::{Fingerprint, Severity},
    generation::Role,
    node::{Order, Reply},
    role::preflight::{Loss, Preflight},
    settings::Face,
    standby::store::Permit,
    status::{Phase, Problem, Status, Topic},
};
use bc_server::control::{ControlHandler, ControlServer, Rights};
use support::{NOBODY, Place, is_root};
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_util::sync::CancellationToken;

#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// Remembers its orders; a promotion makes it what a plugin's node is.
struct SmallNode {
    status: Mutex<Status>,
    orders: Mutex<Vec<Order>>,
}

impl ControlHandler for SmallNode {
    async fn handle(&self, order: Order, progress: mpsc::Sender<String>) -> Reply {
        self.orders.lock().expect("no panic").push(order.clone());
        match order {
            Order::Status => Reply::Status {
                status: Box::new(self.status.lock().expect("no panic").clone()),
            },
            Order::Trust { fingerprint, .. } => Reply::Done {
                message: format!("{fingerprint} is trusted now"),
            },
            Order::Generations
            | Order::Generation { .. }
            | Order::History { .. }
            | Order::Diff { .. }
            | Order::Restore { .. }
            | Order::Verify
            | Order::AbortPromotion
            | Order::RotateIdentity { .. } => Reply::Refused {
                message: "nothing is kept here".to_owned(),
                guidance: String::new(),
            },
            Order::Sync(Permit { deletions: true, .. }) => Reply::Done {
                message: "in sync with the primary".to_owned(),
            },
            Order::Sync(_) => Reply::Refused {
                message: "the primary's cruise-config.xml is another server's".to_owned(),
                guidance: "Run `gocd-bc sync --adopt-server-id`.".to_owned(),
            },
            Order::Demote { .. }
            | Order::HandOver
            | Order::TakeBack
            | Order::Acknowledge
            | Order::LandingDone
            | Order::IgnorePeer { .. }
            | Order::TakeOver { .. }
            | Order::DropGenerations { .. } => Reply::Done {
                message: "it is done".to_owned(),
            },
            Order::Preflight { .. } => Reply::Preflight {
                preflight: Box::new(Preflight {
                    stops: None,
                    at_ms: 1,
                    checks: Vec::new(),
                    loss: Loss::default(),
                    handed_over: None,
                }),
            },
            Order::Promote {
                without_database: false,
                ..
            } => Reply::Refused {
                message: "the database is not promoted by this version".to_owned(),
                guidance: "Use --without-database.".to_owned(),
            },
            Order::Promote {
                without_database: true, ..
            } => {
                progress
                    .send("pulling once more".to_owned())
                    .await
                    .expect("the caller listens");
                let mut status = self.status.lock().expect("no panic");
                (status.role, status.face, status.phase) = (Role::Primary, Face::Plugin, Phase::Running);
                Reply::Done {
                    message: "GoCD is being released".to_owned(),
                }
            }
        }
    }
}

struct Running {
    place: Place,
    node: Arc<SmallNode>,
    address: PathBuf,
    shutdown: CancellationToken,
    _runtime: Runtime,
}

impl Running {
    fn start(rights: Rights) -> Self {
        Self::start_in("state", rights)
    }

    fn start_in(folder: &str, rights: Rights) -> Self {
        let place = Place::new();
        let state = place.path(folder);
        fs::create_dir_all(&state).expect("folder");
        fs::write(state.join("node-id"), format!("{}\n", "ab".repeat(16))).expect("write");
        fs::set_permissions(&state, fs::Permissions::from_mode(0o711)).expect("mode");
        let node = Arc::new(SmallNode {
            status: Mutex::new(status()),
            orders: Mutex::default(),
        });
        let shutdown = CancellationToken::new();
        let runtime = Runtime::new().expect("threads");
        let entered = runtime.enter();
        let server = ControlServer::start(&state, rights, Arc::clone(&node), Arc::new(|_| {}), shutdown.clone());
        drop(entered);
        Self {
            place,
            node,
            address: server.address().to_owned(),
            shutdown,
            _runtime: runtime,
        }
    }

    fn orders(&self) -> Vec<Order> {
        let is_no_question = |order: &&Order| **order != Order::Status;
        self.node
            .orders
            .lock()
            .expect("no panic")
            .iter()
            .filter(is_no_question)
            .cloned()
            .collect()
    }

    fn set(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.node.status.lock().expect("no panic"));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn status() -> Status {
    serde_json::from_value(serde_json::json!({
        "format": 1, "product_version": "0.1.0", "node_id": "ab".repeat(16), "role": "standby", "face": "agent",
        "phase": "holding", "flag": "property", "epoch": {"number": 1, "promotion": ""}, "opened_ms": 0, "now_ms": 1000,
        "problems": [], "files": [], "own_jars": [], "file_check_interval_ms": 60000,
        "primary_check_interval_ms": 60000
    }))
    .expect("a status")
}

fn key() -> Fingerprint {
    Fingerprint::of_public_key(b"primary")
}

#[test]
fn status_ends_as_the_node_is() {
    let running = Running::start(Rights::default());
    let arguments = ["status", "--state-dir", "state"];
    assert_eq!(running.place.run(&arguments).code, 0);
    for (severity, code) in [(Severity::Warning, 1), (Severity::Critical, 2)] {
        running.set(|status| {
            status.problems = vec![Problem {
                topic: Topic::Disk,
                severity,
                message: "the disk of db/ is nearly full".to_owned(),
                since_ms: 0,
            }];
        });
        let answer = running.place.run(&arguments);
        assert_eq!(answer.code, code, "{answer:?}");
        assert!(answer.stdout.contains("the disk of db/ is nearly full"), "{answer:?}");
        assert!(!answer.stdout.contains('\x1b'), "no colour without a terminal");
        assert_eq!(answer.stderr, "");
    }
    let json = running.place.run(&["--state-dir", "state", "status", "--json"]).json();
    assert_eq!(json["source"], "node");
    assert_eq!(
        serde_json::from_value::<Status>(json["status"].clone())
            .expect("a status")
            .role,
        Role::Standby
    );
}

#[test]
fn promote_tells_its_steps_and_waits() {
    let running = Running::start(Rights {
        operator_group: None,
        operator_is_owner: true,
    });
    let unsaid = running.place.run(&["promote", "--state-dir", "state"]);
    assert_eq!(unsaid.code, 64, "{unsaid:?}");
    assert!(unsaid.stderr.contains("--yes"), "nobody sits there: {unsaid:?}");
    let refused = running.place.run(&["promote", "--yes", "--state-dir", "state"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("error: the database is not promoted"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("hint: Use --without-database."), "{refused:?}");
    let promoted = running
        .place
        .run(&["promote", "--without-database", "--state-dir", "state"]);
    assert_eq!(promoted.code, 0, "{promoted:?}");
    assert_eq!(promoted.stderr, "  pulling once more\n  GoCD is being released\n");
    assert!(
        promoted.stdout.starts_with("GoCD runs, and this node is the primary"),
        "{promoted:?}"
    );
}

#[test]
fn sync_says_what_came_of_it_and_what_to_type_next() {
    let running = Running::start(Rights {
        operator_group: None,
        operator_is_owner: true,
    });
    let refused = running.place.run(&["sync", "--state-dir", "state"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("hint: Run `gocd-bc sync --adopt"),
        "{refused:?}"
    );
    let allowed = running
        .place
        .run(&["sync", "--now", "--allow-deletions", "--state-dir", "state"]);
    assert_eq!(
        (allowed.code, allowed.stdout.as_str()),
        (0, "in sync with the primary\n"),
        "{allowed:?}"
    );
    let order = |deletions| {
        Order::Sync(Permit {
            deletions,
            ..Permit::default()
        })
    };
    assert_eq!(running.orders(), [order(false), order(true)]);
}

#[test]
fn promote_says_when_gocd_was_not_seen_running() {
    let running = Running::start(Rights {
        operator_group: None,
        operator_is_owner: true,
    });
    // Without a JVM it is the same node that goes on, so the plugin's is not what is waited for.
    running.set(|status| status.face = Face::Cli);
    let answer = running
        .place
        .run(&["promote", "--without-database", "--wait", "1", "--state-dir", "state"]);
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(
        answer.stderr.contains("was released, but did not run 1 s later"),
        "{answer:?}"
    );
}

#[test]
fn the_owner_gives_no_orders_unless_it_is_said() {
    if is_root() {
        // The node runs as us: root is no ordinary owner.
        let running = Running::start(Rights::default());
        let answer = running
            .place
            .run(&["trust", &key().to_string(), "--state-dir", "state"]);
        assert_eq!(
            (answer.code, answer.stdout),
            (0, format!("{} is trusted now\n", key())),
            "{}",
            answer.stderr
        );
        return;
    }
    let running = Running::start(Rights::default());
    let answer = running
        .place
        .run(&["trust", &key().to_string(), "--state-dir", "state"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.stderr.contains("bc.operator=owner"), "{answer:?}");
    assert_eq!(running.orders(), []);
}

#[test]
fn strangers_ask_but_do_not_order() {
    if !is_root() {
        // Another user can only be had as root; rights.rs judges all of them.
        return;
    }
    let trust = ["trust", &key().to_string(), "--state-dir", "state"];
    let running = Running::start(Rights::default());
    let answer = running.place.run_as(NOBODY, &["status", "--state-dir", "state"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let answer = running.place.run_as(NOBODY, &trust);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(
        answer.stderr.contains("only root may give orders to this node"),
        "{answer:?}"
    );
    assert_eq!(running.orders(), []);

    let running = Running::start(Rights {
        operator_group: Some("nogroup".to_owned()),
        operator_is_owner: false,
    });
    let answer = running.place.run_as(NOBODY, &trust);
    assert_eq!(answer.code, 0, "nobody's group is nogroup: {answer:?}");
    assert_eq!(
        running.orders(),
        [Order::Trust {
            fingerprint: key(),
            remove: false
        }]
    );
}

#[test]
fn a_state_folder_with_a_long_path_is_reached_all_the_same() {
    let folder = "x".repeat(120);
    let running = Running::start_in(&folder, Rights::default());
    assert_eq!(running.address, running.place.path(&folder).join("control.sock"));
    assert!(
        !running.place.path(&folder).join("socket").exists(),
        "nothing lies elsewhere"
    );
    assert!(fs::metadata(&running.address).expect("stat").file_type().is_socket());
    assert_eq!(running.place.run(&["status", "--state-dir", &folder]).code, 0);
    if is_root() {
        assert_eq!(
            running.place.run_as(NOBODY, &["status", "--state-dir", &folder]).code,
            0
        );
        // A pointer that leads to somebody else's socket is not believed.
        let other = running.place.folder("other", NOBODY);
        let listener = std::os::unix::net::UnixListener::bind(other.join("s")).expect("bind");
        std::os::unix::fs::chown(other.join("s"), Some(NOBODY), None).expect("root may");
        fs::write(
            running.place.path(&folder).join("socket"),
            other.join("s").display().to_string(),
        )
        .expect("write");
        let answer = running.place.run(&["status", "--state-dir", &folder]);
        assert_eq!(answer.code, 3, "{answer:?}");
        assert!(answer.stderr.contains("belongs to another user"), "{answer:?}");
        drop(listener);
    }
}

#[test]
fn a_dead_socket_is_nobody() {
    let place = Place::new();
    let state = place.folder("state", 0);
    drop(std::os::unix::net::UnixListener::bind(state.join("control.sock")).expect("bind"));
    assert_eq!(
        place.run(&["status", "--state-dir", "state", "--json"]).json()["source"],
        "files"
    );
    let answer = place.run(&["promote", "--without-database", "--state-dir", "state"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.stderr.contains("no node runs in state"), "{answer:?}");
}
