//! What `gocd-bc` says where no node answers it: none runs, one runs without its socket, or this user may not reach it.
#![cfg(target_os = "linux")]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::Command,
    thread::sleep,
    time::Duration,
};

use pair::{Foreground, STANDBY_STATE, gocd, pair, status, wait_for};
use support::{NOBODY, Place, is_root};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
mod support;

const PROMOTE: [&str; 4] = ["promote", "--without-database", "--wait", "60"];

#[test]
fn a_standby_whose_socket_was_removed_has_it_again_and_is_promoted() {
    let place = Place::new();
    let (_primary, standby, _) = pair(&place);
    let socket = place.path(STANDBY_STATE).join("control.sock");
    assert_eq!(status(&place, "standby")["socket"], socket.to_str().expect("text"));
    fs::remove_file(&socket).expect("it is there");
    let answer = place.run(&["status", "--state-dir", STANDBY_STATE]);
    // It may have come back already.
    if answer.code == 3 {
        assert!(answer.stdout.contains("has no local socket"), "{answer:?}");
    }
    wait_for("the socket is made again", || socket.exists().then_some(()));
    let promoted = place.run(&[&PROMOTE[..], &["--state-dir", STANDBY_STATE]].concat());
    assert_eq!(promoted.code, 0, "{promoted:?}");
    let (code, log) = standby.end();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_node_that_runs_without_its_socket_is_named_by_its_process() {
    let place = Place::new();
    let state = place.folder("state", 0);
    let lock = fs::File::create(state.join("lock")).expect("a file");
    // A dead one is as good as none.
    drop(std::os::unix::net::UnixListener::bind(state.join("control.sock")).expect("bind"));
    let order = [&PROMOTE[..], &["--state-dir", "state"]].concat();
    let nobody = place.run(&order);
    assert_eq!(nobody.code, 1, "{nobody:?}");
    assert!(nobody.stderr.contains("error: no node runs in state"), "{nobody:?}");
    assert!(nobody.stderr.contains("hint: Start GoCD "), "{nobody:?}");

    lock.try_lock().expect("nobody has it");
    let process = format!("process {} (", std::process::id());
    let silent = place.run(&order);
    assert_eq!(silent.code, 1, "{silent:?}");
    let sentence = format!("error: the node in state runs as {process}");
    assert!(silent.stderr.contains(&sentence), "{silent:?}");
    assert!(
        silent.stderr.contains("hint: It makes the socket again by itself"),
        "{silent:?}"
    );
    assert!(!silent.stderr.contains("Start GoCD"), "{silent:?}");

    fs::remove_file(state.join("control.sock")).expect("ours");
    let status = ["status", "--state-dir", "state"];
    let answers = if is_root() {
        vec![place.run(&status), place.run_as(NOBODY, &status)]
    } else {
        vec![place.run(&status)]
    };
    for answer in answers {
        assert_eq!(answer.code, 3, "{answer:?}");
        assert!(answer.stdout.contains(&process), "everybody is told: {answer:?}");
    }
    let json = place.run(&[&status[..], &["--json"]].concat()).json();
    assert_eq!(
        (&json["source"], &json["files"]["process"]),
        (&"files".into(), &std::process::id().into())
    );
}

#[test]
fn who_may_not_reach_the_socket_is_told_that() {
    if !is_root() {
        // Whom no folder keeps out can only be had by root, and the other way round.
        return;
    }
    let place = Place::new();
    let closed = place.folder("closed", 0);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("mode");
    let state = place.folder("closed/state", 0);
    let _listener = std::os::unix::net::UnixListener::bind(state.join("control.sock")).expect("bind");
    let refused = place.run_as(NOBODY, &[&PROMOTE[..], &["--state-dir", "closed/state"]].concat());
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("this user may not connect to its local socket"),
        "{refused:?}"
    );
    assert!(
        refused.stderr.contains("hint: Type `sudo` before the command"),
        "{refused:?}"
    );
    let asked = place.run_as(NOBODY, &["status", "--state-dir", "closed/state"]);
    assert_eq!(asked.code, 3, "{asked:?}");
}

/// A node of this user whose state folder has a path that is too long for a socket, where `/proc` is not mounted.
fn node_without_a_short_way(place: &Place, user: u32, folder: &str) -> Foreground {
    let state = place.folder(&format!("{folder}/{}", "x".repeat(120)), user);
    let node = place.command(&[
        "primary",
        "--working-dir",
        "primary",
        "--listen",
        "127.0.0.1:0",
        "--state-dir",
    ]);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg("mount -t tmpfs none /proc && exec setpriv --reuid=\"$0\" --regid=\"$0\" --clear-groups \"$@\"")
        .arg(user.to_string())
        .arg(node.get_program())
        .args(node.get_args())
        .arg(&state)
        .current_dir(place.path(""))
        .env_remove("XDG_RUNTIME_DIR")
        .process_group(0);
    Foreground::start(command)
}

#[test]
fn a_node_without_a_short_way_is_found_by_the_name_of_its_socket_and_no_other_users_is_believed() {
    if !is_root() {
        // Only root mounts.
        return;
    }
    let place = Place::new();
    gocd(&place, "primary");
    let node = node_without_a_short_way(&place, NOBODY, "long");
    let state = format!("long/{}", "x".repeat(120));
    let pointer = place.path(&state).join("socket");
    let name = wait_for("it says where its socket is", || fs::read_to_string(&pointer).ok());
    assert!(name.starts_with("@gocd-bc-"), "{name}");
    let ask = ["status", "--json", "--state-dir", &state];
    let found = wait_for("it answers", || {
        let json = place.run(&ask).json();
        (json["source"] == "node").then(|| json["status"]["socket"].clone())
    });
    assert_eq!(found, name.trim());
    assert_eq!(place.run_as(1, &ask).json()["source"], "node", "everybody may ask");
    let trust = ["trust", &"ab".repeat(32), "--state-dir", &state];
    let refused = place.run_as(1, &trust);
    assert!(refused.stderr.contains("only root may give orders"), "{refused:?}");
    assert_eq!(place.run(&trust).code, 0);

    // The state folder of another user, whose file leads to this socket.
    let other = place.folder("other", 2);
    fs::write(other.join("socket"), &name).expect("write");
    let answer = place.run(&["status", "--state-dir", "other"]);
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(answer.stderr.contains("belongs to another user"), "{answer:?}");

    fs::remove_file(&pointer).expect("it is there");
    let next = wait_for("another one is made", || fs::read_to_string(&pointer).ok());
    assert_ne!(next, name);
    sleep(Duration::from_millis(100));
    let (code, log) = node.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(!pointer.exists());
}
