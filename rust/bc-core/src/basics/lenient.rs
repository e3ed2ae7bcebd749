//! Optional values from other nodes: another version may send them in another form, or not at all.

use serde::{Deserialize, Deserializer, de::IgnoredAny};

/// Reads a value that has the form of `T`, and none from a value of any other form.
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
