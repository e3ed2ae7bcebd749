//! What a standby's board says of its live files: whether they are those of the applied generation, and whether anybody
//! knows.

use crate::{
    basics::Severity,
    generation::Name,
    status::{StatusBoard, Topic},
};

/// Mending takes moments: what is not mended after this time needs somebody.
const MENDED_WITHIN_MS: i64 = 60_000;
/// Files that are named at most.
const NAMED: usize = 5;

/// Notes which live files are not those of the applied generation. While there are any, the node is not in sync.
pub fn show_altered(board: &StatusBoard, altered: &[Name]) {
    let is_known = board.look(|status| status.sync.as_ref().is_some_and(|sync| sync.altered == altered));
    if !is_known {
        board.update(|status| status.sync.get_or_insert_default().altered = altered.to_vec());
    }
    if altered.is_empty() {
        return board.clear(&Topic::LiveFiles);
    }
    let age_ms = board.look(|status| {
        let known = status.problem(&Topic::LiveFiles);
        known.map_or(0, |problem| status.age_ms(problem.since_ms))
    });
    let severity = if age_ms >= MENDED_WITHIN_MS {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let message = format!(
        "on this server {} not what was synced: edited, damaged or removed here. It is mended from the kept bytes or the \
         primary's; until then this standby is not in sync.",
        named(altered)
    );
    board.raise(&Topic::LiveFiles, severity, message);
}

/// Notes why it is not known whether the live files are right, or that it is. Returns whether that is news.
pub fn show_unseen(board: &StatusBoard, unseen: Option<String>) -> bool {
    let is_known = board.look(|status| status.sync.as_ref().is_some_and(|sync| sync.unseen == unseen));
    if !is_known {
        board.update(|status| status.sync.get_or_insert_default().unseen.clone_from(&unseen));
    }
    match unseen {
        Some(message) => board.raise(&Topic::Verify, Severity::Warning, message),
        None => {
            board.clear(&Topic::Verify);
            false
        }
    }
}

/// Names a few live files, and adds the verb that fits.
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
    use std::sync::Arc;

    use super::*;
    use crate::{
        basics::clock::tests::Turned,
        generation::Role,
        status::{Phase, Status, SyncStatus},
    };

    #[test]
    fn what_differs_or_cannot_be_seen_ends_in_sync_until_it_is_right() {
        let status = Status {
            sync: Some(SyncStatus {
                has_newest: true,
                ..SyncStatus::default()
            }),
            ..Status::new("node", Role::Standby, Phase::Holding, 0)
        };
        let clock = Arc::new(Turned::default());
        let board = StatusBoard::new(status, clock.clone());
        let is_in_sync = || board.look(|status| status.sync.as_ref().is_some_and(|sync| sync.in_sync));
        let problem = || board.look(|status| status.problems.first().cloned());
        clock.to(1);
        show_altered(&board, &[]);
        assert!(!is_in_sync(), "nothing has changed, so nothing is said anew");
        clock.to(2);
        show_altered(&board, &[Name::CruiseConfig]);
        clock.to(3);
        show_altered(&board, &[]);
        assert!(is_in_sync());

        clock.to(10);
        show_altered(&board, &[Name::CruiseConfig]);
        assert!(!is_in_sync());
        let said = problem().expect("it is named");
        assert!(said.message.contains("cruise-config.xml is not what"), "{said:?}");
        assert_eq!(said.severity, Severity::Warning);
        clock.to(10 + MENDED_WITHIN_MS);
        show_altered(&board, &[Name::CruiseConfig]);
        assert_eq!(problem().map(|problem| problem.severity), Some(Severity::Critical));
        clock.to(20 + MENDED_WITHIN_MS);
        show_altered(&board, &[]);
        assert!(is_in_sync());
        assert_eq!(problem(), None);

        assert!(show_unseen(&board, Some("cannot read x.jar".to_owned())));
        assert!(!show_unseen(&board, Some("cannot read x.jar".to_owned())), "no news");
        assert!(!is_in_sync());
        assert_eq!(
            problem().map(|problem| problem.message),
            Some("cannot read x.jar".to_owned())
        );
        assert!(!show_unseen(&board, None));
        assert!(is_in_sync());
        assert_eq!(problem(), None);
    }
}
