//! What it means that a PostgreSQL server does not answer as it should.
//!
//! Full is not gone, starting is not gone, and one that takes a connection and then says nothing is not up. What is known is
//! known from the code of the error (SQLSTATE), since messages are in the server's language.

use super::{configured::Login, facts::Platform, finding::Fault};
use crate::basics::{Error, Kind};

/// Where the words are that only the server itself has.
pub(super) const LOG: &str =
    "its log (`pg_lsclusters` on its machine says where that is, else `journalctl -u 'postgresql*'`)";

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The name of the host leads nowhere.
    NoSuchHost,
    /// Nobody listens there, or the network does not lead there: the reason, in words of the operating system.
    Unreachable(String),
    /// It takes connections and says nothing: stopped, frozen, or a disk that hangs.
    Silent,
    /// It is starting, recovering or shutting down, or takes no queries while it replays.
    NotReady,
    /// It was told to end while it was asked.
    Ending,
    /// It has no connection left for this user.
    Full,
    /// It refuses the password.
    Password,
    /// It lets nobody of this name in from here.
    NotAllowed,
    /// It has no such database.
    NoDatabase,
    /// TLS: the reason.
    Tls(String),
    /// It runs, and whoever runs it shows nothing of its log.
    Managed(Platform),
    /// Anything else: the code.
    Other(String),
}

impl Refusal {
    /// What PostgreSQL's error with this SQLSTATE code says.
    pub fn of_code(code: &str) -> Self {
        match code {
            // cannot_connect_now
            "57P03" => Refusal::NotReady,
            // admin_shutdown, crash_shutdown
            "57P01" | "57P02" => Refusal::Ending,
            // too_many_connections
            "53300" => Refusal::Full,
            "28P01" => Refusal::Password,
            "28000" => Refusal::NotAllowed,
            "3D000" => Refusal::NoDatabase,
            // query_canceled, lock_not_available: it is alive and busy.
            "57014" | "55P03" => Refusal::Silent,
            code => Refusal::Other(code.to_owned()),
        }
    }

    /// Whether a database server is there, whatever it says: it must not be taken for one that is gone.
    pub fn is_present(&self) -> bool {
        !matches!(self, Refusal::NoSuchHost | Refusal::Unreachable(_) | Refusal::Silent)
    }

    /// Whether this database server is only busy: it is expected to answer by itself after a while.
    pub fn is_passing(&self) -> bool {
        matches!(self, Refusal::NotReady | Refusal::Ending | Refusal::Full)
    }

    /// Whether this database server works all the same, as far as anybody can see: GoCD may have got in.
    pub fn works(&self) -> bool {
        matches!(self, Refusal::Full | Refusal::Managed(_))
    }

    /// The name of what is wrong with this database server.
    pub fn fault(&self) -> Fault {
        match self {
            Refusal::NoSuchHost => Fault::NoSuchHost,
            Refusal::Unreachable(_) => Fault::Unreachable,
            Refusal::Silent => Fault::Frozen,
            Refusal::NotReady => Fault::NotReady,
            Refusal::Ending => Fault::Ending,
            Refusal::Full => Fault::Full,
            Refusal::Password => Fault::Password,
            Refusal::NotAllowed => Fault::NotAllowed,
            Refusal::NoDatabase => Fault::NoDatabase,
            Refusal::Tls(_) => Fault::Tls,
            Refusal::Managed(_) => Fault::Managed,
            Refusal::Other(_) => Fault::Answer,
        }
    }

    /// The refusal of a database server as an error for people: `server` is where, `login` who asked for what.
    pub fn error(&self, server: &str, login: &Login) -> Error {
        let (user, database) = (login.user.as_str(), login.database());
        let (kind, message, guidance) = match self {
            Refusal::NoSuchHost => (
                Kind::Unreachable,
                format!("the name of the host of PostgreSQL at {server} leads nowhere"),
                "Look it up with `getent hosts` on this server, and correct it in db.url or in DNS.".to_owned(),
            ),
            Refusal::Unreachable(reason) => (
                Kind::Unreachable,
                format!("PostgreSQL at {server} cannot be reached: {reason}"),
                format!(
                    "On its machine `gocd-bc doctor` says whether it runs, and what starts it. If it does, listen_addresses in \
                     postgresql.conf has to name an address of {server}, and no firewall may be in between."
                ),
            ),
            Refusal::Silent => (
                Kind::Unreachable,
                format!("PostgreSQL at {server} takes a connection and does not answer"),
                "Look at that machine: in `ps -C postgres -o pid,stat,args`, T is a server that somebody stopped (`kill -CONT \
                 PID`), D one whose disk hangs; where nothing answers at all, the machine is paused."
                    .to_owned(),
            ),
            Refusal::NotReady => (
                Kind::Busy,
                format!("PostgreSQL at {server} is starting, recovering or shutting down, and answers no query"),
                format!("Wait, and if that lasts look into {LOG}. On a standby hot_standby must be on."),
            ),
            Refusal::Ending => (
                Kind::Unreachable,
                format!("PostgreSQL at {server} is ending"),
                format!("If nobody stopped it, look into {LOG}."),
            ),
            Refusal::Full => (
                Kind::Busy,
                format!("PostgreSQL at {server} runs and has no connection left for {user}"),
                format!(
                    "Raise max_connections above the sum of db.maxActive (32) of both GoCD servers: on the standby's database \
                     first, which may not have less than the primary's, then on the primary's `alter system set \
                     max_connections = 200`, and restart each. Or it is the limit of that user: `alter role {user} connection \
                     limit -1`."
                ),
            ),
            Refusal::Password => (
                Kind::Setting,
                match login.password_of() {
                    Some(of) => format!("PostgreSQL at {server} refuses the password of {user}: {of}"),
                    None => format!("PostgreSQL at {server} wants a password of {user}, and none is set"),
                },
                match login.password_of() {
                    Some(_) => format!("Compare it with what `\\password {user}` set in psql on the primary database."),
                    None => "Write it into db.password in db.properties; that of bc.db.user into the file that \
                             bc.db.password.file names."
                        .to_owned(),
                },
            ),
            Refusal::NotAllowed => (
                Kind::Setting,
                format!("PostgreSQL at {server} does not let {user} in from this server"),
                format!(
                    "Add a line `host {database} {user} ADDRESS/32 scram-sha-256` with this server's address to pg_hba.conf \
                     there, and reload it with `select pg_reload_conf()`. If there is one, the user may not log in: `alter \
                     role {user} login`."
                ),
            ),
            Refusal::NoDatabase => (
                Kind::Setting,
                format!("PostgreSQL at {server} has no database {database}"),
                "Check the end of db.url: it is the name of GoCD's database. `psql -l` there lists those that it has.".to_owned(),
            ),
            Refusal::Tls(reason) => (
                Kind::Trust,
                format!("the TLS connection to PostgreSQL at {server} fails: {reason}"),
                "Check sslmode and sslrootcert in db.url against the server's certificate.".to_owned(),
            ),
            Refusal::Managed(platform) => (
                Kind::Refused,
                format!("PostgreSQL at {server} is run by {platform}, which shows nothing of its log"),
                format!("Watch its copies by its own means; it is promoted with {}.", platform.promotion()),
            ),
            Refusal::Other(code) => (
                Kind::Protocol,
                format!("PostgreSQL at {server} answers with the error {code}"),
                format!("Look into {LOG}, which has the words."),
            ),
        };
        Error::new(kind, message, guidance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        basics::Properties,
        database::configured::{self, Configured, Files, Source, Watcher},
    };

    /// A login as the watcher of a node whose `db.properties` and properties of the JVM say this besides where it is.
    fn login(file: &str, system: &str, watcher: Watcher) -> Login {
        let file = format!("db.url=jdbc:postgresql://primarydb:5432/cruise\ndb.user=gocd\n{file}");
        let system = Properties::parse(system.as_bytes(), "system").expect("valid");
        let source = Source {
            watcher,
            ..Source::new("/etc/go".as_ref(), "/etc/go/cipher.aes".into(), &system)
        };
        let files = Files::new(Some(file.into_bytes()), None, Some(b"of its own\n".to_vec()));
        match configured::read_of(&source, &files).expect("valid") {
            Configured::PostgreSql(login) => *login,
            Configured::NotCovered(what) => panic!("{what}"),
        }
    }

    #[test]
    fn a_password_that_is_refused_is_named_by_where_it_is_written() {
        let said = |file: &str, system: &str, watcher: Watcher| {
            let error = Refusal::Password.error("primarydb:5432", &login(file, system, watcher));
            assert!(!error.to_string().contains("hush"), "{error}");
            error.message().to_owned()
        };
        let own = |user: Option<&str>, file: Option<&str>| Watcher::Own {
            user: user.map(str::to_owned),
            password_file: file.map(Into::into),
        };
        for (file, system, watcher, end) in [
            (
                "db.password=hush",
                "",
                Watcher::Gocd,
                "refuses the password of gocd: db.password in db.properties",
            ),
            (
                "",
                "db.password=hush",
                Watcher::Gocd,
                "refuses the password of gocd: db.password among the arguments of GoCD's JVM",
            ),
            ("", "", Watcher::Gocd, "wants a password of gocd, and none is set"),
            (
                "db.password=hush",
                "",
                own(Some("eye"), Some("/etc/go/eye")),
                "refuses the password of eye: what bc.db.password.file names, /etc/go/eye",
            ),
            (
                "db.password=hush",
                "",
                own(Some("eye"), None),
                "wants a password of eye, and none is set",
            ),
        ] {
            assert_eq!(
                said(file, system, watcher),
                format!("PostgreSQL at primarydb:5432 {end}")
            );
        }
        let url = "db.url=jdbc:postgresql://primarydb/cruise?password=hush";
        assert!(said(url, "", Watcher::Gocd).ends_with("the one in db.url in db.properties"));
    }

    #[test]
    fn one_that_is_full_or_starting_is_there() {
        for code in ["57P03", "53300", "57P01", "28P01", "28000", "3D000", "XX000"] {
            assert!(Refusal::of_code(code).is_present(), "{code}");
        }
        for refusal in [
            Refusal::Silent,
            Refusal::NoSuchHost,
            Refusal::Unreachable("Connection refused".to_owned()),
        ] {
            assert!(!refusal.is_present(), "{refusal:?}");
        }
    }

    #[test]
    fn each_says_where_and_what_to_do() {
        for refusal in [
            Refusal::NoSuchHost,
            Refusal::Unreachable("Connection refused".to_owned()),
            Refusal::Silent,
            Refusal::NotReady,
            Refusal::Ending,
            Refusal::Full,
            Refusal::Password,
            Refusal::NotAllowed,
            Refusal::NoDatabase,
            Refusal::Tls("it has no TLS".to_owned()),
            Refusal::Managed(Platform::Aurora),
            Refusal::Other("XX001".to_owned()),
        ] {
            let error = refusal.error("primarydb:5432", &login("db.password=x", "", Watcher::Gocd));
            assert!(error.message().contains("primarydb:5432"), "{error}");
            assert!(error.guidance().ends_with('.'), "{error}");
        }
    }
}
