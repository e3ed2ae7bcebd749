//! What the command reads and writes while no node runs.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use bc_core::{
    basics::Fingerprint,
    keys::{Identity, PeersFile},
};
use support::{NOBODY, Place, is_root};

mod support;

const TOKEN: &str = "config/business-continuity-token";

/// A GoCD folder of nobody, where we may give it away.
fn place() -> Place {
    let place = Place::new();
    place.folder("config", NOBODY);
    place.file("config/cruise-config.xml", "<cruise/>", NOBODY);
    place.folder("db/business-continuity", NOBODY);
    place
}

#[test]
fn a_token_is_made_for_gocds_user_and_not_shown() {
    let place = place();
    let answer = place.run(&["token", "generate"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let path = place.path(TOKEN);
    let text = fs::read_to_string(&path).expect("read");
    let password = text.trim().rsplit_once('=').expect("a pair").1;
    assert!(password.len() > 40, "{text}");
    assert!(
        !answer.stdout.contains(password) && !answer.stderr.contains(password),
        "{answer:?}"
    );
    assert!(
        answer.stdout.contains(TOKEN) && answer.stdout.contains("user: business-continuity"),
        "{answer:?}"
    );
    let metadata = fs::metadata(&path).expect("stat");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    if is_root() {
        assert_eq!((metadata.uid(), metadata.gid()), (NOBODY, NOBODY));
    }

    let again = place.run(&["token", "generate"]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.stderr.contains("there is a token already"), "{again:?}");
    assert_eq!(fs::read_to_string(&path).expect("read"), text);
    assert_eq!(place.run(&["token", "generate", "--force"]).code, 0);
    assert_ne!(fs::read_to_string(&path).expect("read"), text);
}

#[test]
fn root_writes_nothing_that_gocds_user_could_not() {
    if !is_root() {
        // Without being root the command writes as oneself; the operating system sees to the rest.
        return;
    }
    let place = place();
    // GoCD's user leads root to a folder that it may not write to itself.
    place.folder("precious", 0);
    let link = place.path("config/link");
    std::os::unix::fs::symlink(place.path("precious"), &link).expect("link");
    std::os::unix::fs::lchown(&link, Some(NOBODY), Some(NOBODY)).expect("root may");
    let target = format!("{}/business-continuity-token", link.display());
    place.file("precious/cruise-config.xml", "<cruise/>", NOBODY);
    let answer = place.run(&["token", "generate", "--file", &target]);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.stderr.contains("ermission denied"), "{answer:?}");
    assert!(!place.path("precious/business-continuity-token").exists());
}

#[test]
fn each_mistake_of_a_token_has_its_code_and_message() {
    let place = place();
    let check = |text: Option<&str>, mode: u32| {
        let path = place.path(TOKEN);
        drop(fs::remove_file(&path));
        if let Some(text) = text {
            fs::write(&path, text).expect("write");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
        }
        place.run(&["token", "check"])
    };
    let fine = check(Some("user = password\n"), 0o600);
    assert_eq!((fine.code, fine.stderr.as_str()), (0, ""), "{fine:?}");
    assert!(
        !fine.stdout.contains("password\n") || fine.stdout.contains("one user and a password\n"),
        "{fine:?}"
    );
    let open = check(Some("user = password\n"), 0o644);
    assert_eq!(open.code, 1, "{open:?}");
    assert!(open.stdout.contains("everybody on this machine can read"), "{open:?}");
    for (text, message) in [
        (None, "does not exist"),
        (Some(""), "holds no user and password"),
        (Some("a = b\nc = d\n"), "holds 2 pairs"),
        (Some("user =\n"), "has no password"),
        (Some("\\u12"), "is not a Java properties text"),
    ] {
        let answer = check(text, 0o600);
        assert_eq!(answer.code, 2, "{text:?}: {answer:?}");
        assert!(answer.stderr.contains(message), "{text:?}: {answer:?}");
    }
}

#[test]
fn status_says_that_it_read_files() {
    let place = place();
    let state = place.path("db/business-continuity");
    let identity = Identity::load_or_create(&state).expect("identity");
    fs::write(state.join("role"), "role=standby\nflag=property\n").expect("write");
    let answer = place.run(&["status", "--json"]);
    assert_eq!(answer.code, 3, "{answer:?}");
    let json = answer.json();
    assert_eq!(json["source"], "files");
    assert_eq!(json["files"]["role"], "standby");
    assert_eq!(json["files"]["fingerprint"], identity.fingerprint().to_string());
    let answer = place.run(&["status"]);
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(answer.stdout.starts_with("UNKNOWN  no node runs in "), "{answer:?}");
}

#[test]
fn the_identity_is_shown_in_both_forms() {
    let place = place();
    let none = place.run(&["identity", "show"]);
    assert_eq!(none.code, 1, "{none:?}");
    assert!(none.stderr.contains("has no key yet"), "{none:?}");
    let fingerprint = Identity::load_or_create(&place.path("db/business-continuity"))
        .expect("made")
        .fingerprint();
    let json = place.run(&["identity", "show", "--json"]).json();
    assert_eq!(json["fingerprint"], fingerprint.to_string());
    assert_eq!(json["base64"].as_str().expect("text").parse(), Ok(fingerprint));
    if is_root() {
        let stranger = place.run_as(NOBODY - 1, &["identity", "show"]);
        assert_eq!(stranger.code, 1, "{stranger:?}");
        assert!(
            stranger.stderr.contains("Run the command as root or as root"),
            "{stranger:?}"
        );
    }
}

#[test]
fn trust_without_a_node_writes_the_peers_file() {
    let place = place();
    let key = Fingerprint::of_public_key(b"primary");
    let answer = place.run(&["trust", &key.to_string()]);
    assert_eq!(
        (answer.code, answer.stdout),
        (0, format!("{key} is trusted now\n")),
        "{}",
        answer.stderr
    );
    let path = place.path("config/business-continuity-peers");
    let peers = || PeersFile::new(&path, None).load().expect("read");
    assert!(peers().contains(&key));
    if is_root() {
        assert_eq!(fs::metadata(&path).expect("stat").uid(), NOBODY);
    }
    let listed = place.run(&["trust", "--json"]).json();
    assert_eq!(listed["keys"][0]["fingerprint"], key.to_string());
    assert_eq!(place.run(&["trust"]).stdout, format!("{key}\n"));
    let removed = place.run(&["trust", "--remove", &key.to_string()]);
    assert_eq!(
        (removed.code, removed.stdout),
        (0, format!("{key} is not trusted any more\n"))
    );
    assert!(!peers().contains(&key) && peers().is_removed(&key));
    let listed = place.run(&["trust", "--json"]).json();
    assert_eq!(listed["removed"][0]["fingerprint"], key.to_string());
    let listed = place.run(&["trust"]);
    assert!(listed.stdout.ends_with("  removed, not trusted\n"), "{listed:?}");
    let again = place.run(&["trust", &key.to_string()]);
    assert_eq!((again.code, again.stdout), (0, format!("{key} is trusted again\n")));
}

#[test]
fn a_state_folder_alone_does_not_tell_the_configuration() {
    let place = Place::new();
    place.folder("state", NOBODY);
    let answer = place.run(&["token", "check", "--state-dir", "state"]);
    assert_eq!(answer.code, 64, "{answer:?}");
    assert!(answer.stderr.contains("--config DIR"), "{answer:?}");
}
