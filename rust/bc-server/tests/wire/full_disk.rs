//! A primary whose state folder is on a full disk: edits cross, both nodes say what is so, and after a restart its
//! standby follows on. One that was restored from a snapshot is still refused. These tests mount, so they need root.

use std::fs;

use bc_core::{
    basics::Severity,
    status::{Status, Topic},
};
use bc_testkit::{
    gocd_dir::GocdDir,
    mounts::{Mounts, fill},
};

use crate::whole::{SOON, Whole, is_in_sync};

const CONFIG: &str = "config/cruise-config.xml";

/// A primary whose state folder has a small disk of its own, and a standby of it.
fn pair(mounts: &Mounts) -> (Whole, Whole) {
    let dir = GocdDir::new();
    fs::create_dir_all(dir.state()).expect("folder");
    mounts.disk(&dir.state().canonicalize().expect("there"), "size=512k");
    let primary = Whole::open(dir, &[]);
    until_read(&primary);
    let standby = Whole::standby(primary.address(), primary.key(), SOON);
    standby.until_equal(&primary.dir, CONFIG);
    (primary, standby)
}

fn until_read(primary: &Whole) {
    primary.until("it has read its files", |status| {
        status.listening.is_some() && status.generation.is_some()
    });
}

fn edit(primary: &Whole, number: u32) {
    let text = fs::read_to_string(primary.dir.path().join(CONFIG)).expect("read");
    let name = format!("edited-{number}-times");
    primary
        .dir
        .rewrite_config(&text.replace("</cruise>", &format!("<!-- {name} --></cruise>")));
}

fn severity_of_ledger(status: &Status) -> Option<Severity> {
    let mut problems = status.problems.iter();
    problems
        .find(|problem| problem.topic == Topic::Ledger)
        .map(|problem| problem.severity)
}

#[test]
fn edits_cross_over_restarts_while_the_disk_of_the_state_folder_is_full() {
    let mounts = Mounts::private();
    let (mut primary, standby) = pair(&mounts);
    let filler = fill(&primary.dir.state());
    for number in 0..4 {
        edit(&primary, number);
        standby.until_equal(&primary.dir, CONFIG);
        let status = primary.until("it says so at once", |status| severity_of_ledger(status).is_some());
        assert_eq!(severity_of_ledger(&status), Some(Severity::Critical), "{status:#?}");
        let status = standby.until("the standby says so too", |status| {
            let mut problems = status.problems.iter();
            problems.any(|problem| {
                problem
                    .message
                    .contains("the primary says of what it offers: cannot write")
            })
        });
        assert!(is_in_sync(&status), "{status:#?}");
        if number == 1 {
            primary.restart(|_| {});
            until_read(&primary);
            standby.until_equal(&primary.dir, CONFIG);
        }
    }
    // It changes while nobody offers it.
    primary.restart(|dir| {
        dir.rewrite_config(
            &fs::read_to_string(dir.path().join(CONFIG))
                .expect("read")
                .replace("edited-3", "edited-4"),
        )
    });
    until_read(&primary);
    standby.until_equal(&primary.dir, CONFIG);
    fs::remove_file(filler).expect("there is room again");
    primary.until("it ends by itself", |status| severity_of_ledger(status).is_none());
    primary.restart(|_| {});
    until_read(&primary);
    edit(&primary, 5);
    standby.until_equal(&primary.dir, CONFIG);
    let status = standby.until("all is well", is_in_sync);
    assert!(status.sync.expect("a standby").refusal.is_none());
}

#[test]
fn a_primary_restored_from_a_snapshot_of_a_full_disk_is_refused() {
    let mounts = Mounts::private();
    let (mut primary, standby) = pair(&mounts);
    let filler = fill(&primary.dir.state());
    edit(&primary, 0);
    standby.until_equal(&primary.dir, CONFIG);
    primary.until("it says so", |status| severity_of_ledger(status).is_some());
    let files = [
        CONFIG,
        "db/business-continuity/ledger.json",
        "db/business-continuity/given-out",
    ];
    let read = |dir: &GocdDir| files.map(|file| fs::read(dir.path().join(file)).expect("read"));
    let taken = read(&primary.dir);
    edit(&primary, 1);
    standby.until_equal(&primary.dir, CONFIG);
    let live = fs::read(standby.dir.path().join(CONFIG)).expect("read");
    primary.restart(|dir| {
        fs::remove_file(&filler).expect("room");
        for (file, content) in files.iter().zip(taken) {
            fs::write(dir.path().join(file), content).expect("restored");
        }
    });
    until_read(&primary);
    standby.until_trouble("the primary went back in time");
    edit(&primary, 2);
    standby.until_trouble("the primary went back in time");
    assert_eq!(fs::read(standby.dir.path().join(CONFIG)).expect("read"), live);
}
