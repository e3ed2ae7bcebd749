//! Whether more than one server answers as the one primary that is followed.
//!
//! An address may lead to one server now and to another later: a name with several addresses, a virtual one that moved.
//! Where the other is a copy of the first, with its node id and key, nothing but its run tells them apart, and what
//! either offers must never be mixed. Each answer says which run gave it. Whoever answers a question that was asked
//! after another one had answered was alive after that, so two runs that have both done so are two servers. A primary
//! that was restarted does not: its former run answers nothing that is asked once the new one has answered.
//!
//! Shared by all that ask: the puller and the reporter have connections of their own, which may lead to different ends.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    basics::{Error, Kind, NodeId, lock},
    generation::{Run, run},
};

/// Silence after which one of two is taken to be gone.
const FORGET_AFTER: Duration = Duration::from_secs(5 * 60);
/// Runs that are remembered. An id never comes back for a good reason, so they are remembered as long as there is room.
const MOST: usize = 8;

/// The runs that have answered as primaries.
#[derive(Debug, Default)]
pub struct Primaries {
    heard: Mutex<Heard>,
}

/// When something was asked, among all questions and answers.
#[derive(Debug, Clone, Copy)]
pub struct Asked(u64);

#[derive(Debug, Default)]
struct Heard {
    /// Counts questions and answers: clocks may not tell which of two was first.
    moment: u64,
    answered: Vec<Answered>,
}

#[derive(Debug)]
struct Answered {
    node_id: NodeId,
    run: Run,
    /// When its first answer had come.
    first: u64,
    /// When the newest question was asked that it has answered.
    asked: u64,
    /// When its newest answer came.
    last: Instant,
}

impl Primaries {
    /// Notes that the primary is about to be asked, and gives the moment.
    pub fn ask(&self) -> Asked {
        Asked(self.locked().tick())
    }

    /// Notes that this run of the primary with the node id `node_id` has answered what was asked then. What is no id of
    /// a node is not kept: it may be as long as an answer.
    pub fn answered(&self, node_id: &str, run: Option<&Run>, Asked(asked): Asked) {
        let (Some(run), Ok(node_id)) = (run, node_id.parse()) else {
            return;
        };
        let mut heard = self.locked();
        let (first, last) = (heard.tick(), Instant::now());
        let answered = &mut heard.answered;
        if let Some(known) = answered
            .iter_mut()
            .find(|known| known.node_id == node_id && known.run.id == run.id)
        {
            // Where it was heard first: it may have several addresses, and what is said of it stays the same.
            let address = known.run.address.or(run.address);
            known.run = run.clone().at(address);
            known.asked = known.asked.max(asked);
            known.last = last;
            return;
        }
        if answered.len() >= MOST
            && let Some(oldest) = (0..answered.len()).min_by_key(|&index| answered[index].last)
        {
            answered.remove(oldest);
        }
        answered.push(Answered {
            node_id,
            run: run.clone(),
            first,
            asked,
            last,
        });
    }

    /// Lets the primary pass unless it is more than one server.
    ///
    /// # Errors
    /// [`Kind::Refused`] naming them all.
    pub fn one(&self) -> Result<(), Error> {
        let several = self.several();
        let Some(node_id) = several.first().map(|(node_id, _)| node_id) else {
            return Ok(());
        };
        let runs: Vec<_> = several.iter().map(|(_, run)| run.clone()).collect();
        Err(Error::new(
            Kind::Refused,
            format!(
                "{} servers answer as the one primary, with the same node id {node_id:.8} and key: {}. One is a copy of \
                 the other, or its key was stolen, and nobody can say whose files are the right ones, so nothing is \
                 taken from either",
                runs.len(),
                run::named(&runs)
            ),
            "Stop the copy; run `gocd-bc identity new` on it before it is started again. Once the other is alone, this \
             standby goes on in five minutes; `gocd-bc sync --accept-rollback` here goes on at once, with the files of \
             the one that answers then.",
        ))
    }

    /// Whether the primary is more than one server.
    pub(crate) fn are_several(&self) -> bool {
        !self.several().is_empty()
    }

    /// Trusts the primary that answers now, by the word of an administrator: what was heard of others is forgotten.
    pub fn trust_newest(&self) {
        let answered = &mut self.locked().answered;
        let newest = answered.iter().map(|known| known.last).max();
        answered.retain(|known| Some(known.last) == newest);
    }

    /// The runs of primaries that are alive beside each other, with their node id, in the order in which they began.
    fn several(&self) -> Vec<(NodeId, Run)> {
        let heard = self.locked();
        let answered = &heard.answered;
        let is_alive = |known: &&Answered| known.last.elapsed() < FORGET_AFTER;
        let is_beside = |one: &Answered, other: &Answered| {
            one.node_id == other.node_id
                && one.run.id != other.run.id
                && one.asked > other.first
                && other.asked > one.first
        };
        let mut several: Vec<_> = answered
            .iter()
            .filter(is_alive)
            .filter(|one| answered.iter().filter(is_alive).any(|other| is_beside(one, other)))
            .map(|known| (known.node_id.clone(), known.run.clone()))
            .collect();
        several.sort_by(|(_, a), (_, b)| (a.began_ms, &a.id).cmp(&(b.began_ms, &b.id)));
        several
    }

    /// What was heard of the primary's runs, locked.
    fn locked(&self) -> MutexGuard<'_, Heard> {
        lock(&self.heard)
    }
}

impl Heard {
    /// The next moment in what was heard of the primary's runs: a number that grows.
    fn tick(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::generation::run::tests::run;

    const NODE: &str = "cccccccccccccccccccccccccccccccc";

    /// Asks, and is answered by this run.
    async fn asks(primaries: &Primaries, run: &Run) {
        let asked = primaries.ask();
        advance(Duration::from_secs(1)).await;
        primaries.answered(NODE, Some(run), asked);
    }

    #[tokio::test(start_paused = true)]
    async fn two_that_answer_in_turn_are_named_until_one_is_silent_for_long() {
        let primaries = Primaries::default();
        let [one, other] = [run("primarygo"), run("clonego")];
        asks(&primaries, &one).await;
        asks(&primaries, &other).await;
        primaries.one().expect("it may have been restarted");
        asks(&primaries, &one).await;
        let error = primaries.one().expect_err("it was not");
        assert_eq!(error.kind(), Kind::Refused);
        for named in ["2 servers answer", "primarygo", "clonego", "node id cccccccc"] {
            assert!(error.message().contains(named), "{error}");
        }
        assert!(error.guidance().contains("gocd-bc identity new"), "{error}");
        for _ in 0..4 {
            advance(Duration::from_secs(60)).await;
            asks(&primaries, &one).await;
            assert!(primaries.are_several());
        }
        advance(Duration::from_secs(60)).await;
        asks(&primaries, &one).await;
        primaries.one().expect("the other was not heard for five minutes");
        asks(&primaries, &other).await;
        assert!(primaries.are_several(), "an id that comes back is enough");
    }

    #[tokio::test(start_paused = true)]
    async fn restarts_are_no_copies_however_many_and_however_late_an_answer_comes() {
        let primaries = Primaries::default();
        for number in 0..20 {
            let run = run(&number.to_string());
            for _ in 0..3 {
                asks(&primaries, &run).await;
                primaries.one().expect("one after the other");
            }
            // Asked before the next one begins, and taken in after it has answered.
            let asked = primaries.ask();
            let next = super::tests::run("next");
            asks(&primaries, &next).await;
            primaries.answered(NODE, Some(&run), asked);
            asks(&primaries, &next).await;
            primaries.one().expect("the late answer proves nothing");
        }
        primaries.answered(NODE, None, primaries.ask());
        primaries.one().expect("a version that tells nothing");
        assert!(primaries.locked().answered.len() <= MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_node_is_called_is_not_kept() {
        let primaries = Primaries::default();
        for node_id in ["", "primary", &"c".repeat(16 << 20), &NODE.to_uppercase()] {
            primaries.answered(node_id, Some(&run("host")), primaries.ask());
        }
        assert_eq!(primaries.locked().answered.len(), 0);
        asks(&primaries, &run("host")).await;
        assert_eq!(primaries.locked().answered.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn another_node_is_no_copy_and_a_person_decides() {
        let primaries = Primaries::default();
        let [one, other] = [run("one"), run("other")];
        for _ in 0..3 {
            asks(&primaries, &one).await;
            let asked = primaries.ask();
            primaries.answered(&"d".repeat(32), Some(&other), asked);
        }
        primaries
            .one()
            .expect("two nodes that are two nodes are judged elsewhere");
        asks(&primaries, &other).await;
        asks(&primaries, &one).await;
        asks(&primaries, &other).await;
        assert!(primaries.are_several());
        primaries.trust_newest();
        primaries.one().expect("one is left");
        asks(&primaries, &other).await;
        primaries.one().expect("the other one alone");
        asks(&primaries, &one).await;
        asks(&primaries, &other).await;
        assert!(primaries.are_several(), "it lives all the same");
    }
}
