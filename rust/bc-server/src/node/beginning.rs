//! What a node does first: it takes its role, records it, and leaves the state folder as a node of that role needs it.
//!
//! Nothing runs yet. A crash in between is one before the start: the next one decides anew, by a record that is the former
//! one or this one's.

use std::sync::Arc;

use bc_core::{
    basics::{Error, Severity},
    generation::{Highest, Role},
    keys::PeersFile,
    role::{
        self, Database, Epochs, Known, Peers, Plan, Recorded, Source, Start,
        handed_over::HandedOver,
        handover::{self, Handover},
        signpost,
    },
    settings::Face,
    standby::store::disk,
    status::{Phase, Topic},
};
use tracing::{error, warn};

use super::{
    Assembly, Parts, RoleFile, certificate_watch, epochs,
    fence::Fenced,
    gocd::{self, How, Launch},
    going_back, hand_over,
    peer_book::PeerBook,
    peers_file,
};

impl Assembly {
    /// Decides the role of the node, records it, and starts the parts for it.
    pub(super) fn start(self, recorded: RoleFile) -> Result<Parts, Error> {
        let book = PeerBook::open(&self);
        let decision = self.decide(&recorded, &book);
        let plan = Plan::of(decision, self.settings.face);
        self.board.update(|status| {
            status.role = plan.role;
            status.phase = plan.phase;
        });
        let before = match &recorded {
            Ok(before) => before.clone(),
            Err(problem) => {
                error!("CRITICAL {problem}");
                self.raise(&Topic::Role, Severity::Critical, problem.to_string());
                None
            }
        };
        epochs::begin(&self, decision)?;
        // One that asks stays what it was until it is promoted, and of one that is not understood nothing is lost.
        let is_unknown = decision == Start::HoldUnknown || before.is_none() && self.memory.own.is_none();
        let promoted_ms = if decision == Start::Ask || is_unknown {
            None
        } else {
            self.record(before.as_ref(), plan.role, decision == Start::HandOver)?
        };
        self.end_hand_over(decision, &book);
        let certificate = certificate_watch::begin(&self);
        self.join_peers();
        let plan = if plan.role == Role::Primary {
            self.end_interrupted_apply(plan)
        } else {
            self.leave_primary(before.as_ref());
            plan
        };
        if plan.phase == Phase::Releasing {
            // The plugin's node does the work; this one only lets GoCD go on.
            Launch::of(&self).let_run(How::AsBefore);
            return Ok(Parts {
                stop: self.stop,
                hold: None,
                runtime: None,
                threads: Arc::default(),
                answers: None,
                ending: Vec::new(),
                serve: None,
                _state: self.state,
            });
        }
        gocd::show_failed_start(&self);
        if plan.role == Role::Fenced {
            let fenced = Fenced::of(&self, &book);
            fenced.show(None, plan.phase);
        }
        self.run(plan, certificate, recorded, promoted_ms, book)
    }

    /// Decides by what is known before anything runs. In a GoCD that runs already nobody is asked first: the agent did.
    fn decide(&self, recorded: &RoleFile, book: &PeerBook) -> Start {
        let highest = &self.memory.highest;
        let is_asked = self.settings.face == Face::Plugin || self.settings.is_guarded;
        // Where nothing here says what this server was, and something that it was one of a pair, its database may know.
        let is_lost =
            self.settings.face == Face::Agent && matches!(recorded, Ok(None)) && !role::is_plain(&self.settings);
        let asks_database = self.settings.watches_database && (self.memory.own.is_none() || is_lost);
        let nobody_to_ask = is_asked || book.names().is_empty() && book.former().is_none() && !asks_database;
        role::start(&Known {
            flag: self.settings.flag,
            recorded,
            epochs: match &self.memory.own {
                Some(own) => Epochs::Known { own, highest },
                None => Epochs::Unknown,
            },
            peers: if nobody_to_ask {
                Peers::Said(&[])
            } else {
                Peers::NotAsked
            },
            strict: self.settings.guard_is_strict,
            database: Database::Unknown,
            hands_over: handover::is_on(&Handover::load(self.state.path()), self.memory.own.as_ref()),
        })
    }

    /// Writes down the role that was decided, where that is news. Returns when this node was promoted, where it is a
    /// primary that was a standby.
    fn record(&self, before: Option<&Recorded>, role: Role, hands_over: bool) -> Result<Option<i64>, Error> {
        let now_ms = self.clock.now_ms();
        let mut record = Recorded::next(before, role, self.settings.flag, Source::of(&self.settings), now_ms);
        record.hands_over = hands_over;
        if role == Role::Primary && record.promoted_ms.is_none() && disk::keeps_anything(self.state.path()) {
            // It was a standby once; the version that promoted it did not write down when.
            record.promoted_ms = Some(now_ms);
        }
        record = self.state.with_epochs(record);
        if before != Some(&record)
            && let Err(error) = record.save(self.state.path())
        {
            // What it keeps of epochs is in the ledger as well.
            if !before.is_some_and(|before| before.is_of_same_role(&record)) {
                return Err(error);
            }
            warn!("{error}");
        }
        // A node without a JVM is told its folders by whoever starts it.
        if self.settings.face != Face::Cli {
            let changed = match role {
                Role::Primary => signpost::take_away(&self.settings.layout),
                Role::Standby | Role::Fenced => signpost::leave(&self.settings.layout),
            };
            if let Err(error) = changed {
                warn!("{error}");
                self.raise(&Topic::Signpost, Severity::Warning, error.to_string());
            }
        }
        Ok(record.promoted_ms)
    }

    /// Removes what is left of a hand-over that is over. Where GoCD runs in spite of one that is not, that is said.
    fn end_hand_over(&self, decision: Start, book: &PeerBook) {
        match decision {
            Start::HandOver if self.settings.face == Face::Plugin => {
                let message = "this server was ordered to hand over, and GoCD runs all the same: the Java agent that would hold \
                               it is missing. Nothing is handed over. Run `gocd-bc promote` here to take the order back, or \
                               add the agent and restart this server.";
                error!("CRITICAL {message}");
                self.raise(&Topic::HandOver, Severity::Critical, message.to_owned());
            }
            // What was recorded is not known, so it is not known whether this is over.
            Start::HandOver | Start::HoldUnknown => {}
            _ => match handover::remove(self.state.path()) {
                Ok(true) if decision == Start::HoldFenced => {
                    let to = book.highest().map(|by| Highest {
                        epoch: by.epoch,
                        node_id: by.node_id,
                    });
                    let ended = HandedOver::taken_over(None, to, self.clock.now_ms());
                    hand_over::note_end(&self.state, &self.board, ended);
                }
                Ok(_) => {}
                Err(error) => {
                    warn!("{error}");
                    self.raise(&Topic::HandOver, Severity::Warning, error.to_string());
                }
            },
        }
    }

    /// Ends on a primary an apply that was interrupted while this node was a standby, and forgets the record of what
    /// was applied: what is live from now on is GoCD's own, and no generation. A promotion records its role only once
    /// the set is whole, so an older version left that apply, or somebody put files of the state folder back.
    ///
    /// Before GoCD runs the apply is finished; where that fails, GoCD stays held until a person promotes this node
    /// anew. Where GoCD runs already it is abandoned: carried out later, it would put old files in the place of newer
    /// ones.
    fn end_interrupted_apply(&self, plan: Plan) -> Plan {
        let gocd_waits = match plan.phase {
            Phase::Starting => self.settings.face == Face::Agent,
            phase => phase == Phase::Releasing,
        };
        let ended = if gocd_waits {
            disk::finish_interrupted(self.state.path(), &self.settings.layout, Arc::clone(&self.clock))
        } else {
            disk::abandon(self.state.path()).map(|was_there| {
                if was_there {
                    warn!(
                        "a sync of this node's time as a standby was interrupted and is not finished, since GoCD may \
                         run: check that configuration and plugins belong together"
                    );
                }
            })
        };
        if let Err(problem) = ended {
            if gocd_waits {
                let message = format!(
                    "a sync of this server's time as a standby was interrupted and cannot be finished, so GoCD would \
                     start on a part of one set and a part of another: {problem}. Mend that and restart this server, or \
                     run `gocd-bc promote --without-database`, with `--as-it-is` if it is to start all the same."
                );
                error!("CRITICAL {message}");
                self.raise(&Topic::Store, Severity::Critical, message);
                let plan = Plan::of(Start::HoldUnknown, self.settings.face);
                self.board.update(|status| {
                    status.role = plan.role;
                    status.phase = plan.phase;
                });
                return plan;
            }
            warn!("{problem}");
            self.raise(&Topic::Store, Severity::Critical, problem.to_string());
        }
        self.forget_applied();
        if gocd_waits {
            going_back::go_back_if_refused(self);
        }
        plan
    }

    /// Forgets, on a node that was a primary, what it had applied before. GoCD has written its files itself meanwhile:
    /// what was applied before that is not what is live.
    fn leave_primary(&self, before: Option<&Recorded>) {
        if before.is_some_and(|before| before.role == Role::Primary) {
            self.forget_applied();
        }
    }

    /// Forgets which generation is live here; a failure is a WARNING.
    fn forget_applied(&self) {
        if let Err(error) = disk::forget_applied(self.state.path()) {
            warn!("{error}");
            self.raise(&Topic::Store, Severity::Warning, error.to_string());
        }
    }

    /// Adds this node's own key to the peers file, token or not, so that it comes along when the administrator copies
    /// the configuration folder.
    fn join_peers(&self) {
        let own = self.own.peer(self.own.shown());
        let file = PeersFile::of(&self.settings.layout);
        peers_file::join(&file, own, &self.board);
    }
}
