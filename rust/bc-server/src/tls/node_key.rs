//! The key that a node shows on every connection, to those who connect to it and to whom it connects.
//!
//! It may change while the node runs: connections that are open go on, later ones see the new one.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use bc_core::{
    basics::{Error, Fingerprint, Kind, lock},
    keys::Identity,
};
use rustls::{
    DistinguishedName, SignatureScheme,
    client::ResolvesClientCert,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::CertificateDer;

use super::{
    Dates, PemFile, Unusable, certificate::Certificate, fingerprint_of_certificate, key_of, provider, public_key,
};

/// A private key with its certificates, ready for handshakes.
#[derive(Clone)]
pub struct Shown {
    certified: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
    dates: Dates,
}

impl Shown {
    /// Makes the key that a node shows from PEM files: the certificates of the chain, the node's own first, and its
    /// private key.
    ///
    /// # Errors
    /// Which of them cannot be used, why, and what to do. It never holds a part of the key.
    pub fn from_pem(certificates: PemFile<'_>, key: PemFile<'_>) -> Result<Self, Unusable> {
        let chain = certificates.certificates()?;
        let first = chain.first().expect("there is one at least");
        let read = Certificate::read(first);
        let (Ok(fingerprint), Some(dates)) = (fingerprint_of_certificate(first), read.as_ref().map(Certificate::dates))
        else {
            return Err(Unusable::new(
                format!(
                    "the first certificate in {} is damaged, or is not of the form X.509 has",
                    certificates.name
                ),
                "Copy the whole file again from where it was made.",
            ));
        };
        let der = key.private_key()?;
        let kind = public_key::Kind::of_private(&der);
        let of_no_use = |is: String| {
            Unusable::new(
                format!(
                    "{} is {is}; those that can be used are {}",
                    key.name,
                    public_key::USABLE
                ),
                super::ANOTHER_KEY.to_owned(),
            )
        };
        if let Some(kind) = kind.as_ref().filter(|kind| !kind.is_usable()) {
            return Err(of_no_use(format!(
                "a private key of a kind that cannot be used, {kind}"
            )));
        }
        let key_pair = provider().key_provider.load_private_key(der).map_err(|_| match &kind {
            Some(kind) => Unusable::new(
                format!("{} is damaged: it is not the {kind} that it says it is", key.name),
                "Copy the whole file again from where it was made.",
            ),
            None => of_no_use("a private key in a form that is not understood".to_owned()),
        })?;
        let own = key_pair.public_key();
        if own.as_ref() != key_of(first).ok().as_ref() {
            let own = own.map(|own| Fingerprint::of_public_key(&own));
            return Err(strangers(certificates, key, &chain, fingerprint, own));
        }
        Ok(Self {
            certified: Arc::new(CertifiedKey::new(chain, key_pair)),
            fingerprint,
            dates,
        })
    }

    /// Makes the key that a node shows from its own self-signed certificate.
    ///
    /// # Errors
    /// [`Kind::File`] when key and certificate of the identity do not belong together.
    pub fn identity(identity: &Identity) -> Result<Self, Error> {
        let file = |text: &'static str, bytes| PemFile { name: text, bytes };
        Self::from_pem(
            file("the certificate in identity.pem", identity.certificate_pem().as_bytes()),
            file("the key in identity.pem", identity.key_pem().as_bytes()),
        )
        .map_err(|Unusable { reason, .. }| {
            Error::new(
                Kind::File,
                format!("the TLS key and certificate of this node cannot be used: {reason}"),
                "Restore identity.pem of the state folder from a backup.",
            )
        })
    }

    /// From when to when the certificate that the node shows counts.
    pub(crate) fn dates(&self) -> Dates {
        self.dates
    }

    /// The fingerprint of the key that the node shows.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Who issued the certificate that the node shows; with a self-signed one, its own name.
    pub(super) fn issuer(&self) -> Option<DistinguishedName> {
        let certificate = webpki::EndEntityCert::try_from(self.certified.end_entity_cert().ok()?).ok()?;
        Some(DistinguishedName::in_sequence(certificate.issuer()))
    }
}

/// Says that certificate and private key in an administrator's files do not belong together. `shown` is the key of the
/// first certificate, `own` that of the key file.
fn strangers(
    certificates: PemFile<'_>,
    key: PemFile<'_>,
    chain: &[CertificateDer<'_>],
    shown: Fingerprint,
    own: Option<Fingerprint>,
) -> Unusable {
    let place = |own: &Fingerprint| {
        chain
            .iter()
            .position(|one| fingerprint_of_certificate(one).as_ref() == Ok(own))
    };
    if let Some(index) = own.as_ref().and_then(place) {
        return Unusable::new(
            format!(
                "the key in {} belongs to certificate {} in {}, not to the first",
                key.name,
                index + 1,
                certificates.name
            ),
            "Write the node's own certificate first, and those that issued it behind it.",
        );
    }
    let own = own.map_or_else(|| "another one".to_owned(), |own| own.to_string());
    Unusable::new(
        format!(
            "the key in {} does not belong to the certificate in {}: that is for the key {shown}, and this is {own}",
            key.name, certificates.name
        ),
        format!(
            "Put a certificate and its own key there. Which key each of them has show `openssl pkey -in {} -pubout` and \
             `openssl x509 -in {} -noout -pubkey`.",
            key.name, certificates.name
        ),
    )
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.fingerprint, f)
    }
}

/// What a node shows now; shared by its listener and its client.
#[derive(Debug)]
pub struct NodeKey {
    shown: Mutex<Shown>,
}

impl NodeKey {
    /// Makes the holder of the key that a node shows, beginning with this one.
    pub fn new(shown: Shown) -> Arc<Self> {
        Arc::new(Self {
            shown: Mutex::new(shown),
        })
    }

    /// The key that the node shows on new connections.
    pub fn shown(&self) -> Shown {
        lock(&self.shown).clone()
    }

    /// Has the node show another key from the next connection on.
    pub fn show(&self, shown: Shown) {
        *lock(&self.shown) = shown;
    }
}

impl ResolvesServerCert for NodeKey {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown().certified)
    }
}

impl ResolvesClientCert for NodeKey {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Whatever authorities the other side hints at: it knows keys, not authorities.
        Some(self.shown().certified)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use bc_testkit::{messages::assert_for_people, openssl::openssl};

    use super::*;

    fn identity() -> Identity {
        let folder = tempfile::tempdir().expect("folder");
        Identity::load_or_create(folder.path()).expect("identity")
    }

    #[test]
    fn a_pair_that_does_not_belong_together_is_refused() {
        let (one, two) = (identity(), identity());
        let pair = |certificate: &str, key: &str| {
            let file = |name, text: &str| PemFile {
                name,
                bytes: Box::leak(text.to_owned().into_boxed_str()).as_bytes(),
            };
            Shown::from_pem(file("node.pem", certificate), file("node.key", key))
        };
        let shown = pair(one.certificate_pem(), one.key_pem()).expect("a pair");
        assert_eq!(shown.fingerprint(), one.fingerprint());
        assert!(!format!("{shown:?}").contains("PRIVATE"));
        let both = format!("{}{}", two.certificate_pem(), one.certificate_pem());
        for (certificate, key, reason) in [
            (one.certificate_pem(), two.key_pem(), "does not belong to"),
            (&both, one.key_pem(), "belongs to certificate 2 in node.pem"),
            ("", one.key_pem(), "node.pem is empty"),
            (one.certificate_pem(), "", "node.key is empty"),
            (one.certificate_pem(), one.certificate_pem(), "no private key"),
            (
                "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
                one.key_pem(),
                "is damaged",
            ),
        ] {
            let refused = pair(certificate, key).expect_err("refused");
            assert!(refused.reason.contains(reason), "{refused:?}");
        }
        let refused = pair(one.certificate_pem(), two.key_pem()).expect_err("strangers");
        for identity in [&one, &two] {
            assert!(
                refused.reason.contains(&identity.fingerprint().to_string()),
                "{refused:?}"
            );
        }
    }

    const USABLE: &str = "those that can be used are ECDSA on P-256 or P-384, RSA of 2048 to 4096 bits, and Ed25519";

    /// What is said of this key beside a certificate that is right, in a folder where both lie.
    fn refused(folder: &Path, key: &str) -> Unusable {
        let read = |name: &str| fs::read(folder.join(name)).expect(name);
        let (certificate, bytes) = (read("node.pem"), read(key));
        let file = |name, bytes| PemFile { name, bytes };
        let refused = Shown::from_pem(file("node.pem", &certificate), file(key, &bytes)).expect_err(key);
        let text = format!("{} {}", refused.reason, refused.guidance);
        assert_for_people(&text);
        let secret = String::from_utf8_lossy(&bytes);
        let mut lines = secret.lines().filter(|line| line.len() > 40);
        assert!(lines.all(|line| !text.contains(line)), "{key} is quoted: {text}");
        refused
    }

    #[test]
    fn keys_that_cannot_be_used_say_which_can() {
        let folder = tempfile::tempdir().expect("folder");
        let folder = folder.path();
        let make = |arguments: &str| openssl(folder, arguments);
        make(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -days 2 -keyout node.key -out node.pem -subj /CN=a",
        );
        make("dsaparam -out dsa.parameters 2048");
        make("gendsa -out dsa.key dsa.parameters");
        make("pkey -in dsa.key -out dsa-traditional.key -traditional");
        make("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out short.key");
        make("rsa -in short.key -traditional -out short-traditional.key");
        make("genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out pss.key");
        make("genpkey -algorithm ED448 -out ed448.key");
        make("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out p521.key");
        make("ecparam -name secp521r1 -genkey -noout -out p521-traditional.key");
        make("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out koblitz.key");
        for (key, kind) in [
            ("dsa.key", "DSA"),
            ("dsa-traditional.key", "DSA"),
            ("short.key", "RSA of 1024 bits"),
            ("short-traditional.key", "RSA of 1024 bits"),
            ("pss.key", "RSA for PSS alone"),
            ("ed448.key", "Ed448"),
            ("p521.key", "ECDSA on P-521 (secp521r1)"),
            ("p521-traditional.key", "ECDSA on P-521 (secp521r1)"),
            ("koblitz.key", "ECDSA on the curve 1.3.132.0.10"),
        ] {
            let refused = refused(folder, key);
            assert!(refused.reason.starts_with(key), "{refused:?}");
            assert!(
                refused.reason.contains(kind) && refused.reason.contains(USABLE),
                "{refused:?}"
            );
            assert!(refused.guidance.contains("openssl req -x509 -newkey ec"), "{refused:?}");
        }
    }

    #[test]
    fn keys_in_another_form_say_what_they_are_and_what_to_type() {
        let folder = tempfile::tempdir().expect("folder");
        let folder = folder.path();
        let make = |arguments: &str| openssl(folder, arguments);
        let password = "-passout pass:a-long-enough-password";
        make("req -x509 -newkey rsa:2048 -nodes -days 2 -keyout node.key -out node.pem -subj /CN=a");
        make(&format!("pkey -in node.key -aes256 -out locked.key {password}"));
        make(&format!(
            "rsa -in node.key -aes256 -traditional -out locked-traditional.key {password}"
        ));
        make("pkey -in node.key -outform DER -out key.der");
        make(&format!(
            "pkcs8 -topk8 -in node.key -outform DER -out locked.der -v2 aes256 {password}"
        ));
        make(&format!(
            "pkcs12 -export -in node.pem -inkey node.key -out node.p12 {password}"
        ));
        make("req -new -key node.key -subj /CN=a -out node.csr");
        make("pkey -in node.key -pubout -out public.pem");
        make("ecparam -name secp384r1 -out parameters.pem");
        make("genpkey -algorithm ED25519 -out other.key");
        let whole = fs::read_to_string(folder.join("node.key")).expect("PEM");
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("write");
        write("half.key", &whole[..whole.len() / 2]);
        write("garbled.key", &whole.replacen("MII", "MI*", 1));
        write("rotten.key", &whole.replacen("MII", "MIJ", 1));
        write(
            "ssh.key",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
        );
        write("putty.key", "PuTTY-User-Key-File-3: ssh-rsa\n");
        for (key, reason, guidance) in [
            (
                "locked.key",
                "with a password",
                "openssl pkey -in locked.key -out locked.key.open",
            ),
            (
                "locked-traditional.key",
                "with a password",
                "openssl pkey -in locked-traditional.key",
            ),
            (
                "key.der",
                "private key in DER form",
                "openssl pkey -inform DER -in key.der",
            ),
            (
                "locked.der",
                "private key in DER form",
                "openssl pkey -inform DER -in locked.der",
            ),
            ("node.p12", "PKCS#12", "openssl pkcs12 -in node.p12 -nodes"),
            ("node.csr", "request for a certificate", "authority"),
            ("public.pem", "is a public key", "private key that belongs to it"),
            ("node.pem", "is a certificate and no private key", "Put the key there"),
            (
                "parameters.pem",
                "holds no private key, but EC PARAMETERS",
                "private key there, in PEM form",
            ),
            (
                "other.key",
                "does not belong to the certificate in node.pem",
                "openssl pkey -in other.key -pubout",
            ),
            ("half.key", "breaks off", "Copy the whole file"),
            ("garbled.key", "Base64", "Copy the whole file"),
            ("rotten.key", "rotten.key", ""),
            ("ssh.key", "in the form of OpenSSH", "ssh-keygen -p -m PKCS8 -f ssh.key"),
            ("putty.key", "a key of SSH", "PEM form"),
        ] {
            let refused = refused(folder, key);
            assert!(refused.reason.contains(reason), "{key}: {refused:?}");
            assert!(
                refused.guidance.contains(guidance) && !refused.guidance.is_empty(),
                "{key}: {refused:?}"
            );
        }
    }
}
