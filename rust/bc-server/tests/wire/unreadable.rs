//! A standby whose own files cannot be read for a while.

use std::{fs, os::unix::fs::symlink};

use bc_core::{basics::Severity, status::Topic};

use crate::whole::{SOON, Whole, is_in_sync};

#[test]
fn a_standby_goes_on_when_what_it_keeps_can_be_read_again() {
    let primary = Whole::primary();
    let mut standby = Whole::standby(primary.address(), primary.key(), SOON);
    standby.until_equal(&primary.dir, "config/cruise-config.xml");
    let record = |name: &str| format!("db/business-continuity/{name}");
    let (path, aside) = (
        standby.dir.path().join(record("applied.json")),
        standby.dir.path().join(record("aside.json")),
    );
    let before = fs::read(&path).expect("it has applied something");
    standby.restart(|_| {
        fs::rename(&path, &aside).expect("moved");
        // Nothing is mapped where a process's memory begins: reading that fails as a bad disk does.
        symlink("/proc/self/mem", &path).expect("linked");
    });
    assert_eq!(standby.until_trouble("applied.json"), Severity::Critical);
    fs::remove_file(&path).expect("still what was put there");
    fs::rename(&aside, &path).expect("moved back");
    let status = standby.until("in sync", is_in_sync);
    assert!(
        status.problems.iter().all(|problem| problem.topic != Topic::Store),
        "{status:#?}"
    );
    assert_eq!(fs::read(&path).expect("there"), before, "nothing was applied anew");
}
