//! A checksum at the end of a JSON file of the state folder: it shows when the disk gave the file back damaged.
//!
//! The last member of the object is `"sha256"`, over all bytes before it. The file stays JSON: a reader that knows
//! nothing of the checksum ignores that member.

use serde::{Serialize, de::DeserializeOwned};

use crate::basics::Digest;

const BEFORE: &[u8] = b",\"sha256\":\"";
const AFTER: &[u8] = b"\"}";
const DIGITS: usize = 64;

/// The text of `value`, which must be a struct with members, with its checksum.
///
/// # Errors
/// JSON has no form for it, such as for a path that is not UTF-8.
pub(crate) fn sealed(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(value)?;
    let brace = text.pop();
    debug_assert_eq!(brace, Some(b'}'), "an object");
    let digest = Digest::of(&text).to_string();
    text.extend_from_slice(BEFORE);
    text.extend_from_slice(digest.as_bytes());
    text.extend_from_slice(AFTER);
    Ok(text)
}

/// Whether this is a text of [`sealed`], every byte as it was written.
pub(crate) fn is_whole(text: &[u8]) -> bool {
    let Some(length) = text.len().checked_sub(BEFORE.len() + DIGITS + AFTER.len()) else {
        return false;
    };
    let (content, rest) = text.split_at(length);
    let digest = Digest::of(content).to_string();
    rest.strip_prefix(BEFORE)
        .and_then(|rest| rest.strip_suffix(AFTER))
        .is_some_and(|found| found == digest.as_bytes())
}

/// Reads what [`sealed`] was given; none where a byte is not as it was written, or it is no such value.
pub(crate) fn read<T: DeserializeOwned>(text: &[u8]) -> Option<T> {
    is_whole(text).then(|| serde_json::from_slice(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_byte_counts_and_the_text_stays_json() {
        let value = BTreeMap::from([("format", 1), ("serial", 7)]);
        let text = sealed(&value).expect("plain");
        assert!(is_whole(&text));
        let read: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(read["serial"], 7);
        for at in 0..text.len() {
            let mut damaged = text.clone();
            for by in 1..=255 {
                damaged[at] = text[at] ^ by;
                assert!(!is_whole(&damaged), "byte {at} became {}", damaged[at]);
            }
            assert!(!is_whole(&text[..at]));
        }
    }
}
