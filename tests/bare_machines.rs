//! From two bare Debian machines to a pair in sync, by the six commands of README.md and nothing else: they are read from
//! it and typed as they stand there. They need root.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    thread,
    time::{Duration, Instant},
};

use bc_testkit::{
    artefacts,
    machine::{Answer, Machine},
    postgres::programs,
    secrets,
    wait::until,
};

/// The password of GoCD's user in PostgreSQL.
const PASSWORD: &str = "what GoCD logs in with";
const ADDRESSES: [&str; 2] = ["10.88.0.1", "10.88.0.2"];
const LONG: Duration = Duration::from_secs(60);
/// What Debian's packages bring the command with.
const PROGRAMS: &str = "/usr/local/sbin";

/// What each of README's commands is for, in their order.
const COMMANDS: [&str; 6] = [
    "gocd-bc setup database-primary ",
    "gocd-bc setup database-standby ",
    "gocd-bc setup primary ",
    "gocd-bc setup standby ",
    "gocd-bc status",
    "gocd-bc doctor",
];

/// The commands of README's chapter, as they stand there.
fn commands() -> [String; 6] {
    let readme = fs::read_to_string(artefacts::repository().join("README.md")).expect("README.md");
    let (_, chapter) = readme.split_once("\n## Set up a pair\n").expect("the chapter");
    let chapter = chapter.split("\n## ").next().unwrap_or_default();
    let commands: Vec<String> = chapter
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(str::to_owned)
        .collect();
    let commands: [String; 6] = commands.try_into().expect("six commands");
    for (command, begin) in commands.iter().zip(COMMANDS) {
        assert!(command.starts_with(begin), "{command} is not {begin}");
    }
    commands
}

/// A machine as the packages of Debian and GoCD leave it: a new cluster of PostgreSQL, and a GoCD that never ran.
fn install(machine: &Machine, name: &str) {
    let major = programs::newest_of_debian();
    // Debian's installer has a machine know its own name by 127.0.1.1; where that comes from DNS, as on the standby here, GoCD
    // reaches its database by an address of the network.
    let named = |address: &str, host: &str, database: &str| {
        let is_by_loopback = host == name && name == "primarygo";
        let address = if is_by_loopback { "127.0.1.1" } else { address };
        format!("{address} {host} {database}\n")
    };
    let hosts = [
        "127.0.0.1 localhost\n".to_owned(),
        named(ADDRESSES[0], "primarygo", "primarydb"),
        named(ADDRESSES[1], "standbygo", "standbydb"),
    ];
    fs::write(machine.path("/etc/hosts"), hosts.concat()).expect("written");
    machine.does(&format!(
        "rm -rf /etc/postgresql/* /var/lib/postgresql/* && pg_createcluster --start {major} main"
    ));
    for (built, name) in [
        (artefacts::cli(), "gocd-bc"),
        (artefacts::jar(), "gocd-business-continuity.jar"),
    ] {
        let to = machine.path(&format!("{PROGRAMS}/{name}"));
        fs::copy(built, &to).expect("copied");
        chown(&to, Some(0), Some(0)).expect("root may");
    }
    machine.disk("/var/lib/go-server");
    machine.does(
        "useradd --system --home-dir /var/go --create-home go
         install -d -o go -g go /etc/go /var/lib/go-server /var/lib/go-server/plugins /var/lib/go-server/plugins/external \
             /var/lib/go-server/db /var/lib/go-server/config /var/log/go-server
         install -o go -g go -m 0600 /dev/null /var/lib/go-server/config/password.properties
         install -d /usr/share/go-server/lib /usr/share/go-server/wrapper /usr/share/go-server/wrapper-config",
    );
    let launcher = "/usr/share/go-server/lib/go.jar";
    fs::copy(artefacts::host_jar(), machine.path(launcher)).expect("copied");
    let lines = "/usr/share/go-server/wrapper-config/wrapper-properties.conf";
    let conf = [
        format!("wrapper.java.command={}", artefacts::java(17).display()),
        "wrapper.java.mainclass=org.tanukisoftware.wrapper.WrapperJarApp".to_owned(),
        format!("wrapper.app.parameter.1={launcher}"),
        "wrapper.java.classpath.1=/usr/share/java/wrapper.jar".to_owned(),
        format!("wrapper.java.classpath.2={launcher}"),
        "wrapper.java.library.path.1=/usr/lib/jni".to_owned(),
        "wrapper.working.dir=/var/lib/go-server".to_owned(),
        "wrapper.logfile=/var/log/go-server/go-server-wrapper.log".to_owned(),
        "wrapper.console_input=DISABLED".to_owned(),
        "wrapper.java.additional.1=-Xmx256m".to_owned(),
        "wrapper.java.additional.2=-Dgocd.server.log.dir=/var/log/go-server".to_owned(),
        "wrapper.java.additional.3=-Dcruise.config.dir=/etc/go".to_owned(),
        "wrapper.java.additional.4=-Dcruise.config.file=/etc/go/cruise-config.xml".to_owned(),
        // There is no share between the two.
        "wrapper.java.additional.5=-Dbc.artifacts.shared=no".to_owned(),
        format!("#include {lines}"),
    ];
    fs::write(
        machine.path("/usr/share/go-server/wrapper-config/wrapper.conf"),
        conf.join("\n") + "\n",
    )
    .expect("written");
    fs::write(machine.path(lines), "# Lines of one's own.\n").expect("written");
    machine
        .does("chown root:go /usr/share/go-server/wrapper-config/*; chmod 0640 /usr/share/go-server/wrapper-config/*");
    let service = machine.path("/etc/init.d/go-server");
    fs::write(&service, SERVICE).expect("written");
    fs::set_permissions(&service, fs::Permissions::from_mode(0o755)).expect("mode");
}

/// The service of GoCD's packages: the wrapper as GoCD's user, in the background.
const SERVICE: &str = r#"#!/bin/sh
pid=/run/go-server/go-server.pid
start() {
    install -d -o go -g go /run/go-server
    cd /var/lib/go-server
    setpriv --reuid=go --regid=go --init-groups \
        /usr/sbin/wrapper -c /usr/share/go-server/wrapper-config/wrapper.conf wrapper.daemonize=TRUE wrapper.pidfile=$pid
}
stop() {
    [ -f $pid ] || return 0
    kill "$(cat $pid)"
    while [ -f $pid ]; do sleep 0.1; done
}
case $1 in
    start) start ;;
    stop) stop ;;
    restart) stop; start ;;
esac
"#;

/// GoCD runs there, on its PostgreSQL, as it has for years.
fn with_gocd(machine: &Machine) {
    secrets::register("password of a database", PASSWORD.as_bytes());
    machine.does(&format!(
        "su postgres -c 'psql --quiet' <<'END'
create role cruise login password '{PASSWORD}';
create database cruise owner cruise;
\\c cruise
set role cruise;
create table databasechangelog(id text); create table databasechangeloglock(id int); create table pipelines(id int);
END"
    ));
    let fixture = artefacts::fixture("data/config");
    for entry in fs::read_dir(fixture).expect("the sample configuration") {
        let entry = entry.expect("an entry");
        if entry.path().is_file() {
            let to = machine.path("/etc/go").join(entry.file_name());
            fs::copy(entry.path(), to).expect("copied");
        }
    }
    let properties = format!(
        "db.driver=org.postgresql.Driver\ndb.url=jdbc:postgresql://localhost:5432/cruise\ndb.user=cruise\ndb.password={PASSWORD}\n"
    );
    fs::write(machine.path("/etc/go/db.properties"), properties).expect("written");
    machine.does(
        "chown -R go:go /etc/go && chmod 0600 /etc/go/db.properties /etc/go/cipher.aes
         setpriv --reuid=go --regid=go --init-groups git init --quiet /var/lib/go-server/db/config.git
         service go-server start",
    );
}

/// Brings a file from one machine to the other, as root by scp: it is root's there.
fn bring(from: (&Machine, &str), to: (&Machine, &str)) {
    let (from, to) = (from.0.path(from.1), to.0.path(to.1));
    fs::copy(from, &to).expect("copied");
    chown(&to, Some(0), Some(0)).expect("root may");
    fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).expect("mode");
}

/// What stands behind some words in what was said, up to the end of the line.
fn behind<'s>(said: &'s str, words: &str) -> &'s str {
    let (_, rest) = said.split_once(words).unwrap_or_else(|| panic!("no {words}: {said}"));
    rest.lines().next().unwrap_or_default().trim()
}

fn is_well(answer: &Answer) {
    assert_eq!(answer.code, Some(0), "{}", answer.said);
}

#[test]
fn two_bare_machines_become_a_pair_by_the_six_commands_of_the_readme() {
    let begin = Instant::now();
    let [
        database_primary,
        database_standby,
        gocd_primary,
        gocd_standby,
        status,
        doctor,
    ] = commands();
    let (first, second) = (Machine::start("primarygo"), Machine::start("standbygo"));
    thread::scope(|scope| {
        scope.spawn(|| install(&second, "standbygo"));
        install(&first, "primarygo");
    });
    Machine::join([(&first, ADDRESSES[0]), (&second, ADDRESSES[1])]);
    with_gocd(&first);
    eprintln!("two bare machines after {:?}", begin.elapsed());

    let done = first.runs(&database_primary);
    is_well(&done);
    let mut words = behind(&done.said, "scp root@").split_whitespace();
    let (_, there) = words.next().and_then(|from| from.split_once(':')).expect("HOST:FILE");
    let here = words.next().expect("a file here");
    assert!(
        database_standby.contains(&format!("--password-file {here} ")),
        "the first command says {here}: {database_standby}"
    );
    bring((&first, there), (&second, here));
    let done = second.runs(&database_standby);
    is_well(&done);
    assert!(done.said.contains("streaming from primarydb:5432"), "{}", done.said);

    let done = first.runs(&gocd_primary);
    is_well(&done);
    let key = behind(&done.said, "The key of this server: ").to_owned();
    first.does(behind(&done.said, "Now: "));
    until("the primary offers its files", LONG, || {
        let answer = first.runs("gocd-bc status");
        answer.said.contains("\nlistening ").then_some(())
    });
    for file in ["/etc/go/business-continuity-token", "/etc/go/db.properties"] {
        bring((&first, file), (&second, file));
    }
    let done = second.types(&gocd_standby, "Is it the same?", &mut |said| {
        assert!(said.contains(&key), "not the key {key}: {said}");
        "y\n".to_owned()
    });
    is_well(&done);
    assert!(done.said.contains("In sync with the primary"), "{}", done.said);
    assert!(done.said.contains("streaming"), "{}", done.said);
    second.does(behind(&done.said, "Now: "));

    let said = until("held, in sync, and its database streams", LONG, || {
        let answer = second.runs(&status);
        let is_there = "Standby: in sync with the primary, database streaming, GoCD is held";
        answer.said.contains(is_there).then_some(answer)
    });
    is_well(&said);
    eprintln!("a pair after {:?}\n{}", begin.elapsed(), said.said);
    for machine in [&first, &second] {
        let answer = machine.runs(&doctor);
        eprintln!("{}", answer.said);
        assert!(!answer.said.contains("CRITICAL"), "{}", answer.said);
        assert!(matches!(answer.code, Some(0 | 1)), "{answer:?}");
    }
    let log = fs::read_to_string(second.path("/var/log/go-server/go-server-wrapper.log")).expect("the wrapper's log");
    assert!(!log.contains("gocd-host: launcher runs"), "{log}");

    // Run again they change nothing.
    for (machine, command) in [
        (&first, &database_primary),
        (&second, &database_standby),
        (&first, &gocd_primary),
        (&second, &gocd_standby),
    ] {
        let again = machine.runs(command);
        is_well(&again);
        assert!(!again.said.contains(" -> "), "{command}: {}", again.said);
    }
    eprintln!("all of it took {:?}", begin.elapsed());
}
