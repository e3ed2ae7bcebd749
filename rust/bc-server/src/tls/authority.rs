//! Who vouches for the primary where `bc.tls.ca` says so.
//!
//! Two kinds of certificates stand in that file, and each is believed for what it is alone:
//!
//! - One that says that it is an authority (`CA:TRUE`) vouches for those that it issued: webpki checks chain, dates and
//!   name.
//! - Any certificate vouches for itself, compared whole, byte by byte, with its dates and its name. So does one that an
//!   administrator made with `openssl req -x509`, whether that says `CA:TRUE` or not. Another one of the same key or
//!   the same name is another one: whoever is no authority issues nothing.
//!
//! What is refused says why in words for people, with what to type (`refusal`).

use std::sync::Arc;

use bc_core::{
    basics::{Error, Fingerprint, Kind, regular_file},
    settings::CertificateAuthority,
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{
    certificate::{Certificate, seconds},
    pem::{PemFile, Unusable},
};

mod refusal;

use refusal::{damaged, issued_by_nobody_else};

/// What the primary shows.
pub(super) struct Presented<'a> {
    pub(super) key: Fingerprint,
    pub(super) certificate: &'a CertificateDer<'a>,
    pub(super) intermediates: &'a [CertificateDer<'a>],
    /// What `bc.primary.url` asks for.
    pub(super) name: &'a ServerName<'a>,
    pub(super) now: UnixTime,
}

/// Judges the certificate that the primary shows by `authority`, which is read anew each time: handshakes are rare, and
/// the administrator may have replaced the file.
///
/// # Errors
/// [`Kind::Trust`]: it is not vouched for, or there is nobody who could.
pub(super) fn vouches(
    authority: &CertificateAuthority,
    presented: &Presented<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<(), Error> {
    let known = certificates(authority)?;
    let judged = if known.contains(presented.certificate) {
        presented.is_in_time_and_for_its_name()
    } else {
        presented.is_issued_by(&known, provider)
    };
    judged.map_err(|Unusable { reason, guidance }| {
        Error::new(
            Kind::Trust,
            format!(
                "the certificate that the primary shows, with the key {}, is not vouched for by {}: {reason}",
                presented.key,
                described(authority)
            ),
            guidance,
        )
    })
}

/// Names the authority of `bc.tls.ca` in words.
fn described(authority: &CertificateAuthority) -> String {
    match authority {
        CertificateAuthority::System => "the authorities of this system (bc.tls.ca=system)".to_owned(),
        CertificateAuthority::File(path) => format!("bc.tls.ca={}", path.display()),
    }
}

/// Reads the certificates of `bc.tls.ca`.
fn certificates(authority: &CertificateAuthority) -> Result<Vec<CertificateDer<'static>>, Error> {
    // Whoever vouches for nobody is trusted with nothing: the same kind as a wrong certificate.
    let unusable = |Unusable { reason, guidance }: Unusable| {
        Error::new(
            Kind::Trust,
            format!(
                "no primary is trusted, since {} cannot be used: {reason}",
                described(authority)
            ),
            guidance,
        )
    };
    match authority {
        CertificateAuthority::System => {
            let found = rustls_native_certs::load_native_certs().certs;
            if found.is_empty() {
                return Err(unusable(Unusable::new(
                    "this system has none",
                    "Install them (package ca-certificates), or name a PEM file in bc.tls.ca.",
                )));
            }
            Ok(found)
        }
        CertificateAuthority::File(path) => {
            let bytes = regular_file::read(path, regular_file::LARGEST_OF_OURS).map_err(|error| {
                let error = Error::io("read", path, &error);
                unusable(Unusable::new(
                    error.message().to_owned(),
                    "Name a readable PEM file with the certificate of the primary, or of its authority, in \
                               bc.tls.ca.",
                ))
            })?;
            let file = PemFile {
                name: &path.display().to_string(),
                bytes: &bytes,
            };
            let found = file.certificates().map_err(unusable)?;
            // Among many authorities there may be an odd one.
            if found.iter().any(|certificate| Certificate::read(certificate).is_some()) {
                return Ok(found);
            }
            Err(unusable(Unusable::new(
                "what stands there as a certificate is damaged, or something else",
                "Copy the whole file again from where it was made.",
            )))
        }
    }
}

impl Presented<'_> {
    /// Checks dates and name of a primary's certificate that stands itself in `bc.tls.ca`.
    fn is_in_time_and_for_its_name(&self) -> Result<(), Unusable> {
        let certificate = Certificate::read(self.certificate).ok_or_else(damaged)?;
        certificate
            .dates()
            .check(seconds(self.now))
            .map_err(|untimely| self.untimely(untimely, &certificate))?;
        if certificate.is_for(self.name) {
            Ok(())
        } else {
            Err(self.has_other_names(&certificate))
        }
    }

    /// Checks that an authority of `bc.tls.ca` issued the primary's certificate, through its chain.
    fn is_issued_by(&self, known: &[CertificateDer<'static>], provider: &Arc<CryptoProvider>) -> Result<(), Unusable> {
        let read: Vec<_> = known.iter().filter_map(Certificate::read).collect();
        let (authorities, others): (Vec<_>, Vec<_>) = read.into_iter().partition(Certificate::is_authority);
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.iter().map(|authority| authority.der().clone()));
        if roots.is_empty() {
            return Err(self.is_another(&others));
        }
        let own = Certificate::read(self.certificate).ok_or_else(damaged)?;
        // An authority that is a server's own certificate at the same time is no wider for that: whoever has its key,
        // and shows another certificate for it, was issued nothing.
        if authorities.iter().any(|authority| authority.has_key_of(&own)) {
            return Err(issued_by_nobody_else(&own));
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|_| self.is_another(&others))?;
        match verifier.verify_server_cert(self.certificate, self.intermediates, self.name, &[], self.now) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(error)) => Err(self.because(&error, &authorities)),
            Err(_) => Err(damaged()),
        }
    }
}
