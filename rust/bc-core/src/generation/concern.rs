//! What a primary knows to be wrong with what it offers, as it tells its standbys with each answer.
//!
//! A standby that has the newest generation would say "in sync" although the primary cannot read its files any more,
//! until that has lasted for long. So the problems of a primary that are about its offer travel in the envelope, each
//! as topic, severity and one line of text, and those that mean that what is offered is no longer what is live there
//! end "in sync" on every standby ([`crate::status::SyncStatus::in_sync`]). A primary of a version that tells nothing
//! has no concerns.
//!
//! They are few and short, since an answer without a body carries them in a header, and a proxy bears a few kilobytes
//! of those. What is heard is checked as all texts of an envelope are, and shown as the primary's words.

use serde::{Deserialize, Serialize};

use crate::basics::{Digest, Severity, characters::is_deceptive, words};

/// At most so many concerns are read, each with a text of at most [`MAX_HEARD`] characters: a later version may send
/// more than this one does.
pub(crate) const MAX_CONCERNS_HEARD: usize = 32;
pub(crate) const MAX_HEARD: usize = 1000;
/// The longest topic, in characters.
const MAX_TOPIC: usize = 60;
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

/// A short tag that tells one list of concerns from all others: equal lists have equal tags.
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
pub(crate) fn is_stale(concerns: &[Concern]) -> bool {
    concerns.iter().any(|concern| concern.is_stale)
}

/// What a standby says of the primary's concerns: as bad as the primary says where that is about what is live here,
/// else something to look at.
pub(crate) fn warning(concerns: &[Concern]) -> Option<(Severity, String)> {
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

/// What the primary said of its concerns, in its own words.
pub fn said(concerns: &[Concern]) -> Option<String> {
    let texts: Vec<String> = concerns.iter().map(|concern| concern.message.clone()).collect();
    words::one_line(&texts)
}

/// Whether a list of concerns has more, longer or other texts than any primary sends. They are shown to people.
pub(crate) fn are_odd(concerns: &[Concern]) -> bool {
    let is_odd = |text: &str, longest: usize| text.contains(is_deceptive) || text.chars().nth(longest).is_some();
    let of = |concern: &Concern| is_odd(&concern.topic, MAX_TOPIC) || is_odd(&concern.message, MAX_HEARD);
    concerns.len() > MAX_CONCERNS_HEARD || concerns.iter().any(of)
}
