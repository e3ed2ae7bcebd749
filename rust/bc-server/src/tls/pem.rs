//! Files of certificates and keys as administrators have them: PEM text, from editors and systems of all kinds.
//!
//! Byte order marks, `CRLF`, blanks at the ends of lines, text around the blocks and two blocks that share a line, as
//! `cat` makes them of files without a last line end, do not matter. What is no such text, or has other blocks than
//! were looked for, is called what it is, with the command that makes the right thing of it. No part of a key is ever
//! quoted.

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::{
    der_parser::{ber::BerObject, der::parse_der},
    prelude::{FromDer, X509Certificate},
};

/// Why a file, or two of them, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// What is wrong: a fragment that begins with the file.
    pub reason: String,
    /// What to type or to change.
    pub guidance: String,
}

impl Unusable {
    /// A PEM file that cannot be used: why, and what to do.
    pub(super) fn new(reason: impl Into<String>, guidance: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            guidance: guidance.into(),
        }
    }
}

/// A file of certificates or of a key.
#[derive(Clone, Copy)]
pub struct PemFile<'a> {
    /// How a message names it: its path.
    pub name: &'a str,
    /// All of it.
    pub bytes: &'a [u8],
}

/// A block in such a file that was looked for in vain, or a file without any block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Certificate,
    PrivateKey,
}

impl PemFile<'_> {
    /// Reads all certificates in a PEM file, in their order; at least one.
    ///
    /// # Errors
    /// What it is instead.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Unusable> {
        let text = self.text();
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        match found {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            Ok(_) => Err(self.has_no(Wanted::Certificate, &text)),
            Err(_) => Err(self.is_damaged(&text)),
        }
    }

    /// Reads the private key in a PEM file.
    ///
    /// # Errors
    /// What it is instead.
    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>, Unusable> {
        let text = self.text();
        if contains(&text, b"Proc-Type: 4,ENCRYPTED") {
            return Err(self.is_encrypted());
        }
        match PrivateKeyDer::from_pem_slice(&text) {
            Ok(key) => Ok(key),
            Err(rustls_pki_types::pem::Error::NoItemsFound) => Err(self.has_no(Wanted::PrivateKey, &text)),
            Err(_) => Err(self.is_damaged(&text)),
        }
    }

    /// The text of a PEM file with lines as the standard has them.
    fn text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.bytes.len() + 2);
        for line in self.bytes.split(|byte| matches!(byte, b'\n' | b'\r')) {
            let line = line.trim_ascii();
            let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii();
            match find(line, b"----------BEGIN ") {
                Some(at) => {
                    text.extend(&line[..at + 5]);
                    text.push(b'\n');
                    text.extend(&line[at + 5..]);
                }
                None => text.extend(line),
            }
            text.push(b'\n');
        }
        text
    }

    /// Says that this PEM file cannot be used, since it `is` something else.
    fn unusable(&self, is: &str, guidance: String) -> Unusable {
        Unusable {
            reason: format!("{} {is}", self.name),
            guidance,
        }
    }

    /// Says that a PEM file is a private key with a password, and how to write it without.
    fn is_encrypted(&self) -> Unusable {
        self.unusable(
            "is a private key with a password, which nobody can type at a start",
            format!(
                "Write it without one, readable by GoCD's user alone: openssl pkey -in {0} -out {0}.open",
                self.name
            ),
        )
    }

    /// Says what is damaged in a PEM file in which a block begins and is not one.
    fn is_damaged(&self, text: &[u8]) -> Unusable {
        let begins = labels(text, b"-----BEGIN ").len();
        let ends = labels(text, b"-----END ").len();
        let is = if begins > ends {
            "breaks off: a line -----BEGIN has no line -----END behind it"
        } else {
            "is damaged: between its lines -----BEGIN and -----END stands something else than Base64"
        };
        self.unusable(is, "Copy the whole file again from where it was made.".to_owned())
    }

    /// Says what a PEM file is that has no block of the kind that was looked for.
    fn has_no(&self, wanted: Wanted, text: &[u8]) -> Unusable {
        let name = self.name;
        let labels = labels(text, b"-----BEGIN ");
        if labels.is_empty() {
            return self.is_no_pem(wanted);
        }
        let has = |wanted: &str| labels.iter().any(|label| label == wanted);
        if wanted == Wanted::PrivateKey && has("ENCRYPTED PRIVATE KEY") {
            return self.is_encrypted();
        }
        let (is, guidance) = if has("CERTIFICATE REQUEST") || has("NEW CERTIFICATE REQUEST") {
            (
                "is a request for a certificate".to_owned(),
                "Send it to the authority, and put what that sends back there.".to_owned(),
            )
        } else if has("TRUSTED CERTIFICATE") || has("X509 CERTIFICATE") {
            (
                "is a certificate in a form of OpenSSL's own".to_owned(),
                format!("Write it in the usual one: openssl x509 -in {name} -out {name}.pem"),
            )
        } else if has("PKCS7") {
            (
                "holds certificates in PKCS#7 form".to_owned(),
                format!("Take them out of it: openssl pkcs7 -in {name} -print_certs -out {name}.pem"),
            )
        } else if has("PUBLIC KEY") || has("RSA PUBLIC KEY") {
            (
                "is a public key".to_owned(),
                match wanted {
                    Wanted::Certificate => "Put the certificate for that key there.".to_owned(),
                    Wanted::PrivateKey => "Put the private key that belongs to it there.".to_owned(),
                },
            )
        } else if has("OPENSSH PRIVATE KEY") && wanted == Wanted::PrivateKey {
            (
                "is a private key in the form of OpenSSH".to_owned(),
                format!("Write it, or rather a copy of it, in the usual form: ssh-keygen -p -m PKCS8 -f {name}"),
            )
        } else if has("DSA PRIVATE KEY") && wanted == Wanted::PrivateKey {
            (
                format!("is a DSA key; those that can be used are {}", super::public_key::USABLE),
                super::ANOTHER_KEY.to_owned(),
            )
        } else if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) {
            (
                "is a private key and no certificate".to_owned(),
                "Put the certificate there, and the key into the file of bc.tls.private.key.".to_owned(),
            )
        } else if has("CERTIFICATE") {
            (
                "is a certificate and no private key".to_owned(),
                "Put the key there that the certificate was made for.".to_owned(),
            )
        } else {
            let found = bc_core::basics::words::shown(&labels[0], 40);
            (
                format!("holds no {}, but {found}", wanted.described()),
                format!("Put the {} there, in PEM form.", wanted.described()),
            )
        };
        self.unusable(&is, guidance)
    }

    /// Says what a file is that should be PEM and has no block at all.
    fn is_no_pem(&self, wanted: Wanted) -> Unusable {
        let (name, bytes) = (self.name, self.bytes);
        let wants = wanted.described();
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return self.unusable("is empty", format!("Put the {wants} there, in PEM form."));
        }
        if is_utf_16(bytes) {
            return self.unusable(
                "is text in UTF-16",
                format!("Write it in UTF-8: iconv -f UTF-16 -t UTF-8 {name} > {name}.pem"),
            );
        }
        if let Some((is, command)) = binary(bytes) {
            return self.unusable(is, format!("Write it in PEM form: {}", command.replace("FILE", name)));
        }
        if bytes.starts_with(b"PuTTY-User-Key-File") || bytes.starts_with(b"ssh-") {
            return self.unusable("is a key of SSH", format!("Put the {wants} there, in PEM form."));
        }
        if bytes.trim_ascii().starts_with(b"MII") {
            return self.unusable(
                "is Base64 without the lines around it",
                format!(
                    "Put the line -----BEGIN {0}----- before it and -----END {0}----- behind it.",
                    wanted.label()
                ),
            );
        }
        self.unusable(
            &format!("holds no {wants}: no line of it begins with -----BEGIN"),
            format!("Put the {wants} there, in PEM form."),
        )
    }
}

impl Wanted {
    /// What is wanted of a PEM file, in words.
    fn described(self) -> &'static str {
        match self {
            Wanted::Certificate => "certificate",
            Wanted::PrivateKey => "private key",
        }
    }

    /// The label of the PEM block that is wanted.
    fn label(self) -> &'static str {
        match self {
            Wanted::Certificate => "CERTIFICATE",
            Wanted::PrivateKey => "PRIVATE KEY",
        }
    }
}

/// In UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where in a PEM file these bytes are first.
fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// Whether a PEM file has these bytes.
fn contains(text: &[u8], what: &[u8]) -> bool {
    find(text, what).is_some()
}

/// Lists the labels of the PEM blocks: what stands behind `begin` in each line that begins so.
fn labels(text: &[u8], begin: &[u8]) -> Vec<String> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_prefix(begin))
        .map(|label| String::from_utf8_lossy(label).trim_end_matches('-').to_owned())
        .collect()
}

/// Whether a file that should be PEM is text in UTF-16.
fn is_utf_16(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
        || matches!(bytes, [b'-', 0, b'-', 0, ..] | [0, b'-', 0, b'-', ..])
}

/// Says what a file is that should be PEM and is no text, with the command that makes PEM of `FILE`.
fn binary(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const KEY: (&str, &str) = (
        "is a private key in DER form",
        "openssl pkey -inform DER -in FILE -out FILE.pem",
    );
    if let [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] = bytes {
        return Some((
            "is a keystore of Java",
            "keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 -deststoretype PKCS12, then openssl pkcs12 \
             -in FILE.p12 -nodes -out FILE.pem",
        ));
    }
    if X509Certificate::from_der(bytes).is_ok() {
        return Some((
            "is a certificate in DER form",
            "openssl x509 -inform DER -in FILE -out FILE.pem",
        ));
    }
    let (_, outer) = parse_der(bytes).ok()?;
    let fields = outer.as_sequence().ok()?;
    let is_sequence = |field: &BerObject<'_>| field.as_sequence().is_ok();
    match (fields.first()?.as_u32(), fields.get(1)) {
        (Ok(3), Some(second)) if is_sequence(second) => Some((
            "is a PKCS#12 container",
            "openssl pkcs12 -in FILE -nodes -out FILE.pem, which then holds certificate and key",
        )),
        (Ok(0 | 1), Some(_)) => Some(KEY),
        // Its key, and the algorithm that it is encrypted with.
        (Err(_), Some(second)) if fields.len() == 2 && is_sequence(&fields[0]) && second.as_slice().is_ok() => {
            let is_encrypted = second.header.tag().0 == 4;
            Some(if is_encrypted {
                KEY
            } else {
                (
                    "is a public key in DER form",
                    "openssl pkey -pubin -inform DER -in FILE -out FILE.pem",
                )
            })
        }
        (Err(_), Some(second)) if fields.len() == 3 && is_sequence(second) => Some((
            "is a request for a certificate in DER form",
            "openssl req -inform DER -in FILE -out FILE.pem, and have an authority issue the certificate",
        )),
        _ => Some((
            "is in DER form",
            "openssl asn1parse -inform DER -in FILE shows what it is",
        )),
    }
}
