//! One run of a node: from its opening to its end, in one process on one machine.
//!
//! Node id and key are files, and files are copied: a cloned machine and its model differ in nothing that lasts. A run
//! has a random id that no file holds, and it goes along with whatever nodes tell each other. After a restart the
//! former id is never heard again; two ids that are both alive are two servers with one identity. What is alive is
//! never concluded from the order in which something arrives: `standbys::runs` and `pull::primaries` say how it is
//! proven on either side.
//!
//! What else a run tells is for people, so that they find the machine. A version that tells nothing of it proves
//! nothing.

use std::{fmt, net::IpAddr, path::Path};

use serde::{Deserialize, Deserializer, Serialize};

use crate::basics::{
    Error, NodeId,
    characters::is_deceptive,
    lenient::if_understood,
    node_id::{if_node_id, is_node_id},
    random,
    words::{self, moment},
};

/// The longest path or name of a host that is told, in characters.
const MAX_WORD: usize = 300;

/// What tells one run of a node from all others: 128 random bits as 32 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RunId(String);

impl TryFrom<String> for RunId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if is_node_id(&text) {
            Ok(Self(text))
        } else {
            Err("the id of a run is 32 hex digits")
        }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One run, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Which one it is.
    pub id: RunId,
    /// The name of its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its state folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<String>,
    /// When it began, milliseconds since 1970 by its own clock.
    pub began_ms: i64,
    /// The address from which whoever heard it heard it. What a run says of its own address is not believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

impl Run {
    /// A run that begins now, on this host and with this state folder.
    ///
    /// # Errors
    /// The operating system's random source failed.
    pub fn begin(host: Option<String>, state_dir: &Path, now_ms: i64) -> Result<Self, Error> {
        let state_dir = std::path::absolute(state_dir).unwrap_or_else(|_| state_dir.to_owned());
        let shown = |text: &str| words::shown(text, MAX_WORD);
        Ok(Self {
            id: RunId(random::hex_id()?),
            host: host.as_deref().map(shown),
            state_dir: Some(shown(&state_dir.display().to_string())),
            began_ms: now_ms,
            address: None,
        })
    }

    /// This run of a node, as heard from `address`.
    #[must_use]
    pub fn at(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// Where this run of a node is, for a person who has to find it: host, address, since when it runs, state folder.
    pub fn description(&self) -> String {
        let folder = self.state_dir.as_deref();
        let folder = folder
            .map(|folder| format!(", state folder {folder}"))
            .unwrap_or_default();
        format!("{} (runs since {}{folder})", self.place(), moment(self.began_ms))
    }

    /// Where this run of a node is and since when, in few words.
    pub(crate) fn in_short(&self) -> String {
        format!("{}, since {}", self.place(), moment(self.began_ms))
    }

    /// Where this run of a node is: host and address, as far as they are known.
    fn place(&self) -> String {
        match (&self.host, self.address.map(|address| address.to_canonical())) {
            (Some(host), Some(address)) => format!("{host} at {address}"),
            (Some(host), None) => host.clone(),
            (None, Some(address)) => format!("a host at {address}"),
            (None, None) => "a host that cannot be named".to_owned(),
        }
    }

    /// This run of a node without a host or folder that no node of ours would name.
    fn believed(self) -> Self {
        let plain = |text: &String| !text.contains(is_deceptive) && text.chars().nth(MAX_WORD).is_none();
        Self {
            host: self.host.filter(plain),
            state_dir: self.state_dir.filter(plain),
            ..self
        }
    }
}

/// Describes several runs of nodes in one sentence.
pub fn named(runs: &[Run]) -> String {
    let names: Vec<_> = runs.iter().map(Run::description).collect();
    names.join(", and ")
}

/// Reads a run of a node in the form of this version, and none from any other form.
///
/// # Errors
/// Those of the format alone.
pub(crate) fn if_run<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Run>, D::Error> {
    Ok(if_understood(deserializer)?.map(Run::believed))
}

/// A run, as it is told to whoever holds the same key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyHolder {
    /// Which run it is.
    #[serde(flatten)]
    pub run: Run,
    /// The id of its node; none where a version tells none.
    #[serde(default, deserialize_with = "if_node_id", skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
}

impl KeyHolder {
    /// Reads who holds a key from the text of a header; none where it says nothing of the kind.
    pub fn from_header(text: &[u8]) -> Option<Self> {
        let told: Self = serde_json::from_slice(text).ok()?;
        Some(Self {
            run: told.run.believed(),
            node_id: told.node_id,
        })
    }

    /// This holder of a key, as heard from `address`.
    #[must_use]
    pub fn at(self, address: Option<IpAddr>) -> Self {
        Self {
            run: self.run.at(address),
            ..self
        }
    }

    /// Whether the holder of a key is another node than the one with this id, with nothing but the key of it.
    pub fn is_other_node(&self, node_id: &NodeId) -> bool {
        self.node_id.as_ref().is_some_and(|other| other != node_id)
    }
}

/// Runs for tests.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One on this host.
    pub(crate) fn run(host: &str) -> Run {
        Run::begin(Some(host.to_owned()), Path::new("/state"), 0).expect("random")
    }

    #[derive(Serialize, Deserialize)]
    struct Carrier {
        #[serde(default, deserialize_with = "if_run", skip_serializing_if = "Option::is_none")]
        run: Option<Run>,
    }

    fn read(run: serde_json::Value) -> Option<Run> {
        let carrier = serde_json::from_value::<Carrier>(serde_json::json!({ "run": run }));
        carrier.expect("nothing else suffers").run
    }

    #[test]
    fn no_two_runs_have_one_id_and_each_survives_the_wire() {
        let [one, other] = [run("one"), run("one")];
        assert_ne!(one.id, other.id);
        assert_eq!(read(serde_json::to_value(&one).expect("plain")), Some(one.clone()));
        let holder = KeyHolder {
            run: one,
            node_id: Some(NodeId::random().expect("random")),
        };
        let header = |value: &serde_json::Value| KeyHolder::from_header(value.to_string().as_bytes());
        let mut told = serde_json::to_value(&holder).expect("plain");
        assert_eq!(header(&told), Some(holder.clone()));
        for odd in [serde_json::json!("../x"), serde_json::json!(null)] {
            told["node_id"] = odd;
            let heard = header(&told).expect("a run");
            assert_eq!((&heard.run, &heard.node_id), (&holder.run, &None));
            assert!(
                !heard.is_other_node(&NodeId::random().expect("random")),
                "who does not say is not known to be another"
            );
        }
        let none = serde_json::from_str::<Carrier>("{}").expect("a version that tells nothing");
        assert_eq!(none.run, None);
    }

    #[test]
    fn what_is_no_run_is_none_and_what_is_odd_in_one_is_left_out() {
        let right = serde_json::to_value(run("one")).expect("plain");
        let with = |field: &str, value: serde_json::Value| {
            let mut spoilt = right.clone();
            spoilt[field] = value;
            spoilt
        };
        for none in [
            serde_json::json!(null),
            serde_json::json!(7),
            serde_json::json!([]),
            with("id", "../x".into()),
            with("id", "A".repeat(32).into()),
            with("began_ms", "now".into()),
            with("address", "here".into()),
        ] {
            assert_eq!(read(none.clone()), None, "{none}");
        }
        for odd in [
            "a\nCRITICAL b".to_owned(),
            "\u{202e}x".to_owned(),
            "x".repeat(MAX_WORD + 1),
        ] {
            assert_eq!(read(with("host", odd.as_str().into())).expect("a run").host, None);
            assert_eq!(
                read(with("state_dir", odd.as_str().into())).expect("a run").state_dir,
                None
            );
        }
    }

    #[test]
    fn a_person_finds_it() {
        let run = Run {
            state_dir: Some("/srv/state".to_owned()),
            ..run("standbygo")
        };
        assert_eq!(
            run.clone().at("::ffff:10.0.0.7".parse().ok()).description(),
            "standbygo at 10.0.0.7 (runs since 1970-01-01 00:00:00 UTC, state folder /srv/state)"
        );
        let unknown = Run {
            host: None,
            state_dir: None,
            ..run
        };
        assert_eq!(
            unknown.description(),
            "a host that cannot be named (runs since 1970-01-01 00:00:00 UTC)"
        );
    }
}
