//! Whether a message is for people.

/// Fails where `message` has words of a library that are for those who program with it: the `Debug` form of an error,
/// the name of a variant, the number of an error of the operating system.
///
/// # Panics
/// It has such words.
pub fn assert_for_people(message: &str) {
    for word in [
        "InvalidCertificate",
        "InvalidMessage",
        "InvalidContentType",
        "AlertReceived",
        "HandshakeFailure",
        "PeerIncompatible",
        "PeerMisbehaved",
        "UnknownIssuer",
        "CaUsedAsEndEntity",
        "BadDer",
        "BadEncoding",
        "BadSignature",
        "NotValidForName",
        "UnsupportedCert",
        "DnsName",
        "IpAddress",
        "Os {",
        "Custom {",
        "kind: ",
        "(os error",
        "(UNIX)",
        "Some(",
        "None)",
        "Ok(",
        "Err(",
        "Error(",
        "hyper::",
        "reqwest::",
    ] {
        assert!(!message.contains(word), "`{word}` is no word for people: {message}");
    }
    assert!(
        !has_debug_form(message),
        "this is the Debug form of something: {message}"
    );
}

/// A name of several words in one, as `NotValidBefore`, with a bracket behind it.
fn has_debug_form(message: &str) -> bool {
    message.split(['(', '{']).rev().skip(1).any(|before| {
        let before = before.strip_suffix(' ').unwrap_or(before);
        let start = before
            .rfind(|c: char| !c.is_ascii_alphanumeric())
            .map_or(0, |at| at + 1);
        let word = &before[start..];
        let capitals = word.chars().filter(char::is_ascii_uppercase).count();
        let small = word.chars().filter(char::is_ascii_lowercase).count();
        // Not `GoCD` or `TLS`, which people say.
        word.starts_with(|c: char| c.is_ascii_uppercase()) && capitals >= 2 && small > capitals && word != "OpenSSL"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_forms_are_told_from_what_people_write() {
        for form in [
            "refused: InvalidCertificate(UnknownIssuer)",
            "cannot read a: Os { code: 13, kind: PermissionDenied }",
            "cannot read a: Permission denied (os error 13)",
            "TrailingData(BitString)",
            "NewVariant { field: 1 }",
        ] {
            std::panic::catch_unwind(|| assert_for_people(form)).expect_err(form);
        }
        for words in [
            "the certificate (a file) cannot be used",
            "a redirect (302), which is never followed",
            "bc.tls.ca (PEM), GoCD (23.1), OpenSSL (3.0), RSA (2048)",
            "expired on 2026-03-01 12:00 UTC",
        ] {
            assert_for_people(words);
        }
    }
}
