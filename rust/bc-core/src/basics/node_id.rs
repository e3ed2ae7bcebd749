//! What a node is called.

use std::{fmt, ops::Deref, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

use crate::basics::{error::Error, random};

/// A node id: 32 hex digits, in lower case unless a person wrote the file of this node's own id. Two are one where each
/// digit is, in the same case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct NodeId(String);

impl NodeId {
    /// Makes a node id that no other node has.
    ///
    /// # Errors
    /// The operating system's random source failed.
    pub fn random() -> Result<Self, Error> {
        random::hex_id().map(Self)
    }

    /// This node's own id, as it is kept: in either case, and as it is written there. None from any other text.
    pub fn as_kept(text: &str) -> Option<Self> {
        let is_one = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_one.then(|| Self(text.to_owned()))
    }
}

/// The id of another node: what it sends is in lower case.
impl FromStr for NodeId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_node_id(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err("a node id is 32 hex digits in lower case")
        }
    }
}

impl TryFrom<String> for NodeId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl Deref for NodeId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<NodeId> for String {
    fn eq(&self, id: &NodeId) -> bool {
        *self == id.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whether a text may be the id of a node: 32 hex digits in lower case.
pub(crate) fn is_node_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Reads the id of another node in JSON, and none from a text that is no node id.
///
/// # Errors
/// Those of the format, and a value that is neither a text nor null.
pub(crate) fn if_node_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NodeId>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_may_be_in_upper_case_and_that_of_another_may_not() {
        let lower = "0123456789abcdef".repeat(2);
        let upper = lower.to_uppercase();
        let id: NodeId = lower.parse().expect("one");
        assert_eq!(NodeId::as_kept(&lower), Some(id.clone()));
        assert_eq!(format!("{id:.8}"), "01234567");
        assert_eq!(serde_json::to_string(&id).expect("plain"), format!("\"{lower}\""));
        let kept = NodeId::as_kept(&upper).expect("one");
        assert_eq!(kept.to_string(), upper);
        assert_ne!(kept, id);
        upper.parse::<NodeId>().expect_err("no other node says that");
        for text in [
            "",
            "primary",
            "../etc",
            &"g".repeat(32),
            &"a".repeat(33),
            &"ä".repeat(16),
        ] {
            assert_eq!(NodeId::as_kept(text), None, "{text}");
            text.parse::<NodeId>().expect_err(text);
        }
        let random = NodeId::random().expect("random");
        assert_eq!(random.parse(), Ok(random));
    }
}
