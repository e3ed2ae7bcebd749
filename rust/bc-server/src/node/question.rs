//! A standby whose flag is gone asks the primary that it followed, and does what follows.
//!
//! A task of the node: it holds ports and page meanwhile, or, as the plugin in a GoCD that runs already, serves
//! nothing. What an answer means is `bc_core::role::inquiry`; how a promotion goes is `promote`, the same for a
//! person's order and for this one, with the same preflight and the database where that is covered. What would need the
//! word of a person holds.

use std::{sync::Arc, time::Duration};

use bc_core::{
    basics::{Error, NodeId, Severity, words},
    generation::RunId,
    keys::Token,
    node::{Order, Reply, audit::Ordered},
    role::{
        Recorded, Source,
        inquiry::{Heard, Inquiry, Verdict},
        promotion::Place,
    },
    settings::Settings,
    status::Topic,
};
use futures_util::{FutureExt, future::join_all};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tracing::{error, info};

use super::{
    Assembly,
    audit_writer::AuditWriter,
    peers_file,
    promote::{AskAgain, Begun, Promotion},
    supervisor::{Part, Supervisor},
};
use crate::client::HttpTransport;

/// The longest pause between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Asks the primary whether it is one still, in the background, until the end of `bc.guard.wait`.
pub(crate) fn start(
    assembly: &Assembly,
    supervisor: &Supervisor,
    token: &watch::Receiver<Option<Token>>,
    promotion: Arc<Promotion>,
    recorded: Recorded,
) {
    let (mut asked, mut not_asked) = (Vec::new(), Vec::new());
    for (source, settings) in Source::asked(&assembly.settings, recorded.source.as_ref()) {
        match transport(assembly, &source, settings, token) {
            Ok(transport) => asked.push(transport),
            // Nobody decides on a question that could not be asked.
            Err(problem) => not_asked.push((source.url.base(), problem.to_string())),
        }
    }
    let question = Arc::new(Question {
        own_node_id: assembly.state.node_id().clone(),
        own_run: assembly.run.id.clone(),
        wait: assembly.settings.guard_wait,
        was: format!(
            "{} ({})",
            recorded.flag,
            recorded.decided_ms.map_or_else(
                || "recorded by an earlier version".to_owned(),
                |decided| format!("recorded at {}", words::moment(decided))
            )
        ),
        asked,
        not_asked,
        promotion,
        recorded,
        audit: assembly.audit.clone(),
    });
    let part = Part {
        name: "question",
        does: "asks the primary whether it is one still",
    };
    let stop = assembly.stop.clone();
    question.show();
    supervisor.supervise_until_done(part, move || {
        let (question, stop) = (Arc::clone(&question), stop.clone());
        async move {
            stop.run_until_cancelled(question.run()).await;
        }
    });
}

/// Makes the connection on which a former primary is asked whether it is one still.
fn transport(
    assembly: &Assembly,
    source: &Source,
    settings: Settings,
    token: &watch::Receiver<Option<Token>>,
) -> Result<HttpTransport, Error> {
    let timeout = settings.connection_timeout;
    let trust = peers_file::trust_source(assembly, Arc::new(settings));
    let transport = HttpTransport::of_node(&source.url, &assembly.key, trust, token.clone(), timeout)?;
    Ok(transport.by(&assembly.run, assembly.state.node_id()))
}

struct Question {
    own_node_id: NodeId,
    own_run: RunId,
    /// The flag that is gone, and when it was recorded.
    was: String,
    wait: Duration,
    asked: Vec<HttpTransport>,
    /// Addresses that cannot be asked, and why.
    not_asked: Vec<(String, String)>,
    promotion: Arc<Promotion>,
    recorded: Recorded,
    audit: AuditWriter,
}

impl Question {
    /// Asks the primary, and promotes this node or lets it stay as the verdict says.
    async fn run(self: Arc<Self>) {
        let mut inquiry = Inquiry::new(self.own_node_id.clone(), Some(self.own_run.clone()));
        let verdict = self.ask(&mut inquiry).await;
        self.promotion.board.update(|status| status.asks = None);
        match self.is_decided() {
            Ok(false) => {}
            Ok(true) => {
                info!("what this server is was decided while it asked");
                return;
            }
            Err(error) => return self.stay(&error.to_string()),
        }
        match verdict {
            Verdict::Hold(why) => self.stay(&why),
            Verdict::Promote { silence, highest } => {
                let reason = format!(
                    "the flag under which it was a standby, {}, is gone, and nobody answered as a primary within \
                     {} s ({silence})",
                    self.was,
                    self.wait.as_secs_f32()
                );
                let with_database = self.promotion.has_database().await;
                let reply = Arc::clone(&self.promotion)
                    .begin(Begun::ByItself {
                        reason,
                        highest,
                        with_database,
                        ask: self.again(inquiry),
                    })
                    .await;
                let order = Order::Promote {
                    without_database: !with_database,
                    as_it_is: false,
                    accept_loss: false,
                    force: false,
                    maintenance: false,
                    replay_within_s: None,
                };
                let audit = self.audit.clone();
                // What is said does not wait for a disk.
                tokio::spawn(audit.write(None, Ordered::new(&order, true, &reply)));
                if let Reply::Refused { message, guidance } = reply {
                    self.stay(&as_reason(&message, &guidance));
                }
            }
        }
    }

    /// Asks all addresses of the primary again and again, and ends early only where an answer decides.
    async fn ask(&self, inquiry: &mut Inquiry) -> Verdict {
        for (address, why) in &self.not_asked {
            inquiry.hear(address, Heard::NotAsked(why.clone()));
        }
        let end = Instant::now() + self.wait;
        let pause = PAUSE.min(self.wait / 4);
        while !self.asked.is_empty() {
            if let Some(verdict) = self.round(inquiry).await {
                return verdict;
            }
            if Instant::now() + pause >= end {
                break;
            }
            sleep(pause).await;
        }
        inquiry.at_the_end()
    }

    /// Asks all addresses of the primary once, at the same time. Returns what follows where an answer decides.
    async fn round(&self, inquiry: &mut Inquiry) -> Option<Verdict> {
        let answers = join_all(self.asked.iter().map(HttpTransport::who)).await;
        for (address, heard) in answers.into_iter().flatten() {
            info!("asked {address} whether it is a primary: {heard:?}");
            if let Some(verdict) = inquiry.hear(&address, heard) {
                return Some(verdict);
            }
        }
        None
    }

    /// Makes one more round of the question to the primary, after all that was heard in `inquiry`.
    fn again(self: &Arc<Self>, inquiry: Inquiry) -> AskAgain {
        let question = Arc::clone(self);
        Box::new(move || {
            let (question, mut inquiry) = (Arc::clone(&question), inquiry.clone());
            async move {
                let decided = question.round(&mut inquiry).await;
                decided.unwrap_or_else(|| inquiry.at_the_end())
            }
            .boxed()
        })
    }

    /// Whether a person has decided while the primary was asked, by an order that changed the record.
    ///
    /// # Errors
    /// The record cannot be read.
    fn is_decided(&self) -> Result<bool, Error> {
        let now = Recorded::load(self.promotion.state.path())?;
        Ok(self.promotion.is_running() || now.as_ref() != Some(&self.recorded))
    }

    /// Says on the board that the primary is asked, and why.
    fn show(&self) {
        let asks = format!(
            "the flag under which it was a standby, {}, is gone; asking the primary that it followed, for {} s at most",
            self.was,
            self.wait.as_secs_f32()
        );
        error!("{asks}");
        self.promotion.board.update(|status| status.asks = Some(asks.clone()));
        self.raise(format!("{asks}."));
    }

    /// Says on the board that this node stays held or serves nothing, why, and what to do.
    fn stay(&self, why: &str) {
        let (was, why) = (&self.was, why.trim_end_matches(['.', ' ']));
        let message = match self.promotion.place {
            Place::Held => format!(
                "the flag under which this server was a standby, {was}, is gone, and it stays held, since {why}. If it \
                 is to be the primary, make sure that no other one runs and run `gocd-bc promote` (`--without-database` \
                 leaves its database alone); if it is to be something else, run `gocd-bc demote --forget` and restart it. To go on as a standby, put \
                 the flag back."
            ),
            Place::Running => format!(
                "there may be two active servers: GoCD runs here without the agent that held it, although this server \
                 was a standby under {was}, and {why}. Nothing is offered to standbys. Stop GoCD on this server and give \
                 it back its -javaagent line and its flag. If it is to be the primary, make sure that no other one runs \
                 and run `gocd-bc promote --without-database`; if it is to be something else, `gocd-bc demote --forget`."
            ),
        };
        error!("{message}");
        self.raise(message);
    }

    /// Says on the board what came of asking the primary whether it is one still.
    fn raise(&self, message: String) {
        self.promotion.board.raise(&Topic::Flag, Severity::Critical, message);
    }
}

/// Makes the refusal of a promotion a reason within a sentence.
fn as_reason(message: &str, guidance: &str) -> String {
    let parts = [message, guidance].map(|part| part.trim_end_matches('.'));
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(". ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_ends_without_a_full_stop() {
        assert_eq!(as_reason("the primary answers", ""), "the primary answers");
        assert_eq!(as_reason("the disk hangs", "Look at it."), "the disk hangs. Look at it");
    }
}
