//! The server that a standby on this host follows: asked as the standby's own server asks it, by its `primary_conninfo`, and
//! what keeps the standby from following, by what that answers and by the standby's log.

use std::{
    fs, io,
    net::{IpAddr, ToSocketAddrs, UdpSocket},
    time::Duration,
};

use bc_core::{
    basics::{Error, Kind},
    database::{
        conninfo::Conninfo,
        facts::LIMITS,
        messages::{self, Names},
        position::{Position, Told, ToldServer},
        recovery::RECOVERY_CONF,
        setting_file,
    },
};

use crate::{
    cluster::Cluster,
    database_standby::{places, said_since},
    replication::Remote,
    superuser::Superuser,
};

/// Seconds that `psql` may take to connect to one address: it knows no less.
const CONNECT_WITHIN_S: &str = "2";
/// What names a file in a connection string.
const FILES: [&str; 5] = ["passfile", "sslrootcert", "sslcert", "sslkey", "sslcrl"];
/// As long may it take in all.
const WITHIN: Duration = Duration::from_secs(3);

/// Whom a standby follows.
pub struct Upstream {
    conninfo: Conninfo,
    password: Option<String>,
    slot: Option<String>,
    has_archive: bool,
}

impl Upstream {
    /// Whom the standby of `cluster` follows, as its superuser sees it; none where it streams from nobody, or from somebody
    /// whom Business Continuity cannot read.
    ///
    /// # Errors
    /// The server does not say.
    pub fn of(cluster: &Cluster, server: &Superuser) -> Result<Option<Self>, Error> {
        let of_file = match cluster.major {
            ..12 => cluster
                .owner
                .act(|| fs::read_to_string(cluster.data.join(RECOVERY_CONF)).unwrap_or_default())?,
            _ => String::new(),
        };
        let setting = |name: &str| match cluster.major {
            ..12 => Ok(setting_file::value_of(&of_file, name)),
            _ => server.value(&format!("select current_setting('{name}')")),
        };
        let text = setting("primary_conninfo")?.unwrap_or_default();
        let slot = setting("primary_slot_name")?.filter(|slot| !slot.is_empty());
        let has_archive = setting("restore_command")?.is_some_and(|command| !command.is_empty());
        let Ok(mut conninfo) = Conninfo::parse(&text) else {
            return Ok(None);
        };
        if text.trim().is_empty() {
            return Ok(None);
        }
        for name in FILES {
            // The server looks from its data folder.
            let path = conninfo.get(name).map(|path| cluster.data.join(path));
            if let Some(path) = path.filter(|path| path.exists()) {
                conninfo.set(name, &path.display().to_string());
            }
        }
        // Everybody sees a command line.
        let password = conninfo.take("password");
        conninfo.set("connect_timeout", CONNECT_WITHIN_S);
        Ok(Some(Self {
            conninfo,
            password,
            slot,
            has_archive,
        }))
    }

    /// Whether the standby has an archive beside that server.
    pub fn has_archive(&self) -> bool {
        self.has_archive
    }

    /// What the server says of itself to the role that replicates.
    ///
    /// # Errors
    /// It does not let that role in: with the cause and what to type. [`Kind::Unreachable`]: it says nothing. [`Kind::File`]: it
    /// cannot be asked from here.
    pub fn ask(&self, cluster: &Cluster) -> Result<Told, Error> {
        let mut psql = cluster.program("psql").within(WITHIN);
        if let Some(password) = &self.password {
            psql = psql.env("PGPASSWORD", password);
        }
        let remote = Remote::ask(psql, &self.conninfo, &self.names()).map_err(|error| match is_silence(&error) {
            true => Error::new(
                Kind::Unreachable,
                format!(
                    "no packet comes back from {} within {} s",
                    self.address(),
                    WITHIN.as_secs()
                ),
                format!(
                    "Look at that host and at the firewalls between both: `nc -vz {}`.",
                    self.address().replace(':', " ")
                ),
            ),
            false => error,
        })?;
        let limit = |name: &&str| Some(((*name).to_owned(), remote.settings.get(*name)?.parse().ok()?));
        Ok(Told {
            position: Position {
                system: remote.system,
                timeline: Some(remote.timeline),
                written: remote.position,
            },
            server: Some(ToldServer {
                version: remote.version,
                started: String::new(),
                limits: LIMITS.iter().filter_map(limit).collect(),
                // Which it has it does not say.
                slots: self.slot.iter().cloned().collect(),
            }),
        })
    }

    /// What the standby's log says last of why it does not follow, and what to type; none where it says nothing that is
    /// known.
    pub fn said_by_log(&self, cluster: &Cluster) -> Option<String> {
        let names = self.names();
        let said = places(cluster).into_iter().find_map(|path| {
            let text = said_since(&path, 0)?;
            text.lines().rev().find_map(|line| messages::meaning(line, &names))
        })?;
        Some(format!("{}. {}", said.cause, said.mend))
    }

    /// Whether that server is on this host, by loopback or a socket. No name is looked up for it.
    pub fn is_here(&self) -> bool {
        let host = self.conninfo.get("hostaddr").unwrap_or(self.host());
        let is_loopback = |address: IpAddr| address.is_loopback();
        host == "localhost" || host.starts_with('/') || host.parse().is_ok_and(is_loopback)
    }

    fn host(&self) -> &str {
        let host = self.conninfo.get("host").filter(|host| !host.is_empty());
        host.or(self.conninfo.get("hostaddr")).unwrap_or("localhost")
    }

    fn port(&self) -> &str {
        self.conninfo
            .get("port")
            .filter(|port| !port.is_empty())
            .unwrap_or("5432")
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host(), self.port())
    }

    fn names(&self) -> Names {
        let names = Names::default()
            .with("primary", self.host())
            .with("port", self.port())
            .with("user", self.conninfo.get("user").unwrap_or("postgres"))
            .with("slot", self.slot.as_deref().unwrap_or("gocd_bc"));
        match self.own_address() {
            Ok(address) => names.with("address", address.to_string()),
            Err(_) => names,
        }
    }

    /// From which address of this host that server is reached. Nothing is sent for it, and no name looked up.
    fn own_address(&self) -> io::Result<IpAddr> {
        let host = self.conninfo.get("hostaddr").unwrap_or(self.host());
        let host: IpAddr = host.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
        let port: u16 = self.port().parse().map_err(|_| io::ErrorKind::InvalidInput)?;
        let any = if host.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.connect(
            (host, port)
                .to_socket_addrs()?
                .next()
                .ok_or(io::ErrorKind::InvalidInput)?,
        )?;
        Ok(socket.local_addr()?.ip())
    }
}

/// Whether nothing came back: neither an answer nor a refusal.
fn is_silence(error: &Error) -> bool {
    error.kind() == Kind::Unreachable || error.message().contains("timeout expired")
}
