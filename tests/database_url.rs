//! Our reader of GoCD's database URL against PostgreSQL's own drivers, the one that GoCD 20.6 has and the one of 26.1: a
//! JVM each, a table of URLs that people write, and thousands that nobody does.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bc_core::database::{
    conninfo,
    url::{DatabaseUrl, PREFIX},
};
use bc_testkit::artefacts;
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

type Properties = BTreeMap<String, String>;

/// A JVM with one version of the driver.
struct Driver {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What a driver makes of a URL, in the words of its properties.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    hosts: Vec<String>,
    ports: Vec<String>,
    database: String,
    others: Properties,
}

impl Driver {
    fn start(version: &str) -> Self {
        let variable = format!("BC_PGJDBC_{}", version.replace('.', "_"));
        let usual = || artefacts::repository().join(format!("target/tools/maven/postgresql-{version}.jar"));
        let driver = env::var_os(&variable).map_or_else(usual, Into::into);
        assert!(
            driver.exists(),
            "{} is missing: run `cargo xtask tools`",
            driver.display()
        );
        let mut child = Command::new(artefacts::java(17))
            .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(driver)
            .arg(artefacts::fixture("java/ReadDatabaseUrl.java"))
            .env_remove("JAVA_TOOL_OPTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a JVM");
        Self {
            input: child.stdin.take().expect("piped"),
            output: BufReader::new(child.stdout.take().expect("piped")),
            child,
        }
    }

    /// Both versions that matter.
    fn both() -> [Self; 2] {
        ["42.2.10", "42.7.12"].map(Self::start)
    }

    /// What it makes of the URL; none where it refuses it, by itself or when it is to connect.
    fn read(&mut self, url: &str, others: &Properties) -> Option<Made> {
        let others = others.iter().map(|(name, value)| format!("{name}={value}"));
        let words: Vec<String> = std::iter::once(url.to_owned())
            .chain(others)
            .map(|word| STANDARD.encode(word))
            .collect();
        writeln!(self.input, "{}", words.join(" ")).expect("the JVM listens");
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("the JVM answers");
        assert!(answer.ends_with('\n'), "the JVM ended");
        if answer.trim() == "refused" {
            return None;
        }
        let decoded = |word: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(word).expect("Base64")).expect("UTF-8");
        let mut properties: Properties = answer
            .split_whitespace()
            .map(|pair| pair.split_once('=').expect("a pair"))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect();
        let mut take = |name: &str| properties.remove(name).unwrap_or_default();
        // As it splits them itself: what is empty at the end is not there.
        let list = |text: String| text.trim_end_matches(',').split(',').map(str::to_owned).collect();
        let (hosts, ports, database) = (list(take("PGHOST")), list(take("PGPORT")), take("PGDBNAME"));
        let made = Made {
            hosts,
            ports,
            // The server takes the user's name for that of the database; so do we, where the user is named by nobody.
            database: Some(database)
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| user(&properties).unwrap_or_else(|| USER.to_owned())),
            others: properties,
        };
        (made.others["SslMode"] != "refused").then_some(made)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Already gone is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Who logs in where the URL names nobody.
const USER: &str = "the user of db.user";

/// Whom the URL, or a property of the connection, names.
fn user(properties: &Properties) -> Option<String> {
    let user = properties.get("user").filter(|user| !user.is_empty() && *user != USER);
    user.cloned()
}

/// Asks both drivers and ourselves, and says where we differ from both, or from one of them without a reason.
fn difference(drivers: &mut [Driver; 2], url: &str, others: &Properties) -> Result<(), String> {
    let url = format!("{PREFIX}{url}");
    let mut told = others.clone();
    told.entry("user".to_owned()).or_insert_with(|| USER.to_owned());
    let made = drivers.each_mut().map(|driver| driver.read(&url, &told));
    let ours = match DatabaseUrl::parse(&url, others) {
        Ok(ours) => ours,
        Err(refusal) => {
            return match is_refused_with_reason(&made, &url) {
                true => Ok(()),
                false => Err(format!("we refuse {url} ({refusal}), which is {made:?}")),
            };
        }
    };
    for (version, made) in made.iter().enumerate() {
        let Some(made) = made else {
            return Err(format!("we take {url}, which driver {version} refuses: {ours:?}"));
        };
        // The driver looks for a name with blanks around it, and lets the resolver find a host for none.
        let host = |host: &String| match host.trim().trim_start_matches('[').trim_end_matches(']') {
            "" => "localhost".to_owned(),
            host => host.to_owned(),
        };
        let hosts: Vec<String> = made.hosts.iter().map(host).collect();
        let port = |port: &String| port.parse::<u16>().map_err(|_| port.clone());
        let ports: Vec<Result<u16, String>> = made.ports.iter().map(port).collect();
        let text = |name: &str| made.others.get(name).filter(|value| !value.is_empty());
        let requirement = made.others["HostRequirement"].as_str();
        let follows = match requirement {
            // These words came with a version between the two.
            "refused" if version == 0 && text("targetServerType").is_some_and(|word| is_newer_word(word)) => true,
            "refused" => return Err(format!("we take {url}, with which driver {version} does not connect")),
            word => matches!(word, "primary" | "master" | "preferPrimary"),
        };
        let user = user(&made.others);
        let is_same = hosts == ours.hosts.iter().map(|server| server.host.clone()).collect::<Vec<_>>()
            && ports == ours.hosts.iter().map(|server| Ok(server.port)).collect::<Vec<_>>()
            && made.database
                == ours
                    .database
                    .clone()
                    .or(user.clone())
                    .unwrap_or_else(|| USER.to_owned())
            && user == ours.user
            && text("password").map(String::as_str) == ours.password()
            && made.others["SslMode"] == conninfo::keyword(ours.tls)
            && text("sslrootcert").map(Into::into) == ours.root_certificates
            && follows == ours.follows_primary;
        if !is_same {
            return Err(format!(
                "{url} with {others:?}: driver {version} makes {made:?}, we {ours:?}"
            ));
        }
    }
    Ok(())
}

fn is_newer_word(word: &str) -> bool {
    matches!(word, "primary" | "preferPrimary")
}

/// Whether a URL that a driver takes may be refused by us: the other one refuses it or makes something else of it, or
/// what both make of it is no place.
fn is_refused_with_reason(made: &[Option<Made>; 2], url: &str) -> bool {
    let [Some(older), Some(newer)] = made else { return true };
    let is_same = older == newer;
    let is_place = |made: &Made| {
        let are_hosts = made.hosts.iter().all(|host| {
            let host = host.trim();
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            !host.contains('@') && (bare.is_some() || !host.contains([':', '[', ']']))
        });
        let are_ports = made
            .ports
            .iter()
            .all(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        are_hosts && are_ports && made.hosts.len() == made.ports.len()
    };
    // What stands for no letter is replaced by Java, and its database exists nowhere.
    let is_text = !url.contains("%ff");
    let connects = newer.others["HostRequirement"] != "refused";
    // A service, or a name of libpq, that only the newer one looks up; a host that is none, and is replaced; a comma with
    // nothing beside it.
    let words = [
        "service", "host", "port", "dbname", "PGHOST", "//,", ",,", ",/", ",:", "=,", ",&",
    ];
    let is_odd = words.iter().any(|word| url.contains(word)) || url.ends_with(',');
    !(is_same && is_place(newer) && is_text && connects && !is_odd)
}

/// What people write, or might: with the properties of the connection that are set elsewhere.
const WRITTEN: [(&str, &str); 70] = [
    ("//h:5433/db", ""),
    ("//h/db", ""),
    ("db", ""),
    ("db?ssl=true", ""),
    ("//h/", ""),
    ("//", ""),
    ("///db", ""),
    ("//h", ""),
    ("//h:5433", ""),
    ("//[2001:db8::1]:5433/db", ""),
    ("//[2001:db8::1]/db", ""),
    ("//::1/db", ""),
    ("//a:1,b:2,c/db?targetServerType=primary", ""),
    ("//a:1,b:2,c/db?targetServerType=master", ""),
    ("//u:p@h/db", ""),
    ("//u@h/db", ""),
    ("//h/db?user=u&password=p%40", ""),
    ("//h/go%20cd", ""),
    ("//h%41/db", ""),
    ("//h/db;ssl=true", ""),
    ("//h/a/b", ""),
    ("//h /db", ""),
    ("//h/db?PGHOST=x", ""),
    ("//h:7/db?PGHOST=x", ""),
    ("//h/db?PGHOST=", ""),
    ("//h/db?PGHOST=x:3", ""),
    ("//h/db?PGHOST=x,y", ""),
    ("//h/db?PGPORT=7", ""),
    ("//h/db?PGPORT=", ""),
    ("//h/db?PGDBNAME=x", ""),
    ("//a,b/db?PGPORT=7,8", ""),
    ("//a,b/db?PGPORT=7", ""),
    ("?host=h&port=5", ""),
    ("//h/db?port=5", ""),
    ("//h/db?dbname=x", ""),
    ("?service=go", ""),
    (
        "//x/db?socketFactory=a.B&socketFactoryArg=/run/postgresql/.s.PGSQL.5432",
        "",
    ),
    ("//h:0/db", ""),
    ("//h:65536/db", ""),
    ("//h:/db", ""),
    ("//h/%zz", ""),
    ("//h,/db", ""),
    ("//,h/db", ""),
    ("//,/db", ""),
    ("/db", ""),
    ("db/x", ""),
    ("///", ""),
    ("", ""),
    ("?", ""),
    ("//h/db?sslmode=always", ""),
    ("//h/db?sslmode=", ""),
    ("//h/db?sslmode=REQUIRE", ""),
    ("//h/db?ssl", ""),
    ("//h/db?ssl=", ""),
    ("//h/db?ssl=false", ""),
    ("//h/db?ssl=TRUE", ""),
    ("//h/db?ssl=true&sslmode=disable", ""),
    ("//h/db?targetServerType=PRIMARY", ""),
    ("//h/db?targetServerType=preferPrimary", ""),
    ("//h/db?targetServerType=preferSecondary", ""),
    ("//h/db?&&user=a&", ""),
    ("//h/db?user=u&user=v", ""),
    ("//h/db", "sslmode=require user=u"),
    ("//h/db?sslmode=disable&user=v", "sslmode=require user=u"),
    ("//h/db", "PGHOST=o PGPORT=9"),
    ("db", "PGHOST=o PGPORT=9"),
    ("//h/", "PGDBNAME=o"),
    ("db", "PGDBNAME=o"),
    ("//h/db", "host=o port=9 service=s"),
    ("//h/db", "ssl=true"),
];

#[test]
fn urls_that_people_write_are_read_as_both_drivers_read_them() {
    let mut drivers = Driver::both();
    let differences: Vec<String> = WRITTEN
        .iter()
        .filter_map(|(url, others)| {
            let others = others.split_whitespace().filter_map(|pair| pair.split_once('='));
            let others = others
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            difference(&mut drivers, url, &others).err()
        })
        .collect();
    assert_eq!(differences, Vec::<String>::new());
    // Those that the driver passes on to another one.
    for url in ["jdbc:pgsql://h/db", "JDBC:postgresql://h/db", "jdbc:mysql://h/db"] {
        let made = drivers.each_mut().map(|driver| driver.read(url, &Properties::new()));
        assert_eq!(made, [None, None], "{url}");
        assert!(DatabaseUrl::parse(url, &Properties::new()).is_err(), "{url}");
    }
}

/// URLs out of what means something in their grammar, so that every rule of it is met often.
fn urls() -> impl Strategy<Value = String> {
    let words = |words: Vec<&'static str>| prop::sample::select(words);
    let host = prop_oneof![
        6 => words(vec!["h", "db.example.com", "10.0.0.5", "[::1]", "[2001:db8::1]"]),
        2 => words(vec!["", " h", "h ", "::1", "[::1", "::1]", "u@h", "h%41", "hé", "[h]", "a b", "-"]),
    ];
    let port = prop_oneof![
        6 => words(vec!["", ":5432", ":5433", ":1", ":65535"]),
        1 => words(vec![":", ":0", ":65536", ":x", ":+5", ":05", ": 5", ":5 ", ":-1", ":99999999999"]),
    ];
    let hosts = prop::collection::vec((host, port).prop_map(|(host, port)| format!("{host}{port}")), 1..4)
        .prop_map(|hosts| hosts.join(","));
    let place = (
        words(vec!["//", "//", "//", "//", "", "/"]),
        hosts,
        words(vec!["/", "/", "/", "/", "", "//", ",/", ",,/"]),
        words(vec![
            "db",
            "db",
            "db",
            "",
            "go%20cd",
            "a+b",
            "a/b",
            "db;ssl=true",
            "%zz",
            "%",
            "dbé",
            "%ff",
            "db#x",
            ",",
        ]),
    )
        .prop_map(|(begin, hosts, slash, database)| match begin {
            "" => format!("{database}{slash}"),
            begin => format!("{begin}{hosts}{slash}{database}"),
        });
    let parameter = (
        words(vec![
            "user",
            "password",
            "ssl",
            "sslmode",
            "sslmode",
            "sslrootcert",
            "targetServerType",
            "PGHOST",
            "PGPORT",
            "PGDBNAME",
            "host",
            "port",
            "dbname",
            "service",
            "ApplicationName",
            "",
            "a",
        ]),
        words(vec![
            "",
            "=",
            "=x",
            "=true",
            "=TRUE",
            "=false",
            "=require",
            "=REQUIRE",
            "=verify-ca",
            "=verify-full",
            "=disable",
            "=allow",
            "=prefer",
            "=primary",
            "=master",
            "=any",
            "=secondary",
            "=preferPrimary",
            "=preferSecondary",
            "=slave",
            "=7",
            "=7,8",
            "=a,b",
            "=[::1]",
            "=a:7",
            "=0",
            "=p%40",
            "=%zz",
            "=a+b",
            "=/a/b.crt",
            "=,",
            "=a,",
        ]),
    );
    let parameters = prop::collection::vec(parameter.prop_map(|(name, value)| format!("{name}{value}")), 0..4);
    (place, words(vec!["?", "?", "?", "??", "?&"]), parameters).prop_map(|(place, mark, parameters)| {
        match parameters.is_empty() {
            true => place,
            false => format!("{place}{mark}{}", parameters.join("&")),
        }
    })
}

#[test]
fn every_url_is_read_as_both_drivers_read_it_or_refused_with_reason() {
    let drivers = RefCell::new(Driver::both());
    let config = Config {
        cases: 4000,
        failure_persistence: None,
        ..Config::default()
    };
    // The same ones every time.
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcome = runner.run(&urls(), |url| {
        difference(&mut drivers.borrow_mut(), &url, &Properties::new()).map_err(TestCaseError::fail)
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
