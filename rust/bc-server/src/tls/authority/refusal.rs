//! Why a certificate is not vouched for, in words, with what to type.

use rustls::CertificateError;
use rustls_pki_types::ServerName;

use bc_core::basics::words::minute;

use super::Presented;
use crate::tls::{
    ANOTHER_KEY,
    certificate::{Certificate, Untimely, seconds},
    pem::Unusable,
    public_key,
};

impl Presented<'_> {
    /// Says why webpki refused the primary's chain of certificates, and what to do.
    pub(super) fn because(&self, error: &CertificateError, authorities: &[Certificate<'_>]) -> Unusable {
        let Some(own) = Certificate::read(self.certificate) else {
            return damaged();
        };
        let now = seconds(self.now);
        let chain: Vec<_> = self.intermediates.iter().filter_map(Certificate::read).collect();
        // Which one of them it is webpki does not say.
        let untimely = [&own].into_iter().chain(&chain).find_map(|certificate| {
            let untimely = certificate.dates().check(now).err()?;
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
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Unusable::new(
                "it is not for servers, by what its extendedKeyUsage says",
                "Have one issued on the primary with the extendedKeyUsage serverAuth, and put it into the file of \
                           bc.tls.certificate there.",
            ),
            CertificateError::BadSignature => Unusable::new(
                format!(
                    "it says that {} issued it, and the key of that authority here did not sign it: the authority may \
                     have been given another key since",
                    own.issuer()
                ),
                "Put the present certificate of that authority into the file of bc.tls.ca.",
            ),
            _ if own.is_self_issued() => issued_by_nobody_else(&own),
            _ if !own.is_of_version_3() => Unusable::new(
                "it is of version 1, and only a certificate of version 3 can be issued by an authority",
                put_itself_there(),
            ),
            _ if own.is_authority() => Unusable::new(
                format!(
                    "it is a certificate of an authority ({}) and not one for a server",
                    own.subject()
                ),
                put_itself_there(),
            ),
            _ => match [&own].into_iter().chain(&chain).find_map(Certificate::weak_signature) {
                Some(weak) => Unusable::new(
                    format!("a certificate in its chain is signed with {weak}, which anybody may forge"),
                    "Have it issued anew with SHA-256.",
                ),
                None if !own.key().is_understood() => Unusable::new(
                    format!(
                        "its key is {}; those that can be used are {}",
                        own.key(),
                        public_key::USABLE
                    ),
                    ANOTHER_KEY.to_owned(),
                ),
                None => Unusable::new(
                    "its chain has a certificate that does not keep the rules for such certificates (RFC 5280)",
                    "See what OpenSSL says of it: openssl verify -x509_strict -CAfile AUTHORITY CERTIFICATE",
                ),
            },
        }
    }

    /// Says which certificate in the primary's chain has an issuer that is neither sent along nor known here.
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
            return Unusable::new(
                format!(
                    "it says that {} issued it, and the key of the authority with that name here did not sign it",
                    last.issuer()
                ),
                "Put the present certificate of that authority into the file of bc.tls.ca.",
            );
        }
        let of = match std::ptr::eq(last, own) {
            true => "it".to_owned(),
            false => format!("{}, which the primary sends along,", last.subject()),
        };
        Unusable::new(
            format!(
                "{of} was issued by {}, whose certificate the primary does not send and bc.tls.ca does not hold",
                last.issuer()
            ),
            "If that is an intermediate of your authority, write its certificate behind the primary's own in the \
                       file of bc.tls.certificate there: cat node.pem intermediate.pem > chain.pem. If it is the authority \
                       itself, write its certificate into the file of bc.tls.ca here. What the primary sends shows \
                       `openssl s_client -showcerts -connect HOST:8155`.",
        )
    }

    /// Says that the primary shows another certificate than those in `bc.tls.ca`, which has no authority, so only the
    /// very certificate counts.
    pub(super) fn is_another(&self, known: &[Certificate<'_>]) -> Unusable {
        let known: Vec<_> = known.iter().map(Certificate::subject).take(3).collect();
        Unusable::new(
            format!(
                "bc.tls.ca has no authority, and the primary shows another certificate than the one there ({})",
                known.join(", ")
            ),
            "Such a certificate vouches for itself alone, not for another one of the same name or key. If the \
                       primary was given another one on purpose, put that into the file of bc.tls.ca; if an authority is \
                       meant, its certificate must say CA:TRUE.",
        )
    }

    /// Says that the primary's certificate is for other names than `bc.primary.url` asks for.
    pub(super) fn has_other_names(&self, certificate: &Certificate<'_>) -> Unusable {
        let asked = self.name.to_str();
        let kind = match self.name {
            ServerName::IpAddress(_) => "IP",
            _ => "DNS",
        };
        Unusable::new(
            format!(
                "bc.primary.url asks for {asked}, and the certificate is for {}",
                certificate.names()
            ),
            format!(
                "Write a name of the certificate into bc.primary.url, or give the primary a certificate for this one; with \
                 OpenSSL: -addext subjectAltName={kind}:{asked}"
            ),
        )
    }

    /// Says that a certificate in the primary's chain is not valid at this time.
    pub(super) fn untimely(&self, untimely: Untimely, certificate: &Certificate<'_>) -> Unusable {
        let which = match certificate.der() == self.certificate {
            true => "it".to_owned(),
            false => format!("the certificate of {}, which issued it,", certificate.subject()),
        };
        let clock = match untimely {
            Untimely::Expired(_) => String::new(),
            Untimely::NotYet(_) => format!(", and it is {} by the clock of this server", minute(seconds(self.now))),
        };
        Unusable::new(format!("{which} {untimely}{clock}"), match untimely {
                Untimely::Expired(_) => {
                    "Put a new one into the file of bc.tls.certificate on the primary, which takes it up by itself; where \
                     bc.tls.ca is that very certificate, put it there too."
                }
                Untimely::NotYet(_) => "Compare the clocks of both servers (timedatectl), or wait until then.",
            }
            .to_owned())
    }
}

/// Says that the primary's chain is not valid at this time, where no certificate in it says so by itself.
fn untimely_somewhere() -> Unusable {
    Unusable::new(
        "it, or one that vouches for it, is not valid at this time",
        "Compare the clocks of both servers (timedatectl), and see the dates of all of them with `openssl s_client \
                   -showcerts -connect HOST:8155` and in the file of bc.tls.ca.",
    )
}

/// Says that the primary's certificate is damaged.
pub(super) fn damaged() -> Unusable {
    Unusable::new(
        "it is damaged, or not of the form X.509 has",
        "See what it is with `openssl s_client -connect HOST:8155`.",
    )
}

/// Says that the primary's certificate was issued by itself alone, and is not among those of `bc.tls.ca`.
pub(super) fn issued_by_nobody_else(own: &Certificate<'_>) -> Unusable {
    Unusable::new(
        format!(
            "nobody but itself issued that certificate ({}), and it is not among those of bc.tls.ca, where another one of the \
             same name or key counts for nothing",
            own.subject()
        ),
        put_itself_there(),
    )
}

/// What to do about a chain: put the primary's own certificate into `bc.tls.ca`.
fn put_itself_there() -> String {
    "If that is the primary's own certificate (compare its key with `gocd-bc identity show` there), put the very same file \
     into bc.tls.ca; or pin the key with bc.primary.fingerprint."
        .to_owned()
}
