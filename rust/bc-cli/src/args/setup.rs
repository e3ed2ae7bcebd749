//! The commands under `gocd-bc setup`.

use std::{net::IpAddr, path::PathBuf};

use bc_core::{
    basics::{Fingerprint, Host},
    database::followed,
    settings::primary_url::PrimaryUrl,
};
use clap::{Args, Subcommand};

use self::database_standby::DatabaseStandbyArguments;

pub(crate) mod database_standby;

#[derive(Debug, Subcommand)]
pub(crate) enum SetupCommand {
    /// Make the primary's database ready to be followed, on the host of that database
    ///
    /// Shows line by line how it is and what would change; --write does it, keeps a copy of each file that it changes,
    /// and proves the result by a replication connection. Run again it changes nothing. Run it as root, or as the user
    /// that PostgreSQL runs as. Ends with 0 when all that was asked for is done, with 1 when it was not or a restart of
    /// the server is missing.
    DatabasePrimary(DatabasePrimaryArguments),
    /// Make the PostgreSQL of this host a standby of the primary's, on the host of the standby's database
    ///
    /// Looks at both servers, shows what would change, and does it with --write: a base backup is taken beside the data
    /// folder, told whom to follow, and moved in; what was there before is kept beside it and never deleted. Ends when
    /// the standby streams, with how far it is behind. Interrupted anywhere, it goes on when it is run again. Run it as
    /// root, or as the user that PostgreSQL runs as.
    DatabaseStandby(DatabaseStandbyArguments),
    /// Make this GoCD server the primary that a standby is to follow
    ///
    /// Looks at the plugin, the token, this server's key, the line of the wrapper by which the plugin is an agent too, and
    /// the port. GoCD may run meanwhile. At the end stands what to type on the standby, and what to restart. Run it as
    /// root: what is GoCD's is written as GoCD's user. Run again it changes nothing.
    Primary(PrimaryWish),
    /// Make this GoCD server the standby of a primary, up to its first sync
    ///
    /// Asks the primary which key it shows, and whether it takes the token; then writes the lines of the wrapper,
    /// token, trust and db.properties, and fetches all files. GoCD must be stopped meanwhile, and is held from its next
    /// start on. Interrupted anywhere, it can be run again. Run it as root: what is GoCD's is written as GoCD's user.
    Standby(StandbyWish),
}

/// What is wanted of the primary's database.
#[derive(Debug, Args)]
pub(crate) struct DatabasePrimaryArguments {
    /// The host of the standby's database, which may follow from there
    #[arg(long, value_name = "HOST")]
    pub(crate) standby: String,
    /// Do it
    #[arg(long)]
    pub(crate) write: bool,
    /// Restart the server where a setting needs that; GoCD waits meanwhile
    #[arg(long, requires = "write")]
    pub(crate) restart: bool,
    /// A folder on a share that the log is shipped to as well, the same one on both hosts
    #[arg(long, value_name = "DIR")]
    pub(crate) share: Option<PathBuf>,
    /// GoCD's database, if it is not the only one with GoCD's tables
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// The address by which the standby knows this host, if it is not the one on the way there
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<IpAddr>,
    /// The host of the GoCD that uses this database, if it is not this host; may be repeated
    #[arg(long, value_name = "HOST")]
    pub(crate) gocd_host: Vec<String>,
    /// The role that the standby logs in with
    #[arg(long, value_name = "NAME", default_value = followed::ROLE)]
    pub(crate) user: String,
    /// The slot that keeps the log for the standby
    #[arg(long, value_name = "NAME", default_value = followed::SLOT)]
    pub(crate) slot: String,
    /// Where the password of the role is kept, for the standby's host [default: .gocd-bc.pgpass in the home folder of
    /// PostgreSQL's user]
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Give the role another password
    #[arg(long)]
    pub(crate) new_password: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterPlace,
}

/// How the GoCD server of this machine becomes a primary.
#[derive(Debug, Args)]
pub(crate) struct PrimaryWish {
    /// The plugin's jar, if it is not in the plugin folder yet [default: the one beside this command]
    #[arg(long, value_name = "FILE")]
    pub(crate) jar: Option<PathBuf>,
    /// Do it; without it is only shown what would change
    #[arg(long)]
    pub(crate) write: bool,
}

/// How the GoCD server of this machine becomes a standby.
#[derive(Debug, Args)]
pub(crate) struct StandbyWish {
    /// Where the primary is, such as https://primarygo:8155
    #[arg(long, value_name = "URL", value_parser = primary_url)]
    pub(crate) primary: PrimaryUrl,
    /// The primary's key, as `gocd-bc setup primary` and `gocd-bc identity show` print it there; without it you are asked
    #[arg(long)]
    pub(crate) fingerprint: Option<Fingerprint>,
    /// A copy of the primary's business-continuity-token, if it is not in the configuration folder yet
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// A copy of the primary's db.properties, if it is not in the configuration folder yet
    #[arg(long, value_name = "FILE")]
    pub(crate) db_properties: Option<PathBuf>,
    /// The PostgreSQL server of this standby, put in the place of the one that db.properties names
    #[arg(long, value_name = "HOST[:PORT]", value_parser = database)]
    pub(crate) database: Option<(Host, Option<u16>)>,
    /// The plugin's jar, if it is not in the plugin folder yet [default: the one beside this command]
    #[arg(long, value_name = "FILE")]
    pub(crate) jar: Option<PathBuf>,
    /// Do it; without it is only shown what would change
    #[arg(long)]
    pub(crate) write: bool,
}

/// Parses the address of a primary.
fn primary_url(text: &str) -> Result<PrimaryUrl, String> {
    let url = text
        .parse::<PrimaryUrl>()
        .map_err(|mistake| format!("the address {mistake}"))?;
    match url.is_secure() {
        true => Ok(url),
        false => Err("write it with https://".to_owned()),
    }
}

/// Parses where a database is.
fn database(text: &str) -> Result<(Host, Option<u16>), String> {
    let (host, port) = Host::with_port(text).map_err(|mistake| mistake.to_string())?;
    let port = port.map(|port| {
        port.parse::<u16>()
            .map_err(|_| "the port is no number up to 65535".to_owned())
    });
    Ok((host, port.transpose()?.filter(|port| *port > 0)))
}

/// Which cluster of PostgreSQL is meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which cluster of PostgreSQL")]
pub(crate) struct ClusterPlace {
    /// The cluster, as pg_lsclusters or the name of its unit calls it, such as 15/main, if there are several
    #[arg(long, value_name = "NAME", conflicts_with = "pgdata")]
    pub(crate) cluster: Option<String>,
    /// The data folder of the cluster, if no package knows it
    #[arg(long, value_name = "DIR")]
    pub(crate) pgdata: Option<PathBuf>,
}
