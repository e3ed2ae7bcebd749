//! The URL of GoCD's database, as the driver of PostgreSQL reads it.
//!
//! GoCD hands `db.url` to pgjdbc, whose grammar is no other's: `//host` without a last slash is no URL, no user stands in
//! front of the host, names of hosts are taken as they stand, and `ssl=true` means more than it says. Read here is what
//! pgjdbc 42.2.10 (GoCD 20.6) and 42.7.12 (GoCD 26.1) make of it (`Driver.parseURL`, `SslMode.of`), and a test asks both.
//! What only one of them accepts, or each in its own way, is refused with a word on it:
//!
//! | in the URL | 42.2.10 | 42.7.12 |
//! |---|---|---|
//! | `//`, and nothing behind it | refuses it | this machine |
//! | a slash in the name of the database behind a host | part of the name | refuses it |
//! | a name of a database that begins with a slash | part of the name | refuses it |
//! | parameters `host`, `port`, `dbname` | passes over them | takes them |
//! | a parameter `service` | passes over it | looks it up in `pg_service.conf` |
//! | as many ports as hosts | finds out when it connects | refuses another number |
//!
//! Two words are taken although 42.2.10 does not connect with them, since it did not know them yet: `primary` and
//! `preferPrimary` as `targetServerType`. Both versions know `master`.
//! Taken otherwise than by the driver are a host with blanks around it, which is trimmed with a notice, and an empty
//! host, which it leaves to the resolver.

use std::{collections::BTreeMap, path::PathBuf};

use crate::basics::{Host, percent};

/// What all URLs of PostgreSQL begin with, letter by letter: the driver passes over `jdbc:pgsql:` and `JDBC:postgresql:`.
pub const PREFIX: &str = "jdbc:postgresql:";
/// The port where none is named.
pub const DEFAULT_PORT: u16 = 5432;

/// What the driver is told by a URL.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// Where it may be, in the order in which the driver tries.
    pub hosts: Vec<Server>,
    /// The name of the database; none where it is that of the user.
    pub database: Option<String>,
    /// The user that the URL names itself.
    pub user: Option<String>,
    /// How the connection is encrypted.
    pub tls: TlsMode,
    /// The file of the certificates that the server's is checked against, where the URL names one.
    pub root_certificates: Option<PathBuf>,
    /// Whether the driver looks for the host that is writable, and so follows a database that fails over by itself.
    pub follows_primary: bool,
    /// The socket that the connection goes through in place of the hosts.
    pub socket: Option<PathBuf>,
    /// What a person should know of it, as sentences.
    pub notices: Vec<String>,
    password: Option<String>,
}

/// One host of a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// A name or an address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// What the driver asks of TLS (`SslMode.of`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// None.
    Disable,
    /// Only where the server wants it.
    Allow,
    /// Where the server has it; nobody checks whose certificate it is.
    Prefer,
    /// Always; nobody checks whose certificate it is.
    Require,
    /// Always, with a certificate that a known authority issued.
    VerifyCa,
    /// Always, with one that also names the host.
    VerifyFull,
}

impl DatabaseUrl {
    /// Reads a JDBC URL of PostgreSQL, which begins with [`PREFIX`]. Properties of the connection that are set
    /// elsewhere (`db.connectionProperties.*`) are in `others`; those of the URL win.
    ///
    /// # Errors
    /// Why the driver refuses it, or makes something of it that nobody means, as a sentence part without the URL itself,
    /// since a password may stand in it.
    pub fn parse(url: &str, others: &BTreeMap<String, String>) -> Result<Self, &'static str> {
        let rest = url.strip_prefix(PREFIX).ok_or("does not begin with jdbc:postgresql:")?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut own = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value).ok_or("has a percent sign that nothing follows that it could mean")?;
            own.insert(name.to_owned(), value);
        }
        if own.contains_key("service") {
            return Err("names a service of pg_service.conf, which Business Continuity does not read");
        }
        let mut notices = Vec::new();
        let (hosts, database) = place_of(place, &own, others, &mut notices)?;
        let mut parameters = others.clone();
        parameters.append(&mut own);
        let text = |name: &str| parameters.get(name).filter(|value| !value.is_empty()).cloned();
        let follows_primary = follows_primary(parameters.get("targetServerType"))?;
        if hosts.len() > 1 && !follows_primary {
            notices.push(
                "db.url names several hosts without targetServerType=primary: GoCD takes the first one that answers, be it a \
                 standby. Add `?targetServerType=primary` to it on both servers."
                    .to_owned(),
            );
        }
        if database.as_deref().is_some_and(|database| database.contains(';')) {
            notices.push(
                "The name of the database in db.url has a `;` in it: parameters of PostgreSQL begin with `?` and are \
                 separated by `&`."
                    .to_owned(),
            );
        }
        Ok(Self {
            hosts,
            database,
            user: text("user"),
            password: text("password"),
            tls: tls(&parameters)?,
            root_certificates: text("sslrootcert").map(PathBuf::from),
            follows_primary,
            socket: text("socketFactory")
                .and_then(|_| text("socketFactoryArg"))
                .map(PathBuf::from),
            notices,
        })
    }

    /// A JDBC URL of PostgreSQL that names one host, with another one in its place, and another port where one is given.
    /// All else stays as it is written. None where what it names is several hosts, or is no URL.
    pub fn with_host(url: &str, host: &Host, port: Option<u16>) -> Option<String> {
        let rest = url.strip_prefix(PREFIX)?;
        let (place, query) = match rest.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (rest, None),
        };
        let names = |name: &str| query.is_some_and(|query| parameter(query, name).is_some());
        let (authority, database) = match place.strip_prefix("//") {
            Some(authority) => authority.split_once('/')?,
            None => ("", place),
        };
        let former = server(authority, &mut Vec::new()).ok()?;
        let names_several = |hosts: &str| hosts.contains(',');
        if names_several(authority)
            || query
                .and_then(|query| parameter(query, "PGHOST"))
                .is_some_and(names_several)
        {
            return None;
        }
        let port_of_place = match port {
            Some(port) => format!(":{port}"),
            None if former.port == DEFAULT_PORT && !authority.trim().ends_with(":5432") => String::new(),
            None => format!(":{}", former.port),
        };
        let mut moved = match names("PGHOST") {
            true => format!("{PREFIX}{place}"),
            false => format!("{PREFIX}//{host}{port_of_place}/{database}"),
        };
        if let Some(query) = query {
            let pairs = query.split('&').map(|pair| match pair.split_once('=') {
                Some(("PGHOST", _)) => format!("PGHOST={host}"),
                Some(("PGPORT", former)) => {
                    format!("PGPORT={}", port.map_or(former.to_owned(), |port| port.to_string()))
                }
                _ => pair.to_owned(),
            });
            moved.push('?');
            moved.push_str(&pairs.collect::<Vec<_>>().join("&"));
            if let (true, false, Some(port)) = (names("PGHOST"), names("PGPORT"), port) {
                moved.push_str(&format!("&PGPORT={port}"));
            }
        }
        Some(moved)
    }

    /// The password that the database URL has in it.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }
}

/// Without the password.
impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseUrl")
            .field("hosts", &self.hosts)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Whether `name` means this server of a database URL: its host, or host and port.
    pub fn is_called(&self, name: &str) -> bool {
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        bare.unwrap_or(name).eq_ignore_ascii_case(&self.host) || name.eq_ignore_ascii_case(&self.to_string())
    }
}

/// As people write it; an IPv6 address in brackets.
impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The value of a parameter of a JDBC URL, as it is written.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(given, value)| (given == name && !value.is_empty()).then_some(value))
}

type Place = (Vec<Server>, Option<String>);

/// Hosts and database of the part of a JDBC URL in front of its parameters, which are `own`. `PGHOST`, `PGPORT` and
/// `PGDBNAME` among these win; those set elsewhere count only where the URL names no host.
fn place_of(
    place: &str,
    own: &BTreeMap<String, String>,
    others: &BTreeMap<String, String>,
    notices: &mut Vec<String>,
) -> Result<Place, &'static str> {
    if ["host", "port", "dbname"].iter().any(|name| own.contains_key(*name)) {
        return Err(
            "has a parameter host, port or dbname, which only the newest driver knows: write //host:port/database",
        );
    }
    let (hosts, database) = match place.strip_prefix("//") {
        Some(authority) => {
            let (hosts, database) = authority
                .split_once('/')
                .ok_or("has no slash behind the host: the driver wants //host:port/database")?;
            if database.contains('/') {
                return Err("has a slash in the name of the database, which GoCD's newer drivers refuse");
            }
            (Some(hosts), database)
        }
        None if place.starts_with('/') => {
            return Err("has one slash where two begin a host: the driver wants //host:port/database");
        }
        None => (None, place),
    };
    if others.contains_key("PGDBNAME") && (hosts.is_none() || database.is_empty()) {
        return Err("has db.connectionProperties.PGDBNAME beside it, of which GoCD's drivers make different things");
    }
    let given = |name: &str| {
        let elsewhere = || hosts.is_none().then(|| others.get(name)).flatten();
        own.get(name).or_else(elsewhere)
    };
    let mut servers = list(hosts.unwrap_or("localhost"))?
        .map(|host| server(host, notices))
        .collect::<Result<Vec<Server>, _>>()?;
    if let Some(hosts) = given("PGHOST") {
        let names = list(hosts)?.map(|host| name(host, notices));
        let names = names.collect::<Result<Vec<String>, _>>()?;
        let ports = servers.iter().map(|server| server.port).collect();
        servers = joined(names, ports, given("PGPORT").is_some())?;
    }
    if let Some(ports) = given("PGPORT") {
        let ports = ports.split(',').map(port_of).collect::<Result<Vec<u16>, _>>()?;
        let names = servers.into_iter().map(|server| server.host).collect();
        servers = joined(names, ports, false)?;
    }
    for server in servers.iter_mut().filter(|server| server.host.is_empty()) {
        // The driver lets the resolver make something of no name: this machine.
        server.host = "localhost".to_owned();
    }
    let database = decoded(database).ok_or("has a percent sign that nothing follows that it could mean")?;
    let database = own.get("PGDBNAME").cloned().unwrap_or(database);
    Ok((servers, Some(database).filter(|name| !name.is_empty())))
}

/// The hosts, each with its port or without, of a list in a JDBC URL.
fn list(text: &str) -> Result<std::str::Split<'_, char>, &'static str> {
    let is_gap = |host: &str| host.trim().is_empty() || host.starts_with(':');
    match text.contains(',') && text.split(',').any(is_gap) {
        true => Err("has a comma with no host beside it"),
        false => Ok(text.split(',')),
    }
}

/// Servers of the names and the ports that a JDBC URL lists apart. Where the ports are only passing, their number is
/// not looked at.
fn joined(names: Vec<String>, mut ports: Vec<u16>, are_passing: bool) -> Result<Vec<Server>, &'static str> {
    if are_passing {
        ports.resize(names.len(), DEFAULT_PORT);
    }
    if ports.len() != names.len() {
        return Err("has another number of ports than of hosts");
    }
    let servers = names.into_iter().zip(ports);
    Ok(servers.map(|(host, port)| Server { host, port }).collect())
}

fn server(text: &str, notices: &mut Vec<String>) -> Result<Server, &'static str> {
    if text.contains('@') {
        return Err("has a user in front of the host: the driver wants db.user and db.password, or ?user=");
    }
    let (host, port) = match text.rsplit_once(':') {
        // The colon is inside the brackets.
        Some((_, behind)) if behind.contains(']') => (text, DEFAULT_PORT),
        Some((host, port)) => (host, port_of(port)?),
        None => (text, DEFAULT_PORT),
    };
    Ok(Server {
        host: name(host, notices)?,
        port,
    })
}

/// The name or address of a host of a JDBC URL, without a port; it may be empty.
fn name(text: &str, notices: &mut Vec<String>) -> Result<String, &'static str> {
    let host = text.trim();
    if host.len() != text.len() {
        notices.push(
            "A host in db.url has a blank beside it: take it out, since the driver looks for it with it.".to_owned(),
        );
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains([':', '[', ']']) {
        return Err("has an IPv6 address without brackets around it, or a port in PGHOST");
    }
    Ok(bare.unwrap_or(host).to_owned())
}

fn port_of(text: &str) -> Result<u16, &'static str> {
    text.parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or("has a port that is no number from 1 to 65535")
}

/// What TLS the parameters `ssl` and `sslmode` of a JDBC URL ask for; the second one wins.
fn tls(parameters: &BTreeMap<String, String>) -> Result<TlsMode, &'static str> {
    match (
        parameters.get("sslmode").map(String::as_str),
        parameters.get("ssl").map(String::as_str),
    ) {
        (Some(mode), _) => match mode.to_ascii_lowercase().as_str() {
            "disable" => Ok(TlsMode::Disable),
            "allow" => Ok(TlsMode::Allow),
            "prefer" => Ok(TlsMode::Prefer),
            "require" => Ok(TlsMode::Require),
            "verify-ca" => Ok(TlsMode::VerifyCa),
            "verify-full" => Ok(TlsMode::VerifyFull),
            _ => Err("has an sslmode that the driver does not know"),
        },
        (None, Some("" | "true")) => Ok(TlsMode::VerifyFull),
        (None, Some(text)) if text.eq_ignore_ascii_case("true") => Ok(TlsMode::VerifyFull),
        (None, _) => Ok(TlsMode::Prefer),
    }
}

/// Whether the driver looks for the host that is writable (`HostRequirement`).
fn follows_primary(word: Option<&String>) -> Result<bool, &'static str> {
    match word.map(String::as_str) {
        Some("primary" | "master" | "preferPrimary") => Ok(true),
        None | Some("any" | "secondary" | "slave" | "preferSecondary" | "preferSlave") => Ok(false),
        Some(_) => Err("has a targetServerType that the driver does not know"),
    }
}

/// Decodes a part of a JDBC URL as `java.net.URLDecoder`: a plus sign is a blank.
fn decoded(text: &str) -> Option<String> {
    percent::decoded(&text.replace('+', " "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(rest: &str) -> Result<DatabaseUrl, &'static str> {
        DatabaseUrl::parse(&format!("{PREFIX}{rest}"), &BTreeMap::new())
    }

    /// Hosts with ports and the database, as one text.
    fn place(rest: &str) -> String {
        match parse(rest) {
            Ok(url) => {
                let hosts: Vec<String> = url.hosts.iter().map(Server::to_string).collect();
                format!("{}/{}", hosts.join(","), url.database.unwrap_or_default())
            }
            Err(refusal) => format!("refused: {refusal}"),
        }
    }

    #[test]
    fn hosts_ports_and_database_are_those_of_the_driver() {
        for (url, expected) in [
            ("//h:5433/db", "h:5433/db"),
            ("//h/db", "h:5432/db"),
            ("db", "localhost:5432/db"),
            ("db?ssl=true", "localhost:5432/db"),
            ("//h/", "h:5432/"),
            ("///db", "localhost:5432/db"),
            ("//[2001:db8::1]:5433/db", "[2001:db8::1]:5433/db"),
            ("//[2001:db8::1]/db", "[2001:db8::1]:5432/db"),
            ("//a:1,b:2,c/db?targetServerType=primary", "a:1,b:2,c:5432/db"),
            ("//h/go%20cd", "h:5432/go cd"),
            ("//h/db;ssl=true", "h:5432/db;ssl=true"),
            ("//h /db", "h:5432/db"),
            ("//h/db?PGHOST=x", "x:5432/db"),
            ("//h/db?PGPORT=7", "h:7/db"),
            ("//a,b/db?PGPORT=7,8", "a:7,b:8/db"),
            ("//h:7/db?PGHOST=x", "x:7/db"),
            ("//h:7/db?PGHOST=", "localhost:7/db"),
            ("//h/db?PGHOST=a,b&PGPORT=7,8", "a:7,b:8/db"),
            (",", "localhost:5432/,"),
        ] {
            assert_eq!(place(url), expected, "{url}");
        }
    }

    #[test]
    fn what_the_driver_refuses_or_nobody_means_is_refused() {
        for url in [
            "//",
            "//h",
            "//h:5433",
            "//::1/db",
            "//u:p@h/db",
            "//h/a/b",
            "//h:0/db",
            "//h:65536/db",
            "//h:/db",
            "//h/%zz",
            "//a,b/db?PGPORT=7",
            "//h/db?PGPORT=",
            "//h/db?PGHOST=a,b",
            "//h/db?PGHOST=a:7",
            "//a,/db",
            "//,a/db",
            "/db",
            "//h/db?port=5",
            "//h/db?targetServerType=PRIMARY",
            "?host=h&port=5",
            "?service=go",
            "//h/db?sslmode=always",
        ] {
            assert!(place(url).starts_with("refused: "), "{url}: {}", place(url));
        }
        for url in ["jdbc:pgsql://h/db", "JDBC:postgresql://h/db", "postgresql://h/db", ""] {
            assert!(DatabaseUrl::parse(url, &BTreeMap::new()).is_err(), "{url}");
        }
    }

    #[test]
    fn what_is_odd_is_said() {
        for url in ["//h/db;ssl=true", "//h /db", "//a,b/db"] {
            assert_eq!(parse(url).expect(url).notices.len(), 1, "{url}");
        }
        assert_eq!(parse("//h/db?ssl=true").expect("plain").notices, Vec::<String>::new());
    }

    #[test]
    fn a_server_is_called_by_its_host_or_by_host_and_port() {
        for (url, name, is_it) in [
            ("//db/x", "db", true),
            ("//db/x", "DB:5432", true),
            ("//db:5433/x", "db:5432", false),
            ("//db/x", "d", false),
            ("//[::1]:7/x", "[::1]:7", true),
            ("//[::1]:7/x", "[::1]", true),
            ("//[::1]:7/x", "::1", true),
        ] {
            assert_eq!(parse(url).expect(url).hosts[0].is_called(name), is_it, "{url} {name}");
        }
    }

    #[test]
    fn ssl_means_more_than_it_says() {
        for (query, mode) in [
            ("", TlsMode::Prefer),
            ("ssl", TlsMode::VerifyFull),
            ("ssl=", TlsMode::VerifyFull),
            ("ssl=true", TlsMode::VerifyFull),
            ("ssl=false", TlsMode::Prefer),
            ("sslmode=require", TlsMode::Require),
            ("ssl=true&sslmode=require", TlsMode::Require),
            ("sslmode=verify-ca", TlsMode::VerifyCa),
            ("sslmode=disable&ssl", TlsMode::Disable),
        ] {
            assert_eq!(parse(&format!("//h/db?{query}")).expect(query).tls, mode, "{query}");
        }
        let others = BTreeMap::from([("sslmode".to_owned(), "require".to_owned())]);
        let of_both = |url: &str| DatabaseUrl::parse(url, &others).expect(url).tls;
        assert_eq!(of_both("jdbc:postgresql://h/db"), TlsMode::Require);
        assert_eq!(of_both("jdbc:postgresql://h/db?sslmode=disable"), TlsMode::Disable);
    }

    #[test]
    fn another_host_takes_the_place_of_the_one_that_is_named() {
        let host: Host = "standbydb".parse().expect("a name");
        let moved = |rest: &str, port| DatabaseUrl::with_host(&format!("{PREFIX}{rest}"), &host, port);
        for (url, port, expected) in [
            ("//h/db", None, "//standbydb/db"),
            ("//h:5432/db", None, "//standbydb:5432/db"),
            (
                "//h:5433/go%20cd?ssl=true&x",
                None,
                "//standbydb:5433/go%20cd?ssl=true&x",
            ),
            ("//h:5433/db", Some(5432), "//standbydb:5432/db"),
            ("//[2001:db8::1]:5433/db?", None, "//standbydb:5433/db?"),
            ("db?user=a", None, "//standbydb/db?user=a"),
            ("///db", Some(7), "//standbydb:7/db"),
            ("//h/db?PGHOST=x", None, "//h/db?PGHOST=standbydb"),
            ("//h/db?PGHOST=x", Some(7), "//h/db?PGHOST=standbydb&PGPORT=7"),
            ("//h/db?PGPORT=8&a=b", None, "//standbydb/db?PGPORT=8&a=b"),
            ("//h/db?PGPORT=8&a=b", Some(7), "//standbydb:7/db?PGPORT=7&a=b"),
        ] {
            let expected = format!("{PREFIX}{expected}");
            assert_eq!(moved(url, port).as_ref(), Some(&expected), "{url}");
        }
        for url in ["//a,b/db", "//a:1,b:2/db", "//h/db?PGHOST=a,b", "//h", "//u:p@h/db"] {
            assert_eq!(moved(url, None), None, "{url}");
        }
        let address: Host = "[::1]".parse().expect("an address");
        let moved = DatabaseUrl::with_host("jdbc:postgresql://h/db", &address, None);
        assert_eq!(moved.as_deref(), Some("jdbc:postgresql://[::1]/db"));
    }

    #[test]
    fn user_and_password_may_be_parameters_and_the_password_is_not_shown() {
        let url = parse("//h/db?user=go%40cd&password=p%26w+1").expect("plain");
        assert_eq!((url.user.as_deref(), url.password()), (Some("go@cd"), Some("p&w 1")));
        assert!(!format!("{url:?}").contains("p&w"), "{url:?}");
    }

    #[test]
    fn a_socket_is_in_its_factorys_argument() {
        let url = parse("//x/db?socketFactory=org.newsclub.X&socketFactoryArg=/run/postgresql/.s.PGSQL.5432");
        let socket = url.expect("plain").socket;
        assert_eq!(socket, Some(PathBuf::from("/run/postgresql/.s.PGSQL.5432")));
    }

    #[test]
    fn who_follows_the_primary_by_itself_says_so() {
        for (word, follows) in [
            ("primary", true),
            ("master", true),
            ("any", false),
            ("secondary", false),
        ] {
            let url = parse(&format!("//a,b/db?targetServerType={word}")).expect(word);
            assert_eq!(url.follows_primary, follows, "{word}");
        }
    }

    proptest! {
        #[test]
        fn no_text_ends_the_program(rest in ".{0,60}") {
            let _ = parse(&rest);
        }

        #[test]
        fn only_the_host_is_another(
            former in "[a-z][a-z0-9]{0,9}(:[1-9][0-9]{0,3})?",
            database in "[a-z_%20]{1,9}",
            query in "([?](PGHOST=x&)?(PGPORT=5&)?(user=u&)?sslmode=require)?",
            port in prop::option::of(1_u16..),
        ) {
            let url = format!("{PREFIX}//{former}/{database}{query}");
            let host: Host = "other.example".parse().expect("a name");
            if let (Ok(before), Some(moved)) =
                (DatabaseUrl::parse(&url, &BTreeMap::new()), DatabaseUrl::with_host(&url, &host, port))
            {
                let after = DatabaseUrl::parse(&moved, &BTreeMap::new()).expect("read as before");
                let wanted = Server { host: "other.example".to_owned(), port: port.unwrap_or(before.hosts[0].port) };
                prop_assert_eq!(&after.hosts, &vec![wanted]);
                prop_assert_eq!(DatabaseUrl { hosts: after.hosts.clone(), ..before }, after);
            }
        }

        #[test]
        fn every_plain_place_is_read(host in "[a-z][a-z0-9.-]{0,20}", port in 1_u16.., database in "[a-z_]{1,20}") {
            prop_assert_eq!(place(&format!("//{host}:{port}/{database}")), format!("{host}:{port}/{database}"));
        }
    }
}
