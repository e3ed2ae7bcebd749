//! Two nodes, a line between them that is cut and healed, promotions, restarts, and state folders of an earlier day, in
//! thousands of schedules over the functions that decide, with hand-overs that are taken back at any moment: two nodes that
//! reach each other are active only in the moment after the line has healed, no schedule ends with nobody able to become active
//! by one command, and neither a hand-over nor a promotion by force makes a node active beside an active one, not for an
//! instant.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test, whose seed can be given"
)]

use bc_core::{
    basics::{Digest, Error, NodeId, random},
    generation::{AfterFence, Epoch, HandoverToken, HandsOver, Highest, Role, RunId},
    role::{
        Database, Epochs, Known, Ledger, Peers, Recorded, Start,
        guard::Guard,
        handover::{self, Handover},
        inquiry::Heard,
        start,
        stopping::{Answers, Stopping},
    },
    settings::Flag,
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

const SCHEDULES: u32 = 12_000;
const LONGEST: usize = 24;

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Boot(usize),
    Stop(usize),
    Cut,
    Heal,
    /// By a person: `promote`, with `--take-over` where it is fenced or held.
    Promote(usize),
    /// The same on a standby, and it ends once its epoch has begun: it takes its time, or is killed.
    Begin(usize),
    Demote(usize),
    /// By a person: `demote --handover`.
    HandOver(usize),
    /// `promote` on a primary that hands over: it tells so no more.
    Withdraw(usize),
    /// It has asked its peers.
    TakeBack(usize),
    /// `promote --force` on the standby of a primary that answers has begun its epoch, and told that one.
    Force(usize),
    /// It has asked whether that one has stopped.
    SeeStopped(usize),
    /// `promote` on the standby of a primary that hands over has begun its epoch, and asks once more.
    Confirm(usize),
    Snapshot(usize),
    Restore(usize),
    /// One interval of the watch passes on both.
    Tick,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2usize).prop_map(Step::Boot),
        2 => (0..2usize).prop_map(Step::Stop),
        2 => Just(Step::Cut),
        2 => Just(Step::Heal),
        3 => (0..2usize).prop_map(Step::Promote),
        2 => (0..2usize).prop_map(Step::Begin),
        1 => (0..2usize).prop_map(Step::Demote),
        3 => (0..2usize).prop_map(Step::HandOver),
        2 => (0..2usize).prop_map(Step::Withdraw),
        2 => (0..2usize).prop_map(Step::TakeBack),
        3 => (0..2usize).prop_map(Step::Confirm),
        3 => (0..2usize).prop_map(Step::Force),
        3 => (0..2usize).prop_map(Step::SeeStopped),
        1 => (0..2usize).prop_map(Step::Snapshot),
        1 => (0..2usize).prop_map(Step::Restore),
        4 => Just(Step::Tick),
    ]
}

/// What survives a restart.
#[derive(Debug, Clone)]
struct State {
    ledger: Ledger,
    record: Option<Recorded>,
    handover: Option<Handover>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    Down,
    Held,
    Active,
}

#[derive(Debug, Clone)]
struct Node {
    id: NodeId,
    run: RunId,
    state: State,
    kept: State,
    process: Process,
    /// While it runs: whether it tells no more that it hands over.
    withdraws: bool,
    /// While it runs: what it was handed over, once it has begun its epoch.
    confirms: Option<HandoverToken>,
    /// While it runs: who is to stop before it goes on.
    stops: Option<Stopping>,
}

impl Node {
    fn new(digit: &str, role: Role) -> Self {
        let state = State {
            ledger: Ledger::default(),
            record: Some(Recorded::new(role, Flag::None, 0)),
            handover: None,
        };
        Self {
            id: digit.repeat(32).parse().unwrap(),
            run: digit.repeat(32).try_into().unwrap(),
            kept: state.clone(),
            state,
            process: Process::Down,
            withdraws: false,
            confirms: None,
            stops: None,
        }
    }

    fn stop(&mut self) {
        self.process = Process::Down;
        (self.withdraws, self.confirms, self.stops) = (false, None, None);
    }

    fn is_handing_over(&self) -> bool {
        let ordered = handover::is_on(&Ok(self.state.handover.clone()), Some(&self.state.ledger.epoch));
        self.process == Process::Held && self.role() == Role::Primary && ordered
    }

    /// What it says of that.
    fn hands_over(&self) -> Option<HandsOver> {
        (self.is_handing_over() && !self.withdraws).then(|| HandsOver {
            id: String::new(),
            ordered_ms: 0,
            token: Some(HandoverToken {
                node_id: self.id.to_string(),
                epoch: self.state.ledger.epoch.clone(),
                generation: Digest::of(b"set"),
                sequence: 1,
                database: None,
            }),
            waits_for: None,
        })
    }

    fn role(&self) -> Role {
        self.state.record.as_ref().map_or(Role::Primary, |record| record.role)
    }

    fn record(&mut self, role: Role) {
        self.state.record = Some(Recorded::new(role, Flag::None, 0));
    }

    /// What it answers to whoever asks who it is.
    fn answer(&self) -> Heard {
        Heard::Node {
            node_id: self.id.to_string(),
            role: self.role(),
            waits: self.process == Process::Held,
            after_fence: (self.role() == Role::Fenced).then_some(AfterFence::Held),
            hands_over: self.hands_over().map(Box::new),
            epoch: self.state.ledger.epoch.clone(),
            highest: Some(Highest {
                epoch: self.state.ledger.highest_epoch.clone(),
                node_id: None,
            }),
            run: None,
        }
    }
}

#[derive(Debug)]
struct Pair {
    nodes: [Node; 2],
    is_cut: bool,
    promotions: u32,
}

impl Pair {
    fn new() -> Self {
        Self {
            nodes: [Node::new("a", Role::Primary), Node::new("b", Role::Standby)],
            is_cut: false,
            promotions: 0,
        }
    }

    /// The guard of a node after it has asked the other one.
    fn asked(&self, at: usize) -> Guard {
        let (node, other) = (&self.nodes[at], &self.nodes[1 - at]);
        let peer = "https://other:8155".to_owned();
        let own = node.state.ledger.epoch.clone();
        let mut guard = Guard::new(node.id.clone(), node.run.clone(), Some(own), [peer.clone()]);
        let heard = if self.is_cut || other.process == Process::Down {
            Heard::Silence("no connection".to_owned())
        } else {
            other.answer()
        };
        guard.hear(&peer, vec![(peer.clone(), heard)]);
        guard
    }

    fn boot(&mut self, at: usize) {
        if self.nodes[at].process != Process::Down {
            return;
        }
        // It answers while it decides.
        self.nodes[at].process = Process::Held;
        self.watch(1 - at);
        self.decide(at);
    }

    /// An active node asks: in its interval, or since it was asked by one with a higher epoch.
    fn watch(&mut self, at: usize) {
        if self.nodes[at].process != Process::Active {
            return;
        }
        let guard = self.asked(at);
        if guard.winner().is_some() {
            self.fence(at, &guard);
        } else if guard.is_decided() {
            // It ends, and its next start asks.
            self.nodes[at].process = Process::Held;
            self.decide(at);
        }
    }

    fn decide(&mut self, at: usize) {
        let guard = self.asked(at);
        let said = guard.said();
        let State {
            ledger,
            record,
            handover,
        } = self.nodes[at].state.clone();
        let recorded: Result<Option<Recorded>, Error> = Ok(record);
        let decision = start(&Known {
            flag: Flag::None,
            recorded: &recorded,
            epochs: Epochs::Known {
                own: &ledger.epoch,
                highest: &ledger.highest_epoch,
            },
            peers: Peers::Said(&said),
            strict: false,
            database: Database::Unknown,
            hands_over: handover::is_on(&Ok(handover), Some(&ledger.epoch)),
        });
        let node = &mut self.nodes[at];
        match decision {
            Start::Release => {
                node.process = Process::Active;
                node.record(Role::Primary);
            }
            Start::HoldFenced => self.fence(at, &guard),
            _ => {}
        }
    }

    /// As `bc_server::node::fence` writes it down.
    fn fence(&mut self, at: usize, guard: &Guard) {
        let node = &mut self.nodes[at];
        if let Some(winner) = guard.winner()
            && node.state.ledger.highest_epoch.number < winner.epoch.number
        {
            node.state.ledger.highest_epoch = winner.epoch.clone();
        }
        node.record(Role::Fenced);
        node.state.handover = None;
        node.process = Process::Held;
        node.withdraws = false;
    }

    fn tick(&mut self) {
        for at in [0, 1] {
            match (self.nodes[at].process, self.nodes[at].role()) {
                (Process::Active, _) => self.watch(at),
                // So does one that hands over, and learns who took over.
                // A start that is held goes on asking.
                (Process::Held, Role::Primary) => self.decide(at),
                (Process::Held, Role::Standby) => self.follow(at),
                _ => {}
            }
        }
    }

    /// A standby that follows learns the epoch of its primary.
    fn follow(&mut self, at: usize) {
        let other = self.nodes[1 - at].clone();
        if !self.is_cut && (other.process == Process::Active || other.is_handing_over()) {
            let ledger = &mut self.nodes[at].state.ledger;
            if ledger.highest_epoch.number < other.state.ledger.epoch.number {
                ledger.highest_epoch = other.state.ledger.epoch.clone();
            }
        }
    }

    /// A person's order: an epoch above all that this node knows or is told of.
    fn promote(&mut self, at: usize) {
        if self.nodes[at].process != Process::Held {
            return;
        }
        if let Some(token) = self.handed_over(at) {
            // The last pull.
            self.follow(at);
            self.begin(at, None);
            self.nodes[at].confirms = Some(token);
            return;
        }
        let guard = self.asked(at);
        let told = guard.winner().map(|winner| winner.epoch.clone());
        self.begin(at, told);
        let node = &mut self.nodes[at];
        node.record(Role::Primary);
        node.state.handover = None;
        node.process = Process::Active;
        (node.withdraws, node.confirms, node.stops) = (false, None, None);
    }

    /// What is heard at the address of the other node.
    fn heard_of_the_other(&self, at: usize) -> Vec<(String, Heard)> {
        let other = &self.nodes[1 - at];
        let heard = match self.is_cut || other.process == Process::Down {
            true => Heard::Silence("no connection".to_owned()),
            false => other.answer(),
        };
        vec![("other".to_owned(), heard)]
    }

    /// A promotion by force begins its epoch: the other one is told, and asks back in its time.
    fn force(&mut self, at: usize) {
        if self.nodes[at].process != Process::Held || self.nodes[at].role() != Role::Standby {
            return;
        }
        let heard = self.heard_of_the_other(at);
        let answers = Answers {
            heard: &heard,
            site: None,
            locks: &[],
        };
        if let Some(stopping) = Stopping::of(answers) {
            self.promotions += 1;
            let promotion = format!("p{}", self.promotions);
            self.nodes[at].state.ledger.begin_epoch(&promotion, 0);
            self.nodes[at].stops = Some(stopping);
        }
    }

    /// Whether it goes on: the other one has stopped.
    fn see_stopped(&mut self, at: usize) {
        let Some(mut stopping) = self.nodes[at].stops.take() else {
            return;
        };
        if stopping.hear(&self.heard_of_the_other(at)).is_empty() {
            self.goes_on(at);
        }
    }

    /// Its promotion ends, which must not be beside an active node.
    fn goes_on(&mut self, at: usize) {
        assert_ne!(
            self.nodes[1 - at].process,
            Process::Active,
            "beside an active one: {self:?}"
        );
        let node = &mut self.nodes[at];
        node.record(Role::Primary);
        node.process = Process::Active;
    }

    /// A new epoch begins, above what was told, and whoever is reached and runs is told of it.
    fn begin(&mut self, at: usize, told: Option<Epoch>) {
        self.promotions += 1;
        let promotion = format!("p{}", self.promotions);
        let node = &mut self.nodes[at];
        let ledger = &mut node.state.ledger;
        if let Some(told) = told.filter(|told: &Epoch| told.number > ledger.highest_epoch.number) {
            ledger.highest_epoch = told;
        }
        ledger.begin_epoch(&promotion, 0);
        self.watch(1 - at);
    }

    /// What the node that a standby follows hands over to it, where it reaches that one.
    fn handed_over(&self, at: usize) -> Option<HandoverToken> {
        let (node, other) = (&self.nodes[at], &self.nodes[1 - at]);
        if node.role() != Role::Standby || self.is_cut {
            return None;
        }
        let heard = [("other".to_owned(), other.answer())];
        let followed = Some((&*other.id, &other.state.ledger.epoch));
        handover::heard(followed, &heard)?.token.clone()
    }

    /// Whether the promotion goes on where the primary handed over: it does still, or is fenced.
    fn confirm(&mut self, at: usize) {
        let Some(token) = self.nodes[at].confirms.take() else {
            return;
        };
        if handover::confirmed(&token, &self.heard_of_the_other(at)).is_ok() {
            self.goes_on(at);
        }
    }

    fn take_back(&mut self, at: usize) {
        if !self.nodes[at].is_handing_over() || !self.nodes[at].withdraws {
            return;
        }
        self.nodes[at].withdraws = false;
        if handover::may_take_back(&self.asked(at)).is_ok() {
            assert_ne!(
                self.nodes[1 - at].process,
                Process::Active,
                "beside an active one: {self:?}"
            );
            let node = &mut self.nodes[at];
            node.state.handover = None;
            node.process = Process::Active;
        }
    }

    /// The one command of a person, as it is documented: what it takes back, or is promoted, or takes over.
    fn make_active(&mut self, at: usize) {
        if self.nodes[at].is_handing_over() {
            self.nodes[at].withdraws = true;
            self.take_back(at);
        }
        self.promote(at);
        self.confirm(at);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Boot(at) => self.boot(at),
            Step::Stop(at) => self.nodes[at].stop(),
            Step::Cut => self.is_cut = true,
            Step::Heal => self.is_cut = false,
            Step::Promote(at) => self.promote(at),
            Step::Begin(at) if self.nodes[at].process == Process::Held && self.nodes[at].role() == Role::Standby => {
                let told = self.asked(at).winner().map(|winner| winner.epoch.clone());
                self.begin(at, told);
            }
            Step::Begin(_) => {}
            // Refused while it hands over, and while it is promoted.
            Step::Demote(at)
                if self.nodes[at].is_handing_over()
                    || self.nodes[at].confirms.is_some()
                    || self.nodes[at].stops.is_some() => {}
            Step::Demote(at) if self.nodes[at].process == Process::Held => self.nodes[at].record(Role::Standby),
            Step::Demote(_) => {}
            Step::HandOver(at) if self.nodes[at].process == Process::Active => {
                let epoch = self.nodes[at].state.ledger.epoch.clone();
                self.nodes[at].state.handover = Some(Handover::new(epoch, 0).unwrap());
                self.nodes[at].stop();
                self.boot(at);
            }
            Step::HandOver(_) => {}
            Step::Withdraw(at) => self.nodes[at].withdraws = self.nodes[at].is_handing_over(),
            Step::TakeBack(at) => self.take_back(at),
            Step::Confirm(at) => self.confirm(at),
            Step::Force(at) => self.force(at),
            Step::SeeStopped(at) => self.see_stopped(at),
            Step::Snapshot(at) => self.nodes[at].kept = self.nodes[at].state.clone(),
            Step::Restore(at) => {
                self.nodes[at].stop();
                self.nodes[at].state = self.nodes[at].kept.clone();
            }
            Step::Tick => self.tick(),
        }
    }

    fn active(&self) -> Vec<usize> {
        [0, 1]
            .into_iter()
            .filter(|at| self.nodes[*at].process == Process::Active)
            .collect()
    }
}

#[test]
fn no_schedule_ends_with_two_active_nodes_or_with_none_that_a_command_makes_active() {
    let seed = match std::env::var("BC_SEED") {
        Ok(given) => given,
        Err(_) => random::hex_id().unwrap(),
    };
    eprintln!("BC_SEED={seed}");
    let config = Config {
        cases: SCHEDULES,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(
        RngAlgorithm::ChaCha,
        seed.as_bytes().first_chunk::<32>().expect("32 characters"),
    );
    let mut runner = TestRunner::new_with_rng(config, rng);
    runner
        .run(&vec(steps(), 1..LONGEST), |schedule| {
            let mut pair = Pair::new();
            let mut has_asked = true;
            for step in schedule {
                pair.take(step);
                has_asked = match step {
                    Step::Heal => false,
                    Step::Tick => true,
                    _ => has_asked,
                };
                // Before a line heals nobody can know, and then one interval is enough.
                if !pair.is_cut && pair.active().len() > 1 {
                    prop_assert!(!has_asked, "both are active after {step:?}: {pair:?}");
                    let mut later = Pair {
                        nodes: pair.nodes.clone(),
                        ..pair
                    };
                    later.tick();
                    prop_assert!(later.active().len() < 2, "both are active: {later:?}");
                }
            }
            pair.take(Step::Heal);
            pair.tick();
            prop_assert!(pair.active().len() < 2, "both are active: {pair:?}");
            for at in [0, 1] {
                let mut pair = Pair {
                    nodes: pair.nodes.clone(),
                    ..pair
                };
                pair.boot(0);
                pair.boot(1);
                pair.tick();
                if pair.active() != [at] {
                    pair.make_active(at);
                }
                pair.tick();
                prop_assert_eq!(pair.active(), [at], "by one command: {:?}", pair);
                // And it stays that one, in either order of boots.
                for first in [0, 1] {
                    pair.take(Step::Stop(0));
                    pair.take(Step::Stop(1));
                    pair.boot(first);
                    pair.boot(1 - first);
                    pair.tick();
                    prop_assert_eq!(pair.active(), [at], "after a restart: {:?}", pair);
                }
            }
            Ok(())
        })
        .unwrap_or_else(|failed| panic!("BC_SEED={seed}: {failed}"));
}
