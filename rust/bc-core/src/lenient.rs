//! What another node tells beside what it must: a version before may tell it in another form, or not at all.

use serde::{Deserialize, Deserializer, de::IgnoredAny};

/// Takes a value of this form, and none in place of any other.
///
/// # Errors
/// Those of the format alone.
pub(crate) fn if_understood<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Any<T> {
        Understood(T),
        Other(IgnoredAny),
    }
    Ok(match Any::deserialize(deserializer)? {
        Any::Understood(value) => Some(value),
        Any::Other(_) => None,
    })
}
