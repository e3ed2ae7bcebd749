//! Who ordered what of this node, and what became of it: `audit.jsonl` and `audit-refused.jsonl` in the state folder.
//!
//! One line of JSON for each order that changes anything or shows what not everybody may see, written when it has come
//! to its end, with a checksum as every file of the state folder. What somebody ordered who had no right to has a file of
//! its own: whoever may order nothing must not be able to push out what others ordered.
//!
//! | file | has |
//! |---|---|
//! | `audit.jsonl` | what was ordered by those who may, promotions that nobody ordered, and that this node was fenced |
//! | `audit-refused.jsonl` | what was ordered by others, and not carried out |
//! | each with `.1` at its end | what was there before it grew beyond 1 MiB |
//!
//! An order waits for none of this, and is carried out whether or not it can be written down.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Order, Reply};
use crate::{
    basics::{Error, Kind, lock, words},
    durable::{OperatingSystem, line_log, seal},
    role::{StateDir, guard::Winner},
};

/// The file with what was ordered by those who may.
pub const FILE: &str = "audit.jsonl";
/// The file with what was ordered by those who may not.
pub const REFUSED_FILE: &str = "audit-refused.jsonl";

/// The version of a line.
const FORMAT: u32 = 1;
/// The longest file, in bytes; there are four.
const LARGEST: u64 = 1 << 20;
/// As much of a text in an order is kept, in characters: whoever orders may write what he likes into some.
const LONGEST_WORD: usize = 200;
/// As much is kept of what became of it.
const LONGEST_RESULT: usize = 1000;

/// Who gave an order, as the kernel says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The number of the user; none where the node itself decided, and on Windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// That user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Who had logged in, and became that user by sudo or the like; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// It was not, for the reason that the line has.
    Failed,
    /// Whoever gave it had no right to.
    Refused,
    /// A later version says something else.
    #[serde(other)]
    Other,
}

/// One line of the audit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    format: u32,
    /// When it had come to its end, milliseconds since 1970 by this node's clock.
    pub at_ms: i64,
    /// Who gave it.
    pub who: Who,
    /// Whether this node decided that by itself, and nobody gave it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_itself: bool,
    /// The order as it came over the local socket.
    pub order: Value,
    /// What became of it.
    pub outcome: Outcome,
    /// What was said of that.
    pub result: String,
    /// The number of this node's epoch at the end.
    pub epoch: u64,
}

/// What was ordered, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ordered {
    order: Value,
    outcome: Outcome,
    result: String,
}

impl Ordered {
    /// For the audit: an order that ended with this last word. `allowed` is whether whoever gave it had the right to.
    pub fn new(order: &Order, allowed: bool, last_word: &Reply) -> Self {
        let mut order = serde_json::to_value(order).expect("an order has only plain fields");
        bound(&mut order);
        let (outcome, result) = match last_word {
            Reply::Refused { message, .. } if allowed => (Outcome::Failed, message.as_str()),
            Reply::Refused { message, .. } => (Outcome::Refused, message.as_str()),
            Reply::Done { message } => (Outcome::Done, message.as_str()),
            _ => (Outcome::Done, ""),
        };
        Self {
            order,
            outcome,
            result: words::shown(result, LONGEST_RESULT),
        }
    }
}

impl Ordered {
    /// For the audit: that this node was fenced by this winner, which nobody ordered here.
    pub fn fence(winner: &Winner) -> Self {
        let whom = winner.node_id.as_deref().unwrap_or("another node");
        let mut order = json!({ "order": "fence", "at": winner.address, "by": whom, "epoch": winner.epoch.number });
        bound(&mut order);
        Self {
            order,
            outcome: Outcome::Done,
            result: format!("another node has epoch {}", winner.epoch.number),
        }
    }
}

impl Entry {
    /// A line of the audit about an order that has come to its end at `at_ms`, in the epoch of this number. None gave it
    /// where the node decided that by itself.
    pub fn new(who: Option<Who>, ordered: Ordered, at_ms: i64, epoch: u64) -> Self {
        Self {
            format: FORMAT,
            at_ms,
            by_itself: who.is_none(),
            who: who.unwrap_or_default(),
            order: ordered.order,
            outcome: ordered.outcome,
            result: ordered.result,
            epoch,
        }
    }

    /// The name of the order in the audit, such as `promote`.
    pub fn verb(&self) -> &str {
        self.order["order"].as_str().unwrap_or_default()
    }

    /// What was ordered, as people read it in the audit: the name and what was said with it.
    pub fn what(&self) -> String {
        let mut what = self.verb().to_owned();
        for (name, value) in self.order.as_object().into_iter().flatten() {
            let said = match value {
                _ if name == "order" => continue,
                Value::Bool(false) | Value::Null => continue,
                Value::Bool(true) => name.replace('_', "-"),
                Value::String(text) => text.clone(),
                other => format!("{name}={other}"),
            };
            what.push(' ');
            what.push_str(&said);
        }
        what
    }

    /// Who ordered it, as people read it in the audit.
    pub fn whom(&self) -> String {
        if self.by_itself {
            return "this node itself".to_owned();
        }
        let user = match (&self.who.user, self.who.uid) {
            (Some(user), _) => user.clone(),
            (None, Some(uid)) => format!("uid {uid}"),
            (None, None) => "not known".to_owned(),
        };
        match &self.who.login {
            Some(login) if *login != user => format!("{user} ({login})"),
            _ => user,
        }
    }

    /// Whether the audit tells by it who was primary when, and on which files and key.
    fn is_history(&self) -> bool {
        [
            "promote",
            "take-over",
            "demote",
            "fence",
            "hand-over",
            "take-back",
            "restore",
            "rotate-identity",
        ]
        .contains(&self.verb())
    }
}

/// Makes every text in an order of the audit one short line.
fn bound(value: &mut Value) {
    match value {
        Value::String(text) => *text = words::shown(text, LONGEST_WORD),
        Value::Array(values) => values.iter_mut().for_each(bound),
        Value::Object(fields) => fields.values_mut().for_each(bound),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The audit of an open node.
#[derive(Debug)]
pub struct Audit {
    state: Arc<StateDir>,
    /// The longest file, in bytes.
    largest: u64,
    /// Held while a line is written.
    writing: Mutex<()>,
}

impl Audit {
    /// The audit of the node with this state folder.
    pub fn new(state: Arc<StateDir>) -> Self {
        Self {
            state,
            largest: LARGEST,
            writing: Mutex::default(),
        }
    }

    /// Writes one line of the audit durably. It waits for the disk.
    ///
    /// # Errors
    /// [`Kind::File`] or [`Kind::DiskFull`] naming the file, or that the folder is another one than was opened.
    pub fn write(&self, entry: &Entry) -> Result<(), Error> {
        let file = match entry.outcome {
            Outcome::Refused => REFUSED_FILE,
            _ => FILE,
        };
        let line = seal::sealed(entry).expect("a line has only plain fields");
        let _writing = lock(&self.writing);
        self.state.is_still_there()?;
        line_log::append(&OperatingSystem, &self.state.path().join(file), &line, self.largest)
    }
}

/// What the audit knows of promotions, demotions, restored generations and changed keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// What was ordered, the newest first.
    pub orders: Vec<Entry>,
    /// What could not be read of it, for people.
    pub unread: Vec<String>,
}

/// Reads what the audit in a state folder knows of promotions, demotions, restored generations and changed keys: the
/// `newest` ones. What cannot be read is named, and nothing is concluded from it.
pub fn history(state_dir: &Path, newest: usize) -> History {
    let mut history = History::default();
    for name in [FILE, REFUSED_FILE] {
        let path = state_dir.join(name);
        for path in [line_log::former(&path), path] {
            match line_log::lines(&OperatingSystem, &path) {
                Ok(lines) => history.take(&path, &lines),
                Err(error) => history.unread.push(error.to_string()),
            }
        }
    }
    // Lines of one moment keep their order.
    history.orders.reverse();
    history.orders.sort_by_key(|entry| std::cmp::Reverse(entry.at_ms));
    history.orders.truncate(newest);
    history
}

impl History {
    /// Takes what is history from the lines of one file of the audit.
    fn take(&mut self, path: &Path, lines: &[Vec<u8>]) {
        let mut damaged = Vec::new();
        for (number, line) in (1..).zip(lines) {
            match seal::read::<Entry>(line) {
                Some(entry) if entry.is_history() => self.orders.push(entry),
                Some(_) => {}
                None => damaged.push(number),
            }
        }
        if let Some(first) = damaged.first() {
            let error = Error::new(
                Kind::File,
                format!(
                    "{} of the lines of {} cannot be read, the first of them is line {first}: a crash or a disk has \
                     damaged them, or somebody has changed them",
                    damaged.len(),
                    path.display()
                ),
                "Compare the file with a backup.",
            );
            self.unread.push(error.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn entry(order: &Order, at_ms: i64, allowed: bool) -> Entry {
        let who = Who {
            uid: Some(0),
            user: Some("root".to_owned()),
            login: Some("ada".to_owned()),
        };
        let last_word = match allowed {
            true => Reply::Done {
                message: "it is done".to_owned(),
            },
            false => Reply::refused("only root may give orders", ""),
        };
        Entry::new(Some(who), Ordered::new(order, allowed, &last_word), at_ms, 2)
    }

    fn promote() -> Order {
        Order::Restore { id: "#12".to_owned() }
    }

    fn audit() -> (tempfile::TempDir, Audit) {
        let folder = tempfile::tempdir().expect("folder");
        let state = StateDir::open(folder.path()).expect("opens");
        (folder, Audit::new(Arc::new(state)))
    }

    #[test]
    fn what_was_ordered_is_read_newest_first_and_without_what_is_no_history() {
        let (folder, audit) = audit();
        assert_eq!(history(folder.path(), 9), History::default());
        for (order, at_ms) in [
            (promote(), 1),
            (Order::Acknowledge, 2),
            (Order::Demote { forget: true }, 3),
        ] {
            audit.write(&entry(&order, at_ms, true)).expect("written");
        }
        audit.write(&entry(&promote(), 2, false)).expect("written");
        let found = history(folder.path(), 9);
        let told: Vec<_> = found
            .orders
            .iter()
            .map(|entry| (entry.at_ms, entry.what(), entry.outcome))
            .collect();
        assert_eq!(
            told,
            [
                (3, "demote forget".to_owned(), Outcome::Done),
                (2, "restore #12".to_owned(), Outcome::Refused),
                (1, "restore #12".to_owned(), Outcome::Done),
            ]
        );
        assert_eq!(found.orders[0].whom(), "root (ada)");
        assert_eq!(found.unread, [""; 0]);
        assert_eq!(history(folder.path(), 1).orders.len(), 1);
        let text = fs::read_to_string(folder.path().join(FILE)).expect("text");
        assert!(text.contains("\"acknowledge\""), "each order is in the file: {text}");
    }

    #[test]
    fn who_may_not_order_pushes_out_nothing_and_writes_short_lines() {
        let (folder, mut audit) = audit();
        audit.largest = 10_000;
        audit.write(&entry(&promote(), 1, true)).expect("written");
        let long = Order::Restore {
            id: "x\n".repeat(30_000),
        };
        for at_ms in 2..100 {
            audit.write(&entry(&long, at_ms, false)).expect("written");
        }
        let size = |name: &str| fs::metadata(folder.path().join(name)).expect("there").len();
        assert!(size(REFUSED_FILE) <= 10_000 && size("audit-refused.jsonl.1") <= 10_000);
        let found = history(folder.path(), usize::MAX);
        assert_eq!(found.orders.last().map(|entry| entry.at_ms), Some(1));
        assert_eq!(found.unread, [""; 0]);
        assert!((12..98).contains(&found.orders.len()) && found.orders[0].what().chars().count() < 300);
    }

    #[test]
    fn damaged_lines_are_named_and_the_others_read() {
        let (folder, audit) = audit();
        for at_ms in 1..4 {
            audit.write(&entry(&promote(), at_ms, true)).expect("written");
        }
        let path = folder.path().join(FILE);
        let text = fs::read_to_string(&path).expect("text");
        fs::write(&path, text.replacen("\"at_ms\":2", "\"at_ms\":7", 1)).expect("write");
        let found = history(folder.path(), 9);
        let moments: Vec<_> = found.orders.iter().map(|entry| entry.at_ms).collect();
        assert_eq!(moments, [3, 1]);
        assert!(found.unread[0].contains("line 2"), "{found:?}");
        fs::remove_file(&path).expect("remove");
        fs::create_dir(&path).expect("a folder in its place");
        let found = history(folder.path(), 9);
        assert!(found.unread[0].contains("audit.jsonl"), "{found:?}");
        audit
            .write(&entry(&promote(), 5, true))
            .expect_err("it cannot be written");
    }
}
