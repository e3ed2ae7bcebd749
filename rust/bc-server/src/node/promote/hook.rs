//! Runs the command of `bc.promote.hook` once after each promotion, on the primary that came of it.
//!
//! That it is due is in the journal of the promotion: a server that ended meanwhile runs it at its next start. The command
//! is to be one that can be run twice.

use std::sync::Arc;

use bc_core::{
    basics::Severity,
    role::promotion::{Journal, Outcome},
    status::Topic,
};
use tokio::task::spawn_blocking;
use tracing::warn;

use super::{Promotion, command};
use crate::node::supervisor::{Part, Supervisor};

/// Starts the part of a promoted node that runs the command, where one is set.
pub(crate) fn start(supervisor: &Supervisor, promotion: &Arc<Promotion>) {
    let Some(hook) = promotion.settings.promote_hook.clone() else {
        return;
    };
    let part = Part {
        name: "promote hook",
        does: "runs the command of bc.promote.hook",
    };
    let promotion = Arc::clone(promotion);
    supervisor.supervise_until_done(part, move || run(Arc::clone(&promotion), hook.clone()));
}

/// Runs the command where it is due, and writes down what came of it.
async fn run(promotion: Arc<Promotion>, hook: String) {
    // A damaged one is said where it is shown.
    let Ok(Some(journal)) = promotion.last_journal().await else {
        return;
    };
    let own = promotion.board.look(|status| status.epoch.clone());
    if !is_due(&journal) || journal.epoch.as_ref() != Some(&own) {
        return;
    }
    let variables = promotion.variables(Some(&own));
    let ended = command::run("bc.promote.hook", hook, variables).await;
    let journal = Journal {
        hook: Some(format!("the command {ended}")),
        hook_is_due: !ended.is_well(),
        ..journal
    };
    if !ended.is_well() {
        let message = format!(
            "the command of bc.promote.hook {ended}: what it was to do after the promotion may not be done, such as moving an \
             address. The log says what it said. Do it by hand, or mend the command and restart this server, which runs it \
             again."
        );
        promotion.board.raise(&Topic::PromoteHook, Severity::Warning, message);
    }
    promotion
        .board
        .update(|status| status.promotion = Some(journal.clone()));
    let state = Arc::clone(&promotion.state);
    let written = spawn_blocking(move || journal.save(state.path())).await;
    if let Ok(Err(error)) = written {
        warn!("{error}");
    }
}

/// Whether the command is to be run after this promotion.
fn is_due(journal: &Journal) -> bool {
    journal.outcome == Some(Outcome::Complete) && (journal.hook.is_none() || journal.hook_is_due)
}

#[cfg(test)]
mod tests {
    use bc_core::role::promotion::Cause;

    use super::*;

    #[test]
    fn it_runs_once_and_again_where_it_failed() {
        let cause = Cause::Order {
            as_it_is: false,
            with_database: true,
        };
        let mut journal = Journal::begin(&cause, None, 1);
        assert!(!is_due(&journal), "on its way");
        journal.ends(Outcome::Complete, None);
        assert!(is_due(&journal));
        journal.hook = Some("the command ended with 3".to_owned());
        journal.hook_is_due = true;
        assert!(is_due(&journal));
        journal.hook_is_due = false;
        assert!(!is_due(&journal));
    }
}
