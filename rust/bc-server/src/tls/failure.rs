//! What a failed handshake means, in words for people.
//!
//! The errors of TLS libraries print the names of their own parts. None of these reaches a message: what is known is
//! said in words, and what is not is said to be unknown.

use std::{error::Error as StdError, io, iter::successors};

use rustls::{AlertDescription, Error, PeerIncompatible, PeerMisbehaved};

/// Walks from an error to everything behind it, outermost first.
pub(crate) fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    successors(Some(error), |error| {
        // An I/O error hides the error that it wraps from source().
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => (*error).source(),
        }
    })
}

/// Says what the other side of a failed TLS handshake did, as a fragment that begins with "it".
pub(crate) fn described(error: &Error) -> &'static str {
    match error {
        Error::AlertReceived(alert) => alert_described(*alert),
        Error::InvalidMessage(_) => "it sent something that is no TLS",
        Error::NoCertificatesPresented => "it showed no certificate",
        Error::NoApplicationProtocol | Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol) => {
            "it does not speak HTTP/1.1 but another protocol, such as HTTP/2 alone"
        }
        Error::PeerIncompatible(reason) => incompatible(reason),
        Error::InvalidCertificate(_) => {
            "it showed a certificate that cannot be used, or did not prove that it holds its key"
        }
        Error::DecryptError => "it sent something that cannot be decrypted: the connection was changed on its way",
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } | Error::PeerMisbehaved(_) => {
            "it does not keep to the rules of TLS"
        }
        Error::PeerSentOversizedRecord => "it sent more at once than TLS permits",
        Error::FailedToGetCurrentTime | Error::FailedToGetRandomBytes => {
            "this server has no clock or no source of random numbers"
        }
        _ => "TLS failed for a reason that is not known here",
    }
}

/// What the other side of a failed TLS handshake cannot do that we need.
fn incompatible(reason: &PeerIncompatible) -> &'static str {
    match reason {
        PeerIncompatible::NoCipherSuitesInCommon | PeerIncompatible::NoKxGroupsInCommon => {
            "it has no cipher in common with this node"
        }
        PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon
        | PeerIncompatible::NoSignatureSchemesInCommon => {
            "it understands no signature of the kind that the key of this node's certificate makes"
        }
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::Tls13RequiredForQuic
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => "it speaks neither TLS 1.2 nor TLS 1.3",
        _ => "it speaks a kind of TLS that has nothing in common with this node's",
    }
}

/// What the alert of a failed TLS handshake says.
fn alert_described(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => {
            "it speaks neither TLS 1.2 nor TLS 1.3, or none of their ciphers that are left"
        }
        AlertDescription::HandshakeFailure => {
            "it refuses the handshake: it has no cipher in common with this node, or a certificate of a kind that cannot be \
             used here, as on P-521 or Ed448"
        }
        AlertDescription::NoApplicationProtocol => {
            "it does not speak HTTP/1.1 but another protocol, such as HTTP/2 alone"
        }
        AlertDescription::UnrecognisedName => "it does not serve the host name that it was asked for",
        AlertDescription::CertificateRequired => "it wants a certificate of its own authority, and was shown none",
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => "it does not trust the certificate that it was shown",
        AlertDescription::CertificateExpired => "it says that the certificate that it was shown has expired",
        AlertDescription::CertificateRevoked => "it says that the certificate that it was shown was revoked",
        AlertDescription::AccessDenied => "it denies access",
        AlertDescription::InternalError => "it failed by itself: its own log says more",
        AlertDescription::UserCanceled | AlertDescription::CloseNotify => "it ended the handshake",
        AlertDescription::DecodeError
        | AlertDescription::UnexpectedMessage
        | AlertDescription::IllegalParameter
        | AlertDescription::DecryptError
        | AlertDescription::BadRecordMac => {
            "it did not understand what this node sent: something between may change it"
        }
        _ => "it ended the handshake with an alert that is not known here",
    }
}

#[cfg(test)]
mod tests {
    use bc_testkit::messages::assert_for_people;
    use rustls::{CertificateError, ContentType, InvalidMessage};

    use super::*;

    #[test]
    fn no_failure_has_the_name_that_the_library_gives_it() {
        let alerts = (0..=u8::MAX).map(|number| Error::AlertReceived(AlertDescription::from(number)));
        let others = [
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            Error::InvalidMessage(InvalidMessage::TrailingData("x")),
            Error::NoCertificatesPresented,
            Error::NoApplicationProtocol,
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
            Error::PeerIncompatible(PeerIncompatible::EcPointsExtensionRequired),
            Error::PeerIncompatible(PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon),
            Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol),
            Error::PeerMisbehaved(PeerMisbehaved::DuplicateClientHelloExtensions),
            Error::InvalidCertificate(CertificateError::UnknownIssuer),
            Error::DecryptError,
            Error::PeerSentOversizedRecord,
            Error::FailedToGetRandomBytes,
            Error::InappropriateMessage {
                expect_types: vec![ContentType::Handshake],
                got_type: ContentType::Alert,
            },
            Error::General("x".to_owned()),
        ];
        for error in alerts.chain(others) {
            let words = described(&error);
            assert_for_people(words);
            assert!(words.len() > 10 && !words.contains(&error.to_string()), "{words}");
        }
    }
}
