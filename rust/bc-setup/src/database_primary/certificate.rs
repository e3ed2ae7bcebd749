//! Key and certificate of a server that has none, where TLS has to be turned on.
//!
//! They are in the data folder, where PostgreSQL looks for them by default, and so on the standby as well: a setting
//! `ssl = on` that came along with the copy would keep it from starting without them.

use std::path::{Path, PathBuf};

use bc_core::{
    basics::{Error, Kind},
    durable::atomic,
};

use super::{addresses::Addresses, settings::Settings};
use crate::{cluster::Cluster, plan::Plan, superuser::Superuser};

/// What has to be made.
#[derive(Debug)]
pub(super) struct Certificate {
    /// Key and certificate, where they are missing.
    missing: Option<(PathBuf, PathBuf)>,
    /// What the certificate names.
    names: Vec<String>,
}

impl Certificate {
    /// Looks at the certificate that the primary's server shows.
    pub(super) fn look(
        cluster: &Cluster,
        server: &Superuser,
        settings: &Settings,
        addresses: &Addresses,
    ) -> Result<Self, Error> {
        let names = addresses.all().iter().map(ToString::to_string).collect();
        if !settings.turns_tls_on() {
            return Ok(Self { missing: None, names });
        }
        let path = |name: &str| -> Result<PathBuf, Error> {
            let file = server.value(&format!("select current_setting('{name}')"))?;
            Ok(cluster.data.join(file.unwrap_or_default()))
        };
        let (key, certificate) = (path("ssl_key_file")?, path("ssl_cert_file")?);
        let is_usual = |path: &Path| path.parent() == Some(&cluster.data);
        let missing = match (key.exists(), certificate.exists()) {
            (true, true) => None,
            (false, false) if is_usual(&key) && is_usual(&certificate) => Some((key, certificate)),
            _ => {
                return Err(Error::new(
                    Kind::File,
                    format!(
                        "ssl_key_file and ssl_cert_file name {} and {}, which are not both there",
                        key.display(),
                        certificate.display()
                    ),
                    "Make them, or set both to their defaults, server.key and server.crt.",
                ));
            }
        };
        Ok(Self { missing, names })
    }

    /// Adds to the plan what is done about the primary's certificate.
    pub(super) fn plan(&self, plan: &mut Plan) {
        if let Some((_, certificate)) = &self.missing {
            plan.change(
                "certificate",
                "missing",
                certificate.display().to_string(),
                "self-signed; put your own there, with its key, whenever you like",
            );
        }
    }

    /// Whether the primary's certificate is to be made.
    pub(super) fn has_work(&self) -> bool {
        self.missing.is_some()
    }

    /// Makes key and certificate of the primary's server, as files of PostgreSQL's user.
    pub(super) fn make(&self, cluster: &Cluster) -> Result<(), Error> {
        let Some((key_file, certificate_file)) = &self.missing else {
            return Ok(());
        };
        let made = rcgen::generate_simple_self_signed(self.names.clone());
        let made = made.map_err(|_| Error::new(Kind::File, "cannot make a certificate for the server", ""))?;
        cluster.owner.act(|| {
            atomic::write_as(key_file, made.signing_key.serialize_pem().as_bytes(), 0o600, None)?;
            atomic::write_as(certificate_file, made.cert.pem().as_bytes(), 0o644, None)
        })?
    }
}
