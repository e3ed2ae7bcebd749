//! A standby whose flag is gone asks the primary that it followed, and what it makes of the answers.
//!
//! | what is heard | means |
//! |---|---|
//! | a proven node that is a primary | hold: it lives |
//! | an answer that is not proven: another key, a refused token, nonsense, a handshake that ends | hold: who it is cannot be known |
//! | a connection, but no answer to its end | hold, at the end of the wait |
//! | the question could not be asked: no token, no address, a name that leads nowhere, this node itself | hold, at the end of the wait |
//! | a proven node that is no primary | nobody is primary there: as silence |
//! | such a node, and silence after it | hold: it may be promoting itself, and GoCD is starting there |
//! | a proven node with the id of this one, in another run | hold: it is a copy of this server, and speaks for nobody |
//! | nothing: refused, or no connection in time | silence, at the end of the wait |
//!
//! Nobody is there only where every address ends in silence or in a node that is no primary, and only at the end of the
//! whole wait. The last word of an address counts: a name that leads nowhere while the network starts may lead
//! somewhere later.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    basics::NodeId,
    generation::{AfterFence, Envelope, Epoch, HandsOver, Highest, Role, Run, RunId},
};

/// What one address said to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A node that has proven its key.
    Node {
        /// Its id.
        node_id: String,
        /// Its role.
        role: Role,
        /// Whether it is to be the primary, and its GoCD does not run yet.
        waits: bool,
        /// Where it is fenced, what becomes of its GoCD; none where it does not say.
        after_fence: Option<AfterFence>,
        /// What it says of its hand-over.
        hands_over: Option<Box<HandsOver>>,
        /// Its epoch.
        epoch: Epoch,
        /// The highest epoch that it knows.
        highest: Option<Highest>,
        /// Which run of it.
        run: Option<Box<Run>>,
    },
    /// This very run of this node.
    Itself,
    /// Somebody answered who has not proven to be that node; how, for people.
    Unproven(String),
    /// Somebody answered with this node's own key who is another run, and not known to be another node.
    OwnKey {
        /// How, for people.
        how: String,
        /// Whether GoCD runs there as the primary, as far as it says.
        runs: bool,
    },
    /// Somebody takes connections and did not answer.
    Mute(String),
    /// Nobody was asked; why, for people.
    NotAsked(String),
    /// Nobody is there; how that showed, for people.
    Silence(String),
}

impl Heard {
    /// What was heard from a node that has proven its key and sent this envelope.
    pub fn node(envelope: &Envelope) -> Self {
        if let Some(what) = envelope.odd_text() {
            return Heard::Unproven(format!("its {what} is not one"));
        }
        Heard::Node {
            node_id: envelope.node_id.clone(),
            role: envelope.role,
            waits: envelope.waits,
            after_fence: envelope.after_fence,
            hands_over: envelope.hands_over.clone().map(Box::new),
            epoch: envelope.epoch.clone(),
            highest: envelope.highest.clone(),
            run: envelope.run.clone().map(Box::new),
        }
    }
}

/// What was heard at the address at which people reach GoCD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Site {
    /// A GoCD that runs.
    Runs,
    /// Nobody, or something that is no GoCD which runs: how that showed.
    Not(String),
    /// Something whose key nobody vouches for: how that showed.
    Unproven(String),
    /// The setting is malformed, so that nobody could be asked.
    Malformed,
}

/// Why nobody was asked at an address of this node itself.
const ITSELF: &str = "it leads to this server itself, so nobody else could be asked there";

/// What follows from the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Stay held; why, for people: completes "since".
    Hold(String),
    /// Nobody is primary.
    Promote {
        /// How that showed, for people.
        silence: String,
        /// The highest epoch that a node which is no primary told.
        highest: Option<Epoch>,
    },
}

/// One question to all addresses, until the end of the wait.
#[derive(Debug, Clone)]
pub struct Inquiry {
    own_node_id: NodeId,
    own_run: Option<RunId>,
    last: BTreeMap<String, Heard>,
    /// Where a proven node has answered.
    proven: BTreeSet<String>,
}

impl Inquiry {
    /// The inquiry of this run of this node, which has heard nothing yet.
    pub fn new(own_node_id: NodeId, own_run: Option<RunId>) -> Self {
        Self {
            own_node_id,
            own_run,
            last: BTreeMap::new(),
            proven: BTreeSet::new(),
        }
    }

    /// Hears what `address` answered to the inquiry. Some answers decide at once.
    pub fn hear(&mut self, address: &str, heard: Heard) -> Option<Verdict> {
        let heard = match heard {
            Heard::Node {
                node_id,
                run: Some(run),
                ..
            } if node_id == self.own_node_id && self.own_run.as_ref().is_some_and(|own| *own != run.id) => {
                Heard::Unproven(format!(
                    "another server has the identity of this one, {}, and one of them is a copy: stop GoCD on the copy and \
                     run `gocd-bc identity new` there",
                    run.description()
                ))
            }
            Heard::Itself => Heard::NotAsked(ITSELF.to_owned()),
            Heard::Node { node_id, .. } if node_id == self.own_node_id => Heard::NotAsked(ITSELF.to_owned()),
            other => other,
        };
        let verdict = match &heard {
            Heard::Node {
                node_id,
                role: Role::Primary,
                epoch,
                ..
            } => Some(Verdict::Hold(format!(
                "{address} answers as the primary (node {node_id:.8}, epoch {})",
                epoch.number
            ))),
            Heard::Unproven(how) | Heard::OwnKey { how, .. } => Some(Verdict::Hold(format!(
                "{address} answers, and it cannot be proven who that is: {how}"
            ))),
            _ => None,
        };
        if matches!(heard, Heard::Node { .. }) {
            self.proven.insert(address.to_owned());
        }
        self.last.insert(address.to_owned(), heard);
        verdict
    }

    /// What `address` said last to the inquiry, as it was understood.
    pub fn heard(&self, address: &str) -> Option<&Heard> {
        self.last.get(address)
    }

    /// The verdict at the end of the inquiry's wait.
    pub fn at_the_end(&self) -> Verdict {
        if self.last.is_empty() {
            return Verdict::Hold(
                "it is not recorded which primary it followed, and bc.primary.url names none, so nobody can be asked"
                    .to_owned(),
            );
        }
        let mut silence = Vec::new();
        let mut highest: Option<Epoch> = None;
        for (address, heard) in &self.last {
            match heard {
                Heard::Silence(how) if self.proven.contains(address) => {
                    return Verdict::Hold(format!(
                        "a server of the pair answered at {address} and is silent now ({how}): it may be promoting itself"
                    ));
                }
                Heard::Silence(how) => silence.push(format!("{address}: {how}")),
                Heard::Node { role, epoch, .. } if *role != Role::Primary => {
                    silence.push(format!("{address} is a {role} in epoch {}", epoch.number));
                    if highest.as_ref().is_none_or(|highest| highest.number < epoch.number) {
                        highest = Some(epoch.clone());
                    }
                }
                Heard::Mute(how) => {
                    return Verdict::Hold(format!("something is at {address} and does not answer: {how}"));
                }
                Heard::NotAsked(why) => return Verdict::Hold(format!("{address} could not be asked: {why}")),
                // Both have decided when they were heard.
                Heard::Node { .. } | Heard::Unproven(_) | Heard::OwnKey { .. } | Heard::Itself => {
                    return Verdict::Hold(format!("{address} answers"));
                }
            }
        }
        Verdict::Promote {
            silence: silence.join("; "),
            highest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "https://primarygo:8155";
    const THERE: &str = "https://primarygo:443";
    const ME: &str = "0123456789abcdef0123456789abcdef";

    fn node(role: Role, number: u64) -> Heard {
        Heard::Node {
            node_id: "other".to_owned(),
            role,
            waits: false,
            after_fence: None,
            hands_over: None,
            epoch: Epoch {
                number,
                promotion: String::new(),
            },
            highest: None,
            run: None,
        }
    }

    /// This run of this node.
    fn own() -> RunId {
        "ab".repeat(16).try_into().expect("an id")
    }

    fn silence() -> Heard {
        Heard::Silence("connection refused".to_owned())
    }

    /// What follows of these answers, in their order; at once where one decides.
    fn verdict(answers: Vec<(&str, Heard)>) -> (bool, Verdict) {
        let mut inquiry = Inquiry::new(ME.parse().expect("id"), Some(own()));
        for (address, heard) in answers {
            if let Some(verdict) = inquiry.hear(address, heard) {
                return (true, verdict);
            }
        }
        (false, inquiry.at_the_end())
    }

    fn holds(answers: Vec<(&str, Heard)>, at_once: bool, why: &str) {
        let (decided, verdict) = verdict(answers);
        let Verdict::Hold(reason) = verdict else {
            panic!("{verdict:?}")
        };
        assert!(decided == at_once && reason.contains(why), "{decided}: {reason}");
    }

    #[test]
    fn a_primary_that_lives_holds_at_once() {
        holds(vec![(HERE, silence()), (HERE, node(Role::Primary, 3))], true, "epoch 3");
        holds(
            vec![(THERE, silence()), (HERE, node(Role::Primary, 1))],
            true,
            "answers as the primary",
        );
    }

    #[test]
    fn whoever_is_not_proven_holds_at_once() {
        let unproven = || Heard::Unproven("another key".to_owned());
        holds(vec![(HERE, unproven())], true, "another key");
        holds(vec![(HERE, silence()), (THERE, unproven())], true, "cannot be proven");
    }

    #[test]
    fn whoever_takes_connections_and_is_mute_holds_in_the_end() {
        let mute = || Heard::Mute("no byte came".to_owned());
        holds(vec![(HERE, mute())], false, "does not answer");
        holds(vec![(HERE, silence()), (THERE, mute())], false, THERE);
    }

    #[test]
    fn a_question_that_cannot_be_asked_holds_in_the_end() {
        holds(vec![], false, "not recorded");
        let nowhere = || Heard::NotAsked("the name leads nowhere".to_owned());
        holds(vec![(HERE, nowhere()), (THERE, silence())], false, "leads nowhere");
        let named_as_this = |run: Option<Run>, role| Heard::Node {
            node_id: ME.to_owned(),
            role,
            waits: false,
            after_fence: None,
            hands_over: None,
            epoch: Epoch::default(),
            highest: None,
            run: run.map(Box::new),
        };
        let in_run = |id: RunId| {
            Some(Run {
                id,
                ..crate::generation::run::tests::run("clonego")
            })
        };
        for ourselves in [None, in_run(own())] {
            let heard = named_as_this(ourselves, Role::Standby);
            holds(vec![(HERE, heard)], false, "this server itself");
        }
        // A copy is no silence, whatever it says that it is, and no answer of the primary either.
        for role in [Role::Standby, Role::Primary] {
            let copy = || named_as_this(in_run("cd".repeat(16).try_into().expect("an id")), role);
            holds(vec![(HERE, copy())], true, "the identity of this one, clonego");
            holds(vec![(THERE, silence()), (HERE, copy())], true, "gocd-bc identity new");
        }
    }

    #[test]
    fn silence_of_all_to_the_end_is_nobody() {
        let (at_once, verdict) = verdict(vec![
            (HERE, Heard::NotAsked("the network starts".to_owned())),
            (THERE, Heard::Mute("it ends".to_owned())),
            (HERE, silence()),
            (THERE, silence()),
        ]);
        let Verdict::Promote { silence, highest } = verdict else {
            panic!("{verdict:?}")
        };
        assert!(
            !at_once && silence.contains(HERE) && silence.contains(THERE),
            "{silence}"
        );
        assert_eq!(highest, None);
    }

    #[test]
    fn a_node_that_answered_and_is_silent_now_may_be_promoting_itself() {
        holds(
            vec![(HERE, node(Role::Standby, 1)), (HERE, silence())],
            false,
            "may be promoting itself",
        );
        let (_, back) = verdict(vec![
            (HERE, node(Role::Standby, 1)),
            (HERE, silence()),
            (HERE, node(Role::Standby, 1)),
        ]);
        assert!(
            matches!(back, Verdict::Promote { .. }),
            "it only started again: {back:?}"
        );
    }

    #[test]
    fn nobody_is_primary_where_a_proven_node_says_that_it_is_none() {
        for role in [Role::Standby, Role::Fenced] {
            let (at_once, verdict) = verdict(vec![(HERE, node(role, 7)), (THERE, silence())]);
            let Verdict::Promote { silence, highest } = verdict else {
                panic!("{verdict:?}")
            };
            assert!(!at_once && silence.contains(&role.to_string()), "{silence}");
            assert_eq!(highest.map(|epoch| epoch.number), Some(7));
        }
    }
}
