//! What the peers of a node that is to be the primary, or is it, say of epochs.
//!
//! | what is heard of one peer | means |
//! |---|---|
//! | a proven node with, or knowing of, a higher epoch | `Higher`: this node was replaced |
//! | the same number and another promotion | `Conflict`: two were promoted independently of each other |
//! | another node that is a primary in the very same epoch | `Conflict` |
//! | a proven node with the id of this one, in another run | `Conflict`: one of the two is a copy |
//! | the two before, of one whose GoCD waits, while this node's runs | `Agrees`: whoever runs is not ended by one who asks |
//! | this node's own key, from another run that runs as the primary, while this node does | `Conflict`: one of the two is a copy |
//! | any other proven node, or this node itself | `Agrees` |
//! | an answer that is not proven: another key, a refused token, nonsense | `Unproven` |
//! | nothing to the end of the wait: refused, no connection, no answer, a name that leads nowhere | `Unreachable` |
//!
//! A start of this node waits, within its time, for a peer to end that runs as a primary in a lower epoch: it hears of the higher
//! one by being asked.
//!
//! A peer may have two addresses; the one that proves itself counts, and else the one that answers. The newest word of a
//! peer counts, but a proven one is not unsaid by silence.
//!
//! A node that ran as the primary at another place asks there too when it starts: its folders may have been copied, and the
//! server that they are from may run there. There, whoever shows this node's own key is `Unproven`, and whoever else does not
//! prove who that is has that place now, and counts for nothing. Silence there is waited for no longer than it takes to say
//! so: a server that was moved starts as it did. It asks there for as long as it runs, and at later starts, where silence
//! means nothing more: a copy that started while its original was off ends once that one runs again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{inquiry::Heard, ledger::MAX_COUNT};
use crate::{
    basics::NodeId,
    generation::{Epoch, Highest, Role, RunId},
};

/// What one peer has said, in the order in which it counts more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// Nothing that speaks against this node.
    Agrees,
    /// Nothing.
    Unreachable,
    /// Something, without proof of who says it.
    Unproven,
    /// That it is a primary in the same epoch.
    Conflict,
    /// That there is a higher epoch.
    Higher,
}

/// How often a former place of this node is asked that cannot be asked or does not answer: a start waits for no more.
const FORMER_ASKED: u32 = 5;

/// Who has a higher epoch than this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Winner {
    /// Whose promotion began it, where that is known.
    pub node_id: Option<String>,
    /// Where that was heard.
    pub address: String,
    /// Whether the node that answers there is the one that has it.
    pub is_there: bool,
    /// The epoch.
    pub epoch: Epoch,
}

/// The newest word of one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// What it comes to.
    pub said: Said,
    /// How that showed, for people: completes the name of the peer.
    pub how: String,
    /// The node that has proven itself there.
    pub node: Option<ProvenNode>,
    /// Whether this node's own key was shown there by another run.
    pub is_own_key: bool,
    /// Whether GoCD runs there in a lower epoch than this node's: it is going to end, and is waited for.
    pub is_to_end: bool,
}

/// A peer that has proven itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenNode {
    /// Its id.
    pub node_id: String,
    /// Its role.
    pub role: Role,
    /// Its epoch.
    pub epoch: Epoch,
    /// The address that it answered at.
    pub address: String,
}

/// What all peers have said so far.
#[derive(Debug, Clone)]
pub struct Guard {
    own_node_id: NodeId,
    own_run: RunId,
    own_epoch: Option<Epoch>,
    asked: BTreeSet<String>,
    words: BTreeMap<String, Word>,
    winners: BTreeMap<String, Winner>,
    ignored: BTreeSet<String>,
    former: Option<Former>,
    runs: bool,
    told: Option<Epoch>,
}

/// Where this node ran as the primary another time.
#[derive(Debug, Clone)]
struct Former {
    place: String,
    asked: u32,
    /// Whether nobody is there by the newest answer.
    is_left: bool,
    /// Whether this node has run elsewhere since, so that silence there says nothing.
    is_settled: bool,
}

impl Guard {
    /// The guard of this run of this node, which asks these peers and has heard nothing yet. Without an epoch of its own
    /// it does not know which one it has.
    pub fn new(
        own_node_id: NodeId,
        own_run: RunId,
        own_epoch: Option<Epoch>,
        asked: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            own_node_id,
            own_run,
            own_epoch,
            asked: asked.into_iter().collect(),
            words: BTreeMap::new(),
            winners: BTreeMap::new(),
            ignored: BTreeSet::new(),
            former: None,
            runs: false,
            told: None,
        }
    }

    /// The same guard, of a primary that runs already.
    pub fn of_running(self) -> Self {
        Self { runs: true, ..self }
    }

    /// The same guard, which asks at a former place of this node as well. It `is_settled` where this node has run elsewhere
    /// since.
    pub fn of_former(mut self, place: Option<String>, is_settled: bool) -> Self {
        self.asked.extend(place.clone());
        self.former = place.map(|place| Former {
            place,
            asked: 0,
            is_left: false,
            is_settled,
        });
        self
    }

    /// Whether an address is a former place of this guard's node.
    pub fn is_former(&self, peer: &str) -> bool {
        self.former.as_ref().is_some_and(|former| former.place == peer)
    }

    /// Hears what was answered at the addresses of a peer to the guard's question.
    pub fn hear(&mut self, peer: &str, answers: Vec<(String, Heard)>) {
        if let Some(former) = self.former.as_mut().filter(|former| former.place == peer) {
            former.asked += 1;
            former.is_left = answers.iter().all(|(_, heard)| matches!(heard, Heard::Silence(_)));
        }
        let mut best: Option<Word> = None;
        for (address, heard) in answers {
            let word = self.word(peer, &address, &heard);
            let weight = |word: &Word| (word.node.is_some() || word.said > Said::Unproven, word.said);
            if best.as_ref().is_none_or(|best| weight(best) < weight(&word)) {
                best = Some(word);
            }
        }
        let Some(word) = best else { return };
        let is_silence = word.said == Said::Unreachable;
        let is_known = self
            .words
            .get(peer)
            .is_some_and(|known| known.said != Said::Unreachable);
        if !(is_silence && is_known) {
            if word.said != Said::Higher {
                self.winners.remove(peer);
            }
            self.words.insert(peer.to_owned(), word);
        }
    }

    /// Asks these peers anew, and forgets what was told to the guard before: while a primary runs, the newest word counts
    /// and so does a silence.
    pub fn ask(&mut self, peers: impl IntoIterator<Item = String>) {
        self.asked = peers.into_iter().collect();
        self.words.clear();
        self.winners.clear();
    }

    /// Goes on without this peer, by the word of a person. Returns whether the guard asks it.
    pub fn ignore(&mut self, peer: &str) -> bool {
        let is_asked = self.asked.contains(peer);
        if is_asked {
            self.ignored.insert(peer.to_owned());
        }
        is_asked
    }

    /// Whether a person has let the guard go on without a peer.
    pub fn ignores(&self) -> bool {
        !self.ignored.is_empty()
    }

    /// Whether every peer of the guard has said something that no longer wait would change.
    pub fn is_complete(&self) -> bool {
        self.asked.iter().all(|peer| {
            self.ignored.contains(peer)
                || self.words.contains_key(peer) && self.counted(peer).is_none()
                || self.is_former_done(peer)
                || self
                    .words
                    .get(peer)
                    .is_some_and(|word| !matches!(word.said, Said::Unproven | Said::Unreachable) && !word.is_to_end)
        })
    }

    /// What each peer has said to the guard so far; whoever has said nothing cannot be reached.
    pub fn said(&self) -> Vec<Said> {
        self.asked.iter().filter_map(|peer| self.counted(peer)).collect()
    }

    /// What one peer has said to the guard so far; none where somebody else has a former place of this node, or nobody
    /// after this node has settled elsewhere.
    fn counted(&self, peer: &str) -> Option<Said> {
        let word = self.words.get(peer);
        match word.map_or(Said::Unreachable, |word| word.said) {
            Said::Unproven if self.is_former(peer) && !word.is_some_and(|word| word.is_own_key) => None,
            Said::Unreachable if self.has_settled_since(peer) => None,
            // A person can go on without an answer, not against one that is proven.
            Said::Unproven | Said::Unreachable if self.ignored.contains(peer) => Some(Said::Agrees),
            said => Some(said),
        }
    }

    /// Whether a peer is a former place of this node, which has run elsewhere since.
    fn has_settled_since(&self, peer: &str) -> bool {
        self.former
            .as_ref()
            .is_some_and(|former| former.is_settled && former.place == peer)
    }

    /// Whether nobody is waited for any longer at a former place of this node: nobody answers there.
    fn is_former_done(&self, peer: &str) -> bool {
        let is_silent = self.counted(peer) == Some(Said::Unreachable);
        let former = self.former.as_ref().filter(|former| former.place == peer && is_silent);
        former.is_some_and(|former| former.is_left || former.asked >= FORMER_ASKED)
    }

    /// Whether one peer has told the guard what decides at once.
    pub fn is_decided(&self) -> bool {
        self.said().iter().any(|said| *said >= Said::Conflict)
    }

    /// The peers that have said this to the guard, and how that showed.
    pub fn who(&self, wanted: Said) -> Vec<(&str, &str)> {
        let peers = self.asked.iter();
        peers
            .filter(|peer| self.counted(peer) == Some(wanted))
            .map(|peer| {
                let how = self.words.get(peer).map_or("it was not heard yet", |word| &*word.how);
                (&**peer, how)
            })
            .collect()
    }

    /// The peers that the guard asks, each with its newest word.
    pub fn words(&self) -> impl Iterator<Item = (&str, Option<&Word>)> {
        self.asked.iter().map(|peer| (&**peer, self.words.get(peer)))
    }

    /// Who has the highest epoch above this node's, as far as the guard has heard.
    pub fn winner(&self) -> Option<&Winner> {
        self.winners
            .values()
            .max_by_key(|winner| (winner.epoch.number, winner.is_there))
    }

    /// The highest epoch that a proven peer told the guard, whosever it is.
    pub fn told(&self) -> Option<&Epoch> {
        self.told.as_ref()
    }

    /// What an answer at one address of a peer comes to for the guard.
    fn word(&mut self, peer: &str, address: &str, heard: &Heard) -> Word {
        let word = |said, how: String| Word {
            said,
            how,
            node: None,
            is_own_key: matches!(heard, Heard::OwnKey { .. }),
            is_to_end: false,
        };
        match heard {
            Heard::Itself => word(Said::Agrees, "leads to this server itself".to_owned()),
            Heard::OwnKey { how, runs: true } if self.runs => word(Said::Conflict, how.clone()),
            Heard::Unproven(how) | Heard::OwnKey { how, .. } => word(Said::Unproven, how.clone()),
            Heard::Mute(how) => word(
                Said::Unreachable,
                format!("takes connections and does not answer: {how}"),
            ),
            Heard::NotAsked(how) => word(Said::Unreachable, format!("could not be asked: {how}")),
            Heard::Silence(how) => word(Said::Unreachable, how.clone()),
            Heard::Node {
                node_id, run, waits, ..
            } if *node_id == *self.own_node_id => match run {
                Some(run) if run.id != self.own_run && self.is_disturbed_by(*waits) => word(
                    Said::Conflict,
                    format!(
                        "another server has the identity of this one, {}, and one of them is a copy: stop GoCD on the copy \
                         and run `gocd-bc identity new` there",
                        run.description()
                    ),
                ),
                _ => word(Said::Agrees, "leads to this server itself".to_owned()),
            },
            Heard::Node {
                node_id,
                role,
                waits,
                epoch,
                highest,
                ..
            } => {
                let (told, of) = highest_of(node_id, epoch, highest.as_ref());
                let known = self.told.as_ref().map_or(0, |known| known.number);
                if (known + 1..=MAX_COUNT).contains(&told.number) {
                    self.told = Some(told.clone());
                }
                let node = ProvenNode {
                    node_id: node_id.clone(),
                    role: *role,
                    epoch: epoch.clone(),
                    address: address.to_owned(),
                };
                let (said, how) = self.compare(&node, *waits, told, of);
                if said == Said::Higher {
                    let winner = Winner {
                        node_id: of.map(str::to_owned),
                        address: address.to_owned(),
                        is_there: of == Some(node_id),
                        epoch: told.clone(),
                    };
                    self.winners.insert(peer.to_owned(), winner);
                }
                let is_lower = self.own_epoch.as_ref().is_some_and(|own| epoch.number < own.number);
                Word {
                    said,
                    how,
                    node: Some(node),
                    is_own_key: false,
                    is_to_end: *role == Role::Primary && !waits && is_lower,
                }
            }
        }
    }

    /// Whether a claim to be the primary in this guard's epoch counts against it: that of one whose GoCD waits does not while
    /// ours runs. It is the other one that stays held then.
    fn is_disturbed_by(&self, waits: bool) -> bool {
        !(self.runs && waits)
    }

    /// What the highest epoch that a proven peer knows means for this guard's node, and how to say so.
    fn compare(&self, node: &ProvenNode, waits: bool, told: &Epoch, of: Option<&str>) -> (Said, String) {
        if told.number > MAX_COUNT {
            return (Said::Unproven, "tells an epoch to which no node counts".to_owned());
        }
        let is_primary = node.role == Role::Primary;
        let description = format!("node {:.8}, {} in epoch {}", node.node_id, node.role, node.epoch.number);
        let is_own = of == Some(&*self.own_node_id);
        let Some(own) = &self.own_epoch else {
            // Which epoch this node has is not known: whoever leads, or knows of another that does, speaks against it.
            let is_against = is_primary || told.number > 1 && !is_own;
            let said = if is_against { Said::Conflict } else { Said::Agrees };
            return (said, description);
        };
        if told.number > own.number {
            let whom = of.map_or("another node".to_owned(), |of| format!("node {of:.8}"));
            return (Said::Higher, format!("{description}; {whom} has epoch {}", told.number));
        }
        if told.number == own.number && told.promotion != own.promotion {
            return (
                Said::Conflict,
                format!(
                    "{description}; two nodes were promoted independently of each other to epoch {}",
                    own.number
                ),
            );
        }
        if is_primary && node.epoch == *own && self.is_disturbed_by(waits) {
            return (Said::Conflict, format!("{description}, and so is this one"));
        }
        (Said::Agrees, description)
    }
}

/// The highest epoch that a node knows by its answer, its own or another's, and whose it is.
fn highest_of<'a>(node_id: &'a str, epoch: &'a Epoch, highest: Option<&'a Highest>) -> (&'a Epoch, Option<&'a str>) {
    match highest {
        Some(highest) if highest.epoch.number > epoch.number => (&highest.epoch, highest.node_id.as_deref()),
        _ => (epoch, Some(node_id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Run;

    const ME: &str = "0123456789abcdef0123456789abcdef";
    const OTHER: &str = "ffffffffffffffffffffffffffffffff";
    const PEER: &str = "https://standbygo:8155";

    fn epoch(number: u64, promotion: &str) -> Epoch {
        Epoch {
            number,
            promotion: promotion.to_owned(),
        }
    }

    fn own_run() -> RunId {
        "ab".repeat(16).try_into().expect("an id")
    }

    fn guard(own: Option<Epoch>) -> Guard {
        Guard::new(ME.parse().expect("id"), own_run(), own, [PEER.to_owned()])
    }

    fn node(node_id: &str, role: Role, epoch: Epoch, highest: Option<Highest>) -> Heard {
        Heard::Node {
            node_id: node_id.to_owned(),
            role,
            waits: false,
            after_fence: None,
            hands_over: None,
            epoch,
            highest,
            run: None,
        }
    }

    fn own_key(runs: bool) -> Heard {
        Heard::OwnKey {
            how: "its key".to_owned(),
            runs,
        }
    }

    /// What one answer comes to.
    fn said(own: Option<Epoch>, heard: Heard) -> (Said, Option<Winner>) {
        let mut guard = guard(own);
        guard.hear(PEER, vec![(PEER.to_owned(), heard)]);
        (guard.said()[0], guard.winner().cloned())
    }

    #[test]
    fn a_start_waits_for_a_primary_of_a_lower_epoch_to_end() {
        let (one, two) = (epoch(1, ""), epoch(2, "b"));
        for (role, of, waits, is_waited_for) in [
            (Role::Primary, &one, false, true),
            (Role::Primary, &one, true, false),
            (Role::Fenced, &one, false, false),
            (Role::Standby, &one, false, false),
        ] {
            let mut guard = guard(Some(two.clone()));
            let mut heard = node(OTHER, role, of.clone(), None);
            if let Heard::Node { waits: its, .. } = &mut heard {
                *its = waits;
            }
            guard.hear(PEER, vec![(PEER.to_owned(), heard)]);
            assert_eq!(
                (guard.said()[0], guard.is_complete()),
                (Said::Agrees, !is_waited_for),
                "{role} {waits}"
            );
        }
    }

    #[test]
    fn a_higher_epoch_is_one_whoever_tells_it() {
        let (one, two) = (epoch(1, ""), epoch(2, "b"));
        let (answer, winner) = said(Some(one.clone()), node(OTHER, Role::Primary, two.clone(), None));
        let winner = winner.expect("named");
        assert_eq!((answer, winner.is_there), (Said::Higher, true));
        let told = Highest {
            epoch: two.clone(),
            node_id: Some(OTHER.to_owned()),
        };
        let third = "ee".repeat(16);
        let (answer, winner) = said(Some(one.clone()), node(&third, Role::Standby, one.clone(), Some(told)));
        let winner = winner.expect("named");
        assert_eq!(
            (answer, winner.is_there, winner.node_id.as_deref()),
            (Said::Higher, false, Some(OTHER))
        );
        for role in [Role::Primary, Role::Standby, Role::Fenced] {
            assert_eq!(
                said(Some(two.clone()), node(OTHER, role, one.clone(), None)).0,
                Said::Agrees
            );
        }
    }

    #[test]
    fn the_same_number_of_another_promotion_and_two_primaries_in_one_epoch_are_a_conflict() {
        let own = Some(epoch(2, "a"));
        assert_eq!(
            said(own.clone(), node(OTHER, Role::Standby, epoch(2, "b"), None)).0,
            Said::Conflict
        );
        assert_eq!(
            said(own.clone(), node(OTHER, Role::Primary, epoch(2, "a"), None)).0,
            Said::Conflict
        );
        assert_eq!(
            said(own, node(OTHER, Role::Standby, epoch(2, "a"), None)).0,
            Said::Agrees
        );
    }

    #[test]
    fn this_server_itself_is_no_peer_and_a_copy_of_it_is_a_conflict() {
        let of = |run: Option<RunId>| {
            let run = run.map(|id| Run {
                id,
                ..Run::begin(None, std::path::Path::new("state"), 0).expect("random")
            });
            let heard = Heard::Node {
                node_id: ME.to_owned(),
                role: Role::Primary,
                waits: false,
                after_fence: None,
                hands_over: None,
                epoch: epoch(1, ""),
                highest: None,
                run: run.map(Box::new),
            };
            said(Some(epoch(1, "")), heard).0
        };
        assert_eq!(of(Some(own_run())), Said::Agrees);
        assert_eq!(of(Some("cd".repeat(16).try_into().expect("an id"))), Said::Conflict);
    }

    #[test]
    fn whoever_runs_is_not_ended_by_one_who_asks() {
        let asks = |waits| Heard::Node {
            node_id: OTHER.to_owned(),
            role: Role::Primary,
            waits,
            after_fence: None,
            hands_over: None,
            epoch: epoch(1, ""),
            highest: None,
            run: None,
        };
        for (runs, waits, wanted) in [
            (true, true, Said::Agrees),
            (true, false, Said::Conflict),
            (false, true, Said::Conflict),
            (false, false, Said::Conflict),
        ] {
            let own = guard(Some(epoch(1, "")));
            let mut guard = if runs { own.of_running() } else { own };
            guard.hear(PEER, vec![(PEER.to_owned(), asks(waits))]);
            assert_eq!(guard.said(), [wanted], "{runs} {waits}");
        }
        // A higher epoch counts whatever that node does.
        let mut guard = guard(Some(epoch(1, ""))).of_running();
        let higher = Heard::Node {
            node_id: OTHER.to_owned(),
            role: Role::Primary,
            waits: true,
            after_fence: None,
            hands_over: None,
            epoch: epoch(2, "b"),
            highest: None,
            run: None,
        };
        guard.hear(PEER, vec![(PEER.to_owned(), higher)]);
        assert_eq!(guard.said(), [Said::Higher]);
    }

    #[test]
    fn without_an_epoch_of_its_own_whoever_leads_speaks_against_it() {
        assert_eq!(
            said(None, node(OTHER, Role::Primary, epoch(1, ""), None)).0,
            Said::Conflict
        );
        assert_eq!(
            said(None, node(OTHER, Role::Standby, epoch(1, ""), None)).0,
            Said::Agrees
        );
        let of = |id: &str| Highest {
            epoch: epoch(3, "c"),
            node_id: Some(id.to_owned()),
        };
        let told = |id| said(None, node(OTHER, Role::Standby, epoch(1, ""), Some(of(id)))).0;
        assert_eq!(told(ME), Said::Agrees, "it follows this one");
        assert_eq!(told(OTHER), Said::Conflict);
    }

    #[test]
    fn silence_does_not_unsay_and_a_person_goes_on_without_proof_but_not_against_it() {
        let mut guard = guard(Some(epoch(1, "")));
        assert!(!guard.is_complete());
        assert_eq!(guard.said(), [Said::Unreachable]);
        let at = |heard| vec![(PEER.to_owned(), heard)];
        guard.hear(PEER, at(Heard::Unproven("another key".to_owned())));
        guard.hear(PEER, at(Heard::Silence("refused".to_owned())));
        assert_eq!(guard.said(), [Said::Unproven]);
        assert_eq!(guard.who(Said::Unproven), [(PEER, "another key")]);
        assert!(!guard.ignore("https://nobody:8155"));
        assert!(guard.ignore(PEER) && guard.is_complete());
        assert_eq!(guard.said(), [Said::Agrees]);
        guard.hear(PEER, at(node(OTHER, Role::Primary, epoch(2, "b"), None)));
        assert_eq!(guard.said(), [Said::Higher]);
        guard.hear(PEER, at(Heard::Mute("hangs".to_owned())));
        assert!(guard.is_decided() && guard.winner().is_some());
    }

    #[test]
    fn at_a_former_place_only_this_nodes_own_identity_speaks_against_it_and_silence_is_not_waited_for() {
        const OLD: &str = "https://before:8155";
        let asks = || {
            Guard::new(ME.parse().expect("id"), own_run(), Some(epoch(1, "")), []).of_former(Some(OLD.into()), false)
        };
        let hears = |heard: Heard, times| {
            let mut guard = asks();
            for _ in 0..times {
                guard.hear(OLD, vec![(OLD.to_owned(), heard.clone())]);
            }
            guard
        };
        assert!(!asks().is_complete() && asks().said() == [Said::Unreachable]);

        let copy = hears(own_key(true), 1);
        assert_eq!(copy.who(Said::Unproven), [(OLD, "its key")]);
        assert!(!copy.is_complete());
        let mut ignoring = copy.clone();
        assert!(ignoring.ignore(OLD) && ignoring.said() == [Said::Agrees]);
        // Of somebody who has that place now, nothing counts.
        let other = hears(Heard::Unproven("another key".to_owned()), 1);
        assert!(other.is_complete() && other.said().is_empty() && other.who(Said::Unproven).is_empty());
        // A node of the pair that proves itself there is believed as anywhere.
        let won = hears(node(OTHER, Role::Primary, epoch(2, "b"), None), 1);
        assert_eq!(won.said(), [Said::Higher]);

        let left = hears(Heard::Silence("refused".to_owned()), 1);
        assert!(
            left.is_complete() && left.said() == [Said::Unreachable],
            "bc.guard=strict holds"
        );
        for silent in [
            Heard::NotAsked("no such name".to_owned()),
            Heard::Mute("hangs".to_owned()),
        ] {
            assert!(!hears(silent.clone(), FORMER_ASKED - 1).is_complete());
            assert!(hears(silent, FORMER_ASKED).is_complete());
        }
    }

    #[test]
    fn a_server_that_settled_elsewhere_asks_on_and_ends_only_beside_its_own_identity_that_runs() {
        const OLD: &str = "https://before:8155";
        let asks =
            || Guard::new(ME.parse().expect("id"), own_run(), Some(epoch(1, "")), []).of_former(Some(OLD.into()), true);
        let hears = |mut guard: Guard, heard: Heard| {
            guard.hear(OLD, vec![(OLD.to_owned(), heard)]);
            guard
        };
        assert!(!asks().is_complete(), "it is asked once more at each start");
        for nobody in [
            Heard::Silence("refused".to_owned()),
            Heard::Mute("hangs".to_owned()),
            Heard::Unproven("another key".to_owned()),
        ] {
            let left = hears(asks(), nobody);
            assert!(
                left.is_complete() && left.said().is_empty(),
                "nor does bc.guard=strict hold"
            );
        }
        for runs in [true, false] {
            assert_eq!(hears(asks(), own_key(runs)).said(), [Said::Unproven], "at a start");
            let running = hears(asks().of_running(), own_key(runs));
            assert_eq!(
                running.is_decided(),
                runs,
                "whoever runs is not ended by one that is held"
            );
        }
    }

    #[test]
    fn of_two_addresses_the_one_that_proves_itself_counts() {
        let mut guard = guard(Some(epoch(1, "")));
        let proxy = "https://standbygo:443".to_owned();
        guard.hear(
            PEER,
            vec![
                (PEER.to_owned(), node(OTHER, Role::Standby, epoch(1, ""), None)),
                (proxy.clone(), Heard::Unproven("another key".to_owned())),
            ],
        );
        assert_eq!(guard.said(), [Said::Agrees]);
        guard.hear(
            PEER,
            vec![
                (PEER.to_owned(), Heard::Silence("refused".to_owned())),
                (proxy, Heard::Unproven("another key".to_owned())),
            ],
        );
        assert_eq!(guard.said(), [Said::Unproven]);
    }

    #[test]
    fn an_epoch_to_which_nobody_counts_proves_nothing() {
        let heard = node(OTHER, Role::Primary, epoch(u64::MAX, "b"), None);
        assert_eq!(said(Some(epoch(1, "")), heard), (Said::Unproven, None));
    }
}
