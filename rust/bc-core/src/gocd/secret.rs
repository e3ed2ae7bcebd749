//! What in a cruise-config.xml is secret: one definition, for whoever tries its secrets and for whoever shows it.
//!
//! They ask two questions, and in doubt each is answered on its safe side:
//!
//! | question | who asks | in doubt |
//! |---|---|---|
//! | is it a value that GoCD encrypted with `cipher.aes` | [`super::cruise_config`], for the rule that the key fits | no: a set would be refused that GoCD accepts |
//! | may it be secret | the difference of two configurations, and names of elements in messages | yes: it would be shown |
//!
//! What the first is true of, the second is true of as well:
//!
//! | what | encrypted by GoCD | may be secret |
//! |---|---|---|
//! | a value that begins with `AES:`, under a name that begins with `encrypted` | yes | yes |
//! | any other value under such a name, in upper case or with a prefix too | no | yes |
//! | a text with `AES:` anywhere, a name too | no | yes |
//! | all in an element that says `secure="true"` | no | yes |
//! | what is named as one names a secret, and its value | no | yes |
//! | user and password of an address | no | yes |
//! | what is commented out | no | yes |
//!
//! What GoCD itself keeps in the open, such as the arguments of a task, is no secret here either.

use super::cipher;

/// What the names of encrypted elements and attributes begin with: `encryptedValue`, `encryptedPassword` and their like.
pub(super) const ENCRYPTED: &str = "encrypted";
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

/// Whether GoCD puts encrypted values under this name. A plain value may be there too.
pub(super) fn is_of_gocd(name: &[u8]) -> bool {
    name.starts_with(ENCRYPTED.as_bytes())
}

/// Whether the secret under such a name is one that GoCD encrypted with `cipher.aes`.
pub(super) fn is_encrypted(value: &str) -> bool {
    value.starts_with(cipher::PREFIX)
}

/// Whether something of this name may be a secret, as somebody who names things honestly would have it.
pub(crate) fn is_named_so(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word)) && !PLACES.iter().any(|end| name.ends_with(end))
}

/// Whether what is under this name may be a secret that is encrypted.
pub(crate) fn may_be_encrypted_under(name: &str) -> bool {
    let local = name.rsplit(':').next().unwrap_or(name);
    local.to_ascii_lowercase().starts_with(ENCRYPTED)
}

/// Whether an attribute of this name may be a secret.
pub(crate) fn may_be_attribute(name: &str) -> bool {
    may_be_encrypted_under(name) || is_named_so(name)
}

/// Whether this attribute of GoCD's configuration says that all in its element is secret.
pub(crate) fn says_secure(name: &str, value: &str) -> bool {
    name == "secure" && ["true", "1"].contains(&value.trim().to_ascii_lowercase().as_str())
}

/// Whether a secret that is encrypted may be in a text.
pub(crate) fn may_be_in(text: &str) -> bool {
    text.contains(cipher::PREFIX)
}

/// A text as it may be shown, with a mark in the place of what may be a secret.
pub(crate) fn masked(text: &str) -> String {
    const MARK: &str = "[secret]";
    if may_be_in(text) {
        return MARK.to_owned();
    }
    let pieces = pieces(text);
    let shown = pieces
        .iter()
        .map(|piece| if piece.is_secret { MARK } else { piece.text });
    shown.collect()
}

/// A part of a text.
pub(crate) struct Piece<'t> {
    /// As it is.
    pub(crate) text: &'t str,
    /// Whether it may be one.
    pub(crate) is_secret: bool,
}

/// A text in pieces, with those that may be secret: user and password of an address in it, since a token often stands
/// there.
pub(crate) fn pieces(text: &str) -> Vec<Piece<'_>> {
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

/// A piece of a text that is no secret.
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
    fn names_tell_what_may_be_secret() {
        for name in [
            "password",
            "DEPLOY_PASSWORD",
            "tokenGenerationKey",
            "agentAutoRegisterKey",
            "webhookSecret",
            "AccessKey",
            " GitHubToken ",
        ] {
            assert!(may_be_attribute(name), "{name}");
        }
        for name in [
            "serverId",
            "PasswordFilePath",
            "TOKEN_URL",
            "name",
            "url",
            "schemaVersion",
        ] {
            assert!(!may_be_attribute(name), "{name}");
        }
        assert!(may_be_attribute("encryptedValue") && may_be_attribute("x:EncryptedPassword"));
    }

    #[test]
    fn what_gocd_encrypts_may_be_secret() {
        for name in ["encryptedValue", "encryptedPassword", "encrypted", "encryptedvalue.x"] {
            assert!(is_of_gocd(name.as_bytes()) && may_be_encrypted_under(name), "{name}");
        }
        for name in ["EncryptedValue", "g:encryptedValue", "value", "notencrypted"] {
            assert!(!is_of_gocd(name.as_bytes()), "{name}");
        }
        for value in ["AES:a:b", "AES:"] {
            assert!(is_encrypted(value) && may_be_in(value), "{value}");
        }
        assert!(!is_encrypted("x AES:a:b") && may_be_in("x AES:a:b"));
    }

    #[test]
    fn who_logs_in_at_an_address_is_not_shown() {
        for (text, expected) in [
            ("https://example.com/a?b#c", "https://example.com/a?b#c"),
            ("https://example.com:8154/go", "https://example.com:8154/go"),
            ("https://me:word@example.com/a", "https://[secret]@example.com/a"),
            (
                "curl https://ghp_x@host/a and http://u:p@i",
                "curl https://[secret]@host/a and http://[secret]@i",
            ),
            ("https://me:w/o?r#d@host/a", "https://[secret]@host/a"),
            ("https://me:w@o/rd@host", "https://[secret]@host"),
            ("https://me:two words@host/a", "https://[secret]@host/a"),
            ("ssh://git@host/a.git", "ssh://git@host/a.git"),
            ("ssh://git:word@host/a.git", "ssh://[secret]@host/a.git"),
            ("http://[::1]:80/", "http://[::1]:80/"),
            ("://", "://"),
            ("a name AES:x:y", "[secret]"),
        ] {
            assert_eq!(masked(text), expected);
        }
    }
}
