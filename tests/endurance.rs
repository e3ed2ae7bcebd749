//! Rewrites and kills by the hundred; `cargo xtask soak` does the same by the thousand.

use bc_tests::soak::{kills, large, rewrites};

#[test]
fn a_standby_never_shows_a_torn_empty_or_mixed_configuration_in_10_000_rewrites() {
    let seed = kills::seed().expect("a seed");
    let report = rewrites::run(10_000, seed).unwrap_or_else(|error| panic!("BC_SEED={seed}: {error:#}"));
    eprintln!("BC_SEED={seed} {report:?}");
    assert!(report.torn.is_empty(), "BC_SEED={seed}: {:#?}", report.torn);
    assert!(report.versions > 100, "the standby hardly followed: {report:?}");
    assert!(report.broken > 0 && report.slow > 0, "{report:?}");
}

#[test]
fn after_each_of_100_kills_exactly_one_set_is_live() {
    let seed = kills::seed().expect("a seed");
    let report = kills::run(100, seed);
    eprintln!("{}", report.json(seed));
    assert!(report.is_clean(), "BC_SEED={seed}: {report:#?}");
    assert!(report.left_journal > 0, "no kill hit an apply: {report:#?}");
}

#[test]
fn memory_stays_flat_and_nothing_is_sent_twice_over_a_cut_and_a_kill() {
    let report = large::run(512 << 20).expect("everything arrives");
    eprintln!("{}", report.json());
    assert!(report.primary_peak < 64 << 20, "{report:?}");
    assert!(report.standby_peak < 64 << 20, "{report:?}");
    // TLS adds a little, and what lay in the buffers of four connections is lost twice. A third sent again is more.
    assert!(report.delivered < report.bytes + report.bytes / 4, "{report:?}");
}
