//! The one user and password that both nodes share, in `business-continuity-token`.
//!
//! The file is a Java properties text with exactly one pair: `user = password` or `user:password`, with
//! comments. It is read again at every start of a node and whenever it changed. Nothing else in the product
//! compares secrets.

use std::{fmt, fs, io, path::Path};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::basics::{Digest, Error, Kind, properties, random, regular_file};

/// The longest token file that is read, in bytes.
pub(crate) const MAX_FILE_SIZE: u64 = 16 * 1024;

/// User and password. Its Debug form and errors show neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    user: String,
    password: String,
}

impl Token {
    /// Reads and checks the token file.
    ///
    /// # Errors
    /// [`Kind::File`] when it cannot be read, [`Kind::Setting`] with a message of its own for each mistake:
    /// missing, no file, empty, more than one pair, no password, too long, not a properties text.
    pub fn load(path: &Path) -> Result<Self, Error> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.len() > MAX_FILE_SIZE => {
                return Err(mistake(
                    path,
                    "is larger than 16 KiB",
                    "It holds one line: user = password.",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(mistake(
                    path,
                    "does not exist",
                    "Make it with `gocd-bc token generate` on the primary and copy it to the standby.",
                ));
            }
            Ok(metadata) if !metadata.is_file() => {
                return Err(mistake(
                    path,
                    "is no regular file",
                    "Put a file of one line in its place: user = password.",
                ));
            }
            _ => {}
        }
        let text = regular_file::read(path, MAX_FILE_SIZE).map_err(Error::cannot("read the token file", path))?;
        Self::parse(&text, path)
    }

    /// Parses the text of a token file; `path` is only named in messages.
    ///
    /// # Errors
    /// [`Kind::Setting`], as [`Token::load`].
    pub fn parse(text: &[u8], path: &Path) -> Result<Self, Error> {
        let pairs = properties::pairs(text, &path.display().to_string())?;
        let pairs: Vec<_> = pairs
            .into_iter()
            .map(|(user, password)| (user.trim().to_owned(), password.trim().to_owned()))
            .collect();
        match pairs.as_slice() {
            [] => Err(mistake(
                path,
                "holds no user and password",
                "Write one line into it: user = password.",
            )),
            [(user, _)] if user.is_empty() => Err(mistake(
                path,
                "has no user before the separator",
                "Write one line into it: user = password.",
            )),
            [(user, password)] if password.is_empty() => Err(mistake(
                path,
                &format!("has no password for its user of {} characters", user.chars().count()),
                "Write one line into it: user = password.",
            )),
            [(user, _)] if user.contains(':') => Err(mistake(
                path,
                "has a colon in the user name",
                "HTTP Basic credentials cannot carry one.",
            )),
            [(user, password)] => Ok(Self {
                user: user.clone(),
                password: password.clone(),
            }),
            several => Err(mistake(
                path,
                &format!("holds {} pairs", several.len()),
                "Keep exactly one line `user = password` in it, and the same on both servers.",
            )),
        }
    }

    /// Makes a new token: user `business-continuity` and 256 random bits.
    ///
    /// # Errors
    /// The operating system's random source failed.
    pub fn generate() -> Result<Self, Error> {
        let bytes = random::bytes::<32>()?;
        Ok(Self {
            user: "business-continuity".to_owned(),
            password: URL_SAFE_NO_PAD.encode(bytes),
        })
    }

    /// The text of a token file that holds this token.
    pub fn to_file_text(&self) -> String {
        let pair = properties::to_text([(self.user.as_str(), self.password.as_str())]);
        format!(
            "# The token of GoCD Business Continuity: the same file on both servers, readable by GoCD's user alone.\n{pair}"
        )
    }

    /// The user's name in the token.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether these credentials are those of the token; takes the same time wherever they differ.
    pub fn matches(&self, user: &str, password: &str) -> bool {
        let same_user = Sha256::digest(user).ct_eq(&Sha256::digest(&self.user));
        let same_password = Sha256::digest(password).ct_eq(&Sha256::digest(&self.password));
        (same_user & same_password).into()
    }

    /// The keyed digest of these bytes for one purpose (HMAC-SHA-256): the same wherever the token and the bytes are the
    /// same. Who has it and not the token can try no guess at the bytes, however few these are; so it goes only to those
    /// who have shown the token.
    pub(crate) fn keyed_digest(&self, purpose: &str, bytes: &[u8]) -> Digest {
        let key = [Sha256::digest(&self.user), Sha256::digest(&self.password)].concat();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(bytes);
        Digest::from(<[u8; 32]>::from(mac.finalize().into_bytes()))
    }

    /// The value of an HTTP `Authorization` header that presents this token. Secret.
    pub fn basic_credentials(&self) -> String {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", self.user, self.password));
        format!("Basic {pair}")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The error that says what is wrong with a token file.
fn mistake(path: &Path, what: &str, guidance: &str) -> Error {
    Error::new(
        Kind::Setting,
        format!("the token file {} {what}", path.display()),
        guidance,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Token, String> {
        Token::parse(text.as_bytes(), Path::new("business-continuity-token"))
            .map_err(|error| error.message().to_owned())
    }

    #[test]
    fn both_forms_of_the_original_page() {
        for text in [
            "#business-continuity-token\nuser = password\n",
            "user:password",
            "  user=password  \n\n# end\n",
        ] {
            assert!(parse(text).expect("valid").matches("user", "password"), "{text}");
        }
    }

    #[test]
    fn each_mistake_has_its_own_message() {
        let messages: Vec<String> = [
            "",
            "# only a comment\n",
            "a=b\nc=d\n",
            "user = password\nOR\nuser:password",
            "user=",
            "=password",
            "\\u12",
        ]
        .iter()
        .map(|text| parse(text).expect_err("refused"))
        .collect();
        assert_eq!(messages[0], messages[1]);
        assert_eq!(messages[2], "the token file business-continuity-token holds 2 pairs");
        assert!(messages[3].ends_with("holds 3 pairs"));
        assert!(messages[4].contains("no password"));
        assert!(messages[5].contains("no user"));
        assert!(messages[6].contains("not a Java properties text"));
    }

    #[test]
    fn a_missing_file_says_how_to_make_one() {
        let error = Token::load(Path::new("/nonexistent/business-continuity-token")).expect_err("missing");
        assert!(error.guidance().contains("gocd-bc token generate"));
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("business-continuity-token");
        #[cfg(unix)]
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        #[cfg(not(unix))]
        fs::create_dir(&path).expect("a folder");
        let error = Token::load(&path).expect_err("refused");
        assert!(error.message().ends_with("is no regular file"), "{error}");
    }

    #[test]
    fn a_keyed_digest_is_another_one_for_another_token_purpose_or_content() {
        let token = parse("user = password").expect("valid");
        let digest = token.keyed_digest("content", b"abc");
        assert_eq!(
            digest,
            parse("user:password").expect("valid").keyed_digest("content", b"abc")
        );
        // Computed by Python's hmac and hashlib.
        assert_eq!(
            digest.to_string(),
            "eeaf9156aa50e51f37f97fc66bec951dfa0451fbb4ed0fb3663405a134d268e7"
        );
        for (other, purpose, bytes) in [
            ("user = passwort", "content", "abc"),
            ("userp = assword", "content", "abc"),
            ("user = password", "name", "abc"),
            ("user = password", "content", "abd"),
        ] {
            let other = parse(other).expect("valid").keyed_digest(purpose, bytes.as_bytes());
            assert_ne!(digest, other, "{purpose} {bytes}");
        }
    }

    #[test]
    fn a_generated_token_survives_its_file() {
        let token = Token::generate().expect("random");
        assert_eq!(
            Token::parse(token.to_file_text().as_bytes(), Path::new("t")),
            Ok(token.clone())
        );
        assert!(token.matches("business-continuity", &token.password));
        assert!(!token.matches("business-continuity", "guess"));
        assert!(!format!("{token:?}").contains(&token.password));
    }
}
