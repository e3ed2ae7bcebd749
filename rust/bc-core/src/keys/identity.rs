//! A node's own TLS key and certificate.
//!
//! ECDSA P-256 with a self-signed certificate, made once, kept in `identity.pem` of the state folder with mode
//! 0600 and never sent. Others know the node by the [`Fingerprint`] of its public key; names and dates in the
//! certificate mean nothing to us.

use std::{fmt, path::Path};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use tracing::info;

use crate::{
    basics::{Error, Fingerprint, Kind, if_there, regular_file},
    durable::{FileSystem, OperatingSystem, atomic},
};

/// The name of the file in the state folder.
pub const FILE: &str = "identity.pem";
/// The name of the file of the key that is to follow.
pub(crate) const NEXT_FILE: &str = "identity-next.pem";

/// Key and certificate of this node. Its Debug form shows the fingerprint alone.
pub struct Identity {
    key_pem: String,
    certificate_pem: String,
    fingerprint: Fingerprint,
}

impl Identity {
    /// Reads the identity of the state folder `state_dir`, or makes it.
    ///
    /// # Errors
    /// [`Kind::File`] when the file cannot be read or written, or holds no usable key. A damaged identity is
    /// never replaced: others trust its key.
    pub fn load_or_create(state_dir: &Path) -> Result<Self, Error> {
        if let Some(identity) = Self::load(state_dir)? {
            return Ok(identity);
        }
        let identity = Self::create(&state_dir.join(FILE))?;
        info!(
            "this node had no key in {} and has a new one now: {}",
            state_dir.display(),
            identity.fingerprint
        );
        Ok(identity)
    }

    /// Reads the key that is to follow the node's own one, or makes it.
    ///
    /// # Errors
    /// As [`Identity::load_or_create`].
    pub fn next_or_create(state_dir: &Path) -> Result<Self, Error> {
        if let Some(identity) = Self::next(state_dir)? {
            return Ok(identity);
        }
        Self::create(&state_dir.join(NEXT_FILE))
    }

    /// Reads the key that is to follow the node's own one, where a change of key has begun.
    ///
    /// # Errors
    /// As [`Identity::load`].
    pub fn next(state_dir: &Path) -> Result<Option<Self>, Error> {
        Self::load_from(&state_dir.join(NEXT_FILE))
    }

    /// Makes the next key the one of this node, in one rename: after a crash it is the former one or the next.
    ///
    /// # Errors
    /// [`Kind::File`] when the file cannot be renamed; the former key then stays.
    pub fn switch(state_dir: &Path) -> Result<(), Error> {
        let path = state_dir.join(FILE);
        OperatingSystem
            .rename(&state_dir.join(NEXT_FILE), &path)
            .and_then(|()| atomic::sync_folder(state_dir))
            .map_err(Error::cannot("replace", &path))
    }

    /// Makes another key for the node of `state_dir`, whatever was there before, and takes away one that was to follow.
    /// For a copy of another server only, and only while no node is open there (`StateDir::renew`).
    ///
    /// # Errors
    /// [`Kind::File`] when the files cannot be written or removed: the former key may still be there.
    pub(crate) fn renew(state_dir: &Path) -> Result<Self, Error> {
        let next = state_dir.join(NEXT_FILE);
        atomic::remove(&next)?;
        Self::create(&state_dir.join(FILE))
    }

    /// Makes the identity of a node, a key and its certificate, and writes it durably.
    fn create(path: &Path) -> Result<Self, Error> {
        let identity = Self::generate()
            .map_err(|error| Error::new(Kind::File, format!("cannot make the TLS key of this node: {error}"), ""))?;
        let text = format!("{}{}", identity.key_pem, identity.certificate_pem);
        atomic::write(path, text.as_bytes(), 0o600)?;
        Ok(identity)
    }

    /// Reads the identity of the state folder `state_dir`; none is there before the node first ran.
    ///
    /// # Errors
    /// [`Kind::File`] when the file cannot be read or holds no usable key.
    pub fn load(state_dir: &Path) -> Result<Option<Self>, Error> {
        Self::load_from(&state_dir.join(FILE))
    }

    /// Reads the identity of a node from this file; none where it is missing.
    fn load_from(path: &Path) -> Result<Option<Self>, Error> {
        let text = if_there(regular_file::read_text(path, regular_file::LARGEST_OF_A_FEW_LINES));
        let text = text.map_err(Error::cannot("read the identity", path))?;
        text.map(|text| Self::from_pem(&text, path)).transpose()
    }

    /// Makes a new key of a node with its self-signed certificate.
    fn generate() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "GoCD Business Continuity node");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2120, 1, 1);
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            fingerprint: Fingerprint::of_public_key(&key.subject_public_key_info()),
            key_pem: key.serialize_pem(),
            certificate_pem: certificate.pem(),
        })
    }

    /// Reads the identity of a node from the PEM text of its file.
    fn from_pem(text: &str, path: &Path) -> Result<Self, Error> {
        let damaged = || {
            Error::new(
                Kind::File,
                format!("{} holds no TLS key and certificate", path.display()),
                "Restore it from a backup, or remove it: the node then gets a new key, which its peers must trust again.",
            )
        };
        let at = text.find("-----BEGIN CERTIFICATE-----").ok_or_else(damaged)?;
        let (key_pem, certificate_pem) = text.split_at(at);
        let key = KeyPair::from_pem(key_pem).map_err(|_| damaged())?;
        Ok(Self {
            fingerprint: Fingerprint::of_public_key(&key.subject_public_key_info()),
            key_pem: key_pem.to_owned(),
            certificate_pem: certificate_pem.to_owned(),
        })
    }

    /// The fingerprint of the node's own key, by which others know this node.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The private key of the node, PKCS#8 PEM. Secret.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The self-signed certificate of the node, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn is_made_once_and_private() {
        let folder = tempfile::tempdir().expect("folder");
        let first = Identity::load_or_create(folder.path()).expect("make");
        let again = Identity::load_or_create(folder.path()).expect("read");
        assert_eq!(first.fingerprint(), again.fingerprint());
        assert_eq!(first.certificate_pem(), again.certificate_pem());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join(FILE))
                .expect("stat")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(!format!("{first:?}").contains("PRIVATE"));
    }

    #[test]
    fn the_next_key_takes_the_place_of_the_former() {
        let folder = tempfile::tempdir().expect("folder");
        let former = Identity::load_or_create(folder.path()).expect("make");
        let next = Identity::next_or_create(folder.path()).expect("make");
        let again = Identity::next_or_create(folder.path()).expect("read");
        assert_eq!(again.fingerprint(), next.fingerprint());
        assert_ne!(next.fingerprint(), former.fingerprint());
        Identity::switch(folder.path()).expect("rename");
        let now = Identity::load_or_create(folder.path()).expect("read");
        assert_eq!(now.fingerprint(), next.fingerprint());
        assert!(Identity::next(folder.path()).expect("read").is_none());
        Identity::switch(folder.path()).expect_err("there is no next one");
    }

    #[test]
    fn a_damaged_identity_is_refused_not_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join(FILE), "-----BEGIN CERTIFICATE-----").expect("write");
        Identity::load_or_create(folder.path()).expect_err("damaged");
    }
}
