//! Makes a held server the primary again by a person's order: one that is fenced, or that holds since two nodes claim to be
//! the primary, or one that hands over, which takes that back.
//!
//! It begins an epoch above all that this node knows or is told of, so that whoever else runs as a primary is fenced by its
//! own watch. Against a node that took over and still answers as a primary it is refused: stop that one first.

use std::sync::Arc;

use bc_core::{
    basics::random,
    generation::Role,
    keys::Token,
    node::Reply,
    role::{
        Recorded,
        guard::{Guard, Winner},
        handed_over::HandedOver,
        handover, unacknowledged,
    },
    status::{Phase, Topic},
};
use futures_util::future::join_all;
use tokio::{sync::watch, time::sleep};
use tracing::{error, warn};

use super::{
    Assembly,
    fence::Fenced,
    gocd::{How, Launch},
    guard::ANSWER_TRAVELS,
    hand_over,
    handing_over::HandingOver,
    peer_book::PeerBook,
    promote,
    supervisor::blocking,
};

/// What a held server needs to be made the primary again.
pub(crate) struct TakeOver {
    held: Fenced,
    launch: Launch,
    token: watch::Receiver<Option<Token>>,
    run: Arc<bc_core::generation::Run>,
    /// Where this node hands over.
    handing_over: Option<Arc<HandingOver>>,
}

impl TakeOver {
    /// Makes what carries the order out.
    pub(crate) fn of(
        assembly: &Assembly,
        token: &watch::Receiver<Option<Token>>,
        book: &Arc<PeerBook>,
        handing_over: Option<Arc<HandingOver>>,
    ) -> Self {
        Self {
            held: Fenced::of(assembly, book),
            launch: Launch::of(assembly),
            token: token.clone(),
            run: Arc::clone(&assembly.run),
            handing_over,
        }
    }

    /// Takes over, where `accepts_loss` says that what the other node did meanwhile may be lost.
    pub(crate) async fn order(&self, accepts_loss: bool) -> Reply {
        let board = &self.held.board;
        let (role, phase) = board.look(|status| (status.role, status.phase));
        if (role, phase) == (Role::Fenced, Phase::Running) {
            return Reply::refused(
                "this server is fenced, and GoCD runs on here",
                "Restart it: its next start is held, and takes this order.",
            );
        }
        if phase != Phase::Holding || role == Role::Standby {
            return Reply::refused(
                format!("this node is a {role} and neither fenced nor held by its peers"),
                "A standby is promoted with `gocd-bc promote` alone.",
            );
        }
        if !accepts_loss {
            return Reply::refused(
                "whatever the other node did since it took over is not on this server, and is lost",
                "If that is meant, run `gocd-bc promote --take-over --accept-loss`.",
            );
        }
        let guard = self.ask().await;
        let winner = guard.winner().cloned();
        let answers_as_primary =
            |word: &bc_core::role::guard::Word| word.node.as_ref().is_some_and(|node| node.role == Role::Primary);
        let alive: Vec<_> = guard
            .words()
            .filter(|(_, word)| word.is_some_and(answers_as_primary))
            .map(|(peer, _)| peer.to_owned())
            .collect();
        let is_replaced = role == Role::Fenced || self.handing_over.is_some();
        if is_replaced && !alive.is_empty() {
            return Reply::refused(
                format!("the node that took over answers as a primary: {}", alive.join(", ")),
                "Stop GoCD there first. To make this server its standby, run `gocd-bc demote` and restart it.",
            );
        }
        let held = self.held.clone();
        match blocking(move || record(&held, winner.as_ref())).await {
            Ok(message) => {
                error!("CRITICAL {message}");
                for topic in [Topic::Fenced, Topic::Guard, Topic::HandOver] {
                    board.clear(&topic);
                }
                board.update(|status| {
                    status.role = Role::Primary;
                    status.phase = Phase::Releasing;
                    status.fenced_by = None;
                    status.hands_over = None;
                });
                self.release();
                Reply::Done { message }
            }
            Err(problem) => problem.into(),
        }
    }

    /// Takes the hand-over of this node back, where all peers answer and none was promoted, and lets GoCD run again in the same
    /// epoch.
    pub(crate) async fn take_back(&self) -> Reply {
        if self.held.board.look(|status| status.role) == Role::Fenced {
            return promote::replaced(&self.held.board);
        }
        let Some(handing_over) = &self.handing_over else {
            return Reply::refused("this server does not hand over, so there is nothing to take back", "");
        };
        let board = &self.held.board;
        let token = board.look(|status| status.hands_over_token().cloned());
        // Whoever is being promoted hears that from now on, or is heard.
        if !handing_over.withdraw() {
            return Reply::refused(
                "this server does not hand over any more",
                "`gocd-bc status` says what it is now.",
            );
        }
        let (state, flag, now_ms) = (Arc::clone(&self.held.state), self.held.settings.flag, board.now_ms());
        let taken = match handover::may_take_back(&self.ask().await) {
            Ok(()) => {
                let board = Arc::clone(board);
                let taking = blocking(move || {
                    hand_over::take_back(&state, flag, now_ms)?;
                    hand_over::note_end(&state, &board, HandedOver::taken_back(token, now_ms));
                    Ok(())
                });
                taking.await
            }
            Err(refused) => Err(refused),
        };
        if let Err(problem) = taken {
            handing_over.go_on();
            return problem.into();
        }
        let message = "the hand-over is taken back, and this server is the primary as before; GoCD is being released";
        warn!("{message}");
        board.clear(&Topic::HandOver);
        board.update(|status| status.phase = Phase::Releasing);
        self.release();
        Reply::Done {
            message: message.to_owned(),
        }
    }

    /// Lets GoCD go on, once the answer has had its time.
    fn release(&self) {
        let launch = self.launch.clone();
        tokio::spawn(async move {
            sleep(ANSWER_TRAVELS).await;
            launch.let_run(How::Promoted { maintenance: false });
        });
    }

    /// Asks all peers once.
    async fn ask(&self) -> Guard {
        let own = self.held.board.look(|status| status.epoch.clone());
        let book = Arc::clone(&self.held.book);
        let mut guard = Guard::new(book.own_node_id().clone(), self.run.id.clone(), Some(own), book.names());
        let asked = book.asked(&self.token);
        let answers = join_all(asked.into_iter().map(|(name, asked)| async move {
            let heard = asked.who(&name).await;
            (name, heard)
        }));
        for (name, heard) in answers.await {
            guard.hear(&name, heard);
        }
        guard
    }
}

/// Writes down the new epoch, above that of `winner` too, and then the role. Returns what was done, for people.
fn record(held: &Fenced, winner: Option<&Winner>) -> Result<String, bc_core::basics::Error> {
    let promotion = random::hex_id()?;
    let ledger = held.state.change_ledger(|ledger| {
        if let Some(winner) = winner
            && winner.epoch.number > ledger.highest_epoch.number
        {
            ledger.highest_epoch = winner.epoch.clone();
        }
        ledger.begin_epoch(&promotion, 0);
    })?;
    held.board.update(|status| status.epoch = ledger.epoch.clone());
    if unacknowledged::remove(held.state.path())? {
        warn!("that this server promoted itself once is noted no longer: a person has decided since");
    }
    let before = Recorded::load(held.state.path()).ok().flatten();
    let now_ms = held.board.now_ms();
    let recorded = Recorded::next(before.as_ref(), Role::Primary, held.settings.flag, None, now_ms);
    held.state.with_epochs(recorded).save(held.state.path())?;
    // It is of a lower epoch now, and holds nobody.
    match handover::remove(held.state.path()) {
        Ok(true) => hand_over::note_end(&held.state, &held.board, HandedOver::taken_back(None, now_ms)),
        Ok(false) => {}
        Err(error) => warn!("{error}"),
    }
    Ok(format!(
        "this server is the primary again, by an order, with epoch {}; GoCD is being released",
        ledger.epoch.number
    ))
}
