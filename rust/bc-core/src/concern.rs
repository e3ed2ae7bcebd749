//! What a primary knows to be wrong with what it offers, as it tells its standbys with each answer.
//!
//! A standby that has the newest generation would say "in sync" although the primary cannot read its files any more, until
//! that has lasted for long. So the problems of a primary that are about its offer travel in the envelope, each as topic,
//! severity and one line of text, and those that mean that what is offered is no longer what is live there end "in sync" on
//! every standby ([`crate::status::Status::judge_sync`]). A primary of a version that tells nothing has no concerns.
//!
//! They are few and short, since an answer without a body carries them in a header, and a proxy bears a few kilobytes of
//! those. What is heard is checked as all texts of an envelope are, and shown as the primary's words.

use serde::{Deserialize, Serialize};

use crate::{
    characters::is_deceptive,
    digest::Digest,
    status::{PART_TOPIC, Problem, Severity},
    words,
};

/// The board's topic for files that cannot be read.
pub const TOPIC_SCAN: &str = "scan";
/// The board's topic for files that have not been read as a whole set for long.
pub const TOPIC_READING: &str = "reading";
/// The board's topic for hints that do not come.
pub const TOPIC_WATCH: &str = "watch";
/// The board's topic for what a primary cannot write down of its offers.
pub const TOPIC_LEDGER: &str = "ledger";
/// The part of the program that reads the files.
pub const PART_SCAN: &str = "scan";
/// The part of the program that sees whether it does.
pub const PART_SCAN_WATCH: &str = "scan watch";
/// The board's topic for a mistake in the list of further files.
const TOPIC_EXTRA: &str = "setting bc.sync.extra";

/// So many are told at most.
const MAX_CONCERNS: usize = 8;
/// The longest text of one, in characters.
const MAX_TEXT: usize = 400;
/// So many are heard, and such long texts of each: a later version may have more to say.
const MAX_CONCERNS_HEARD: usize = 32;
const MAX_HEARD: usize = 1000;
/// The longest topic, in characters.
const MAX_TOPIC: usize = 60;
/// The bytes of all texts together, each character as long as it may become in a header.
const MAX_BYTES: usize = 2000;
/// The digits of a tag.
const TAG_DIGITS: usize = 16;

/// Something that is wrong with what a primary offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concern {
    /// What it is about, as on the primary's board.
    pub topic: String,
    /// How bad the primary says it is.
    pub severity: Severity,
    /// What is wrong and what to do there: the primary's words.
    pub message: String,
    /// Whether what is offered is not, or may not be, what is live on the primary now.
    #[serde(default)]
    pub is_stale: bool,
}

impl Concern {
    /// The concern that a primary's problem is; none where it is not about the offer.
    fn of(problem: &Problem) -> Option<Self> {
        let topic = problem.topic.as_str();
        let part = topic.strip_prefix(PART_TOPIC);
        let is_stale = match (part, topic) {
            (Some(PART_SCAN), _) | (None, TOPIC_SCAN | TOPIC_READING | TOPIC_EXTRA) => true,
            (Some(PART_SCAN_WATCH), _) | (None, TOPIC_WATCH | TOPIC_LEDGER) => false,
            _ => return None,
        };
        Some(Self {
            topic: topic.to_owned(),
            severity: problem.severity,
            message: words::shown(&problem.message, MAX_TEXT),
            is_stale,
        })
    }

    /// What it may become in a header, in bytes: what is not ASCII is escaped there.
    fn weight(&self) -> usize {
        let text = self.topic.chars().chain(self.message.chars());
        text.map(|character| {
            if character.is_ascii() {
                2
            } else {
                6 * character.len_utf16()
            }
        })
        .sum()
    }
}

/// What a primary with these problems, the worst first, tells of its offer. Of what does not fit only whether it ends "in
/// sync" is kept.
pub fn of(problems: &[Problem]) -> Vec<Concern> {
    let mut room = MAX_BYTES;
    let mut told: Vec<Concern> = Vec::new();
    for mut concern in problems.iter().filter_map(Concern::of).take(MAX_CONCERNS) {
        if concern.weight() > room {
            concern.message = "its own status says what".to_owned();
        }
        room = room.saturating_sub(concern.weight());
        told.push(concern);
    }
    told
}

/// Tells one list from all others; short, and the same for the same list.
pub fn tag(concerns: &[Concern]) -> String {
    if concerns.is_empty() {
        // By far the commonest.
        return "none".to_owned();
    }
    let text = serde_json::to_vec(concerns).expect("they have only plain fields");
    let mut digits = Digest::of(&text).to_string();
    digits.truncate(TAG_DIGITS);
    digits
}

/// Whether what the primary offers is not, or may not be, what is live there.
pub fn is_stale(concerns: &[Concern]) -> bool {
    concerns.iter().any(|concern| concern.is_stale)
}

/// What a standby says of the primary's concerns: as bad as the primary says where that is about what is live here, else
/// something to look at.
pub fn warning(concerns: &[Concern]) -> Option<(Severity, String)> {
    let severity = |concern: &Concern| match concern.severity {
        Severity::Critical if concern.is_stale => Severity::Critical,
        _ => Severity::Warning,
    };
    let worst = concerns.iter().map(severity).max()?;
    let beginning = if is_stale(concerns) {
        "what the primary offers may not be what is live there now, so this standby is not in sync. The primary says"
    } else {
        "the primary says of what it offers"
    };
    Some((worst, format!("{beginning}: {}", said(concerns)?)))
}

/// The primary's own words.
pub fn said(concerns: &[Concern]) -> Option<String> {
    let texts: Vec<String> = concerns.iter().map(|concern| concern.message.clone()).collect();
    words::one_line(&texts)
}

/// Whether these are more, longer or something else than any primary tells: they are shown to people.
pub(crate) fn are_odd(concerns: &[Concern]) -> bool {
    let is_odd = |text: &str, longest: usize| text.contains(is_deceptive) || text.chars().nth(longest).is_some();
    let of = |concern: &Concern| is_odd(&concern.topic, MAX_TOPIC) || is_odd(&concern.message, MAX_HEARD);
    concerns.len() > MAX_CONCERNS_HEARD || concerns.iter().any(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(topic: &str, severity: Severity, message: &str) -> Problem {
        Problem {
            topic: topic.to_owned(),
            severity,
            message: message.to_owned(),
            since_ms: 0,
        }
    }

    #[test]
    fn only_what_is_about_the_offer_is_told() {
        let problems = [
            ("scan", Some(true)),
            ("reading", Some(true)),
            ("part scan", Some(true)),
            ("setting bc.sync.extra", Some(true)),
            ("part scan watch", Some(false)),
            ("watch", Some(false)),
            ("ledger", Some(false)),
            ("part health", None),
            ("setting bc.listen", None),
            ("standby 1", None),
            ("token", None),
        ];
        for (topic, is_stale) in problems {
            let told = of(&[problem(topic, Severity::Warning, "x")]);
            assert_eq!(told.first().map(|concern| concern.is_stale), is_stale, "{topic}");
            assert_eq!(super::is_stale(&told), is_stale == Some(true), "{topic}");
        }
    }

    #[test]
    fn they_fit_a_header_whatever_they_say() {
        let long = "\u{1F980}".repeat(10_000);
        let problems: Vec<_> = (0..100).map(|_| problem("scan", Severity::Critical, &long)).collect();
        let told = of(&problems);
        assert_eq!(told.len(), MAX_CONCERNS);
        assert!(is_stale(&told));
        let json = serde_json::to_string(&told).expect("plain");
        let escaped: usize = json
            .chars()
            .map(|character| {
                if character.is_ascii() {
                    1
                } else {
                    6 * character.len_utf16()
                }
            })
            .sum();
        assert!(escaped < 3500, "{escaped}");
        let one = of(&problems[..1]);
        assert_eq!(one[0].message, "its own status says what");
        let short = of(&[problem("scan", Severity::Critical, "cannot read ü")]);
        assert_eq!(short[0].message, "cannot read ü");
    }

    #[test]
    fn a_later_version_may_say_more_but_nothing_odd() {
        let heard = |text: &str| serde_json::from_str::<Vec<Concern>>(text).expect("understood");
        let short = heard(r#"[{"topic":"watch","severity":"WARNING","message":"x","later":[1]}]"#);
        assert!(!are_odd(&short) && !is_stale(&short));
        let as_told = of(&vec![problem("scan", Severity::Critical, &"ü".repeat(5000)); 3]);
        assert!(!are_odd(&as_told));
        let spoilt = |change: fn(&mut Concern)| {
            let mut concern = short[0].clone();
            change(&mut concern);
            vec![concern]
        };
        for odd in [
            vec![short[0].clone(); MAX_CONCERNS_HEARD + 1],
            spoilt(|concern| concern.message = "x".repeat(MAX_HEARD + 1)),
            spoilt(|concern| concern.message = "a\nCRITICAL b".to_owned()),
            spoilt(|concern| concern.topic = "\u{202e}".to_owned()),
        ] {
            assert!(are_odd(&odd), "{odd:?}");
        }
    }

    #[test]
    fn a_standby_says_whose_words_they_are() {
        assert_eq!(warning(&[]), None);
        let full = of(&[problem("ledger", Severity::Critical, "the disk is full")]);
        let (severity, text) = warning(&full).expect("a warning");
        assert_eq!(
            (severity, text.as_str()),
            (
                Severity::Warning,
                "the primary says of what it offers: the disk is full"
            )
        );
        let unread = of(&[
            problem("scan", Severity::Critical, "cannot read cipher.aes"),
            problem("ledger", Severity::Critical, "the disk is full"),
        ]);
        let (severity, text) = warning(&unread).expect("a warning");
        assert_eq!(severity, Severity::Critical);
        assert!(
            text.contains("not in sync. The primary says: cannot read cipher.aes; the disk is full"),
            "{text}"
        );
        assert_ne!(tag(&full), tag(&unread));
        assert_eq!(tag(&full), tag(&full.clone()));
        assert_ne!(tag(&full), tag(&[]));
    }
}
