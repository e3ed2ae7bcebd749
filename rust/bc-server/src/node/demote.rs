//! Making this server a standby from its next start on, or forgetting what it was.
//!
//! Nothing of what runs changes: GoCD cannot be held once it runs, and a held one stays held until it is promoted or
//! restarted.

use bc_core::{
    basics::Severity,
    generation::Role,
    node::Reply,
    role::{self, Recorded, Source, StateDir, unacknowledged},
    settings::{Face, Flag, Settings},
    standby::store::disk,
    status::{Phase, StatusBoard, Topic},
};
use tracing::{info, warn};

use super::promote::Promotion;

/// The node that is demoted.
pub(crate) struct Demotion<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) state: &'a StateDir,
    pub(crate) board: &'a StatusBoard,
    pub(crate) promotion: &'a Promotion,
}

impl Demotion<'_> {
    /// Demotes this server: records that it is a standby, under no flag. One that is there may go before the next
    /// start, and is no order to be promoted then. A start under a flag records that one. `database` says what its database
    /// needs by then, where that was looked at.
    pub(crate) fn demote(&self, database: Option<String>) -> Reply {
        if let Some(refused) = self.is_being_promoted().or_else(|| self.hands_over()) {
            return refused;
        }
        let phase = self.board.look(|status| status.phase);
        if self.settings.face == Face::Plugin && !self.settings.agent_present {
            return Reply::refused(
                "the Java agent that holds a standby is missing on this server, so GoCD would start all the same",
                "Add the JVM argument -javaagent:plugins/external/gocd-business-continuity.jar, restart this server, \
                 and run the command again.",
            );
        }
        let before = match Recorded::load(self.state.path()) {
            Ok(before) => before,
            // It is said what this server is from now on.
            Err(error) => {
                warn!("{error}");
                None
            }
        };
        let recorded = self.state.with_epochs(Recorded::next(
            before.as_ref(),
            Role::Standby,
            Flag::None,
            Source::of(self.settings),
            self.board.now_ms(),
        ));
        if let Err(error) = recorded.save(self.state.path()).and_then(|()| self.decided()) {
            return error.into();
        }
        if self.board.look(|status| status.role) != Role::Standby
            && let Err(error) = disk::note_primary(self.state.path())
        {
            warn!("{error}");
        }
        let whom = match &recorded.source {
            Some(Source { url, .. }) => format!("follow {url}"),
            None => "follow nobody until bc.primary.url names the primary".to_owned(),
        };
        // Where it was not known what this server is, nobody follows before the next start.
        if phase == Phase::Holding && (self.promotion.puller.is_some() || recorded.source.is_none()) {
            return self.done(format!(
                "this server is a standby, with or without a flag, and will {whom}"
            ));
        }
        if phase == Phase::Holding {
            let is_fenced = self.board.look(|status| status.role) == Role::Fenced;
            let database = match database {
                Some(database) => format!(". {}", database.trim_end_matches('.')),
                None if is_fenced => ". Its database must be a replica of the new primary's by then: `gocd-bc setup \
                                      database-standby --reseed` makes it one"
                    .to_owned(),
                None => String::new(),
            };
            return self.done(format!(
                "this server is a standby, with or without a flag: restart it, and it will {whom}{database}"
            ));
        }
        let message = format!(
            "this server is to be a standby: restart it, and it is held and will {whom}. Until then it runs as it did."
        );
        self.board.raise(&Topic::NextStart, Severity::Warning, message.as_str());
        self.done(message)
    }

    /// Removes the record of this server's role, so that the flag alone decides at the next start.
    pub(crate) fn forget(&self) -> Reply {
        let refused = self.is_being_promoted().or_else(|| self.hands_over());
        if let Some(refused) = refused.or_else(|| self.fenced()) {
            return refused;
        }
        if let Err(error) = role::forget(self.state.path()).and_then(|_| self.decided()) {
            return error.into();
        }
        let epoch = self.board.look(|status| status.epoch.clone());
        let next = match role::start(&role::Known::here(self.settings.flag, &Ok(None), &epoch)) {
            role::Start::Release => {
                "with no flag, as now, GoCD then starts as a primary, unless another node that it knows is one"
                    .to_owned()
            }
            _ => format!("under {}, as now, it then is a standby again", self.settings.flag),
        };
        let message = format!(
            "what this server was is forgotten: restart it, and go.server.mode and start.in.standby alone decide; {next}"
        );
        self.board.raise(&Topic::NextStart, Severity::Warning, message.as_str());
        self.done(message)
    }

    /// Refuses to demote a server that is being promoted.
    pub(super) fn is_being_promoted(&self) -> Option<Reply> {
        self.promotion.is_running().then(|| {
            Reply::refused(
                "a promotion is running",
                "Wait for its end, and follow it with `gocd-bc status`.",
            )
        })
    }

    /// Refuses to demote a server that hands over: nobody could take that back any more.
    fn hands_over(&self) -> Option<Reply> {
        self.board
            .look(|status| status.role == Role::Primary && status.problem(&Topic::HandOver).is_some())
            .then(|| {
                Reply::refused(
                    "this server hands over, and becomes a standby once another one is promoted",
                    "Run `gocd-bc promote` on the standby first; or here, which takes the hand-over back.",
                )
            })
    }

    /// Refuses to forget that a server is fenced.
    fn fenced(&self) -> Option<Reply> {
        (self.board.look(|status| status.role) == Role::Fenced).then(|| {
            Reply::refused(
                "this server is fenced: another node has a higher epoch",
                "To make it the standby of that one, run `gocd-bc demote` and restart it.",
            )
        })
    }

    /// Ends what waits for a person once a person has decided by demoting: the question to the primary, and the note
    /// that this server promoted itself.
    fn decided(&self) -> Result<(), bc_core::basics::Error> {
        unacknowledged::remove(self.state.path())?;
        self.board.clear(&Topic::Flag);
        self.board.clear(&Topic::UnorderedPromotion);
        self.board.update(|status| status.asks = None);
        Ok(())
    }

    /// Logs what a demotion has come to, and answers with it.
    fn done(&self, message: String) -> Reply {
        info!("{message}");
        Reply::Done { message }
    }
}

/// Takes note that a person has seen that this server promoted itself.
pub(crate) fn acknowledge(state: &StateDir, board: &StatusBoard) -> Reply {
    match unacknowledged::remove(state.path()) {
        Ok(true) => {
            board.clear(&Topic::UnorderedPromotion);
            info!("that this server promoted itself is acknowledged");
            Reply::Done {
                message: "it is noted that you have seen it".to_owned(),
            }
        }
        Ok(false) => Reply::Done {
            message: "there is nothing to acknowledge: nobody but a person promoted this server".to_owned(),
        },
        Err(error) => error.into(),
    }
}
