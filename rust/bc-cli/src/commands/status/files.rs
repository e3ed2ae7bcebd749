//! What the files of a node tell while it does not run.

use std::{io, path::Path, time::SystemTime};

use bc_core::{
    basics::{Fingerprint, clock::millis, if_there, regular_file, words},
    generation::Role,
    keys::Identity,
    role::{
        Recorded,
        gocd_start::GocdStart,
        lock_holder::{Holder, holder},
    },
    settings::Flag,
    standby::store::Record,
};
use serde::Serialize;

use crate::{
    client,
    exit_code::ExitCode,
    output::{ago, table},
};

/// As much of what stands in place of a node id is shown, in characters.
const LONGEST_ID: usize = 64;

/// What could be read of a state folder.
#[derive(Debug, Serialize)]
pub(super) struct Files {
    state_dir: String,
    /// The process that has the node open although it does not answer.
    process: Option<u32>,
    /// What that means, and what to do.
    #[serde(skip)]
    silence: (String, String),
    node_id: Option<String>,
    fingerprint: Option<Fingerprint>,
    /// The role it had last.
    role: Option<String>,
    /// What asked for a standby then.
    flag: Option<Flag>,
    /// What a standby applied last.
    applied: Option<Record>,
    /// That GoCD's last start failed, and why.
    failed_start: Option<String>,
    /// What could not be read, and why.
    problems: Vec<String>,
}

impl Files {
    /// Reads what the state folder tells of a node that does not answer. What cannot be read is said in the result.
    pub(super) fn read(state_dir: &Path) -> Self {
        let mut problems = Vec::new();
        let holder = holder(state_dir);
        let node_id = note(&mut problems, "node-id", text(&state_dir.join("node-id")));
        let identity = Identity::load(state_dir).map_err(|error| error.to_string());
        let recorded = Recorded::load(state_dir).map_err(|error| error.to_string());
        let identity = identity.unwrap_or_else(|error| {
            problems.push(error);
            None
        });
        let recorded = recorded.unwrap_or_else(|error| {
            problems.push(error);
            None
        });
        let applied = note(&mut problems, "applied.json", text(&state_dir.join("applied.json")));
        let applied = applied.and_then(|text| {
            let record = serde_json::from_str(&text).map_err(io::Error::from).map(Some);
            note(&mut problems, "applied.json", record)
        });
        let start = GocdStart::load(state_dir).unwrap_or_else(|error| {
            problems.push(error.to_string());
            None
        });
        // GoCD loads this plugin, whose node answers, some seconds after it was let run.
        let failed = start
            .filter(|start| start.process.has_ended() == Some(true))
            .and_then(|start| start.failure());
        let is_standby = recorded.as_ref().is_some_and(|recorded| recorded.role != Role::Primary);
        Self {
            failed_start: failed.filter(|_| !is_standby).map(|failed| failed.message()),
            state_dir: state_dir.display().to_string(),
            process: match &holder {
                Holder::Process(process) => Some(process.id),
                Holder::Nobody | Holder::NobodyInSight | Holder::NotKnown => None,
            },
            silence: (
                client::silence(state_dir, &holder),
                client::after_silence(state_dir, &holder),
            ),
            node_id: node_id.map(|text| words::shown(text.trim(), LONGEST_ID)),
            fingerprint: identity.map(|identity| identity.fingerprint()),
            role: recorded.as_ref().map(|recorded| recorded.role.to_string()),
            flag: recorded.map(|recorded| recorded.flag),
            applied,
            problems,
        }
    }

    /// What the command ends with: what the files say for sure is said.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self.failed_start {
            Some(_) => ExitCode::Critical,
            None => ExitCode::Unknown,
        }
    }

    /// Shows what a state folder tells of its node, for people.
    pub(super) fn render(&self) -> String {
        let (silence, after) = &self.silence;
        let mut text = String::new();
        if let Some(failed) = &self.failed_start {
            text.push_str(&format!("CRITICAL  {failed}\n\n"));
        }
        text.push_str(&format!(
            "UNKNOWN  {silence}; this is what its files say\n\n{after}\n\n"
        ));
        let mut rows = Vec::new();
        let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
        if let Some(node_id) = &self.node_id {
            row("node", node_id.clone());
        }
        if let Some(role) = &self.role {
            let flag = match self.flag {
                Some(Flag::Property) => "; go.server.mode asked for a standby then",
                Some(Flag::File) => "; the file start.in.standby asked for a standby then",
                Some(Flag::None) | None => "",
            };
            row("last role", format!("{role}{flag}"));
        }
        if let Some(fingerprint) = self.fingerprint {
            row("key", fingerprint.to_string());
        }
        if let Some((applied, generation)) = self.applied.as_ref().and_then(|one| Some((one, one.generation?))) {
            row(
                "generation",
                format!(
                    "{generation:.12} (sequence {}), applied {}",
                    applied.sequence,
                    ago(millis(SystemTime::now()), applied.applied_ms)
                ),
            );
        }
        text.push_str(&table(&rows));
        for problem in &self.problems {
            text.push_str(&format!("\n{problem}\n"));
        }
        text
    }
}

/// Reads the text of a file in the state folder; none where there is no such file.
fn text(path: &Path) -> io::Result<Option<String>> {
    if_there(regular_file::read_text(path, regular_file::LARGEST_OF_OURS))
}

/// What was read of a state folder, or a note of why it could not be.
fn note<T>(problems: &mut Vec<String>, name: &str, read: io::Result<Option<T>>) -> Option<T> {
    read.unwrap_or_else(|error| {
        problems.push(format!("cannot read {name}: {error}"));
        None
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bc_testkit::documented;
    use serde_json::Value;

    use super::*;
    use crate::commands::status::Source;

    #[test]
    fn the_json_is_what_the_document_says() {
        let document = include_str!("../../../../docs/json.md");
        let nothing = || Files {
            state_dir: "/state".to_owned(),
            process: None,
            silence: Default::default(),
            node_id: None,
            fingerprint: None,
            role: None,
            flag: None,
            applied: None,
            failed_start: None,
            problems: vec!["cannot read role".to_owned()],
        };
        let mut record = Record::default();
        record.generation = Some([0xab; 32].into());
        let everything = Files {
            process: Some(1234),
            node_id: Some("cd".repeat(16)),
            fingerprint: Some(Fingerprint::of_public_key(b"key")),
            role: Some("standby".to_owned()),
            flag: Some(Flag::File),
            applied: Some(record),
            failed_start: Some("GoCD ended".to_owned()),
            ..nothing()
        };
        let json = |files: &Files| serde_json::to_value(files).expect("plain");
        let said = documented::kinds(document, "Where no node answers");
        let mut filled = json(&everything);
        // Of the record not all is promised.
        let record = filled["applied"].as_object_mut().expect("an object");
        record.retain(|key, _| said.contains_key(&format!("applied.{key}")));
        let mut shape = documented::shape(&filled, &[]);
        let mut empty = json(&nothing());
        let is_null = |value: &Value| value.is_null();
        let mut may_be_null: Vec<String> = shape
            .keys()
            .filter(|key| empty.get(key).is_some_and(is_null))
            .cloned()
            .collect();
        empty["applied"] = serde_json::to_value(Record::default()).expect("plain");
        if empty["applied"]["generation"].is_null() {
            may_be_null.push("applied.generation".to_owned());
        }
        for key in may_be_null {
            shape.get_mut(&key).expect("it is there").push_str(" or null");
        }
        assert_eq!(said, shape);

        let source = serde_json::to_value(Source::Files { files: &everything }).expect("plain");
        let keys: Vec<_> = source
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.clone())
            .collect();
        assert_eq!(keys, ["files", "source"]);
        let said = documented::kinds(document, "`gocd-bc status --json`");
        assert_eq!(said.keys().collect::<Vec<_>>(), ["files", "source", "status"]);
    }

    #[test]
    fn a_node_that_ran() {
        let folder = tempfile::tempdir().expect("folder");
        let identity = Identity::load_or_create(folder.path()).expect("identity");
        fs::write(folder.path().join("node-id"), format!("{}\n", "cd".repeat(16))).expect("write");
        let mut record = Record::default();
        (record.sequence, record.generation) = (7, Some([0xab; 32].into()));
        let applied = serde_json::to_string(&record).expect("plain");
        fs::write(folder.path().join("applied.json"), applied).expect("write");
        Recorded::new(Role::Standby, Flag::Property, 0)
            .save(folder.path())
            .expect("save");
        let files = Files::read(folder.path());
        assert_eq!(files.fingerprint, Some(identity.fingerprint()));
        let text = files.render();
        assert!(text.starts_with("UNKNOWN  no node runs in "), "{text}");
        assert!(
            text.contains("last role   standby; go.server.mode asked for a standby then\n"),
            "{text}"
        );
        assert!(
            text.contains(&"cd".repeat(16)) && text.contains("abababababab (sequence 7), applied "),
            "{text}"
        );
        assert_eq!(serde_json::to_value(&files).expect("plain")["applied"]["sequence"], 7);
    }

    #[test]
    fn damage_is_told() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join("role"), "role=king\n").expect("write");
        fs::write(folder.path().join("applied.json"), "{").expect("write");
        let files = Files::read(folder.path());
        assert_eq!(files.problems.len(), 2);
        let text = files.render();
        assert!(
            text.contains("does not hold a role and a flag") && text.contains("cannot read applied.json"),
            "{text}"
        );
    }
}
