//! Whose certificate is accepted of a PostgreSQL server: as pgjdbc does it, by the mode in `db.url`.
//!
//! | mode | accepted |
//! |---|---|
//! | `allow`, `prefer`, `require` | any: nobody checks it, as libpq and pgjdbc do not |
//! | `verify-ca` | one that an authority of `sslrootcert` issued, or the very certificate that is in that file |
//! | `verify-full` | the same, which also names the host |
//!
//! Without `sslrootcert` the file is `.postgresql/root.crt` in the home folder of GoCD's user.

use std::{fmt, path::Path, sync::Arc};

use bc_core::{
    basics::regular_file,
    database::{configured::Login, url::TlsMode},
};
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    client::{
        Resumption,
        danger::{ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::CryptoProvider,
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};

use crate::tls::{check_signatures, client::builder, is_for, provider};

/// Makes what TLS to GoCD's database needs for a connection of `login`. Made anew for each connection: these are rare,
/// and the file of authorities may have been replaced.
pub(super) fn config(login: &Login) -> ClientConfig {
    let verifier = Verifier {
        mode: login.url.tls,
        known: match login.url.tls {
            TlsMode::VerifyCa | TlsMode::VerifyFull => {
                login.root_certificates().map_or_else(Vec::new, |path| known(&path))
            }
            _ => Vec::new(),
        },
        provider: provider(),
    };
    let mut config = builder(Arc::new(verifier)).with_no_client_auth();
    // A resumed session would skip the check.
    config.resumption = Resumption::disabled();
    config
}

/// Reads the certificates of a PEM file that `login` names; none where it cannot be read, which vouches for nobody.
fn known(path: &Path) -> Vec<CertificateDer<'static>> {
    let text = regular_file::read(path, regular_file::LARGEST_OF_OURS).unwrap_or_default();
    CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).collect()
}

/// Judges what a server shows.
struct Verifier {
    mode: TlsMode,
    known: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// Judges the certificate that GoCD's database shows.
    fn judge(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if !matches!(self.mode, TlsMode::VerifyCa | TlsMode::VerifyFull) {
            return Ok(());
        }
        // rustls takes no authority for a server, and `openssl req -x509` makes one that is both.
        if !self.known.contains(shown) {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(self.known.iter().cloned());
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(shown)?,
                &roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
        }
        match self.mode == TlsMode::VerifyFull && !is_for(shown, name) {
            true => Err(CertificateError::NotValidForName.into()),
            false => Ok(()),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(shown, intermediates, name, now)
            .map(|()| ServerCertVerified::assertion())
    }

    check_signatures!();
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}
