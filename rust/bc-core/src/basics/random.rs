//! Random bytes of the operating system.

use crate::basics::error::{Error, Kind};

/// Bytes that nobody can guess.
///
/// # Errors
/// The operating system's random source failed.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(
            Kind::File,
            format!("cannot read random bytes from the operating system: {error}"),
            "",
        )
    })?;
    Ok(bytes)
}

/// 128 random bits as 32 hex digits.
///
/// # Errors
/// As `bytes()`.
pub fn hex_id() -> Result<String, Error> {
    Ok(hex::encode(bytes::<16>()?))
}
