//! Nodes of today on state folders of the version before, as an upgrade of one server after the other has them.
#![cfg(unix)]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{fs, net::TcpListener, process::Command};

use bc_testkit::{artefacts, secrets};
use pair::{
    Foreground, PRIMARY_STATE, STANDBY_STATE, comment, config, fenced, key_of_primary, primary, promote, standby,
    status, wait_for, wait_until_in_sync, wait_until_on_standby,
};
use support::{Place, is_root};

#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// Both servers as that version has left them.
fn left_by(archive: &str) -> Place {
    let place = Place::new();
    let run = |program: &str, words: &[&str]| {
        let done = Command::new(program).args(words).current_dir(place.path("")).status();
        assert!(done.expect("it runs").success(), "{program} {words:?}");
    };
    let archive = artefacts::fixture(&format!("state/{archive}"));
    run("tar", &["-xzf", archive.to_str().expect("UTF-8")]);
    if is_root() {
        run("chown", &["-R", "nobody:", "primary", "standby"]);
    }
    let token = fs::read_to_string(place.path("primary/config/business-continuity-token")).expect("read");
    secrets::register_token(&token);
    place
}

/// A free address that a node has from now on.
fn address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

fn node_id(place: &Place, state: &str) -> String {
    let id = fs::read_to_string(place.path(state).join("node-id")).expect("read");
    id.trim().to_owned()
}

#[test]
fn state_folders_of_the_version_before_are_taken_over_whichever_server_is_first() {
    for first in ["primary", "standby"] {
        let place = left_by("before-epochs.tar.gz");
        let (of_primary, of_standby) = (address(), address());
        let ids = [PRIMARY_STATE, STANDBY_STATE].map(|state| node_id(&place, state));
        let key = key_of_primary(&place);
        let live = config(&place, "standby");
        assert!(live.contains("edit 3"), "{live}");
        let (url, listen) = (format!("https://{of_primary}"), format!("bc.listen={of_standby}"));
        let follows = || standby(&place, &url, &["--property", &listen]);
        let sequence = |node: &str| status(&place, node)["generation"]["sequence"].as_u64();

        // The first one goes on where it was, while the other one is not there yet and somebody edits.
        let (leads, following): (Foreground, Foreground);
        if first == "standby" {
            following = follows();
            wait_for("it holds", || {
                (status(&place, "standby")["phase"] == "holding").then_some(())
            });
            assert_eq!(status(&place, "standby")["role"], "standby");
            comment(&place, "while the primary is upgraded");
            assert_eq!(config(&place, "standby"), live);
            leads = primary(&place, &of_primary);
        } else {
            leads = primary(&place, &of_primary);
            let offered = || sequence("primary").filter(|number| *number > 4);
            let number = wait_for("its numbers go on", offered);
            comment(&place, "while the standby is upgraded");
            wait_for("it offers the edit", || offered().filter(|next| *next > number));
            assert_eq!(config(&place, "standby"), live);
            following = follows();
        }
        wait_until_on_standby(&place, &comment(&place, "of two that are upgraded"));
        wait_until_in_sync(&place);

        // Both are who they were, and nobody has to be asked anything.
        for (node, id) in ["primary", "standby"].iter().zip(&ids) {
            let status = status(&place, node);
            assert_eq!(
                (&status["node_id"], &status["epoch"]["number"]),
                (&id.as_str().into(), &1.into())
            );
            let problems = status["problems"].as_array().expect("a list").iter();
            let critical: Vec<_> = problems.filter(|problem| problem["severity"] == "CRITICAL").collect();
            assert!(critical.is_empty(), "{first} first: {critical:?}");
        }
        assert_eq!(key_of_primary(&place), key);
        let kept = place
            .run(&["generations", "list", "--json", "--state-dir", STANDBY_STATE])
            .json();
        let kept: Vec<_> = kept
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|one| one["sequence"].as_u64())
            .collect();
        assert!(
            kept.contains(&1) && kept.contains(&4),
            "those of the version before are there: {kept:?}"
        );

        // What it has learnt since is enough for a fail-over.
        wait_for("the primary knows where its standby is", || {
            let text = fs::read_to_string(place.path(&format!("{PRIMARY_STATE}/known-peers.json"))).ok()?;
            text.contains(&of_standby).then_some(())
        });
        leads.end();
        promote(&place);
        let _again = primary(&place, &of_primary);
        let fenced = fenced(&place, "primary");
        assert_eq!(fenced["fenced_by"]["epoch"]["number"], 2, "{fenced}");
        drop(following);
    }
}
