//! What a set-up looked at, line by line, and what it would change: shown before anything is done.

use std::fmt;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is, such as the name of a setting.
    pub what: String,
    /// How it is now.
    pub now: String,
    /// How it is to be, where that is something else.
    pub then: Option<String>,
    /// Why it is to be so, or what else a person should know of it; may be empty.
    pub why: String,
    /// Whether a change of it takes effect when the server starts, and not before.
    pub needs_restart: bool,
}

/// What a set-up looked at, in the order in which it is shown and carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Line by line.
    pub lines: Vec<Line>,
}

impl Plan {
    /// Adds to a plan a thing that is as it should be, or only shown.
    pub fn is(&mut self, what: impl Into<String>, now: impl Into<String>) {
        self.add(what, now, None, "", false);
    }

    /// Adds to a plan a thing that is to change.
    pub fn change(
        &mut self,
        what: impl Into<String>,
        now: impl Into<String>,
        then: impl Into<String>,
        why: impl Into<String>,
    ) {
        self.add(what, now, Some(then.into()), why, false);
    }

    /// Adds to a plan a thing that is to change, and only does when the server starts.
    pub fn change_by_restart(
        &mut self,
        what: impl Into<String>,
        now: impl Into<String>,
        then: impl Into<String>,
        why: impl Into<String>,
    ) {
        self.add(what, now, Some(then.into()), why, true);
    }

    /// Whether all in a plan is as it should be.
    pub fn changes_nothing(&self) -> bool {
        self.lines.iter().all(|line| line.then.is_none())
    }

    /// Whether something in a plan changes only when the server starts.
    pub fn needs_restart(&self) -> bool {
        self.lines.iter().any(|line| line.needs_restart)
    }

    fn add(
        &mut self,
        what: impl Into<String>,
        now: impl Into<String>,
        then: Option<String>,
        why: impl Into<String>,
        needs_restart: bool,
    ) {
        self.lines.push(Line {
            what: what.into(),
            now: now.into(),
            then,
            why: why.into(),
            needs_restart,
        });
    }
}

/// A line of the plan is one line of text: whether it changes, what it is, how it is and how it is to be, why.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |text: &dyn Fn(&Line) -> usize| self.lines.iter().map(text).max().unwrap_or(0);
        let of_what = width(&|line| line.what.chars().count());
        for line in &self.lines {
            let mark = match (&line.then, line.needs_restart) {
                (None, _) => "ok",
                (Some(_), false) => "change",
                (Some(_), true) => "restart",
            };
            write!(f, "  {mark:7}  {:of_what$}  {}", line.what, line.now)?;
            if let Some(then) = &line.then {
                write!(f, " -> {then}")?;
            }
            if !line.why.is_empty() {
                write!(f, "  ({})", line.why)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_says_whether_it_changes() {
        let mut plan = Plan::default();
        plan.is("wal_level", "replica");
        assert!(plan.changes_nothing());
        plan.change("wal_keep_size", "0", "1GB", "for pg_rewind");
        plan.change_by_restart("listen_addresses", "localhost", "*", "");
        assert!(!plan.changes_nothing() && plan.needs_restart());
        assert_eq!(
            plan.to_string(),
            "  ok       wal_level         replica\n  change   wal_keep_size     0 -> 1GB  (for pg_rewind)\n  \
             restart  listen_addresses  localhost -> *\n"
        );
    }
}
