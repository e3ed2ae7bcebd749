use proptest::prelude::*;

use super::*;
use crate::database::{
    look::tests::system,
    timeline::tests::{at, lineage},
};

const FORK: u64 = 0x0301_8000;

fn words(case: &Case) -> [&'static str; 6] {
    let within = match case.timelines {
        Timelines::Left(fork) => case.end.is_within(fork),
        _ => case.end.is_within(at(FORK)),
    };
    [
        if case.other_is_standby { "standby" } else { "primary" },
        if case.systems.0 == case.systems.1 {
            "same"
        } else {
            "another"
        },
        if case.majors.0 == case.majors.1 {
            "same"
        } else {
            "another"
        },
        match case.timelines {
            Timelines::Followed => "followed",
            Timelines::Left(_) => "left",
            Timelines::Apart => "apart",
            Timelines::Later => "later",
            Timelines::SameNumber => "same number",
            Timelines::Unclear => "unclear",
        },
        match within {
            Some(true) => "within",
            Some(false) => "beyond",
            None => "unknown",
        },
        if case.rewind.is_ok() { "possible" } else { "impossible" },
    ]
}

fn way(case: &Case) -> &'static str {
    match case.way() {
        Way::Rejoin => "rejoin",
        Way::Rewind => "rewind",
        Way::BaseBackup(_) => "base backup",
        Way::Refuse(_) => "refuse",
    }
}

/// Every case that there is.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (other_is_standby, other_system) in [(false, 7), (false, 8), (true, 7), (true, 8)] {
        for other_major in [15, 16] {
            for timelines in [
                Timelines::Followed,
                Timelines::Left(at(FORK)),
                Timelines::Apart,
                Timelines::Later,
                Timelines::SameNumber,
                Timelines::Unclear,
            ] {
                for end in [
                    End::LastRecordAt(at(FORK - 1)),
                    End::LastRecordAt(at(FORK)),
                    End::UpTo(at(FORK)),
                    End::UpTo(at(FORK + 1)),
                    End::StillWriting,
                    End::Unknown,
                ] {
                    for rewind in [Ok(()), Err(Obstacle::NoTool)] {
                        cases.push(Case {
                            other_is_standby,
                            systems: (system(7), system(other_system)),
                            majors: (15, other_major),
                            timelines,
                            end,
                            rewind,
                        });
                    }
                }
            }
        }
    }
    cases
}

#[test]
fn the_table_of_the_documentation_is_the_decision() {
    let rows: Vec<Vec<&str>> = include_str!("../reseed.rs")
        .lines()
        .skip_while(|line| !line.starts_with("//! | the other server |"))
        .skip(2)
        .map_while(|line| line.strip_prefix("//! | "))
        .map(|line| line.trim_end_matches(" |").split(" | ").collect())
        .collect();
    let mut used = vec![false; rows.len()];
    for case in cases() {
        let words = words(&case);
        let fits = |row: &Vec<&str>| {
            row.iter()
                .zip(words)
                .all(|(cell, word)| *cell == "any" || *cell == word)
        };
        let row = rows
            .iter()
            .position(fits)
            .unwrap_or_else(|| panic!("no row for {case:?}"));
        assert_eq!(rows[row].last(), Some(&way(&case)), "{case:?}");
        used[row] = true;
    }
    assert!(used.iter().all(|used| *used), "a row never decides: {used:?}");
}

#[test]
fn timelines_as_promotions_make_them() {
    let (first, second) = (Lineage::first(), lineage(&[(1, FORK)], 2));
    // The plain fail-over, and the standby that followed it.
    assert_eq!(timelines(&first, &second, false), Timelines::Left(at(FORK)));
    assert_eq!(timelines(&second, &second, true), Timelines::Followed);
    // Both were promoted from one point; a base backup was started without its signal file.
    assert_eq!(timelines(&second, &second, false), Timelines::SameNumber);
    assert_eq!(timelines(&first, &first, false), Timelines::SameNumber);
    // The same number from elsewhere, also for a standby of such a server.
    let elsewhere = lineage(&[(1, FORK + 8)], 2);
    assert_eq!(timelines(&second, &elsewhere, true), Timelines::SameNumber);
    // Back and forth.
    let third = lineage(&[(1, FORK), (2, FORK + 99)], 3);
    assert_eq!(timelines(&second, &third, false), Timelines::Left(at(FORK + 99)));
    assert_eq!(timelines(&first, &third, false), Timelines::Left(at(FORK)));
    assert_eq!(timelines(&third, &second, false), Timelines::Later);
    // It promoted itself, and the other one knew of that number or was promoted twice.
    assert_eq!(
        timelines(&second, &lineage(&[(1, FORK + 8)], 3), false),
        Timelines::Apart
    );
    assert_eq!(timelines(&elsewhere, &third, false), Timelines::Apart);
    assert_eq!(timelines(&first, &lineage(&[(2, FORK)], 3), false), Timelines::Unclear);
}

#[test]
fn the_record_at_the_fork_is_beyond_it() {
    let fork = at(FORK);
    assert_eq!(End::LastRecordAt(at(FORK - 0x78)).is_within(fork), Some(true));
    assert_eq!(End::LastRecordAt(fork).is_within(fork), Some(false));
    assert_eq!(End::UpTo(fork).is_within(fork), Some(true));
    assert_eq!(End::StillWriting.is_within(fork), Some(false));
    assert_eq!(End::Unknown.is_within(fork), None);
}

#[test]
fn each_refusal_names_both_and_what_to_do() {
    for refusal in [
        Refusal::Standby,
        Refusal::AnotherSystem(system(7), system(8)),
        Refusal::AnotherMajor(15, 16),
        Refusal::Later,
    ] {
        let error = refusal.error("/var/lib/postgresql/15/main", "otherdb");
        assert!(error.message().contains("otherdb"), "{error}");
        assert!(error.guidance().ends_with('.'), "{error}");
    }
}

fn any_case() -> impl Strategy<Value = Case> {
    let cases = cases();
    (0..cases.len(), any::<u64>(), any::<u64>()).prop_map(move |(index, fork, end)| {
        let mut case = cases[index].clone();
        if let Timelines::Left(left) = &mut case.timelines {
            *left = at(fork);
        }
        if let End::LastRecordAt(position) | End::UpTo(position) = &mut case.end {
            *position = at(end);
        }
        case
    })
}

proptest! {
    /// Whatever is known: data with a record that the new primary does not have never follow it as they are.
    #[test]
    fn what_wrote_more_never_follows_as_it_is(case in any_case()) {
        if case.way() == Way::Rejoin {
            prop_assert!(case.systems.0 == case.systems.1 && case.majors.0 == case.majors.1 && !case.other_is_standby);
            match case.timelines {
                Timelines::Followed => {}
                Timelines::Left(fork) => prop_assert_eq!(case.end.is_within(fork), Some(true)),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn nothing_is_rewound_that_pg_rewind_would_take_for_the_same(case in any_case()) {
        if case.way() == Way::Rewind {
            prop_assert!(case.rewind.is_ok());
            prop_assert!(matches!(case.timelines, Timelines::Left(_) | Timelines::Apart));
        }
    }

    /// The later a record, the less it is before a fork.
    #[test]
    fn a_later_end_is_never_better(fork: u64, end: u64, more: u64) {
        let later = end.saturating_add(more);
        for (early, late) in [
            (End::LastRecordAt(at(end)), End::LastRecordAt(at(later))),
            (End::UpTo(at(end)), End::UpTo(at(later))),
        ] {
            prop_assert!(early.is_within(at(fork)) >= late.is_within(at(fork)));
        }
    }
}
