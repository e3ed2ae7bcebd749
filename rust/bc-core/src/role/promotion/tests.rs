use std::path::Path;

use super::*;
use crate::{
    role::{Known, Recorded, Start, start, state_dir::StateDir, unacknowledged},
    settings::Flag,
};

const PLACES: [Place; 2] = [Place::Held, Place::Running];

fn ordered() -> Cause {
    Cause::Order {
        as_it_is: false,
        with_database: false,
    }
}

fn as_it_is() -> Cause {
    Cause::Order {
        as_it_is: true,
        with_database: false,
    }
}

fn with_database() -> Cause {
    Cause::Order {
        as_it_is: false,
        with_database: true,
    }
}

fn by_itself() -> Cause {
    Cause::Itself {
        reason: "nobody answered".to_owned(),
        highest: None,
        with_database: false,
    }
}

fn by_itself_with_database() -> Cause {
    Cause::Itself {
        reason: "nobody answered".to_owned(),
        highest: None,
        with_database: true,
    }
}

fn begin(place: Place, cause: Cause) -> Course {
    let phase = match place {
        Place::Held => Phase::Holding,
        Place::Running => Phase::Running,
    };
    Course::begin(place, cause, Role::Standby, phase, true).expect("a standby")
}

fn epoch(number: u64) -> Epoch {
    Epoch {
        number,
        promotion: format!("p{number}"),
    }
}

fn failed() -> Error {
    Error::new(Kind::File, "the disk is gone", "")
}

/// What a step comes to where all goes well.
fn well(step: Step) -> Came {
    match step {
        Step::MakeWhole => Came::Read("GoCD starts on 5 verified files.".to_owned()),
        Step::AskOnceMore => Came::Silence(None),
        Step::BeginEpoch => Came::Began(epoch(2)),
        _ => Came::Done,
    }
}

/// The steps of a promotion in which all goes well.
fn steps(place: Place, cause: Cause) -> Vec<Step> {
    steps_of(begin(place, cause))
}

/// The same where the primary hands over.
fn steps_handed_over(cause: Cause) -> Vec<Step> {
    let mut course = begin(Place::Held, cause);
    course.hand_over();
    steps_of(course)
}

/// The same where a primary answers and is ordered to stop.
fn steps_forced(cause: Cause) -> Vec<Step> {
    let mut course = begin(Place::Held, cause);
    course.order_to_stop();
    steps_of(course)
}

fn steps_of(mut course: Course) -> Vec<Step> {
    let mut steps = vec![course.step()];
    loop {
        match course.came_to(well(course.step())) {
            Next::Take(step) => steps.push(step),
            Next::Complete => return steps,
            Next::Ended(error) => panic!("{error}"),
        }
    }
}

/// The rows of a table of the documentation, by the words in its head; the first column is in code.
fn table(head: &str) -> Vec<Vec<String>> {
    include_str!("../promotion.rs")
        .lines()
        .skip_while(|line| !line.starts_with(&format!("//! | {head} |")))
        .skip(2)
        .map_while(|line| line.strip_prefix("//! | "))
        .map(|line| {
            line.trim_end_matches(" |")
                .split(" | ")
                .map(|cell| cell.replace('`', ""))
                .collect()
        })
        .collect()
}

/// The steps of a promotion for each way to begin one at this place: ordered, by itself, with the database where that is
/// done there, and the same where the primary hands over, and where it is ordered to stop.
fn ways(place: Place) -> [Vec<Step>; 5] {
    let (with_database, handed_over, forced) = match place {
        Place::Held => (
            steps(place, with_database()),
            steps_handed_over(with_database()),
            steps_forced(with_database()),
        ),
        Place::Running => Default::default(),
    };
    [
        steps(place, ordered()),
        steps(place, by_itself()),
        with_database,
        handed_over,
        forced,
    ]
}

#[test]
fn the_steps_of_the_documentation_are_the_steps() {
    let rows = table("step");
    let documented: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
    let name = |step: &Step| format!("{step:?}");
    for (place, column) in PLACES.into_iter().zip(1..) {
        let ways = ways(place);
        for row in &rows {
            let [ordered, by_itself, with_database, handed_over, forced] = ways
                .each_ref()
                .map(|steps| steps.iter().any(|step| name(step) == row[0]));
            let who = match (ordered, by_itself, with_database) {
                (true, true, _) if place == Place::Held && !handed_over && row[0] != "AskOnceMore" => {
                    "but in a hand-over"
                }
                (true, true, _) => "always",
                (false, true, _) => "by itself",
                (false, false, true) => "with the database",
                (false, false, false) if handed_over => "in a hand-over",
                (false, false, false) if forced => "by force",
                (false, false, false) => "never",
                (true, false, _) => "ordered",
            };
            assert_eq!(row[column], who, "{}", row[0]);
        }
        for steps in ways {
            let place_of = |step: &Step| documented.iter().position(|documented| *documented == name(step));
            assert!(steps.iter().all(|step| place_of(step).is_some()), "{steps:?}");
            assert!(steps.is_sorted_by_key(place_of), "{steps:?}");
            assert!(steps.is_sorted(), "{steps:?}");
        }
    }
}

#[test]
fn a_gocd_that_runs_already_is_not_promoted_with_the_database() {
    let begun = Course::begin(Place::Running, with_database(), Role::Standby, Phase::Running, true);
    let refused = begun.expect_err("it uses that database");
    assert!(refused.guidance().contains("--without-database"), "{refused}");
}

#[test]
fn what_abort_makes_of_a_promotion_is_what_the_documentation_says() {
    for (row, step) in table("step").iter().zip(every_step()) {
        let mut journal = Journal::begin(&with_database(), None, 1);
        journal.step_begins(step, 2);
        journal.step_ends(1, "");
        let abort = match journal.is_past_return() {
            true => "refuses",
            false => "follows on",
        };
        assert_eq!(row[5], abort, "{step:?}");
        assert_eq!(row[0], format!("{step:?}"));
    }
}

#[test]
fn one_that_nobody_ordered_takes_all_steps_with_the_database_and_asks_once_more_before() {
    let mut ordered = steps(Place::Held, with_database());
    ordered.push(Step::AskOnceMore);
    ordered.sort();
    assert_eq!(steps(Place::Held, by_itself_with_database()), ordered);
}

#[test]
fn json_has_the_names_of_the_steps() {
    for step in every_step() {
        assert_eq!(serde_json::to_value(step).expect("plain"), step.name());
    }
}

/// Each one once, in their order.
fn every_step() -> Vec<Step> {
    let mut steps = steps(Place::Held, with_database());
    steps.extend(self::steps(Place::Held, by_itself()));
    steps.extend(steps_handed_over(with_database()));
    steps.extend(steps_forced(with_database()));
    steps.sort();
    steps.dedup();
    steps
}

#[test]
fn what_follows_in_the_documentation_is_what_follows() {
    let all = [
        Came::Done,
        Came::Read(String::new()),
        Came::NeverApplied,
        Came::Shut(failed()),
        Came::Silence(Some(epoch(7))),
        Came::Answered("it answers".to_owned()),
        Came::Began(epoch(2)),
        Came::Failed(failed()),
    ];
    let rows = table("a step came to");
    assert_eq!(rows.len(), all.len());
    for (row, came) in rows.iter().zip(all) {
        assert!(format!("{came:?}").starts_with(&row[0]), "{row:?}: {came:?}");
        for (cell, cause) in row[1..].iter().zip([ordered(), as_it_is(), by_itself()]) {
            // At every step of it.
            let mut course = begin(Place::Held, cause);
            loop {
                let ends = matches!(course.clone().came_to(came.clone()), Next::Ended(_));
                assert_eq!(cell, if ends { "ends" } else { "goes on" }, "{came:?} in {course:?}");
                if course.came_to(well(course.step())) == Next::Complete {
                    break;
                }
            }
        }
    }
}

/// Takes the steps that are durable, as far as `last`, and leaves the others to the imagination.
fn take(course: &mut Course, state: &StateDir, flag: Flag, last: Step) -> Next {
    loop {
        let step = course.step();
        let came = match step {
            Step::BeginEpoch => Came::Began(course.begin_epoch(state, 3).expect("durable")),
            Step::Note => course.note(state, 2).map(|_| Came::Done).expect("durable"),
            Step::RecordRole => course
                .record_role(state, flag, 2)
                .map(|()| Came::Done)
                .expect("durable"),
            other => well(other),
        };
        let next = course.came_to(came);
        if step == last || !matches!(next, Next::Take(_)) {
            return next;
        }
    }
}

fn open(folder: &Path) -> StateDir {
    StateDir::open(folder).expect("a state folder")
}

#[test]
fn a_restart_after_each_step_does_what_the_documentation_says() {
    let handed_over = || {
        let mut course = begin(Place::Held, with_database());
        course.hand_over();
        course
    };
    let forced = || {
        let mut course = begin(Place::Held, with_database());
        course.order_to_stop();
        course
    };
    // As the flag is when it begins, and at the next start.
    for (column, course, flag) in [
        (3, begin(Place::Held, ordered()), Flag::Property),
        (3, begin(Place::Held, with_database()), Flag::Property),
        (3, handed_over(), Flag::Property),
        (3, forced(), Flag::Property),
        (4, begin(Place::Held, by_itself()), Flag::None),
    ] {
        for (row, step) in table("step").iter().zip(every_step()) {
            let folder = tempfile::tempdir().expect("folder");
            let state = open(folder.path());
            let recorded = Recorded::new(Role::Standby, Flag::Property, 1);
            recorded.save(state.path()).expect("save");
            if steps_of(course.clone()).contains(&step) {
                take(&mut course.clone(), &state, flag, step);
            }
            let decided = match start(&Known::here(flag, &Recorded::load(state.path()), &Epoch::default())) {
                Start::Release => "releases",
                Start::HoldStandby => "holds",
                Start::Ask => "asks",
                other => panic!("{other:?}"),
            };
            assert_eq!(row[column], decided, "{step:?} of {course:?}");
        }
    }
}

#[test]
fn every_step_can_be_taken_again() {
    for (former, anew) in [
        (ordered(), by_itself()),
        (by_itself(), ordered()),
        (by_itself(), by_itself()),
        (with_database(), with_database()),
    ] {
        for last in steps(Place::Held, former.clone()) {
            let folder = tempfile::tempdir().expect("folder");
            let state = open(folder.path());
            take(&mut begin(Place::Held, former.clone()), &state, Flag::None, last);
            let left = state.ledger().expect("readable").epoch;
            let mut again = begin(Place::Held, anew.clone());
            assert_eq!(take(&mut again, &state, Flag::None, Step::Release), Next::Complete);
            let ledger = state.ledger().expect("readable");
            assert!(ledger.epoch.number > left.number && ledger.highest_epoch == ledger.epoch);
            assert_eq!(
                unacknowledged::message(state.path(), &ledger.epoch).is_some(),
                anew == by_itself(),
                "{former:?} to {last:?}, then {anew:?}"
            );
        }
    }
}

#[test]
fn an_epoch_is_above_what_others_told_and_no_lie_is_believed() {
    let folder = tempfile::tempdir().expect("folder");
    let state = open(folder.path());
    let mut course = begin(Place::Running, by_itself());
    assert_eq!(
        course.came_to(Came::Silence(Some(epoch(41)))),
        Next::Take(Step::BeginEpoch)
    );
    assert_eq!(course.begin_epoch(&state, 0).expect("durable").number, 42);
    let mut course = begin(Place::Running, by_itself());
    course.came_to(Came::Silence(Some(epoch(u64::MAX))));
    assert_eq!(course.begin_epoch(&state, 0).expect("durable").number, 43);
    // Whom a person has ordered asks nobody.
    let mut course = begin(Place::Running, ordered());
    course.came_to(Came::Silence(Some(epoch(90))));
    assert_eq!(course.begin_epoch(&state, 0).expect("durable").number, 44);
}

#[test]
fn a_note_says_on_what_gocd_was_started() {
    let folder = tempfile::tempdir().expect("folder");
    let state = open(folder.path());
    for (place, said) in [(Place::Held, "5 verified files"), (Place::Running, "were not verified")] {
        take(&mut begin(place, by_itself()), &state, Flag::None, Step::Note);
        let own = state.ledger().expect("readable").epoch;
        let message = unacknowledged::message(state.path(), &own).expect("noted");
        assert!(
            message.contains(said) && message.contains("nobody answered"),
            "{message}"
        );
    }
}

#[test]
fn a_primary_that_answers_is_heard_only_by_whom_nobody_ordered() {
    let error = |kind| Error::new(kind, "no", "");
    for (heard, answers) in [
        (None, false),
        (Some(Err(error(Kind::Unreachable))), false),
        (Some(Err(error(Kind::Refused))), false),
        (Some(Ok(())), true),
        (Some(Err(error(Kind::Trust))), true),
        (Some(Err(error(Kind::Protocol))), true),
    ] {
        let came = Came::of_last_pull(heard.as_ref().map(|heard| heard.as_ref().copied()));
        assert_eq!(matches!(came, Came::Answered(_)), answers, "{heard:?}");
        assert_eq!(
            begin(Place::Held, ordered()).came_to(came),
            Next::Take(Step::BackToAccepted)
        );
    }
}

#[test]
fn only_a_standby_that_waits_is_promoted() {
    for place in PLACES {
        for role in [Role::Primary, Role::Standby, Role::Fenced] {
            for phase in [Phase::Starting, Phase::Holding, Phase::Releasing, Phase::Running] {
                for may_serve in [false, true] {
                    let begun = Course::begin(place, ordered(), role, phase, may_serve);
                    let is_right = match place {
                        Place::Held => phase == Phase::Holding,
                        Place::Running => phase == Phase::Running && may_serve,
                    };
                    assert_eq!(begun.is_ok(), role == Role::Standby && is_right, "{role} {phase:?}");
                }
            }
        }
    }
}

#[test]
fn maintenance_mode_is_refused_where_gocd_could_not_start_in_it() {
    let allowed = |place, face, version| allow_maintenance(place, face, version);
    for version in [None, Some("nonsense"), Some("20.9.0-1"), Some("26.1.0")] {
        assert_eq!(allowed(Place::Held, Face::Agent, version), Ok(()), "{version:?}");
    }
    for (place, face, version, part) in [
        (Place::Held, Face::Agent, Some("20.8.0-1"), "20.9 and later"),
        (Place::Held, Face::Cli, None, "no GoCD is held"),
        (Place::Running, Face::Plugin, None, "runs already"),
    ] {
        let error = allowed(place, face, version).expect_err("refused").to_string();
        assert!(
            error.contains(part) && error.contains("without --maintenance"),
            "{error}"
        );
    }
}
