//! Who vouches for the primary where `bc.tls.ca` says so.
//!
//! Two kinds of certificates stand in that file, and each is believed for what it is alone:
//!
//! - One that says that it is an authority (`CA:TRUE`) vouches for those that it issued: webpki checks chain, dates and
//!   name.
//! - Any certificate vouches for itself, compared whole, byte by byte, with its dates and its name. So does one that an
//!   administrator made with `openssl req -x509`, whether that says `CA:TRUE` or not. Another one of the same key or the
//!   same name is another one: whoever is no authority issues nothing.
//!
//! What is refused says why in words for people, with what to type.

use std::sync::Arc;

use bc_core::{
    error::{Error, Kind},
    fingerprint::Fingerprint,
    regular_file,
    settings::CertificateAuthority,
    words::minute,
};
use rustls::{
    CertificateError, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{
    certificate::{Certificate, Untimely, seconds},
    pem::{PemFile, Unusable},
    public_key,
};

/// What the primary shows.
pub(super) struct Presented<'a> {
    pub(super) key: Fingerprint,
    pub(super) certificate: &'a CertificateDer<'a>,
    pub(super) intermediates: &'a [CertificateDer<'a>],
    /// What `bc.primary.url` asks for.
    pub(super) name: &'a ServerName<'a>,
    pub(super) now: UnixTime,
}

/// Judges what the primary shows by `authority`, which is read anew each time: handshakes are rare, and the administrator
/// may have replaced the file.
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

fn described(authority: &CertificateAuthority) -> String {
    match authority {
        CertificateAuthority::System => "the authorities of this system (bc.tls.ca=system)".to_owned(),
        CertificateAuthority::File(path) => format!("bc.tls.ca={}", path.display()),
    }
}

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
                return Err(unusable(Unusable {
                    reason: "this system has none".to_owned(),
                    guidance: "Install them (package ca-certificates), or name a PEM file in bc.tls.ca.".to_owned(),
                }));
            }
            Ok(found)
        }
        CertificateAuthority::File(path) => {
            let bytes = regular_file::read(path, regular_file::LARGEST_OF_OURS).map_err(|error| {
                let error = Error::io("read", path, &error);
                unusable(Unusable {
                    reason: error.message().to_owned(),
                    guidance: "Name a readable PEM file with the certificate of the primary, or of its authority, in \
                               bc.tls.ca."
                        .to_owned(),
                })
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
            Err(unusable(Unusable {
                reason: "what stands there as a certificate is damaged, or something else".to_owned(),
                guidance: "Copy the whole file again from where it was made.".to_owned(),
            }))
        }
    }
}

impl Presented<'_> {
    fn is_in_time_and_for_its_name(&self) -> Result<(), Unusable> {
        let certificate = Certificate::read(self.certificate).ok_or_else(damaged)?;
        certificate
            .dates()
            .judge(seconds(self.now))
            .map_err(|untimely| self.untimely(untimely, &certificate))?;
        if certificate.is_for(self.name) {
            Ok(())
        } else {
            Err(self.has_other_names(&certificate))
        }
    }

    fn is_issued_by(&self, known: &[CertificateDer<'static>], provider: &Arc<CryptoProvider>) -> Result<(), Unusable> {
        let read: Vec<_> = known.iter().filter_map(Certificate::read).collect();
        let (authorities, others): (Vec<_>, Vec<_>) = read.into_iter().partition(Certificate::is_authority);
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.iter().map(|authority| authority.der().clone()));
        if roots.is_empty() {
            return Err(self.is_another(&others));
        }
        let own = Certificate::read(self.certificate).ok_or_else(damaged)?;
        // An authority that is a server's own certificate at the same time is no wider for that: whoever has its key, and
        // shows another certificate for it, was issued nothing.
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

    /// Why webpki refused the chain.
    fn because(&self, error: &CertificateError, authorities: &[Certificate<'_>]) -> Unusable {
        let Some(own) = Certificate::read(self.certificate) else {
            return damaged();
        };
        let now = seconds(self.now);
        let chain: Vec<_> = self.intermediates.iter().filter_map(Certificate::read).collect();
        // Which one of them it is webpki does not say.
        let untimely = [&own].into_iter().chain(&chain).find_map(|certificate| {
            let untimely = certificate.dates().judge(now).err()?;
            Some(self.untimely(untimely, certificate))
        });
        match error {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => untimely.unwrap_or_else(damaged),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                self.has_other_names(&own)
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature if own.is_self_issued() => {
                issued_by_nobody_else(&own)
            }
            CertificateError::UnknownIssuer => self.has_a_missing_link(&own, &chain, authorities),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Unusable {
                reason: "it is not for servers, by what its extendedKeyUsage says".to_owned(),
                guidance:
                    "Have one issued on the primary with the extendedKeyUsage serverAuth, and put it into the file of \
                           bc.tls.certificate there."
                        .to_owned(),
            },
            CertificateError::BadSignature => Unusable {
                reason: format!(
                    "it says that {} issued it, and the key of that authority here did not sign it: the authority may \
                     have been given another key since",
                    own.issuer()
                ),
                guidance: "Put the present certificate of that authority into the file of bc.tls.ca.".to_owned(),
            },
            _ if own.is_self_issued() => issued_by_nobody_else(&own),
            _ if !own.is_of_version_3() => Unusable {
                reason: "it is of version 1, and only a certificate of version 3 can be issued by an authority"
                    .to_owned(),
                guidance: put_itself_there(),
            },
            _ if own.is_authority() => Unusable {
                reason: format!(
                    "it is a certificate of an authority ({}) and not one for a server",
                    own.subject()
                ),
                guidance: put_itself_there(),
            },
            _ => match [&own].into_iter().chain(&chain).find_map(Certificate::weak_signature) {
                Some(weak) => Unusable {
                    reason: format!("a certificate in its chain is signed with {weak}, which anybody may forge"),
                    guidance: "Have it issued anew with SHA-256.".to_owned(),
                },
                None if !own.key().is_understood() => Unusable {
                    reason: format!(
                        "its key is {}; those that can be used are {}",
                        own.key(),
                        public_key::USABLE
                    ),
                    guidance: super::ANOTHER_KEY.to_owned(),
                },
                None => Unusable {
                    reason: "its chain has a certificate that does not keep the rules for such certificates (RFC 5280)"
                        .to_owned(),
                    guidance: "See what OpenSSL says of it: openssl verify -x509_strict -CAfile AUTHORITY CERTIFICATE"
                        .to_owned(),
                },
            },
        }
    }

    /// The first certificate in the chain whose issuer is neither sent along nor known here.
    fn has_a_missing_link(
        &self,
        own: &Certificate<'_>,
        chain: &[Certificate<'_>],
        authorities: &[Certificate<'_>],
    ) -> Unusable {
        let mut last = own;
        // They may lead in a circle, but as many steps as there are certificates are enough.
        for _ in chain {
            match chain.iter().find(|other| last.may_be_issued_by(other)) {
                Some(next) => last = next,
                None => break,
            }
        }
        if authorities.iter().any(|authority| last.may_be_issued_by(authority)) {
            return Unusable {
                reason: format!(
                    "it says that {} issued it, and the key of the authority with that name here did not sign it",
                    last.issuer()
                ),
                guidance: "Put the present certificate of that authority into the file of bc.tls.ca.".to_owned(),
            };
        }
        let of = match std::ptr::eq(last, own) {
            true => "it".to_owned(),
            false => format!("{}, which the primary sends along,", last.subject()),
        };
        Unusable {
            reason: format!(
                "{of} was issued by {}, whose certificate the primary does not send and bc.tls.ca does not hold",
                last.issuer()
            ),
            guidance: "If that is an intermediate of your authority, write its certificate behind the primary's own in the \
                       file of bc.tls.certificate there: cat node.pem intermediate.pem > chain.pem. If it is the authority \
                       itself, write its certificate into the file of bc.tls.ca here. What the primary sends shows \
                       `openssl s_client -showcerts -connect HOST:8155`."
                .to_owned(),
        }
    }

    /// There is no authority, so only the very certificate counts.
    fn is_another(&self, known: &[Certificate<'_>]) -> Unusable {
        let known: Vec<_> = known.iter().map(Certificate::subject).take(3).collect();
        Unusable {
            reason: format!(
                "that file has no authority, and the primary shows another certificate than the one there ({})",
                known.join(", ")
            ),
            guidance: "Such a certificate vouches for itself alone, not for another one of the same name or key. If the \
                       primary was given another one on purpose, put that into the file of bc.tls.ca; if an authority is \
                       meant, its certificate must say CA:TRUE."
                .to_owned(),
        }
    }

    fn has_other_names(&self, certificate: &Certificate<'_>) -> Unusable {
        let asked = self.name.to_str();
        let kind = match self.name {
            ServerName::IpAddress(_) => "IP",
            _ => "DNS",
        };
        Unusable {
            reason: format!(
                "bc.primary.url asks for {asked}, and the certificate is for {}",
                certificate.names()
            ),
            guidance: format!(
                "Write a name of the certificate into bc.primary.url, or give the primary a certificate for this one; with \
                 OpenSSL: -addext subjectAltName={kind}:{asked}"
            ),
        }
    }

    fn untimely(&self, untimely: Untimely, certificate: &Certificate<'_>) -> Unusable {
        let which = match certificate.der() == self.certificate {
            true => "it".to_owned(),
            false => format!("the certificate of {}, which issued it,", certificate.subject()),
        };
        let clock = match untimely {
            Untimely::Expired(_) => String::new(),
            Untimely::NotYet(_) => format!(", and it is {} by the clock of this server", minute(seconds(self.now))),
        };
        Unusable {
            reason: format!("{which} {untimely}{clock}"),
            guidance: match untimely {
                Untimely::Expired(_) => {
                    "Put a new one into the file of bc.tls.certificate on the primary, which takes it up by itself; where \
                     bc.tls.ca is that very certificate, put it there too."
                }
                Untimely::NotYet(_) => "Compare the clocks of both servers (timedatectl), or wait until then.",
            }
            .to_owned(),
        }
    }
}

fn damaged() -> Unusable {
    Unusable {
        reason: "it is damaged, or not of the form X.509 has".to_owned(),
        guidance: "See what it is with `openssl s_client -connect HOST:8155`.".to_owned(),
    }
}

fn issued_by_nobody_else(own: &Certificate<'_>) -> Unusable {
    Unusable {
        reason: format!(
            "nobody but itself issued that certificate ({}), and it is not in that file, where another one of the same name \
             or key counts for nothing",
            own.subject()
        ),
        guidance: put_itself_there(),
    }
}

fn put_itself_there() -> String {
    "If that is the primary's own certificate (compare its key with `gocd-bc identity show` there), put the very same file \
     into bc.tls.ca; or pin the key with bc.primary.fingerprint."
        .to_owned()
}
