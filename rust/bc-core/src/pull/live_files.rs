//! What a standby's board says of its live files: whether they are those of the applied generation, and whether anybody
//! knows.

use crate::{
    manifest::Name,
    status::{Severity, StatusBoard},
};

/// The board's topic for live files that are not those of the applied generation.
pub const TOPIC_ALTERED: &str = "live files";
/// The board's topic for live files that cannot be looked at.
pub const TOPIC_UNSEEN: &str = "verify";

/// Mending takes moments: what is not mended after this time needs somebody.
const MENDED_WITHIN_MS: i64 = 60_000;
/// Files that are named at most.
const NAMED: usize = 5;

/// Notes which live files are not those of the applied generation. While there are any, the node is not in sync.
pub fn show_altered(board: &StatusBoard, altered: &[Name], now_ms: i64) {
    let is_known = board.look(|status| status.sync.as_ref().is_some_and(|sync| sync.altered == altered));
    if !is_known {
        board.update(|status| {
            status.sync.get_or_insert_default().altered = altered.to_vec();
            status.judge_sync(now_ms);
        });
    }
    if altered.is_empty() {
        return board.clear(TOPIC_ALTERED);
    }
    let since_ms = board.look(|status| {
        let known = status.problems.iter().find(|problem| problem.topic == TOPIC_ALTERED);
        known.map_or(now_ms, |problem| problem.since_ms)
    });
    let severity = if now_ms.saturating_sub(since_ms) >= MENDED_WITHIN_MS {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let message = format!(
        "on this server {} not what was synced: edited, damaged or removed here. It is mended from the kept bytes or the \
         primary's; until then this standby is not in sync.",
        named(altered)
    );
    board.raise(TOPIC_ALTERED, severity, message, now_ms);
}

/// Notes why it is not known whether the live files are right, or that it is. Returns whether that is news.
pub fn show_unseen(board: &StatusBoard, unseen: Option<String>, now_ms: i64) -> bool {
    let is_known = board.look(|status| status.sync.as_ref().is_some_and(|sync| sync.unseen == unseen));
    if !is_known {
        board.update(|status| {
            status.sync.get_or_insert_default().unseen.clone_from(&unseen);
            status.judge_sync(now_ms);
        });
    }
    match unseen {
        Some(message) => board.raise(TOPIC_UNSEEN, Severity::Warning, message, now_ms),
        None => {
            board.clear(TOPIC_UNSEEN);
            false
        }
    }
}

/// A few names, and the verb that fits.
fn named(names: &[Name]) -> String {
    let mut text = names
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if let more @ 1.. = names.len().saturating_sub(NAMED) {
        text.push_str(&format!(" and {more} more"));
    }
    text.push_str(if names.len() == 1 { " is" } else { " are" });
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        manifest::Role,
        status::{Phase, Status, SyncStatus},
    };

    #[test]
    fn what_differs_or_cannot_be_seen_ends_in_sync_until_it_is_right() {
        let board = StatusBoard::new(Status {
            sync: Some(SyncStatus {
                has_newest: true,
                ..SyncStatus::default()
            }),
            ..Status::new("node", Role::Standby, Phase::Holding, 0)
        });
        let is_in_sync = || board.look(|status| status.sync.as_ref().is_some_and(|sync| sync.in_sync));
        let problem = || board.look(|status| status.problems.first().cloned());
        show_altered(&board, &[], 1);
        assert!(!is_in_sync(), "nothing has changed, so nothing is said anew");
        show_altered(&board, &[Name::CruiseConfig], 2);
        show_altered(&board, &[], 3);
        assert!(is_in_sync());

        show_altered(&board, &[Name::CruiseConfig], 10);
        assert!(!is_in_sync());
        let said = problem().expect("it is named");
        assert!(said.message.contains("cruise-config.xml is not what"), "{said:?}");
        assert_eq!(said.severity, Severity::Warning);
        show_altered(&board, &[Name::CruiseConfig], 10 + MENDED_WITHIN_MS);
        assert_eq!(problem().map(|problem| problem.severity), Some(Severity::Critical));
        show_altered(&board, &[], 20 + MENDED_WITHIN_MS);
        assert!(is_in_sync());
        assert_eq!(problem(), None);

        assert!(show_unseen(&board, Some("cannot read x.jar".to_owned()), 30));
        assert!(
            !show_unseen(&board, Some("cannot read x.jar".to_owned()), 31),
            "no news"
        );
        assert!(!is_in_sync());
        assert_eq!(
            problem().map(|problem| problem.message),
            Some("cannot read x.jar".to_owned())
        );
        assert!(!show_unseen(&board, None, 40));
        assert!(is_in_sync());
        assert_eq!(problem(), None);
    }
}
