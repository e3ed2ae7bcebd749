//! The steps of a promotion without the database, in their order.
//!
//! The order is what keeps it safe: nothing is published before the live set is whole, the epoch is durable before
//! anybody could meet this node as a primary, the note before the role that it tells of, and GoCD goes on last. A step
//! that fails ends the promotion, and the node stays the standby that it was; every step can be taken again, also after
//! a crash: the role decides at the next start, and it is recorded when all before it is done.

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The primary is asked for its newest files once more, and then nothing is pulled any more. A primary that does
    /// not answer is no failure; an apply that does not come to its end is one.
    LastPull,
    /// A configuration that GoCD has not accepted gives way to the newest that it has.
    BackToAccepted,
    /// Every live file is read, and what is not what was verified is mended from the kept bytes.
    MakeWhole,
    /// Where nobody ordered it, everybody is asked once more: reading all files takes its time, and a primary may have
    /// come meanwhile.
    AskOnceMore,
    /// A new epoch, above all that were ever seen, is durable.
    BeginEpoch,
    /// What nobody ordered is written down until a person has seen it; a promotion that was ordered ends an older note.
    Note,
    /// From here on this node is the primary, also after a crash.
    RecordRole,
    /// GoCD's port is given back and GoCD goes on; where it runs already, this node begins to serve.
    Release,
}

/// What begins a promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// GoCD is held, or there is none.
    Held,
    /// GoCD runs already, without the agent that could have held it: nothing may change under its feet.
    Running,
}

/// The steps at `place`, in their order.
pub fn steps(place: Place) -> &'static [Step] {
    const ALL: [Step; 8] = [
        Step::LastPull,
        Step::BackToAccepted,
        Step::MakeWhole,
        Step::AskOnceMore,
        Step::BeginEpoch,
        Step::Note,
        Step::RecordRole,
        Step::Release,
    ];
    match place {
        Place::Held => &ALL,
        Place::Running => &ALL[3..],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: Step) -> usize {
        let found = steps(Place::Held).iter().position(|one| *one == step);
        found.expect("a held node takes every step")
    }

    #[test]
    fn nothing_is_pulled_once_the_set_is_looked_at_and_nothing_is_recorded_before_it_is_whole() {
        assert!(at(Step::LastPull) < at(Step::BackToAccepted));
        assert!(at(Step::BackToAccepted) < at(Step::MakeWhole));
        assert!(at(Step::MakeWhole) < at(Step::BeginEpoch));
    }

    #[test]
    fn nothing_comes_between_the_last_question_and_the_epoch() {
        for place in [Place::Held, Place::Running] {
            let steps = steps(place);
            let asks = steps.iter().position(|step| *step == Step::AskOnceMore);
            let begins = steps.iter().position(|step| *step == Step::BeginEpoch);
            assert_eq!(asks.map(|asks| asks + 1), begins, "{place:?}");
        }
    }

    #[test]
    fn a_role_is_recorded_after_its_epoch_and_its_note_and_gocd_goes_on_last() {
        assert!(at(Step::BeginEpoch) < at(Step::Note));
        assert!(at(Step::Note) < at(Step::RecordRole));
        assert_eq!(steps(Place::Held).last(), Some(&Step::Release));
    }

    #[test]
    fn no_file_changes_under_a_gocd_that_runs() {
        let running = steps(Place::Running);
        for step in [Step::LastPull, Step::BackToAccepted, Step::MakeWhole] {
            assert!(!running.contains(&step), "{step:?}");
        }
        assert_eq!(
            running,
            [
                Step::AskOnceMore,
                Step::BeginEpoch,
                Step::Note,
                Step::RecordRole,
                Step::Release
            ]
        );
    }
}
