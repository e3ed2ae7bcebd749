//! `gocd-bc history`: who promoted, demoted, restored or gave another key, when this node was fenced, and what came of it.

use bc_core::{
    basics::words,
    node::{
        Order, Reply,
        audit::{self, Entry, History, Outcome},
    },
};

use crate::{
    client,
    exit_code::ExitCode,
    failure::Failure,
    find::Search,
    output::{self, table},
};

/// Runs `gocd-bc history`: lists the newest orders of this kind.
pub(crate) fn run(search: &Search, newest: usize, json: bool) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    let history = match client::ask(&node.state_dir, &Order::History { newest }, |_| {})? {
        Some(Reply::History { history }) => *history,
        Some(other) => return Err(client::unexpected(&other)),
        None => {
            output::say("No node answers; this is what its files say.\n");
            audit::history(&node.state_dir, newest)
        }
    };
    for unread in &history.unread {
        output::say(&format!("{unread}\n"));
    }
    if json {
        output::print_json(&history)?;
    } else if history.orders.is_empty() {
        output::say(
            "Nothing is written down of promotions, fences, demotions, restored generations and changed keys.\n",
        );
    } else {
        output::print(&render(&history))?;
    }
    Ok(match history.unread.as_slice() {
        [] => ExitCode::Ok,
        _ => ExitCode::Failed,
    })
}

/// Makes the table of the history.
fn render(history: &History) -> String {
    let heading = ["TIME", "WHO", "ORDER", "RESULT", "EPOCH", ""]
        .map(str::to_owned)
        .to_vec();
    let rows = history.orders.iter().map(row);
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}

/// Makes one row of the history.
fn row(entry: &Entry) -> Vec<String> {
    let outcome = match entry.outcome {
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::Refused => "refused",
        Outcome::Other => "unknown",
    };
    vec![
        words::moment(entry.at_ms),
        entry.whom(),
        entry.what(),
        outcome.to_owned(),
        entry.epoch.to_string(),
        entry.result.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use bc_core::{
        generation::Epoch,
        node::audit::{Ordered, Who},
        role::guard::Winner,
    };

    use super::*;

    #[test]
    fn what_a_person_reads() {
        let order = Order::Promote {
            without_database: true,
            as_it_is: false,
            accept_loss: false,
            force: false,
            maintenance: false,
            replay_within_s: None,
        };
        let ordered = |allowed, last_word: Reply| Ordered::new(&order, allowed, &last_word);
        let done = || Reply::Done {
            message: "GoCD is being released".to_owned(),
        };
        let root = Who {
            uid: Some(0),
            user: Some("root".to_owned()),
            login: Some("ada".to_owned()),
        };
        let nobody = Who {
            uid: Some(65_534),
            ..Who::default()
        };
        let winner = Winner {
            node_id: Some("ffff".to_owned()),
            address: "https://standbygo:8155".to_owned(),
            is_there: true,
            epoch: Epoch {
                number: 4,
                promotion: "d".to_owned(),
            },
        };
        let history = History {
            orders: vec![
                Entry::new(None, Ordered::fence(&winner), 120_000, 3),
                Entry::new(None, ordered(true, done()), 60_000, 3),
                Entry::new(Some(root), ordered(true, Reply::refused("no room", "")), 1_000, 2),
                Entry::new(Some(nobody), ordered(false, Reply::refused("only root may", "")), 0, 2),
            ],
            unread: Vec::new(),
        };
        let expected = "\
TIME                     WHO               ORDER                                      RESULT   EPOCH
1970-01-01 00:02:00 UTC  this node itself  fence https://standbygo:8155 ffff epoch=4  done     3      another node has epoch 4
1970-01-01 00:01:00 UTC  this node itself  promote without-database                   done     3      GoCD is being released
1970-01-01 00:00:01 UTC  root (ada)        promote without-database                   failed   2      no room
1970-01-01 00:00:00 UTC  uid 65534         promote without-database                   refused  2      only root may
";
        assert_eq!(render(&history), expected);
    }
}
