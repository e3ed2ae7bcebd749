//! What kind of host was looked at, for people.

use super::{database, facts::Facts};

/// What kind of host this is and what was looked at, in a line for each.
pub fn describe_host(facts: &Facts) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(here) = &facts.here {
        let what = match facts.status() {
            Some(status) => status.headline(),
            None => "A GoCD server whose node does not answer".to_owned(),
        };
        lines.push(format!("{what} ({})", here.state_dir));
    }
    lines.extend(
        facts
            .others
            .iter()
            .map(|other| format!("The other node: {}", other.url)),
    );
    if let Some(database) = facts.database() {
        lines.push(format!("GoCD's database: {}", database.line()));
    }
    for cluster in facts.clusters.iter().flatten().flatten() {
        let (name, state) = (&cluster.name, database::state(cluster));
        lines.push(format!("PostgreSQL on this host: {name}, {state} ({})", cluster.data));
    }
    if let Some(Err(_)) = &facts.clusters {
        lines.push("PostgreSQL on this host: not seen".to_owned());
    }
    if lines.is_empty() {
        lines.push("Neither a GoCD with this plugin nor a PostgreSQL was found on this host".to_owned());
    }
    lines
}
