//! Why a certificate is not vouched for, in words, with what to type.

use rustls::CertificateError;
use rustls_pki_types::ServerName;

use bc_core::words::minute;

use super::Presented;
use crate::tls::{
    ANOTHER_KEY,
    certificate::{Certificate, Untimely, seconds},
    pem::Unusable,
    public_key,
};

impl Presented<'_> {
    /// Why webpki refused the chain.
    pub(super) fn because(&self, error: &CertificateError, authorities: &[Certificate<'_>]) -> Unusable {
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
            | CertificateError::NotValidYetContext { .. } => untimely.unwrap_or_else(untimely_somewhere),
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
                    guidance: ANOTHER_KEY.to_owned(),
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
    pub(super) fn is_another(&self, known: &[Certificate<'_>]) -> Unusable {
        let known: Vec<_> = known.iter().map(Certificate::subject).take(3).collect();
        Unusable {
            reason: format!(
                "bc.tls.ca has no authority, and the primary shows another certificate than the one there ({})",
                known.join(", ")
            ),
            guidance: "Such a certificate vouches for itself alone, not for another one of the same name or key. If the \
                       primary was given another one on purpose, put that into the file of bc.tls.ca; if an authority is \
                       meant, its certificate must say CA:TRUE."
                .to_owned(),
        }
    }

    pub(super) fn has_other_names(&self, certificate: &Certificate<'_>) -> Unusable {
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

    pub(super) fn untimely(&self, untimely: Untimely, certificate: &Certificate<'_>) -> Unusable {
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

/// webpki found what no certificate in the chain says by itself.
fn untimely_somewhere() -> Unusable {
    Unusable {
        reason: "it, or one that vouches for it, is not valid at this time".to_owned(),
        guidance:
            "Compare the clocks of both servers (timedatectl), and see the dates of all of them with `openssl s_client \
                   -showcerts -connect HOST:8155` and in the file of bc.tls.ca."
                .to_owned(),
    }
}

pub(super) fn damaged() -> Unusable {
    Unusable {
        reason: "it is damaged, or not of the form X.509 has".to_owned(),
        guidance: "See what it is with `openssl s_client -connect HOST:8155`.".to_owned(),
    }
}

pub(super) fn issued_by_nobody_else(own: &Certificate<'_>) -> Unusable {
    Unusable {
        reason: format!(
            "nobody but itself issued that certificate ({}), and it is not among those of bc.tls.ca, where another one of the \
             same name or key counts for nothing",
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
