//! What a standby tells its primary, and what the primary answers.
//!
//! Ages travel in place of times, since clocks differ. The key of a standby is not in its report: it is that of the
//! connection. Texts are bounded and of one line: [`Report::check`] refuses others, [`one_line`] makes them so.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    basics::{Digest, Fingerprint, NodeId, Severity, characters::is_deceptive, lenient::if_understood, words},
    database::position::Position,
    generation::{Run, RunId, run::if_run},
    keys::Peer,
    settings::PrimaryUrl,
};

/// The longest report that is read, in bytes.
pub const MAX_REPORT_SIZE: usize = 16 * 1024;
/// The longest text of a problem or an error, in characters.
pub const MAX_TEXT: usize = 1000;
/// The longest name, version or address, in characters.
const MAX_WORD: usize = 300;
/// Keys of the primary that a report confirms at most.
pub(crate) const MAX_CONFIRMED: usize = 8;
/// Other runs of its node that a report names at most.
pub(crate) const MAX_MET: usize = 16;

/// One standby at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Who it is.
    pub node_id: NodeId,
    /// The generation that is live there.
    pub generation: Option<ReportedGeneration>,
    /// Whether all that the primary has is live there and was looked at; none from a version that does not say.
    #[serde(default)]
    pub in_sync: Option<bool>,
    /// Milliseconds since it was made live; none where that is not known.
    pub applied_ago_ms: Option<u64>,
    /// Its newest error while syncing; none once a sync succeeded.
    #[serde(default)]
    pub error: Option<String>,
    /// Why the primary's newest generation is not live there, or its live files are not those of it.
    #[serde(default)]
    pub problem: Option<ReportedProblem>,
    /// How it is reached: scheme, host and port.
    #[serde(default)]
    pub url: Option<String>,
    /// Version of its plugin.
    pub product_version: String,
    /// Version of its GoCD.
    #[serde(default)]
    pub gocd_version: Option<String>,
    /// Which of the keys in the newest [`ReportReply::keys`] it would accept as its primary's.
    #[serde(default)]
    pub confirms: Vec<Fingerprint>,
    /// Which run of its node sends it; none from a version that does not say.
    #[serde(
        default,
        deserialize_with = "if_reported_run",
        skip_serializing_if = "Option::is_none"
    )]
    pub run: Option<ReportedRun>,
}

/// A run of a standby, and of which others of the same node it knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedRun {
    /// The one that reports.
    pub this: Run,
    /// Those in the newest [`ReportReply::others`].
    #[serde(default)]
    pub met: Vec<RunId>,
}

/// Another run of the standby that reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherRun {
    /// Which one, heard from where.
    pub run: Run,
    /// Whether it is proven to be alive beside the one that reports; else it may have been the one before a restart.
    pub is_proven: bool,
}

/// A generation, as its standby names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedGeneration {
    /// Its id.
    pub id: Digest,
    /// The primary's sequence.
    pub sequence: u64,
}

/// What keeps a standby from following.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedProblem {
    /// How bad.
    pub severity: Severity,
    /// What is wrong and what to do.
    pub message: String,
}

/// What the primary answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportReply {
    /// All nodes that the primary trusts, itself included.
    pub peers: Vec<Peer>,
    /// Keys that it trusts no longer.
    #[serde(default)]
    pub removed: Vec<Fingerprint>,
    /// The keys that the primary shows now or is about to show.
    #[serde(default)]
    pub keys: Vec<Fingerprint>,
    /// Which run of the primary answers.
    #[serde(default, deserialize_with = "if_run", skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// Where its database is; none from a version that does not say.
    #[serde(default, deserialize_with = "if_understood", skip_serializing_if = "Option::is_none")]
    pub database: Option<Position>,
    /// Other runs under the node id and key of the one that reports, heard of late.
    #[serde(default, deserialize_with = "if_others", skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherRun>,
}

impl Report {
    /// Checks every field of a standby's report; says which is not what it should be.
    pub fn check(&self) -> Result<(), &'static str> {
        let word = |text: &str| is_one_line(text, MAX_WORD) && !text.is_empty();
        let text = |text: &str| is_one_line(text, MAX_TEXT);
        if !word(&self.product_version) {
            return Err("product_version is not one short line");
        }
        if !self.gocd_version.as_deref().is_none_or(word) {
            return Err("gocd_version is not one short line");
        }
        if !self.url.as_deref().is_none_or(is_address) {
            return Err("url is not scheme, host and port");
        }
        if !self.error.as_deref().is_none_or(text) {
            return Err("error is not one line");
        }
        if !self.problem.as_ref().is_none_or(|problem| text(&problem.message)) {
            return Err("problem is not one line");
        }
        if self.confirms.len() > MAX_CONFIRMED {
            return Err("confirms has too many keys");
        }
        Ok(())
    }
}

/// `text` as a report may carry it: one line without invisible characters, cut where it is too long.
pub fn one_line(text: &str) -> String {
    words::shown(text, MAX_TEXT)
}

/// Reads the run that a report is from, as [`if_run`].
fn if_reported_run<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ReportedRun>, D::Error> {
    #[derive(Deserialize)]
    struct Lenient {
        #[serde(default, deserialize_with = "if_run")]
        this: Option<Run>,
        #[serde(default)]
        met: Vec<RunId>,
    }
    Ok(match if_understood(deserializer)? {
        Some(Lenient { this: Some(this), met }) if met.len() <= MAX_MET => Some(ReportedRun { this, met }),
        _ => None,
    })
}

/// Reads the other runs in a report, as [`if_run`]; as many as can be reported on.
fn if_others<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<OtherRun>, D::Error> {
    #[derive(Deserialize)]
    struct Lenient {
        #[serde(default, deserialize_with = "if_run")]
        run: Option<Run>,
        #[serde(default)]
        is_proven: bool,
    }
    let others: Option<Vec<Lenient>> = if_understood(deserializer)?;
    let others = others.into_iter().flatten().filter_map(|Lenient { run, is_proven }| {
        let run = run?;
        Some(OtherRun { run, is_proven })
    });
    Ok(others.take(MAX_MET).collect())
}

/// Whether a text in a report is one line of this length at most.
fn is_one_line(text: &str, longest: usize) -> bool {
    !text.contains(is_deceptive) && text.chars().nth(longest).is_none()
}

/// Whether a text in a report is an address as [`PrimaryUrl::base`] writes it, so that it may become a link.
fn is_address(text: &str) -> bool {
    text.len() <= MAX_WORD && text.parse::<PrimaryUrl>().is_ok_and(|url| url.base() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            node_id: "0123456789abcdef".repeat(2).parse().expect("id"),
            generation: Some(ReportedGeneration {
                id: Digest::of(b"set"),
                sequence: 7,
            }),
            in_sync: Some(true),
            applied_ago_ms: Some(5),
            error: Some("größer".to_owned()),
            problem: None,
            url: Some("https://standbygo:8155".to_owned()),
            product_version: "0.1.0".to_owned(),
            gocd_version: Some("26.1.0".to_owned()),
            confirms: Vec::new(),
            run: None,
        }
    }

    #[test]
    fn survives_the_wire_and_may_grow() {
        let mut json = serde_json::to_value(report()).expect("plain");
        json["of_a_later_version"] = true.into();
        assert!(!json.to_string().contains("md5"), "{json}");
        json["wants_md5s"] = true.into(); // the version before this one says so
        assert_eq!(serde_json::from_value::<Report>(json).expect("understood"), report());
        report().check().expect("valid");
    }

    #[test]
    fn who_reports_is_a_node() {
        for odd in ["", "primary", "../etc", "a\nb", &"A".repeat(32), &"a".repeat(33)] {
            let mut json = serde_json::to_value(report()).expect("plain");
            json["node_id"] = odd.into();
            let error = serde_json::from_value::<Report>(json).expect_err("refused");
            assert!(error.to_string().starts_with("a node id is 32 hex digits"), "{error}");
        }
    }

    #[test]
    fn each_field_is_bounded() {
        let key = Fingerprint::of_public_key(b"key");
        let long = "x".repeat(MAX_TEXT + 1);
        type Spoil = fn(&mut Report, &str);
        let malformed: [(&str, Spoil); 5] = [
            ("product_version", |report, text| {
                report.product_version = text.to_owned();
            }),
            ("gocd_version", |report, text| {
                report.gocd_version = Some(text.to_owned());
            }),
            ("url", |report, text| report.url = Some(text.to_owned())),
            ("error", |report, text| report.error = Some(text.to_owned())),
            ("problem", |report, text| {
                report.problem = Some(ReportedProblem {
                    severity: Severity::Critical,
                    message: text.to_owned(),
                });
            }),
        ];
        for (field, spoil) in malformed {
            for text in ["a\nb", "a\0", "\u{202e}gpj", &long] {
                let mut spoilt = report();
                spoil(&mut spoilt, text);
                assert!(
                    spoilt.check().expect_err("refused").starts_with(field),
                    "{field} {text}"
                );
            }
        }
        for url in [
            "javascript:alert(1)",
            "https://a/b",
            "https://a",
            "http://a:1",
            "HTTPS://a:1",
        ] {
            let spoilt = Report {
                url: Some(url.to_owned()),
                ..report()
            };
            assert_eq!(spoilt.check(), Err("url is not scheme, host and port"), "{url}");
        }
        let spoilt = Report {
            confirms: vec![key; MAX_CONFIRMED + 1],
            ..report()
        };
        assert_eq!(spoilt.check(), Err("confirms has too many keys"));
    }

    #[test]
    fn any_text_is_made_fit() {
        let text = format!("a\r\nb\u{202e}c{}", "ü".repeat(2 * MAX_TEXT));
        let line = one_line(&text);
        assert!(line.starts_with("a  b cü") && line.ends_with('…'), "{line}");
        let sent = Report {
            error: Some(line),
            ..report()
        };
        sent.check().expect("valid");
        assert_eq!(one_line("as it is"), "as it is");
    }
}
