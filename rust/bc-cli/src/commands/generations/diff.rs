//! `gocd-bc generations diff`: what differs between two of them. A running node is asked; without one its files tell.

use std::sync::Arc;

use bc_core::{
    basics::{Clock, SystemClock, words::size},
    generation::Entry,
    node::{Order, Reply},
    standby::store::diff::{self, ConfigurationDiff, Diff, FileDiff, LIVE},
};

use super::say_that_files_were_read;
use crate::{
    client,
    exit_code::ExitCode,
    failure::Failure,
    find::Search,
    output::{self, table},
};

/// Runs `gocd-bc generations diff`: shows what differs between two generations.
pub(crate) fn run(search: &Search, from: Option<String>, to: Option<String>, json: bool) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    let order = Order::Diff {
        from: from.clone(),
        to: to.clone(),
    };
    let difference = match client::ask(&node.state_dir, &order, |_| {})? {
        Some(Reply::Diff { difference }) => *difference,
        Some(other) => return Err(client::unexpected(&other)),
        None => {
            say_that_files_were_read();
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let (from, to) = (from.as_deref(), to.as_deref());
            diff::compare(&node.state_dir, node.layout.as_ref(), &clock, from, to)?
        }
    };
    if json {
        output::print_json(&difference)?;
    } else {
        output::print(&render(&difference))?;
    }
    Ok(ExitCode::Ok)
}

/// Shows the difference between two generations, for people.
fn render(difference: &Diff) -> String {
    let title = |side: &Option<_>| match side {
        Some(generation) => format!("generation {generation}"),
        None => format!("the files that are {LIVE}"),
    };
    let (from, to) = (title(&difference.from), title(&difference.to));
    if difference.files.is_empty() {
        return format!("Nothing differs between {from} and {to}.\n");
    }
    let mut rows = vec![["FILE", "CHANGE", "SIZE", "PLUGIN"].map(str::to_owned).to_vec()];
    rows.extend(difference.files.iter().map(row));
    let configuration = match &difference.configuration {
        ConfigurationDiff::Same => String::new(),
        ConfigurationDiff::Shown { difference } => format!("\n{difference}"),
        ConfigurationDiff::OnlyLayout => {
            "\nIn cruise-config.xml only blanks, line ends and the like differ.\n".to_owned()
        }
        ConfigurationDiff::NotWhole => {
            "\nOne cruise-config.xml is no whole XML file, so what in it is secret cannot be told and nothing of it is \
             shown.\n"
                .to_owned()
        }
    };
    format!("From {from} to {to}\n\n{}{configuration}", table(&rows))
}

/// The row of one file in a diff.
fn row(file: &FileDiff) -> Vec<String> {
    let change = match (&file.from, &file.to) {
        (None, _) => "added",
        (_, None) => "removed",
        _ => "changed",
    };
    let plugin = |entry: &Entry| entry.plugin.as_ref().map(ToString::to_string);
    vec![
        file.name.to_string(),
        change.to_owned(),
        both(file, |entry| Some(size(entry.size))),
        both(file, plugin),
    ]
}

/// Says what there is on both sides of a difference; once where it is the same.
fn both(file: &FileDiff, said: impl Fn(&Entry) -> Option<String>) -> String {
    let of = |entry: &Option<Entry>| entry.as_ref().and_then(&said);
    match (of(&file.from), of(&file.to)) {
        (Some(from), Some(to)) if from != to => format!("{from} -> {to}"),
        (from, to) => to.or(from).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use bc_core::{
        basics::Digests,
        generation::{Name, PluginIdentity},
    };

    use super::*;

    fn entry(bytes: &[u8], version: Option<&str>) -> Option<Entry> {
        let plugin = version.map(|version| PluginIdentity {
            id: "docker".to_owned(),
            version: Some(version.to_owned()),
        });
        Some(Entry::new(Digests::of(bytes), 0, plugin))
    }

    #[test]
    fn what_a_person_reads() {
        let file = |name, from, to| FileDiff { name, from, to };
        let jar = |name: &str| Name::Plugin(name.parse().expect("a jar"));
        let difference = Diff {
            from: None,
            to: None,
            configuration: ConfigurationDiff::OnlyLayout,
            files: vec![
                file(jar("docker.jar"), entry(b"1", Some("1.0")), entry(b"22", Some("1.1"))),
                file(jar("old.jar"), entry(b"1", None), None),
                file(Name::CipherAes, None, entry(b"1", None)),
            ],
        };
        let expected = "\
From the files that are live to the files that are live

FILE                         CHANGE   SIZE        PLUGIN
plugins/external/docker.jar  changed  1 B -> 2 B  docker 1.0 -> docker 1.1
plugins/external/old.jar     removed  1 B
cipher.aes                   added    1 B

In cruise-config.xml only blanks, line ends and the like differ.
";
        assert_eq!(render(&difference), expected);
        let nothing = Diff {
            files: Vec::new(),
            ..difference
        };
        assert_eq!(
            render(&nothing),
            "Nothing differs between the files that are live and the files that are live.\n"
        );
    }
}
