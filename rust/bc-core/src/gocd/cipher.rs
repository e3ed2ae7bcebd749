//! GoCD's secrets, and whether a key fits them. The one text that is decrypted for use is the password of GoCD's database.
//!
//! GoCD writes a secret as `AES:iv:ciphertext`, both in standard base64, made by AES/CBC/PKCS5Padding under the 16
//! bytes that `cipher.aes` holds as 32 hexadecimal digits (`AESEncrypter`, `AESCipherProvider`). There is no
//! checksum: a wrong key shows by its padding, and in the rest of the cases by a text that is not UTF-8.

use aes::{
    Aes128,
    cipher::{BlockModeDecrypt, InnerIvInit, KeyInit, block_padding::Pkcs7},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// What a secret begins with. Values without it were made with the DES key of old versions.
pub(crate) const PREFIX: &str = "AES:";
/// Bytes of the key, of an initialisation vector and of a block.
const BLOCK: usize = 16;

/// The key of one `cipher.aes`; its bytes are wiped when it goes.
pub(crate) struct Key(Aes128);

/// What became of trying a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The key fits.
    Decrypts,
    /// Another key made it, or it was damaged.
    OtherKey,
    /// No key could have made it: parts are missing, are not base64 or have a wrong length. It says nothing of
    /// the key.
    Malformed,
}

impl Key {
    /// Reads the content of a `cipher.aes`; blanks at its ends do not count, as in GoCD. None when it is no key.
    pub(crate) fn read(content: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0_u8; BLOCK]);
        hex::decode_to_slice(content.trim_ascii(), key.as_mut_slice()).ok()?;
        Some(Self(Aes128::new(key.as_slice().try_into().ok()?)))
    }

    /// Tries to decrypt a secret, [`PREFIX`] included.
    pub(crate) fn attempt(&self, secret: &str) -> Attempt {
        match (parts(secret), self.decrypted(secret)) {
            (None, _) => Attempt::Malformed,
            (_, Some(_)) => Attempt::Decrypts,
            (_, None) => Attempt::OtherKey,
        }
    }

    /// The text of a secret, [`PREFIX`] included; wiped when it goes. None where the key does not fit, or no key could.
    pub(crate) fn decrypted(&self, secret: &str) -> Option<Zeroizing<String>> {
        let (vector, mut text) = parts(secret)?;
        let decryptor = cbc::Decryptor::inner_iv_init(self.0.clone(), &vector.into());
        let plain = decryptor.decrypt_padded::<Pkcs7>(&mut text).ok()?;
        std::str::from_utf8(plain)
            .ok()
            .map(|plain| Zeroizing::new(plain.to_owned()))
    }
}

/// The initialisation vector and the encrypted text, which becomes the plain one in place.
fn parts(secret: &str) -> Option<([u8; BLOCK], Zeroizing<Vec<u8>>)> {
    let (vector, text) = secret.strip_prefix(PREFIX)?.split_once(':')?;
    let vector = STANDARD.decode(vector).ok()?.try_into().ok()?;
    let text = Zeroizing::new(STANDARD.decode(text).ok()?);
    (!text.is_empty() && text.len().is_multiple_of(BLOCK)).then_some((vector, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `javax.crypto.Cipher` of OpenJDK 17, "AES/CBC/PKCS5Padding", with keys of 16 bytes: the key of GoCD's
    /// own test, and another one.
    const KEYS: [&str; 2] = ["fdf500c4ec6e51172477145db6be63c5", "00112233445566778899aabbccddeeff"];
    /// "p@ssw0rd", the empty text, "exactly 16 bytes", and "Grüße an 東京, a pass phrase of more than two blocks".
    const SECRETS: [[&str; 4]; 2] = [
        [
            "AES:c9Uau9icuBlvDvtokvlNaA==:6o0/VJQxfqd5rXljtHICWA==",
            "AES:OXIsu/i5GkuQRcXmF18QAQ==:5eIZyEubLwIuZdNetAif5w==",
            "AES:TJMmu5gF+o+FiCwS6uckzg==:xU0W2BloQlwn+VoadP7MmqhtmWX9GEVctgAK96/Od90=",
            "AES:rDgJu7h/VuhP1zDrDZSLzw==:C7jh1QeetxnkR++xKx9PRlIaq2xD1vw15lAbme9YHFGl2K2D1Km7iPO/zQ3n25LZdAxDQL9oYceNbBVEREI1Tw==",
        ],
        [
            "AES:c9Uau9icuBlvDvtokvlNaA==:7ODzdkSdHIoFEI+rFWg0/w==",
            "AES:OXIsu/i5GkuQRcXmF18QAQ==:RIbOFh+kIJwQQnreucXvTg==",
            "AES:TJMmu5gF+o+FiCwS6uckzg==:7kzdw6sK3ypTHo1qLmYNfjP43VmQp4sDuw5FR/E14MA=",
            "AES:rDgJu7h/VuhP1zDrDZSLzw==:lrSms/jrJ5y3HQYZSoIp98TSreOGGFQvxvSAqdK/4abQWQ7esNdZfIXLUTvbhmNWzyfKYxP98FA7T15Ud3eaxQ==",
        ],
    ];
    /// From GoCD's test of its own encryption: "p@ssw0rd" under the first key.
    const OF_GOCD: &str = "AES:lzcCuNSe4vUx+CsWgN11Uw==:DelRFu6mCN7kC/2oYmeLRA==";

    fn key(text: &str) -> Key {
        Key::read(text.as_bytes()).expect("a key")
    }

    #[test]
    fn what_java_encrypted_decrypts_with_its_key_alone() {
        assert_eq!(key(KEYS[0]).attempt(OF_GOCD), Attempt::Decrypts);
        assert_eq!(key(KEYS[1]).attempt(OF_GOCD), Attempt::OtherKey);
        for (number, text) in KEYS.into_iter().enumerate() {
            for secret in SECRETS[number] {
                assert_eq!(key(text).attempt(secret), Attempt::Decrypts, "{secret}");
            }
            for secret in SECRETS[1 - number] {
                assert_eq!(key(text).attempt(secret), Attempt::OtherKey, "{secret}");
            }
        }
    }

    #[test]
    fn what_no_key_could_have_made_says_nothing_of_the_key() {
        for secret in [
            "AES:",
            "AES:lzcCuNSe4vUx+CsWgN11Uw==",
            "AES:lzcCuNSe4vUx+CsWgN11Uw==:",
            "AES:lzcCuNSe4vUx+CsWgN11Uw==:DelRFu6mCN7kC/2oYmeLRA==:more",
            "AES:lzcCuNSe4vUx+CsWgN11:DelRFu6mCN7kC/2oYmeLRA==",
            "AES:lzcCuNSe4vUx+CsWgN11Uw==:DelRFu6mCN7kC/2o",
            "AES:not base64!:DelRFu6mCN7kC/2oYmeLRA==",
            "a DES value",
        ] {
            assert_eq!(key(KEYS[0]).attempt(secret), Attempt::Malformed, "{secret}");
        }
    }

    #[test]
    fn a_key_has_32_hexadecimal_digits_and_perhaps_a_line_end() {
        assert!(Key::read(format!("  {}\r\n", KEYS[0]).as_bytes()).is_some());
        for content in ["", "fdf500c4", "xdf500c4ec6e51172477145db6be63c5"] {
            assert!(Key::read(content.as_bytes()).is_none(), "{content}");
        }
        assert!(Key::read(&[0xff; 32]).is_none());
    }
}
