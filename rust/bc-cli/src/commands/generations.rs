//! `gocd-bc generations`: what a standby keeps to go back to.

use std::collections::BTreeMap;

use bc_core::{
    basics::{Clock, SystemClock, words::size},
    generation::{Acceptance, Entry, Name},
    node::{Order, Reply},
    standby::store::generations::{self, KeptGeneration},
};
use serde::Serialize;

use crate::{
    client,
    exit_code::ExitCode,
    failure::Failure,
    find::Search,
    output::{self, ago, table},
};

pub(super) mod diff;

/// Runs `gocd-bc generations list`: lists what is kept.
pub(crate) fn list(search: &Search, json: bool) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    let kept = match client::ask(&node.state_dir, &Order::Generations, |_| {})? {
        Some(Reply::Generations { generations }) => generations,
        Some(other) => return Err(client::unexpected(&other)),
        None => {
            say_that_files_were_read();
            generations::list(&node.state_dir)?
        }
    };
    if json {
        output::print_json(&kept)?;
    } else if kept.is_empty() {
        output::say(
            "No generation is kept here: a standby keeps them from its first sync on, and for a while after its promotion.\n",
        );
    } else {
        output::print(&table(&rows(&kept, SystemClock.now_ms())))?;
    }
    Ok(ExitCode::Ok)
}

/// Runs `gocd-bc generations show`: shows the files of one generation.
pub(crate) fn show(search: &Search, id: &str, json: bool) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    let order = Order::Generation { id: id.to_owned() };
    let (generation, files) = match client::ask(&node.state_dir, &order, |_| {})? {
        Some(Reply::Generation { generation, files }) => (*generation, files),
        Some(other) => return Err(client::unexpected(&other)),
        None => {
            say_that_files_were_read();
            generations::show(&node.state_dir, id)?
        }
    };
    if json {
        output::print_json(&Shown { generation, files })?;
    } else {
        output::print(&render(&generation, &files, SystemClock.now_ms()))?;
    }
    Ok(ExitCode::Ok)
}

/// Runs `gocd-bc generations restore`: has the node make one generation live again.
pub(crate) fn restore(search: &Search, id: &str) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    client::order(&node.state_dir, &Order::Restore { id: id.to_owned() })
}

/// Runs `gocd-bc generations drop`: lets go of one generation on a promoted server, or of all.
pub(crate) fn let_go(search: &Search, id: Option<String>) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    client::order(&node.state_dir, &Order::DropGenerations { id })
}

#[derive(Serialize)]
struct Shown {
    generation: KeptGeneration,
    files: BTreeMap<Name, Entry>,
}

fn say_that_files_were_read() {
    output::say("No node answers; this is what its files say.\n");
}

/// Makes the table of kept generations.
fn rows(kept: &[KeptGeneration], now_ms: i64) -> Vec<Vec<String>> {
    let heading = ["", "SEQUENCE", "ID", "EPOCH", "LIVE HERE", "FILES", "SIZE", "GOCD"];
    let rows = kept.iter().map(|kept| {
        let first = if kept.is_first { "0" } else { "" };
        if let Some(unread) = &kept.unread {
            let id = if kept.is_first {
                String::new()
            } else {
                format!("{:.12}", kept.id)
            };
            let nothing = String::new;
            return vec![
                nothing(),
                first.to_owned(),
                id,
                nothing(),
                nothing(),
                nothing(),
                nothing(),
                unread.clone(),
            ];
        }
        let number = |number: u64| {
            if kept.is_first {
                String::new()
            } else {
                number.to_string()
            }
        };
        vec![
            if kept.is_applied { "*" } else { "" }.to_owned(),
            if kept.is_first {
                "0".to_owned()
            } else {
                format!("#{}", kept.sequence)
            },
            format!("{:.12}", kept.id),
            number(kept.epoch),
            if kept.is_first {
                format!("found {}", ago(now_ms, kept.applied_ms))
            } else {
                ago(now_ms, kept.applied_ms)
            },
            kept.files.to_string(),
            size(kept.total_size),
            accepted(kept).to_owned(),
        ]
    });
    std::iter::once(heading.map(str::to_owned).to_vec())
        .chain(rows)
        .collect()
}

/// What people read in the list of generations of GoCD's acceptance.
fn accepted(kept: &KeptGeneration) -> &'static str {
    match kept.acceptance {
        Acceptance::Accepted => "accepted",
        Acceptance::Pending if kept.rejected => "rejected",
        Acceptance::Pending => "pending",
        Acceptance::Unknown => "",
    }
}

/// Shows one kept generation with its files, for people.
fn render(generation: &KeptGeneration, files: &BTreeMap<Name, Entry>, now_ms: i64) -> String {
    let mut about = vec![vec!["generation".to_owned(), generation.id.to_string()]];
    if generation.is_first {
        about.push(vec![
            "found".to_owned(),
            format!("{}, before anything was synced", ago(now_ms, generation.applied_ms)),
        ]);
    } else {
        about.push(vec![
            "sequence".to_owned(),
            format!("{} of epoch {}", generation.sequence, generation.epoch),
        ]);
        let now = if generation.is_applied {
            "; it was applied last"
        } else {
            ""
        };
        about.push(vec![
            "live here".to_owned(),
            format!("{}{now}", ago(now_ms, generation.applied_ms)),
        ]);
    }
    if let Some(position) = &generation.database {
        about.push(vec!["database".to_owned(), format!("at {position} when it was made")]);
    }
    about.push(vec!["size".to_owned(), size(generation.total_size)]);
    let mut rows = vec![["FILE", "SIZE", "SHA-256", "PLUGIN"].map(str::to_owned).to_vec()];
    rows.extend(files.iter().map(|(name, entry)| {
        let plugin = entry.plugin.as_ref().map(ToString::to_string);
        vec![
            name.to_string(),
            size(entry.size),
            format!("{:.12}", entry.sha256),
            plugin.unwrap_or_default(),
        ]
    }));
    format!("{}\n{}", table(&about), table(&rows))
}

#[cfg(test)]
mod tests {
    use bc_core::basics::Digest;

    use super::*;

    fn kept(sequence: u64) -> KeptGeneration {
        KeptGeneration {
            id: Digest::of(b"x"),
            is_first: sequence == 0,
            is_applied: sequence == 2,
            epoch: 1,
            sequence,
            acceptance: if sequence == 0 {
                Acceptance::Accepted
            } else {
                Acceptance::Pending
            },
            rejected: sequence == 2,
            generated_ms: 0,
            database: None,
            applied_ms: 0,
            files: 3,
            total_size: 2048,
            unread: None,
        }
    }

    #[test]
    fn what_cannot_be_read_is_listed_and_said() {
        let unread = |sequence| KeptGeneration {
            unread: Some("cannot read 1.json: it fails".to_owned()),
            ..kept(sequence)
        };
        let text = table(&rows(&[unread(1), unread(0)], 60_000));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].trim().starts_with("2d711642b726") && lines[1].ends_with("cannot read 1.json: it fails"));
        assert!(lines[2].trim().starts_with("0 ") && lines[2].ends_with("cannot read 1.json: it fails"));
    }

    #[test]
    fn what_a_person_reads() {
        let text = table(&rows(&[kept(2), kept(1), kept(0)], 60_000));
        let expected = "\
\x20  SEQUENCE  ID            EPOCH  LIVE HERE       FILES  SIZE     GOCD
*  #2        2d711642b726  1      60 s ago        3      2.0 KiB  rejected
   #1        2d711642b726  1      60 s ago        3      2.0 KiB  pending
   0         2d711642b726         found 60 s ago  3      2.0 KiB  accepted
";
        assert_eq!(text, expected);
    }
}
