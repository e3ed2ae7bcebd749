//! The runs of one standby that have reported of late, and which of them are alive at the same time.
//!
//! A report says which other runs of its node its sender was told of. Whoever was told of another one was alive after
//! that one was heard here, so two that were told of each other are two servers. Nothing else proves it: after a
//! restart the former run is told of nobody any more, however late its last report arrives, from wherever it comes.
//! What is heard of a run is forgotten some minutes after its last report.

use std::{net::IpAddr, time::Duration};

use tokio::time::Instant;

use crate::{
    generation::{Run, RunId},
    status::{OtherRun, ReportedRun, StandbyStatus},
};

/// Silence after which a run is forgotten.
pub(super) const FORGET_AFTER: Duration = Duration::from_secs(5 * 60);
/// Runs that are remembered of one node; the one that was silent longest makes room.
const MOST: usize = 8;

/// What was heard of one node's runs.
#[derive(Debug, Default)]
pub(super) struct Runs {
    heard: Vec<HeardRun>,
}

#[derive(Debug)]
pub(super) struct HeardRun {
    run: Run,
    /// Whom it was told of.
    met: Vec<RunId>,
    /// What it last reported.
    pub(super) status: StandbyStatus,
    /// When it did.
    pub(super) at: Instant,
}

impl Runs {
    /// Hears a report of a run of a standby. `status` is what it says, with its run.
    pub(super) fn hear(&mut self, reported: ReportedRun, run: Run, status: StandbyStatus) {
        self.forget();
        let id = run.id.clone();
        self.heard.retain(|heard| heard.run.id != id);
        if self.heard.len() >= MOST
            && let Some(oldest) = (0..self.heard.len()).min_by_key(|&index| self.heard[index].at)
        {
            self.heard.remove(oldest);
        }
        self.heard.push(HeardRun {
            run,
            met: reported.met,
            status,
            at: Instant::now(),
        });
    }

    /// The run of a standby with the address where it was heard first: what is said of it does not change with each
    /// report where it has several.
    pub(super) fn heard_from(&self, run: &Run, address: Option<IpAddr>) -> Run {
        let known = self.heard.iter().find(|heard| heard.run.id == run.id);
        let first = known.and_then(|known| known.run.address);
        run.clone().at(first.or(address))
    }

    /// What this run of a standby last reported.
    pub(super) fn status_of(&self, id: &RunId) -> Option<&StandbyStatus> {
        let heard = self.heard.iter().find(|heard| heard.run.id == *id);
        heard.map(|heard| &heard.status)
    }

    /// All other runs of a standby that were heard of late, as this one is told of them, in the order in which they
    /// began: another order would be news to it.
    pub(super) fn others(&self, id: &RunId) -> Vec<OtherRun> {
        let asks = self.heard.iter().find(|heard| heard.run.id == *id);
        let others = self.heard.iter().filter(|other| other.run.id != *id);
        let others = others.map(|other| OtherRun {
            run: other.run.clone(),
            is_proven: asks.is_some_and(|asks| asks.knows(other) && other.knows(asks)),
        });
        let mut others: Vec<_> = others.collect();
        others.sort_by(|a, b| (a.run.began_ms, &a.run.id).cmp(&(b.run.began_ms, &b.run.id)));
        others
    }

    /// The runs of a standby that are alive beside another one, in the order they began; none where one is alone.
    pub(super) fn doubled(&mut self) -> impl Iterator<Item = &mut HeardRun> {
        self.forget();
        self.heard
            .sort_by(|a, b| (a.run.began_ms, &a.run.id).cmp(&(b.run.began_ms, &b.run.id)));
        let is_doubled = |one: &HeardRun| self.heard.iter().any(|other| one.knows(other) && other.knows(one));
        let doubled: Vec<_> = self.heard.iter().map(is_doubled).collect();
        let heard = self.heard.iter_mut().zip(doubled);
        heard.filter_map(|(heard, is_doubled)| is_doubled.then_some(heard))
    }

    /// Forgets the runs of a standby that were not heard of for long.
    fn forget(&mut self) {
        self.heard.retain(|heard| heard.at.elapsed() < FORGET_AFTER);
    }
}

impl HeardRun {
    /// Whether this run of a standby was told of the other one.
    fn knows(&self, other: &Self) -> bool {
        self.run.id != other.run.id && self.met.contains(&other.run.id)
    }
}
