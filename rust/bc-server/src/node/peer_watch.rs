//! Asks the peers of a running primary whether one of them was promoted, for as long as it runs.
//!
//! Every ten seconds, and at once where this process stood still or its clock was moved, or somebody says to have a higher
//! epoch. On a higher epoch it gives out no files any more, writes that down, says CRITICAL, and with `bc.fence=exit` ends the process, which comes back held. Two
//! primaries in one epoch end as well: at their next start both hold until a person has decided. So does one whose own
//! identity runs where it ran before: it is a copy that started while its original was off. A higher epoch in GoCD's
//! database, which `database` watches, counts as that of a peer. A primary that hands over asks each second, and is fenced by
//! whoever took over without an end: GoCD is held already.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bc_core::{
    basics::Severity,
    generation::{Highest, Role},
    keys::Token,
    node::{Event, Events, Order, Reply, audit::Ordered},
    role::{
        guard::{Guard, Said, Winner},
        handed_over::HandedOver,
        handover,
        inquiry::Heard,
        ticks::{StoodStill, TICK},
    },
    settings::{FENCED_CODE, Face, Fence},
    status::{Phase, StatusBoard, Topic, peers::peers_of},
};
use futures_util::future::join_all;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tracing::{error, info, warn};

use super::{
    Assembly,
    audit_writer::AuditWriter,
    database::Replaced,
    fence::Fenced,
    guard::{beside_itself, named},
    hand_over,
    handing_over::HandingOver,
    peer_book::PeerBook,
    supervisor::{Part, Supervisor, blocking},
};

/// From one question to the next.
const INTERVAL: Duration = Duration::from_secs(10);
/// The longest wait for an answer: with the interval it stays below 15 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// The pause after somebody has said to have a higher epoch.
const TOLD_AGAIN: Duration = Duration::from_millis(100);
/// Silence of a peer that is said.
const SILENCE: Duration = Duration::from_secs(60);
/// Time for log and health messages to be said before the process ends.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// From one question to the next of a primary that hands over.
const INTERVAL_OF_HAND_OVER: Duration = Duration::from_secs(1);

/// Watches in the background whether a peer was promoted.
pub(crate) fn start(
    assembly: &Assembly,
    supervisor: &Supervisor,
    token: &watch::Receiver<Option<Token>>,
    book: &Arc<PeerBook>,
    (replaced, told): (&Replaced, &Arc<Notify>),
    still: &Arc<StoodStill>,
    handing_over: Option<&Arc<HandingOver>>,
) {
    let fenced = Fenced::of(assembly, book);
    let part = Part {
        name: "peers",
        does: "asks the other nodes whether one of them was promoted",
    };
    let (events, token) = (Arc::clone(&assembly.events), token.clone());
    let (by_database, told) = (replaced.subscribe(), Arc::clone(told));
    let still = Arc::clone(still);
    let (audit, handing_over) = (assembly.audit.clone(), handing_over.cloned());
    supervisor.supervise(part, move || {
        let own = fenced.board.look(|status| status.epoch.clone());
        let guard = fenced.book.guard(Some(own));
        let guard = match handing_over {
            Some(_) => guard,
            None => guard.of_running(),
        };
        let watch = PeerWatch {
            fenced: fenced.clone(),
            events: Arc::clone(&events),
            token: token.clone(),
            guard,
            by_database: by_database.clone(),
            told: Arc::clone(&told),
            still: Arc::clone(&still),
            silent_since: BTreeMap::new(),
            handing_over: handing_over.clone(),
            audit: audit.clone(),
        };
        watch.run()
    });
}

struct PeerWatch {
    fenced: Fenced,
    events: Arc<Events>,
    token: watch::Receiver<Option<Token>>,
    guard: Guard,
    /// Who leads by GoCD's database, once that names somebody else.
    by_database: watch::Receiver<Option<Winner>>,
    /// Told where somebody says to have a higher epoch.
    told: Arc<Notify>,
    /// What gives out no file before it was asked.
    still: Arc<StoodStill>,
    /// Since when each peer has not proven itself.
    silent_since: BTreeMap<String, Instant>,
    /// Where GoCD is held, since this node hands over.
    handing_over: Option<Arc<HandingOver>>,
    audit: AuditWriter,
}

impl PeerWatch {
    /// Asks again and again, until this node is fenced.
    async fn run(self) {
        let ticking = tick(
            Arc::clone(&self.fenced.board),
            Arc::clone(&self.still),
            Arc::clone(&self.told),
        );
        tokio::join!(ticking, self.ask());
    }

    async fn ask(mut self) {
        let mut due = Instant::now();
        while self.fenced.board.look(|status| status.role == Role::Primary) {
            if self.by_database.borrow().is_some() {
                self.end().await;
            }
            if Instant::now() >= due {
                due = Instant::now()
                    + match self.handing_over {
                        Some(_) => INTERVAL_OF_HAND_OVER,
                        None => INTERVAL - jitter(self.fenced.board.now_ms()),
                    };
                let times = self.still.times();
                self.round().await;
                if self.guard.is_decided() {
                    self.end().await;
                } else {
                    self.still.asked(times);
                    self.fenced.board.clear(&Topic::Guard);
                }
            }
            if timeout(TICK, self.told.notified()).await.is_ok() {
                due = Instant::now();
                // Whoever says so again and again has nobody asked without a pause.
                sleep(TOLD_AGAIN).await;
            }
        }
        // There is nothing more to be asked, and this part is not to be started again.
        std::future::pending::<()>().await;
    }

    /// Asks all peers once.
    async fn round(&mut self) {
        let (book, token) = (Arc::clone(&self.fenced.book), self.token.clone());
        let all = move || {
            book.runs_here();
            Ok(book.asked_as_primary(&token))
        };
        let Ok(asked) = blocking(all).await else {
            return;
        };
        let mut answers = join_all(asked.into_iter().map(|(name, asked)| async move {
            let heard = timeout(ANSWER_WITHIN, asked.who(&name)).await.unwrap_or_else(|_| {
                let silence = format!("no answer within {} s", ANSWER_WITHIN.as_secs());
                vec![(name.clone(), Heard::Mute(silence))]
            });
            (name, heard)
        }))
        .await;
        // Nobody is missed at a former place, nor does whoever else has it count.
        answers.retain(|(name, heard)| !self.guard.is_former(name) || heard.iter().any(|(_, heard)| counts(heard)));
        self.guard.ask(answers.iter().map(|(name, _)| name.clone()));
        let mut answered = Vec::new();
        for (name, heard) in answers {
            if heard
                .iter()
                .any(|(_, heard)| matches!(heard, Heard::Node { .. } | Heard::Itself))
            {
                answered.push(name.clone());
            }
            self.guard.hear(&name, heard);
        }
        self.note(&answered).await;
        self.show(&answered);
    }

    /// Notes who has proven itself.
    async fn note(&self, answered: &[String]) {
        let nodes: Vec<_> = self
            .guard
            .words()
            .filter(|(name, _)| answered.iter().any(|answered| answered == name))
            .filter_map(|(name, word)| Some((name.to_owned(), word?.node.clone()?)))
            .collect();
        let book = Arc::clone(&self.fenced.book);
        let noted = blocking(move || {
            nodes.iter().for_each(|(name, node)| book.heard(name, node));
            Ok(())
        });
        // A failure is on the board.
        drop(noted.await);
    }

    /// Shows what the peers said, and says which of them are silent.
    fn show(&mut self, answered: &[String]) {
        let now = Instant::now();
        let names: Vec<_> = self.guard.words().map(|(name, _)| name.to_owned()).collect();
        self.silent_since
            .retain(|name, _| names.contains(name) && !answered.contains(name));
        for name in names.iter().filter(|name| !answered.contains(name)) {
            self.silent_since.entry(name.clone()).or_insert(now);
        }
        let mut silent: Vec<_> = self
            .silent_since
            .iter()
            .filter(|(_, since)| now.duration_since(**since) >= SILENCE)
            .map(|(name, _)| name.as_str())
            .collect();
        silent.sort_unstable();
        let message = (!silent.is_empty()).then(|| {
            format!(
                "this primary has not heard from its peers for a minute or longer: {}. Whether one of them was promoted \
                 meanwhile is not known here. See whether they run, and whether the line to them is cut; `gocd-bc status` \
                 says what each answers. One that is gone for good is forgotten with `gocd-bc trust --remove` and its key, \
                 or in bc.peers.",
                silent.join(", ")
            )
        });
        self.fenced.board.warn(&Topic::Peers, Severity::Warning, message);
        let guard = &self.guard;
        self.fenced.board.update(|status| {
            let now_ms = status.now_ms;
            status.peers = peers_of(guard, &status.peers, answered, now_ms);
        });
    }

    /// Does what follows where a peer has a higher epoch, or is a primary as well.
    async fn end(&self) {
        let by_database = self.by_database.borrow().clone();
        let winner = by_database.or_else(|| self.guard.winner().cloned());
        match &winner {
            Some(winner) => match &self.handing_over {
                Some(handing_over) => return self.end_hand_over(handing_over, winner).await,
                None => self.fence(winner).await,
            },
            None => {
                let conflicts = self.guard.who(Said::Conflict);
                let message = match conflicts.iter().find(|(peer, _)| self.guard.is_former(peer)) {
                    Some((place, how)) => beside_itself("must not run as the primary", place, how),
                    None => format!(
                        "another node claims to be the primary as well, and GoCD may do everything twice: {}. Find out which \
                         one is to be it. On that one run `gocd-bc promote --take-over`, on the other one `gocd-bc demote`.",
                        named(&conflicts)
                    ),
                };
                if self
                    .fenced
                    .board
                    .raise(&Topic::Guard, Severity::Critical, message.as_str())
                {
                    error!("CRITICAL {message}");
                }
            }
        }
        let settings = &self.fenced.settings;
        if settings.fence == Fence::Warn || self.handing_over.is_some() {
            return;
        }
        if settings.face == Face::Plugin && !settings.agent_present {
            error!(
                "CRITICAL GoCD is not ended here, since the Java agent that would hold it afterwards is missing: stop it by \
                 hand"
            );
            return;
        }
        error!("CRITICAL GoCD ends here now (bc.fence=exit), and stays held when it is started again");
        sleep(LAST_WORDS).await;
        self.events.push(Event::Exit(FENCED_CODE));
        std::future::pending::<()>().await;
    }

    /// Ends a hand-over, since somebody has taken over: writes down that this node is fenced, and then that it hands over no
    /// more. A crash in between is one of a fenced node.
    async fn end_hand_over(&self, handing_over: &HandingOver, winner: &Winner) {
        let board = &self.fenced.board;
        let token = board.look(|status| status.hands_over_token().cloned());
        if !handing_over.is_taken() {
            return;
        }
        self.fenced.fence(winner, Phase::Holding).await;
        let state = Arc::clone(&self.fenced.state);
        let to = Highest {
            epoch: winner.epoch.clone(),
            node_id: winner.node_id.clone(),
        };
        let (shown, ended) = (
            Arc::clone(board),
            HandedOver::taken_over(token, Some(to), board.now_ms()),
        );
        let removed = blocking(move || {
            hand_over::note_end(&state, &shown, ended);
            handover::remove(state.path())
        })
        .await;
        if let Err(problem) = removed {
            // The next start is that of a fenced node all the same, and tries it again.
            warn!("{problem}");
        }
        let node = winner.node_id.as_deref().unwrap_or("another node");
        let to = format!(
            "the node {node:.8} took over with epoch {} (at {})",
            winner.epoch.number, winner.address
        );
        board.clear(&Topic::HandOver);
        board.raise(&Topic::Fenced, Severity::Critical, handover::handed_over_message(&to));
        let done = Reply::Done {
            message: format!("handed over: {to}"),
        };
        self.audit
            .clone()
            .write(None, Ordered::new(&Order::HandOver, true, &done))
            .await;
    }

    /// Ends the file routes at once, then writes down that this node is fenced, and says so.
    async fn fence(&self, winner: &Winner) {
        info!("{} has epoch {}", winner.address, winner.epoch.number);
        self.fenced.board.update(|status| status.role = Role::Fenced);
        self.fenced.fence(winner, Phase::Running).await;
    }
}

/// Sees whether this process stood still, and has the others asked then.
async fn tick(board: Arc<StatusBoard>, still: Arc<StoodStill>, told: Arc<Notify>) {
    loop {
        if still.tick(board.now_ms()) {
            warn!("this process stood still for a while, or its clock was moved; the other nodes are asked at once");
            told.notify_one();
        }
        sleep(TICK).await;
    }
}

/// Whether an answer at a former place of this node counts.
fn counts(heard: &Heard) -> bool {
    matches!(heard, Heard::Node { .. } | Heard::OwnKey { runs: true, .. })
}

/// Up to a second, so that many nodes do not ask at the same instant.
fn jitter(now_ms: i64) -> Duration {
    Duration::from_millis(now_ms.rem_euclid(1000).unsigned_abs())
}
