//! What `gocd-bc setup database-standby` is told.

use std::path::PathBuf;

use bc_core::database::{
    conninfo::keyword,
    followed,
    url::{DEFAULT_PORT, Server, TlsMode},
};
use clap::Args;

use super::ClusterPlace;

/// How the PostgreSQL of this host becomes a standby.
#[derive(Debug, Args)]
pub(crate) struct DatabaseStandbyArguments {
    /// The host of the primary's database, and its port if that is not 5432
    #[arg(long, value_name = "HOST[:PORT]", value_parser = server)]
    pub(crate) primary: Server,
    /// Do it; without this it is only shown
    #[arg(long)]
    pub(crate) write: bool,
    /// The file with the password of the role, which `gocd-bc setup database-primary` made on the primary's host
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// The host of the GoCD that uses the database here, if it is not this host; may be repeated
    #[arg(long, value_name = "HOST")]
    pub(crate) gocd_host: Vec<String>,
    /// The role that replicates
    #[arg(long, value_name = "NAME", default_value = followed::ROLE)]
    pub(crate) user: String,
    /// The slot on the primary by which it keeps what this standby has not got yet
    #[arg(long, value_name = "NAME", default_value = followed::SLOT)]
    pub(crate) slot: String,
    /// How the connection to the primary is encrypted: disable, prefer, require, verify-ca or verify-full
    #[arg(long, value_name = "MODE", default_value = "prefer", value_parser = tls)]
    pub(crate) tls: TlsMode,
    /// The certificates that the primary's is checked against, with verify-ca and verify-full
    #[arg(long, value_name = "FILE")]
    pub(crate) root_certificates: Option<PathBuf>,
    /// The folder that the primary ships its log to, as this host sees it
    #[arg(long, value_name = "DIR")]
    pub(crate) share: Option<PathBuf>,
    /// A file whose appearance promotes this server; up to PostgreSQL 15
    #[arg(long, value_name = "FILE")]
    pub(crate) trigger_file: Option<PathBuf>,
    /// Where the folder OLD of a tablespace on the primary goes here; may be repeated
    #[arg(long, value_name = "OLD=NEW", value_parser = mapping)]
    pub(crate) tablespace: Vec<(PathBuf, PathBuf)>,
    /// Take a new copy, though there is a standby of that primary already
    #[arg(long)]
    pub(crate) anew: bool,
    /// Bring a former primary back: as it is, by pg_rewind or by a new copy, whichever its log allows
    #[arg(long, conflicts_with = "anew")]
    pub(crate) reseed: bool,
    /// Fill the data folder and leave its start to whoever starts the container
    #[arg(long, requires = "pgdata")]
    pub(crate) no_start: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterPlace,
}

/// Parses the `HOST[:PORT]` of the option `--primary`.
fn server(text: &str) -> Result<Server, String> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (
            host,
            Some(rest.strip_prefix(':').ok_or("it has the form [ADDRESS]:PORT")?),
        ),
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            // An IPv6 address without brackets has no port.
            _ => (text, None),
        },
    };
    let port = port
        .map_or(Ok(DEFAULT_PORT), str::parse)
        .map_err(|_| "its port is no number up to 65535")?;
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@')) {
        return Err("it is the name or the address of a host".to_owned());
    }
    Ok(Server {
        host: host.to_owned(),
        port,
    })
}

/// Parses the mode of the option `--tls`.
fn tls(text: &str) -> Result<TlsMode, String> {
    let modes = [
        TlsMode::Disable,
        TlsMode::Prefer,
        TlsMode::Require,
        TlsMode::VerifyCa,
        TlsMode::VerifyFull,
    ];
    let known = modes.into_iter().find(|mode| keyword(*mode) == text);
    known.ok_or_else(|| "it is one of disable, prefer, require, verify-ca, verify-full".to_owned())
}

/// Parses the `OLD=NEW` of the option `--tablespace`.
fn mapping(text: &str) -> Result<(PathBuf, PathBuf), String> {
    match text.split_once('=') {
        Some((old, new)) if old.starts_with('/') && new.starts_with('/') => Ok((old.into(), new.into())),
        _ => Err("it has the form OLD=NEW, with whole paths".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_is_a_host_with_or_without_a_port() {
        for (text, expected) in [
            ("primarydb", Some("primarydb:5432")),
            ("primarydb:5433", Some("primarydb:5433")),
            ("10.0.0.5", Some("10.0.0.5:5432")),
            ("[2001:db8::1]:5433", Some("[2001:db8::1]:5433")),
            ("2001:db8::1", Some("[2001:db8::1]:5432")),
            ("", None),
            ("a:b", None),
            ("https://primarygo", None),
            ("[::1]x", None),
        ] {
            let server = server(text).ok().map(|server| server.to_string());
            assert_eq!(server.as_deref(), expected, "{text}");
        }
    }
}
