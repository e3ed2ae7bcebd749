//! User and password, as a request says them.

use axum::http::{HeaderMap, header};
use base64::{Engine, engine::general_purpose::STANDARD};

/// Reads user and password from a request's `Authorization: Basic` header; none without one or when it is malformed.
pub(crate) fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    basic_pair(headers.get(header::AUTHORIZATION)?.to_str().ok()?)
}

/// Reads user and password from the value of an `Authorization: Basic` header.
pub(crate) fn basic_pair(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = STANDARD.decode(encoded.trim()).ok()?;
    // Java clients send Latin-1 where the password is not ASCII.
    let pair =
        String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect());
    let (user, password) = pair.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_from_basic_headers_alone() {
        let read = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().expect("header"))]);
            basic_credentials(&headers)
        };
        assert_eq!(read("basic dTpwOnE="), Some(("u".to_owned(), "p:q".to_owned())));
        assert_eq!(read("Basic dTr8"), Some(("u".to_owned(), "ü".to_owned())), "Latin-1");
        for malformed in ["Bearer dTpw", "Basic", "Basic !!", "Basic dXA="] {
            assert_eq!(read(malformed), None, "{malformed}");
        }
    }
}
