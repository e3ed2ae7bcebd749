//! Numbers of several runs beside their goals.

use std::fmt::Write;

use serde_json::{Value, json};

/// Every number that was measured, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    rows: Vec<Row>,
    /// Whole results of others: machine, limits, rivals.
    notes: Vec<Value>,
}

#[derive(Debug)]
struct Row {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
    goal: Goal,
}

/// What a number should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// It is only shown; less is better.
    None,
    /// Below this.
    Under(f64),
    /// Exactly zero.
    Zero,
    /// At least this.
    AtLeast(f64),
}

impl Goal {
    fn is_reached(self, value: f64) -> bool {
        match self {
            Goal::None => true,
            Goal::Under(limit) => value < limit,
            Goal::Zero => value == 0.0,
            Goal::AtLeast(limit) => value >= limit,
        }
    }

    fn text(self) -> String {
        match self {
            Goal::None => String::new(),
            Goal::Under(limit) => format!("under {}", short(limit)),
            Goal::Zero => "0".to_owned(),
            Goal::AtLeast(limit) => format!("at least {}", short(limit)),
        }
    }
}

impl Numbers {
    /// Notes one value; values of the same name belong together.
    pub(crate) fn add(&mut self, name: &str, unit: &'static str, goal: Goal, value: f64) {
        eprintln!("  {name}: {} {unit}", short(value));
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => {
                row.values.push(value);
                row.goal = goal;
            }
            None => self.rows.push(Row {
                name: name.to_owned(),
                unit,
                values: vec![value],
                goal,
            }),
        }
    }

    /// Keeps something for the JSON.
    pub(crate) fn note(&mut self, note: Value) {
        self.notes.push(note);
    }

    /// Best and worst of every number, for people, in the form of a Markdown table.
    pub(crate) fn table(&self) -> String {
        let mut table = "| what | best | worst | reach | |\n|---|---|---|---|---|\n".to_owned();
        for row in &self.rows {
            let (best, worst) = row.extremes();
            let verdict = match (row.goal, row.goal.is_reached(worst), row.goal.is_reached(best)) {
                (Goal::None, ..) => "",
                (_, true, _) => "yes",
                (_, false, true) => "best only",
                (_, false, false) => "no",
            };
            writeln!(
                table,
                "| {} | {} {unit} | {} {unit} | {} | {verdict} |",
                row.name,
                short(best),
                short(worst),
                row.goal.text(),
                unit = row.unit,
            )
            .expect("memory does not fail");
        }
        table
    }

    /// All values.
    pub(crate) fn to_json(&self) -> Value {
        let row = |row: &Row| {
            let (best, worst) = row.extremes();
            json!({
                "name": row.name,
                "unit": row.unit,
                "best": best,
                "worst": worst,
                "values": row.values,
                "reach": row.goal.text(),
                "reached": row.goal.is_reached(worst),
            })
        };
        json!({"numbers": self.rows.iter().map(row).collect::<Vec<_>>(), "notes": self.notes})
    }
}

impl Row {
    /// The best and the worst value.
    fn extremes(&self) -> (f64, f64) {
        let least = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match self.goal {
            Goal::AtLeast(_) => (most, least),
            _ => (least, most),
        }
    }
}

/// Three digits that mean something.
fn short(value: f64) -> String {
    if value == value.trunc() || value.abs() >= 100.0 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_and_worst_depend_on_what_is_wanted() {
        let mut numbers = Numbers::default();
        for value in [12.34, 20.0, 14.0] {
            numbers.add("latency", "ms", Goal::Under(15.0), value);
        }
        for value in [0.95, 0.91] {
            numbers.add("part of the limit", "x", Goal::AtLeast(0.9), value);
        }
        numbers.add("torn", "states", Goal::Zero, 1.0);
        let table = numbers.table();
        assert!(
            table.contains("| latency | 12.3 ms | 20 ms | under 15 | best only |"),
            "{table}"
        );
        assert!(
            table.contains("| part of the limit | 0.950 x | 0.910 x | at least 0.900 | yes |"),
            "{table}"
        );
        assert!(table.contains("| torn | 1 states | 1 states | 0 | no |"), "{table}");
        assert_eq!(numbers.to_json()["numbers"][1]["reached"], true);
    }
}
