//! Which of a primary's problems its standbys hear of with each answer.
//!
//! Those that are about its offer, few and short, since an answer without a body carries them in a header, and a proxy
//! bears a few kilobytes of those.

use super::{Problem, Topic};
use crate::{basics::words, generation::Concern, settings::Property};

/// The part of the program that reads the files.
pub const PART_SCAN: &str = "scan";
/// The part of the program that sees whether it does.
pub const PART_SCAN_WATCH: &str = "scan watch";

/// So many are told at most.
const MAX_CONCERNS: usize = 8;
/// The longest text of one, in characters.
const MAX_TEXT: usize = 400;
/// The bytes of all texts together, each character as long as it may become in a header.
const MAX_BYTES: usize = 2000;

/// The concerns that a primary tells with its offer, by the problems on its status, the worst first. Of what does not
/// fit only whether it ends "in sync" is kept.
pub fn of(problems: &[Problem]) -> Vec<Concern> {
    let mut room = MAX_BYTES;
    let mut told: Vec<Concern> = Vec::new();
    for mut concern in problems.iter().filter_map(concern).take(MAX_CONCERNS) {
        if weight(&concern) > room {
            concern.message = "its own status says what".to_owned();
        }
        room = room.saturating_sub(weight(&concern));
        told.push(concern);
    }
    told
}

/// The concern that a primary's problem is; none where it is not about the offer.
fn concern(problem: &Problem) -> Option<Concern> {
    let is_stale = match &problem.topic {
        Topic::Scan | Topic::Reading => true,
        Topic::Watch | Topic::Ledger => false,
        Topic::Setting(property) if property == Property::SyncExtra.name() => true,
        Topic::Part(part) if part == PART_SCAN => true,
        Topic::Part(part) if part == PART_SCAN_WATCH => false,
        _ => return None,
    };
    Some(Concern {
        topic: problem.topic.to_string(),
        severity: problem.severity,
        message: words::shown(&problem.message, MAX_TEXT),
        is_stale,
    })
}

/// The length that a concern may come to in a header, in bytes: what is not ASCII is escaped there.
fn weight(concern: &Concern) -> usize {
    let text = concern.topic.chars().chain(concern.message.chars());
    text.map(|character| {
        if character.is_ascii() {
            2
        } else {
            6 * character.len_utf16()
        }
    })
    .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        basics::Severity,
        generation::concern::{self, MAX_CONCERNS_HEARD, MAX_HEARD, are_odd, is_stale, tag, warning},
    };

    fn problem(topic: &str, severity: Severity, message: &str) -> Problem {
        Problem {
            topic: Topic::from(topic.to_owned()),
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
            assert_eq!(concern::is_stale(&told), is_stale == Some(true), "{topic}");
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
