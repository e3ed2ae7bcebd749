//! What in a cruise-config.xml is secret, as far as names and forms tell. In doubt it is.

use crate::cipher;

/// Parts of names of secrets, in lower case.
const WORDS: [&str; 15] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "privatekey",
    "private_key",
    "private-key",
    "accesskey",
    "access_key",
    "apikey",
    "api_key",
    // `agentAutoRegisterKey`: whoever has it adds agents to the server.
    "autoregisterkey",
];
/// Ends of names that tell where a secret is and not what it is, in lower case.
const PLACES: [&str; 3] = ["path", "file", "url"];

/// Whether something of this name is a secret, as somebody who names things honestly would have it.
pub(super) fn is_named_so(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word)) && !PLACES.iter().any(|end| name.ends_with(end))
}

/// Whether GoCD puts encrypted values under this name: `encryptedValue`, `encryptedPassword` and their like.
pub(super) fn is_encrypted_name(name: &str) -> bool {
    let local = name.rsplit(':').next().unwrap_or(name);
    local.to_ascii_lowercase().starts_with("encrypted")
}

/// Whether an attribute of this name is a secret.
pub(super) fn is_secret_attribute(name: &str) -> bool {
    is_encrypted_name(name) || is_named_so(name)
}

/// Whether an encrypted value is in a text.
pub(super) fn is_encrypted(text: &str) -> bool {
    text.contains(cipher::PREFIX)
}

/// A text on one line.
pub(super) fn one_line(text: &str) -> String {
    text.split(['\n', '\r', '\t']).collect::<Vec<_>>().join(" ")
}

/// A part of a text.
pub(super) struct Piece<'t> {
    pub(super) text: &'t str,
    pub(super) is_secret: bool,
}

/// A text in parts: user and password of an address in it are secret, for often a token stands there.
pub(super) struct Pieces;

impl Pieces {
    pub(super) fn of(text: &str) -> Vec<Piece<'_>> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("://") {
            let (scheme, after) = rest.split_at(at + 3);
            let length = secret_length(scheme.trim_end_matches("://"), after);
            let (user, further) = after.split_at(length);
            pieces.push(open(scheme));
            if length > 0 {
                pieces.push(Piece {
                    text: user,
                    is_secret: true,
                });
            }
            rest = further;
        }
        pieces.push(open(rest));
        pieces
    }
}

fn open(text: &str) -> Piece<'_> {
    Piece { text, is_secret: false }
}

/// How many bytes after `://` are user and password. Both may hold characters that an address must not have as they
/// are, and then more than them is counted.
fn secret_length(scheme: &str, after: &str) -> usize {
    let run = &after[..after.find(char::is_whitespace).unwrap_or(after.len())];
    let authority = &run[..run.find(['/', '?', '#']).unwrap_or(run.len())];
    if authority.contains('@') {
        let user = &run[..run.rfind('@').unwrap_or(0)];
        let is_login_of_ssh = scheme.ends_with("ssh") && !user.contains(':');
        return if is_login_of_ssh { 0 } else { user.len() };
    }
    let has_port = authority
        .rsplit_once(':')
        .is_none_or(|(host, port)| port.bytes().all(|byte| byte.is_ascii_digit()) || host.starts_with('['));
    if has_port { 0 } else { after.rfind('@').unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_is_secret() {
        for name in [
            "password",
            "DEPLOY_PASSWORD",
            "tokenGenerationKey",
            "agentAutoRegisterKey",
            "webhookSecret",
            "AccessKey",
            " GitHubToken ",
        ] {
            assert!(is_secret_attribute(name), "{name}");
        }
        for name in [
            "serverId",
            "PasswordFilePath",
            "TOKEN_URL",
            "name",
            "url",
            "schemaVersion",
        ] {
            assert!(!is_secret_attribute(name), "{name}");
        }
        assert!(is_secret_attribute("encryptedValue") && is_secret_attribute("x:EncryptedPassword"));
    }

    #[test]
    fn who_logs_in_at_an_address_is_not_shown() {
        let shown = |text: &str| {
            let word = |piece: &Piece<'_>| if piece.is_secret { "*" } else { piece.text }.to_owned();
            Pieces::of(text).iter().map(word).collect::<String>()
        };
        for (text, expected) in [
            ("https://example.com/a?b#c", "https://example.com/a?b#c"),
            ("https://example.com:8154/go", "https://example.com:8154/go"),
            ("https://me:word@example.com/a", "https://*@example.com/a"),
            (
                "curl https://ghp_x@host/a and http://u:p@i",
                "curl https://*@host/a and http://*@i",
            ),
            ("https://me:w/o?r#d@host/a", "https://*@host/a"),
            ("https://me:w@o/rd@host", "https://*@host"),
            ("https://me:two words@host/a", "https://*@host/a"),
            ("ssh://git@host/a.git", "ssh://git@host/a.git"),
            ("ssh://git:word@host/a.git", "ssh://*@host/a.git"),
            ("http://[::1]:80/", "http://[::1]:80/"),
            ("://", "://"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn a_value_stays_on_its_line() {
        assert_eq!(one_line("a\nb\tc"), "a b c");
    }
}
