//! Which database GoCD uses and as whom it logs in: `db.properties` and the JVM's system properties.
//!
//! GoCD puts all system properties first and loads the file over them, so the file wins (`DbProperties`,
//! `ConnectionManager`; the same keys from 20.6 to 26.1). The file is not synced: each node has its own.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::url::{self, DatabaseUrl};
use crate::{
    basics::{Error, Kind, Properties},
    gocd::cipher::{self, Key},
};

/// The name of the file, in GoCD's configuration folder.
pub const FILE: &str = "db.properties";

const CONNECTION: &str = "db.connectionProperties.";
/// The home folder of GoCD's user.
const HOME: &str = "user.home";
/// What each message of a mistake in here ends with.
const MEND: &str = "Mend it in db.properties as GoCD's documentation of its database says, and restart GoCD.";

/// Where to look for it on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `db.properties`, which need not be there.
    pub file: PathBuf,
    /// The key that the password in there may be encrypted with.
    pub cipher: PathBuf,
    /// Those of the system properties that are about the database.
    pub system: Properties,
    /// Who logs in to it, to watch it.
    pub watcher: Watcher,
    /// Which of several servers belongs to this node.
    pub local_host: LocalHost,
}

/// Who logs in to GoCD's database, to watch it (`bc.db.user`, `bc.db.password.file`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Watcher {
    /// GoCD's own user.
    #[default]
    Gocd,
    /// What is named here; what is not is GoCD's.
    Own {
        /// The user.
        user: Option<String>,
        /// The file with the password, in its first line.
        password_file: Option<PathBuf>,
    },
    /// Nobody: who it was to be is not understood.
    Nobody,
}

/// Which of several servers in `db.url` belongs to this node (`bc.db.local.host`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LocalHost {
    /// The only one, or the only one that is on this machine.
    #[default]
    ByAddress,
    /// The one that is called so.
    Named(String),
    /// None of them: which one it was to be is not understood.
    Nobody,
}

impl Source {
    /// The source of a node whose `cruise-config.xml` lies in `folder`: there GoCD looks for the file, under the name that
    /// `go.db.config` may give it.
    pub fn new(folder: &Path, cipher: PathBuf, system: &Properties) -> Self {
        let concerns = |name: &&str| name.starts_with("db.") || *name == HOME;
        let pairs = system.keys().filter(concerns);
        Self {
            file: folder.join(system.get("go.db.config").unwrap_or(FILE)),
            cipher,
            system: pairs.filter_map(|name| Some((name, system.get(name)?))).collect(),
            watcher: Watcher::default(),
            local_host: LocalHost::default(),
        }
    }
}

/// The content of the files that say where GoCD's database is; none of a file that is not there.
#[derive(Default)]
pub struct Files {
    properties: Option<Zeroizing<Vec<u8>>>,
    cipher: Option<Zeroizing<Vec<u8>>>,
    password: Option<Zeroizing<Vec<u8>>>,
}

impl Files {
    /// The content of `db.properties`, of `cipher.aes`, and of the file that `bc.db.password.file` names.
    pub fn new(properties: Option<Vec<u8>>, cipher: Option<Vec<u8>>, password: Option<Vec<u8>>) -> Self {
        let [properties, cipher, password] = [properties, cipher, password].map(|text| text.map(Zeroizing::new));
        Self {
            properties,
            cipher,
            password,
        }
    }
}

/// The database of one GoCD server.
#[derive(Debug)]
pub enum Configured {
    /// PostgreSQL, which is watched.
    PostgreSql(Box<Login>),
    /// A database whose copy is somebody else's business: its name, for people.
    NotCovered(&'static str),
}

/// Where PostgreSQL is, and as whom GoCD logs in.
pub struct Login {
    /// Where.
    pub url: DatabaseUrl,
    /// Who.
    pub user: String,
    /// Which of several servers belongs to this node.
    pub local_host: LocalHost,
    password: Zeroizing<String>,
    /// Where that is from, for people; none where there is none.
    password_of: Option<String>,
    /// `user.home` of GoCD's JVM.
    home: Option<PathBuf>,
}

impl Login {
    /// The password with which this user logs in to GoCD's database; empty where there is none.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Which property or file has the password, as a sentence part: `db.password in db.properties`; none where none has one.
    pub fn password_of(&self) -> Option<&str> {
        self.password_of.as_deref()
    }

    /// The file of the certificates that the database server's is checked against, where it is checked at all.
    pub fn root_certificates(&self) -> Option<PathBuf> {
        let usual = || self.home.as_ref().map(|home| home.join(".postgresql/root.crt"));
        self.url.root_certificates.clone().or_else(usual)
    }

    /// The name of the database that GoCD uses.
    pub fn database(&self) -> &str {
        self.url.database.as_deref().unwrap_or(&self.user)
    }
}

/// Without the password.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("url", &self.url)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Where GoCD's database is, by the settings of it.
#[derive(Debug)]
pub(crate) enum Place {
    /// In PostgreSQL.
    PostgreSql(DatabaseUrl),
    /// In a database whose copy is somebody else's business.
    NotCovered(&'static str),
}

impl Place {
    /// Reads where GoCD's database is; `file` are the pairs of `db.properties`, `system` the system properties.
    ///
    /// # Errors
    /// [`Kind::Setting`]: a URL that the driver refuses, or of no database that GoCD knows.
    pub(crate) fn read(file: &Properties, system: &Properties) -> Result<Self, Error> {
        let given = |key: &str| file.get(key).or_else(|| system.get(key));
        let Some(url) = given("db.url").map(str::trim).filter(|url| !url.is_empty()) else {
            return Ok(Self::NotCovered("H2, which GoCD uses where db.url is empty"));
        };
        if !url.starts_with(url::PREFIX) {
            return match url {
                url if url.starts_with("jdbc:h2:") => Ok(Self::NotCovered("H2")),
                url if url.starts_with("jdbc:mysql:") => Ok(Self::NotCovered("MySQL")),
                _ => Err(wrong("db.url", "is of no database that GoCD knows")),
            };
        }
        let url = DatabaseUrl::parse(url, &connection(file, system)).map_err(|refusal| wrong("db.url", refusal))?;
        Ok(Self::PostgreSql(url))
    }
}

/// What GoCD tells the driver of PostgreSQL beside the URL.
pub(super) fn connection(file: &Properties, system: &Properties) -> BTreeMap<String, String> {
    let keys = system.keys().chain(file.keys());
    let given = |key: &str| file.get(key).or_else(|| system.get(key));
    keys.filter_map(|key| Some((key.strip_prefix(CONNECTION)?.to_owned(), given(key)?.to_owned())))
        .collect()
}

/// Reads the settings of GoCD's database as GoCD would: `file` is the content of `db.properties` where there is one,
/// `system` the system properties, `cipher` the content of this node's `cipher.aes`.
///
/// # Errors
/// [`Kind::Setting`] naming the property that is wrong: a file that is no properties text, a URL that the driver refuses, a
/// password that this node's `cipher.aes` does not open.
pub fn read(file: Option<&[u8]>, system: &Properties, cipher: Option<&[u8]>) -> Result<Configured, Error> {
    read_as(&Watcher::Gocd, None, file, system, cipher)
}

/// Reads the settings of GoCD's database as GoCD would, and who is to watch it.
///
/// # Errors
/// As [`read`], and where who is to watch it is not understood, or its password is not in the file that is named.
pub fn read_of(source: &Source, files: &Files) -> Result<Configured, Error> {
    let [file, cipher, password] =
        [&files.properties, &files.cipher, &files.password].map(|text| text.as_deref().map(Vec::as_slice));
    let mut configured = read_as(&source.watcher, password, file, &source.system, cipher)?;
    if let Configured::PostgreSql(login) = &mut configured {
        login.local_host.clone_from(&source.local_host);
    }
    Ok(configured)
}

fn read_as(
    watcher: &Watcher,
    own_password: Option<&[u8]>,
    file: Option<&[u8]>,
    system: &Properties,
    cipher: Option<&[u8]>,
) -> Result<Configured, Error> {
    let file = file
        .map(|text| Properties::parse(text, FILE))
        .transpose()?
        .unwrap_or_default();
    let url = match Place::read(&file, system)? {
        Place::NotCovered(what) => return Ok(Configured::NotCovered(what)),
        Place::PostgreSql(url) => url,
    };
    let given = |key: &str| file.get(key).or_else(|| system.get(key));
    let text = |key: &str| given(key).map(str::trim).filter(|value| !value.is_empty());
    // The properties that GoCD hands over itself, and after them what the URL says.
    let user = || {
        let user = url.user.as_deref().or_else(|| text("db.user"));
        Ok(user.ok_or_else(|| wrong("db.user", "is missing"))?.to_owned())
    };
    let of = |key: &str| match file.get(key) {
        Some(_) => format!("{key} in {FILE}"),
        None => format!("{key} among the arguments of GoCD's JVM"),
    };
    let password = || match (url.password(), text("db.encryptedPassword"), given("db.password")) {
        (Some(password), ..) => Ok((
            Zeroizing::new(password.to_owned()),
            Some(format!("the one in {}", of("db.url"))),
        )),
        (None, Some(encrypted), _) => Ok((decrypted(encrypted, cipher)?, Some(of("db.encryptedPassword")))),
        (None, None, Some(password)) => Ok((Zeroizing::new(password.to_owned()), Some(of("db.password")))),
        (None, None, None) => Ok((Zeroizing::default(), None)),
    };
    let (user, (password, password_of)) = match watcher {
        Watcher::Gocd => (user()?, password()?),
        Watcher::Own {
            user: own,
            password_file,
        } => (
            own.clone().map_or_else(user, Ok)?,
            match (password_file, own) {
                (Some(path), _) => {
                    let of = format!("what bc.db.password.file names, {}", path.display());
                    (first_line(own_password, path)?, Some(of))
                }
                // The password of GoCD's user is nobody else's.
                (None, Some(_)) => (Zeroizing::default(), None),
                (None, None) => password()?,
            },
        ),
        Watcher::Nobody => {
            return Err(Error::new(
                Kind::Setting,
                "who is to watch GoCD's database is not understood, so nobody logs in to it",
                "Correct bc.db.user and bc.db.password.file, or remove both: then GoCD's own user watches it.",
            ));
        }
    };
    Ok(Configured::PostgreSql(Box::new(Login {
        url,
        user,
        local_host: LocalHost::default(),
        password,
        password_of,
        home: system.get(HOME).map(PathBuf::from),
    })))
}

/// The password in a file that the settings name: its first line.
fn first_line(text: Option<&[u8]>, path: &Path) -> Result<Zeroizing<String>, Error> {
    let line = text.and_then(|text| std::str::from_utf8(text).ok()?.lines().next());
    let line = line.filter(|line| !line.is_empty()).ok_or_else(|| {
        Error::new(
            Kind::Setting,
            format!("bc.db.password.file names {}, which holds no password", path.display()),
            "Write the password into its first line, and let GoCD's user alone read it (`chmod 600`).",
        )
    })?;
    Ok(Zeroizing::new(line.to_owned()))
}

fn decrypted(encrypted: &str, cipher: Option<&[u8]>) -> Result<Zeroizing<String>, Error> {
    const PROPERTY: &str = "db.encryptedPassword";
    if !encrypted.starts_with(cipher::PREFIX) {
        return Err(wrong(
            PROPERTY,
            "was made by a GoCD older than 19.1, whose key nobody has",
        ));
    }
    let key = cipher.and_then(Key::read).ok_or_else(|| {
        wrong(
            PROPERTY,
            "cannot be read, since there is no cipher.aes with a key in it",
        )
    })?;
    key.decrypted(encrypted).ok_or_else(|| {
        Error::new(
            Kind::Setting,
            format!("{PROPERTY} in {FILE} was made with another cipher.aes than this server has"),
            "The key of the primary replaced this server's own at the first sync. Encrypt the password anew with \
             GoCD's API on the primary, or write it as db.password; or name a file with bc.db.password.file.",
        )
    })
}

fn wrong(property: &str, what: &str) -> Error {
    Error::new(Kind::Setting, format!("{property} {what}"), MEND)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `javax.crypto.Cipher` of OpenJDK 17: "p@ssw0rd" under this key.
    const CIPHER: &[u8] = b"fdf500c4ec6e51172477145db6be63c5\n";
    const ENCRYPTED: &str = "AES:c9Uau9icuBlvDvtokvlNaA==:6o0/VJQxfqd5rXljtHICWA==";

    fn of(file: &str) -> Result<Configured, Error> {
        read(Some(file.as_bytes()), &Properties::default(), Some(CIPHER))
    }

    fn login(file: &str) -> Login {
        match of(file).expect(file) {
            Configured::PostgreSql(login) => *login,
            Configured::NotCovered(what) => panic!("{what}"),
        }
    }

    #[test]
    fn a_usual_file_says_where_and_as_whom() {
        let login = login(&format!(
            "db.driver=org.postgresql.Driver\ndb.url=jdbc:postgresql://primarydb:5432/cruise\ndb.user=gocd\n\
             db.password=other\ndb.encryptedPassword={ENCRYPTED}\n"
        ));
        assert_eq!(
            (login.user.as_str(), login.password(), login.database()),
            ("gocd", "p@ssw0rd", "cruise")
        );
        assert_eq!(login.url.hosts[0].to_string(), "primarydb:5432");
        assert!(!format!("{login:?}").contains("p@ssw0rd"), "{login:?}");
    }

    #[test]
    fn the_file_wins_over_system_properties_and_the_url_over_both() {
        let system = Properties::from_iter([
            ("db.url", "jdbc:postgresql://of-the-jvm/cruise"),
            ("db.user", "jvm"),
            ("db.password", "secret"),
            ("db.connectionProperties.sslmode", "require"),
        ]);
        let login = |file: Option<&str>| match read(file.map(str::as_bytes), &system, None).expect("plain") {
            Configured::PostgreSql(login) => login,
            Configured::NotCovered(what) => panic!("{what}"),
        };
        let alone = login(None);
        assert_eq!((alone.user.as_str(), alone.password()), ("jvm", "secret"));
        assert_eq!(alone.url.tls, url::TlsMode::Require);
        let file = login(Some("db.user=file\ndb.connectionProperties.sslmode=disable"));
        assert_eq!((file.user.as_str(), file.url.tls), ("file", url::TlsMode::Disable));
        let url = login(Some(
            "db.url=jdbc:postgresql://h/db?user=url&password=u&sslmode=verify-full",
        ));
        assert_eq!((url.user.as_str(), url.password()), ("url", "u"));
        assert_eq!(url.url.tls, url::TlsMode::VerifyFull);
    }

    #[test]
    fn who_watches_may_be_somebody_else() {
        let file = format!("db.url=jdbc:postgresql://h/db\ndb.user=gocd\ndb.encryptedPassword={ENCRYPTED}\n");
        let own = |user: Option<&str>, file: Option<&str>| Watcher::Own {
            user: user.map(str::to_owned),
            password_file: file.map(PathBuf::from),
        };
        let read = |watcher: Watcher, password: Option<&str>, cipher: Option<&[u8]>| {
            let source = Source {
                watcher,
                ..Source::new(Path::new("/"), PathBuf::new(), &Properties::default())
            };
            let bytes = |text: Option<&[u8]>| text.map(<[u8]>::to_vec);
            let files = Files::new(
                Some(file.clone().into_bytes()),
                bytes(cipher),
                bytes(password.map(str::as_bytes)),
            );
            read_of(&source, &files).map(|configured| match configured {
                Configured::PostgreSql(login) => (login.user.clone(), login.password().to_owned()),
                Configured::NotCovered(what) => panic!("{what}"),
            })
        };
        let as_whom = |user: &str, password: &str| Ok((user.to_owned(), password.to_owned()));
        assert_eq!(read(Watcher::Gocd, None, Some(CIPHER)), as_whom("gocd", "p@ssw0rd"));
        // Also where the password of GoCD cannot be read.
        let both = own(Some("watch"), Some("/f"));
        assert_eq!(read(both.clone(), Some("hush\nmore"), None), as_whom("watch", "hush"));
        assert_eq!(read(own(None, Some("/f")), Some("hush"), None), as_whom("gocd", "hush"));
        assert_eq!(read(own(Some("watch"), None), None, None), as_whom("watch", ""));
        for password in [None, Some(""), Some("\nhush")] {
            let error = read(both.clone(), password, Some(CIPHER)).expect_err("no password");
            assert!(error.message().contains("bc.db.password.file names /f"), "{error}");
        }
        let error = read(Watcher::Nobody, Some("hush"), Some(CIPHER)).expect_err("nobody");
        assert!(error.guidance().contains("bc.db.user"), "{error}");
    }

    #[test]
    fn other_databases_are_named_and_not_watched() {
        for (file, name) in [
            ("", "H2, which"),
            ("db.url=", "H2, which"),
            ("db.url=jdbc:h2:./db", "H2"),
            ("db.url=jdbc:mysql://h/db", "MySQL"),
        ] {
            match of(file).expect(file) {
                Configured::NotCovered(what) => assert!(what.starts_with(name), "{what}"),
                Configured::PostgreSql(login) => panic!("{login:?}"),
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named_without_a_secret() {
        for (file, words) in [
            ("db.url=jdbc:pgsql://h/db", "db.url is of no database"),
            (
                "db.url=jdbc:postgresql://u:hush@h/db\ndb.user=x",
                "db.url has a user in front of the host",
            ),
            ("db.url=jdbc:postgresql://h/db", "db.user is missing"),
            (
                "db.url=jdbc:postgresql://h/db\ndb.user=x\n\
                 db.encryptedPassword=AES:OXIsu/i5GkuQRcXmF18QAQ==:7eIZyEubLwIuZdNetAif5w==",
                "another cipher.aes",
            ),
            (
                "db.url=jdbc:postgresql://h/db\ndb.user=x\ndb.encryptedPassword=abc=",
                "older than",
            ),
            ("db.url=\\uzz", FILE),
        ] {
            let error = of(file).expect_err(file);
            assert_eq!(error.kind(), Kind::Setting);
            assert!(error.to_string().contains(words), "{error}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}
