//! The `db.properties` of a standby: that of its primary with another host in it, and nothing else of it changed.
//!
//! | what GoCD's URL says | the host |
//! |---|---|
//! | one host | is replaced |
//! | several hosts, or `targetServerType=primary` | stays: the driver looks for the writable one by itself, and both servers have the same file |
//! | a socket | stays: it leads to a server on the same machine |
//! | H2, MySQL | there is none to replace, and the copy of that database is not looked after |

use super::{
    configured::{self, FILE, Place},
    url::{DatabaseUrl, Server},
};
use crate::basics::{
    Error, Host, Kind, Properties,
    properties::{placed_pairs, plain_value},
};

/// The property that says where GoCD's database is.
const URL: &str = "db.url";

/// What becomes of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtherHost {
    /// It is as it should be: what it names, as people write it.
    AsItIs(String),
    /// It is to name another host.
    Replaced {
        /// The whole text.
        text: Vec<u8>,
        /// The host that it names now.
        now: String,
        /// The host that it is to name.
        then: String,
    },
    /// No host is replaced in it, and why: a whole sentence.
    Stays {
        /// What it names, as people write it.
        named: String,
        /// Why it stays so.
        why: &'static str,
    },
    /// A database of another kind.
    NotCovered(&'static str),
}

/// Looks at a `db.properties`, in which the database is to be at `host` where one is given, and at another port where that
/// is given too. `system` are the system properties of GoCD's JVM.
///
/// # Errors
/// [`Kind::Setting`] naming the property that is wrong, never its value.
pub fn other_host(file: &[u8], system: &Properties, wanted: Option<&(Host, Option<u16>)>) -> Result<OtherHost, Error> {
    let pairs = placed_pairs(file, FILE)?;
    let properties: Properties = pairs.iter().map(|(pair, _)| pair.clone()).collect();
    let url = match Place::read(&properties, system)? {
        Place::NotCovered(what) => return Ok(OtherHost::NotCovered(what)),
        Place::PostgreSql(url) => url,
    };
    let named = named(&url);
    let Some((host, port)) = wanted else {
        return Ok(OtherHost::AsItIs(named));
    };
    let stays = |why| {
        Ok(OtherHost::Stays {
            named: named.clone(),
            why,
        })
    };
    if url.follows_primary {
        return stays("It looks for the writable server by itself, so both servers have the same file.");
    }
    if url.socket.is_some() {
        return stays("It leads through a socket to a server on its own machine.");
    }
    let [former] = url.hosts.as_slice() else {
        return stays("It names several hosts, and which of them is this server's is not known.");
    };
    let then = Server {
        host: host.to_string().trim_matches(['[', ']']).to_owned(),
        port: port.unwrap_or(former.port),
    };
    if *former == then {
        return Ok(OtherHost::AsItIs(named));
    }
    let Some(((_, written), place)) = pairs.iter().rfind(|((key, _), _)| key == URL) else {
        return Err(Error::new(
            Kind::Setting,
            format!("{URL} is not in {FILE} but among the arguments of GoCD's JVM"),
            format!("Write the database of this server there: -D{URL}=…"),
        ));
    };
    let others = configured::connection(&properties, system);
    let moved = DatabaseUrl::with_host(written.trim(), host, *port)
        .filter(|moved| DatabaseUrl::parse(moved, &others).is_ok_and(|url| url.hosts == [then.clone()]));
    let Some(moved) = moved else {
        return stays("Where in it the host stands is not plain: write the one of this server there by hand.");
    };
    let line = format!("{URL}={}", plain_value(&moved));
    let text = [&file[..place.start], line.as_bytes(), &file[place.end..]].concat();
    Ok(OtherHost::Replaced {
        text,
        now: former.to_string(),
        then: then.to_string(),
    })
}

/// What a URL names, for people: hosts and the database, no parameter of it.
fn named(url: &DatabaseUrl) -> String {
    let hosts: Vec<String> = url.hosts.iter().map(Server::to_string).collect();
    match (&url.socket, &url.database) {
        (Some(socket), _) => format!("the socket {}", socket.display()),
        (None, Some(database)) => format!("{}/{database}", hosts.join(",")),
        (None, None) => hosts.join(","),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn look(file: &str, host: &str, port: Option<u16>) -> Result<OtherHost, Error> {
        let wanted = (host.parse().expect("a host"), port);
        other_host(file.as_bytes(), &Properties::default(), Some(&wanted))
    }

    fn replaced(file: &str) -> (String, String, String) {
        match look(file, "standbydb", None).expect(file) {
            OtherHost::Replaced { text, now, then } => (String::from_utf8(text).expect("text"), now, then),
            other => panic!("{file}: {other:?}"),
        }
    }

    #[test]
    fn the_host_is_replaced_and_the_rest_is_what_it_was() {
        let file = "# ours\r\n\r\ndb.driver = org.postgresql.Driver\r\n  db.url = \
                    jdbc\\:postgresql\\://primarydb\\:5432/\\\r\n    cruise?ssl=true\r\ndb.user: gocd\r\ndb.password=a\\\\b";
        let (text, now, then) = replaced(file);
        assert_eq!(
            text,
            "# ours\r\n\r\ndb.driver = org.postgresql.Driver\r\n  \
             db.url=jdbc:postgresql://standbydb:5432/cruise?ssl=true\r\ndb.user: gocd\r\ndb.password=a\\\\b"
        );
        assert_eq!((now.as_str(), then.as_str()), ("primarydb:5432", "standbydb:5432"));
        let again = look(&text, "standbydb", None).expect("plain");
        assert_eq!(again, OtherHost::AsItIs("standbydb:5432/cruise".to_owned()));
        let not_asked = other_host(file.as_bytes(), &Properties::default(), None).expect("plain");
        assert_eq!(not_asked, OtherHost::AsItIs("primarydb:5432/cruise".to_owned()));
    }

    #[test]
    fn of_two_lines_the_one_that_counts_is_replaced() {
        let (text, ..) = replaced("db.url=jdbc:postgresql://a/x\ndb.url=jdbc:postgresql://b/x\n");
        assert_eq!(
            text,
            "db.url=jdbc:postgresql://a/x\ndb.url=jdbc:postgresql://standbydb/x\n"
        );
    }

    #[test]
    fn what_finds_its_server_by_itself_stays() {
        for (url, words) in [
            ("//a,b/db?targetServerType=primary", "by itself"),
            ("//a/db?targetServerType=master", "by itself"),
            ("//a:1,b:2/db", "several hosts"),
            ("//x/db?socketFactory=S&socketFactoryArg=/run/s", "socket"),
        ] {
            match look(&format!("db.url=jdbc:postgresql:{url}"), "standbydb", None).expect(url) {
                OtherHost::Stays { why, .. } => assert!(why.contains(words), "{url}: {why}"),
                other => panic!("{url}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_host_that_is_named_elsewhere_does_not_count_beside_that_of_the_url() {
        let (text, ..) = replaced("db.url=jdbc:postgresql://h/db\ndb.connectionProperties.PGHOST=x");
        assert_eq!(
            text,
            "db.url=jdbc:postgresql://standbydb/db\ndb.connectionProperties.PGHOST=x"
        );
    }

    #[test]
    fn other_databases_are_named() {
        for (file, name) in [
            ("", "H2, which"),
            ("db.url=  ", "H2, which"),
            ("db.url=jdbc:h2:./db", "H2"),
            ("db.url=jdbc:mysql://h/db", "MySQL"),
        ] {
            match look(file, "standbydb", None).expect(file) {
                OtherHost::NotCovered(what) => assert!(what.starts_with(name), "{what}"),
                other => panic!("{file}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named_without_a_secret() {
        for (file, words) in [
            (
                "db.url=jdbc:postgresql://u:hush@h/db",
                "db.url has a user in front of the host",
            ),
            ("db.url=jdbc:postgresql://h", "no slash behind the host"),
            ("db.url=jdbc:pgsql://u:hush@h/db", "no database that GoCD knows"),
            ("db.password=\\uhush", FILE),
        ] {
            let error = look(file, "standbydb", None).expect_err(file);
            assert_eq!(error.kind(), Kind::Setting);
            assert!(
                error.to_string().contains(words) && !error.to_string().contains("hush"),
                "{error}"
            );
        }
        let system = Properties::from_iter([("db.url", "jdbc:postgresql://h/db")]);
        let wanted = ("standbydb".parse().expect("a host"), None);
        let error = other_host(b"db.user=x", &system, Some(&wanted)).expect_err("not in the file");
        assert!(error.to_string().contains("arguments of GoCD's JVM"), "{error}");
    }

    proptest! {
        #[test]
        fn every_other_pair_stays(
            lines in prop::collection::vec("[ -~\u{e4}]{0,30}", 0..8),
            host in "[a-z]{1,9}",
            at in any::<prop::sample::Index>(),
            end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        ) {
            let mut lines = lines;
            lines.insert(at.index(lines.len() + 1), format!("db.url=jdbc:postgresql://{host}/cruise"));
            let file = lines.join(end);
            let wanted = ("other".parse().expect("a name"), Some(6543));
            let looked = other_host(file.as_bytes(), &Properties::default(), Some(&wanted));
            // A line before it may be continued, and one behind it may be another URL.
            if let Ok(OtherHost::Replaced { text, .. }) = looked {
                let pairs = |text: &[u8]| placed_pairs(text, FILE).expect("read before").into_iter().map(|(pair, _)| pair);
                let differ = |(before, after): &((String, String), (String, String))| before != after;
                let differing: Vec<_> = pairs(file.as_bytes()).zip(pairs(&text)).filter(differ).collect();
                prop_assert_eq!(differing.len(), 1);
                prop_assert_eq!(&differing[0].1.1, "jdbc:postgresql://other:6543/cruise");
                prop_assert_eq!(pairs(file.as_bytes()).count(), pairs(&text).count());
                let again = other_host(&text, &Properties::default(), Some(&wanted)).expect("read before");
                prop_assert_eq!(again, OtherHost::AsItIs("other:6543/cruise".to_owned()));
            }
        }
    }
}
