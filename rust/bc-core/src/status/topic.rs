//! What a problem may be about.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Makes the topics of one word or two, their texts and the way back from one table, so that none can lack the others.
macro_rules! topics {
    ($($(#[$docs:meta])* $topic:ident = $text:literal,)+) => {
        /// What a problem is about; there is one problem for each topic. Its Display form is what JSON and standbys are
        /// told.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum Topic {
            $($(#[$docs])* $topic,)+
            /// A part of the node's program is down.
            Part(String),
            /// A setting is not understood: the name of its property.
            Setting(String),
            /// Something about the settings is worth knowing: its number among all such.
            Notice(usize),
            /// A port cannot be opened: the property that says which.
            Port(String),
            /// Nobody can connect to a port: the property that says which.
            Connections(String),
            /// A standby does not follow: its node id, and its run where several servers report as that node.
            Standby {
                /// Its node id.
                node_id: String,
                /// The id of its run.
                run: Option<String>,
            },
            /// Several servers report as one standby: its node id.
            StandbyAndCopy(String),
            /// One that another version speaks of.
            Other(String),
        }

        /// The topics that are only themselves.
        const PLAIN: &[(Topic, &str)] = &[$((Topic::$topic, $text)),+];
    };
}

topics! {
    /// Why GoCD's version is not known.
    GocdVersion = "GoCD version",
    /// What the state folder says of this node's role.
    Role = "role",
    /// The file that says where the state folder is.
    Signpost = "signpost",
    /// Which epoch this node has, where its ledger could not be used.
    Epochs = "epochs",
    /// What the next start will bring.
    NextStart = "next start",
    /// The flag under which this node was a standby is gone.
    Flag = "flag",
    /// Another node has a higher epoch.
    Fenced = "fenced",
    /// Whether this node may be the primary is not decided.
    Guard = "guard",
    /// The other nodes are not heard.
    Peers = "peers",
    /// The list of the other nodes cannot be read or written.
    KnownPeers = "known peers",
    /// This primary hands over.
    HandOver = "hand-over",
    /// A promotion that nobody ordered.
    UnorderedPromotion = "unordered promotion",
    /// The command that was to be run after a promotion.
    PromoteHook = "promote hook",
    /// A promotion that came half way.
    HalfPromotion = "half promotion",
    /// GoCD runs although a standby was asked for.
    Unprotected = "unprotected",
    /// No further thread can be had.
    Threads = "threads",
    /// Nobody can talk to this node on this machine.
    LocalSocket = "local socket",
    /// What was ordered cannot be written down.
    Audit = "audit",
    /// What this node found when it had been promoted cannot be kept.
    Landing = "landing",
    /// GoCD ended before it answered when it was last started.
    GocdStart = "start of GoCD",
    /// GoCD runs, but not with what it was promoted with.
    GocdDiffers = "what GoCD was promoted with",
    /// This server went back to an earlier configuration, since GoCD ended on the newest.
    WentBack = "went back",
    /// GoCD gives its secrets to everybody on its own port.
    GocdGivesAway = "GoCD's own port",
    /// Artifacts of earlier runs will not be there after a promotion.
    Artifacts = "artifacts",
    /// GoCD does not answer.
    GocdHealth = "health of GoCD",
    /// The token cannot be read.
    Token = "token",
    /// The certificate that an administrator gives cannot be used.
    Certificate = "certificate",
    /// When that certificate counts.
    CertificateDates = "certificate dates",
    /// This node's key cannot be changed.
    Identity = "identity",
    /// The peers file cannot be read.
    PeersFile = "peers file",
    /// This node's own key cannot be written to the peers file.
    OwnKey = "own key in the peers file",
    /// Another server has the identity of this one.
    CopyOfThisNode = "copy of this node",
    /// Another node has the key of this one.
    KeyOfThisNode = "key of this node",
    /// What is odd about the files that are synced all the same.
    Files = "files",
    /// What the primary has and does not offer.
    Withheld = "withheld",
    /// GoCD has not accepted the configuration.
    Acceptance = "acceptance",
    /// Disks that are nearly full.
    Disk = "disk",
    /// GoCD's database.
    Database = "database",
    /// What another node claims in it.
    Claim = "claim on the database",
    /// Older generations that cannot be removed.
    Generations = "generations",

    /// A primary's files cannot be read.
    Scan = "scan",
    /// They have not been read as a whole set for long.
    Reading = "reading",
    /// That they change is not heard.
    Watch = "watch",
    /// What a primary cannot write down of its offers.
    Ledger = "ledger",
    /// Standbys that say nothing.
    Standbys = "standbys",
    /// The list of standbys cannot be read or written.
    StandbysFile = "standbys file",

    /// The primary does not answer.
    Primary = "primary",
    /// Files do not come although the primary answers.
    Transfer = "transfer",
    /// The primary's newest generation is not made live.
    Generation = "generation",
    /// What the primary says of its offer.
    Concerns = "primary's concerns",
    /// The primary has not read its files for long.
    PrimarysReading = "primary's reading",
    /// The primary's history does not reach back to what is live.
    History = "history",
    /// The versions of both nodes.
    Versions = "versions",
    /// The clocks of both nodes.
    Clocks = "clocks",
    /// Nothing can connect to the primary.
    Client = "client",
    /// The store cannot be opened, or what is in it not be finished.
    Store = "store",
    /// A restored generation is held in place.
    Paused = "paused",
    /// Jars that are kept although the primary has them no longer.
    Deletions = "deletions",
    /// The live configuration mentions files that are not here.
    MissingFiles = "missing files",
    /// Live files are not those of the applied generation.
    LiveFiles = "live files",
    /// Live files cannot be looked at.
    Verify = "verify",
    /// Live files were changed on this node.
    Drift = "drift",
    /// A set is half live.
    HalfLive = "half live",
    /// Kept bytes cannot be read.
    KeptFiles = "kept files",
    /// What is kept cannot be listed.
    KeptList = "kept files that are read",
}

const PART: &str = "part ";
const SETTING: &str = "setting ";
const NOTICE: &str = "notice ";
const PORT: &str = "port ";
const CONNECTIONS: &str = "connections ";
const STANDBY: &str = "standby ";
const IN_RUN: &str = " in run ";
const AND_COPY: &str = " and its copy";

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Topic::Part(part) => write!(f, "{PART}{part}"),
            Topic::Setting(property) => write!(f, "{SETTING}{property}"),
            Topic::Notice(number) => write!(f, "{NOTICE}{number}"),
            Topic::Port(property) => write!(f, "{PORT}{property}"),
            Topic::Connections(property) => write!(f, "{CONNECTIONS}{property}"),
            Topic::Standby { node_id, run: None } => write!(f, "{STANDBY}{node_id}"),
            Topic::Standby {
                node_id,
                run: Some(run),
            } => write!(f, "{STANDBY}{node_id}{IN_RUN}{run}"),
            Topic::StandbyAndCopy(node_id) => write!(f, "{STANDBY}{node_id}{AND_COPY}"),
            Topic::Other(text) => f.write_str(text),
            plain => {
                let known = PLAIN.iter().find(|(topic, _)| topic == plain);
                f.write_str(known.map_or("", |(_, text)| *text))
            }
        }
    }
}

/// What was written by [`Topic`]'s Display form, whatever version did.
impl From<String> for Topic {
    fn from(text: String) -> Self {
        if let Some((topic, _)) = PLAIN.iter().find(|(_, plain)| *plain == text) {
            return topic.clone();
        }
        let after = |prefix| text.strip_prefix(prefix).map(str::to_owned);
        let standby = |rest: String| match (rest.strip_suffix(AND_COPY), rest.split_once(IN_RUN)) {
            (Some(node_id), _) => Topic::StandbyAndCopy(node_id.to_owned()),
            (None, Some((node_id, run))) => Topic::Standby {
                node_id: node_id.to_owned(),
                run: Some(run.to_owned()),
            },
            (None, None) => Topic::Standby {
                node_id: rest,
                run: None,
            },
        };
        // A number that is written in another way is not ours.
        let notice = |rest: String| rest.parse().ok().filter(|number: &usize| number.to_string() == rest);
        after(PART)
            .map(Topic::Part)
            .or_else(|| after(SETTING).map(Topic::Setting))
            .or_else(|| after(NOTICE).and_then(notice).map(Topic::Notice))
            .or_else(|| after(PORT).map(Topic::Port))
            .or_else(|| after(CONNECTIONS).map(Topic::Connections))
            .or_else(|| after(STANDBY).map(standby))
            .unwrap_or(Topic::Other(text))
    }
}

impl From<Topic> for String {
    fn from(topic: Topic) -> Self {
        topic.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_is_told_in_one_text_and_known_by_it() {
        let id = || "0a".repeat(16);
        let with_data = [
            (Topic::Part("scan".to_owned()), "part scan"),
            (Topic::Setting("bc.sync.extra".to_owned()), "setting bc.sync.extra"),
            (Topic::Notice(12), "notice 12"),
            (Topic::Port("bc.listen".to_owned()), "port bc.listen"),
            (Topic::Connections("bc.listen".to_owned()), "connections bc.listen"),
            (
                Topic::Standby {
                    node_id: id(),
                    run: None,
                },
                "standby 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
            ),
            (
                Topic::Standby {
                    node_id: id(),
                    run: Some("7".to_owned()),
                },
                "standby 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a in run 7",
            ),
            (
                Topic::StandbyAndCopy(id()),
                "standby 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a and its copy",
            ),
            (Topic::Other("of a later version".to_owned()), "of a later version"),
            (Topic::Other("notice 012".to_owned()), "notice 012"),
        ];
        let mut texts = Vec::new();
        for (topic, text) in PLAIN.iter().chain(&with_data) {
            assert_eq!(topic.to_string(), *text);
            assert_eq!(Topic::from((*text).to_owned()), *topic);
            let json = serde_json::to_string(topic).expect("plain");
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Topic>(&json).expect("understood"), *topic);
            texts.push(*text);
        }
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), PLAIN.len() + with_data.len(), "each has a text of its own");
    }
}
