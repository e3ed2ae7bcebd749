//! Real PostgreSQL servers, as a connection of ours sees them: both roles, and what is wrong with one that does not answer.

use std::{
    path::PathBuf,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use bc_core::{
    basics::Properties,
    database::{
        configured::{self, Configured, Login},
        facts::Platform,
        look::{Look, Role},
        refusal::Refusal,
    },
};
use bc_server::database::{Connection, is_pooler};
use bc_testkit::{
    free_port,
    postgres::{DATABASE, PASSWORD, Postgres, USER},
    wait::until,
};
use tokio::runtime::Runtime;

const LONG: Duration = Duration::from_secs(60);

fn login(text: &str) -> Login {
    match configured::read(Some(text.as_bytes()), &Properties::default(), None).expect(text) {
        Configured::PostgreSql(login) => *login,
        Configured::NotCovered(what) => panic!("{what}"),
    }
}

fn look(runtime: &Runtime, login: &Login) -> Result<Look, Refusal> {
    runtime.block_on(async { Connection::open(login, &login.url.hosts[0]).await?.look().await })
}

#[test]
fn both_roles_say_what_they_are_to_the_plain_owner() {
    let runtime = Runtime::new().expect("a runtime");
    let primary = Postgres::primary();
    let standby = Postgres::standby_of(&primary);
    let (at_primary, at_standby) = (login(&primary.properties()), login(&standby.properties()));
    let there = look(&runtime, &at_primary).expect("it answers");
    assert_eq!(
        (there.role, there.timeline, there.replayed),
        (Role::Primary, Some(1), None)
    );
    let written = there.written.expect("a primary writes");
    let here = until("the standby to stream", LONG, || {
        let here = look(&runtime, &at_standby).ok()?;
        (here.receiver.is_some() && here.replayed >= Some(written)).then_some(here)
    });
    assert_eq!(
        (here.role, here.system, here.written),
        (Role::Standby, there.system, None)
    );
    assert!(!here.is_paused && !here.has_archive);

    standby.sql("select pg_wal_replay_pause()");
    assert!(look(&runtime, &at_standby).expect("it answers").is_paused);
    standby.sql("select pg_wal_replay_resume()");
    primary.configure("postgresql.conf", "default_transaction_read_only = on");
    until("a fenced primary to be none", LONG, || {
        (look(&runtime, &at_primary).ok()?.role == Role::ReadOnly).then_some(())
    });
    standby.sql("select pg_promote()");
    let promoted = until("the promotion to be seen", LONG, || {
        look(&runtime, &at_standby)
            .ok()
            .filter(|look| look.role == Role::Primary)
    });
    assert_eq!((promoted.timeline, promoted.system), (Some(2), there.system));
}

#[test]
fn what_keeps_a_server_from_answering_is_told_apart() {
    let runtime = Runtime::new().expect("a runtime");
    let server = Postgres::primary();
    let properties = server.properties();
    let refused = |text: &str| look(&runtime, &login(text)).expect_err(text);
    assert_eq!(refused(&properties.replace(PASSWORD, "another")), Refusal::Password);
    assert_eq!(refused(&properties.replace(PASSWORD, "")), Refusal::Password);
    assert_eq!(refused(&properties.replace("/cruise", "/none")), Refusal::NoDatabase);
    let nowhere = properties.replace("127.0.0.1", "nowhere.invalid");
    assert_eq!(refused(&nowhere), Refusal::NoSuchHost);
    let refusal = refused(&properties.replace("/cruise", "/cruise?sslmode=require"));
    assert!(matches!(refusal, Refusal::Tls(_)), "{refusal:?}");
    server.sql("alter role gocd connection limit 0");
    assert_eq!(refused(&properties), Refusal::Full);
    server.sql("alter role gocd connection limit 4");
    server.configure("pg_hba.conf", "");
    server.sql("alter role gocd nologin");
    assert_eq!(refused(&properties), Refusal::NotAllowed);
    server.sql("alter role gocd login");
    assert!(look(&runtime, &login(&properties)).is_ok());
    server.crash();
    assert!(matches!(refused(&properties), Refusal::Unreachable(_)));
}

/// A machine that is paused takes connections, since its kernel does, and its server says nothing.
#[test]
fn a_frozen_server_keeps_nobody_waiting() {
    let runtime = Runtime::new().expect("a runtime");
    let server = Postgres::primary();
    let login = login(&server.properties());
    let kept = runtime
        .block_on(Connection::open(&login, &login.url.hosts[0]))
        .expect("it answers");
    runtime.block_on(kept.look()).expect("it answers");
    server.freeze(true);
    let asked = Instant::now();
    assert_eq!(runtime.block_on(kept.look()), Err(Refusal::Silent));
    assert_eq!(look(&runtime, &login), Err(Refusal::Silent));
    assert!(asked.elapsed() < LONG, "{:?}", asked.elapsed());
    server.freeze(false);
    assert!(look(&runtime, &login).is_ok());
}

/// It is stopped while it works on a question, and nobody sees that from the connection.
#[test]
fn a_server_that_is_frozen_in_the_middle_of_a_query_keeps_nobody_waiting() {
    let runtime = Runtime::new().expect("a runtime");
    let server = Postgres::primary();
    let login = login(&server.properties());
    let kept = runtime
        .block_on(Connection::open(&login, &login.url.hosts[0]))
        .expect("it answers");
    thread::scope(|scope| {
        // What is asked each second reads this view, and waits for the lock.
        scope.spawn(|| {
            let hold = "begin; lock table pg_stat_wal_receiver; select pg_sleep(600)";
            server.try_sql(DATABASE, hold)
        });
        until("the view to be locked", LONG, || {
            let locks = "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted";
            (server.sql(locks) != "0").then_some(())
        });
        let asked = Instant::now();
        let answer = scope.spawn(|| runtime.block_on(kept.look()));
        thread::sleep(Duration::from_millis(500));
        server.freeze(true);
        assert_eq!(answer.join().expect("it ends"), Err(Refusal::Silent));
        let waited = asked.elapsed();
        assert!(waited < Duration::from_secs(10), "{waited:?}");
        server.freeze(false);
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where query like '%sleep(600)' and pid <> \
                   pg_backend_pid()";
        server.sql(end);
    });
    until("it to answer again", LONG, || look(&runtime, &login).ok());
}

/// Whatever the language of its messages is: what is wrong is known by codes.
#[test]
fn a_server_that_speaks_german_is_understood() {
    let runtime = Runtime::new().expect("a runtime");
    let server = Postgres::primary();
    let locales = server.folder_of("locales");
    let german = locales.join("de_DE.UTF-8");
    let made = server
        .as_postgres("localedef")
        .args(["-i", "de_DE", "-f", "UTF-8"])
        .arg(&german)
        .output();
    let made = made.expect("this test needs the Debian package locales");
    assert!(german.exists(), "{made:?}");
    server.configure("postgresql.conf", "lc_messages = 'de_DE.UTF-8'");
    server.stop();
    let started = server
        .tool("pg_ctl")
        .expect("there is one")
        .env("LOCPATH", &locales)
        .args(["-w", "-s", "start", "-D"])
        .arg(server.data())
        .arg("-l")
        .arg(server.path().join("log"))
        .status();
    assert!(started.expect("it runs").success(), "{}", server.log());
    let properties = server.properties();
    let refused = |text: &str| look(&runtime, &login(text)).expect_err(text);
    let seen = look(&runtime, &login(&properties)).expect("it answers");
    assert_eq!(seen.role, Role::Primary);
    assert_eq!(refused(&properties.replace(PASSWORD, "another")), Refusal::Password);
    assert_eq!(refused(&properties.replace("/cruise", "/none")), Refusal::NoDatabase);
    server.sql("alter role gocd nologin");
    assert_eq!(refused(&properties), Refusal::NotAllowed);
    server.sql("alter role gocd login");
    let sessions = server.fill();
    assert_eq!(refused(&properties), Refusal::Full);
    drop(sessions);
    server.rewrite("pg_hba.conf", "local all all trust\n");
    until("the line to be gone", LONG, || {
        (look(&runtime, &login(&properties)) == Err(Refusal::NotAllowed)).then_some(())
    });
    let log = server.log();
    for german in [
        "Passwort-Authentifizierung",
        "kein pg_hba.conf-Eintrag",
        "Datenbank »none« existiert nicht",
    ] {
        assert!(log.contains(german), "{german}: {log}");
    }
}

/// It lets in whoever knows the password, also while there is no server behind it.
#[test]
fn a_pooler_is_recognised_and_proves_nothing() {
    let runtime = Runtime::new().expect("a runtime");
    let server = Postgres::primary();
    let (folder, port) = (server.folder_of("pooler"), free_port());
    let (users, settings) = (folder.join("users"), folder.join("pgbouncer.ini"));
    std::fs::write(&users, format!("\"{USER}\" \"{PASSWORD}\"\n")).expect("written");
    let text = format!(
        "[databases]\n{DATABASE} = host=127.0.0.1 port={} dbname={DATABASE}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = plain\nauth_file = {}\npool_mode = transaction\n",
        server.port(),
        users.display()
    );
    std::fs::write(&settings, text).expect("written");
    let pooler = server.as_postgres("pgbouncer").arg("-q").arg(&settings).spawn();
    let _pooler = Ended(pooler.expect("this test needs the Debian package pgbouncer"));
    let direct = login(&server.properties());
    let instead = server
        .properties()
        .replace(&format!(":{}/", server.port()), &format!(":{port}/"));
    let through = login(&instead);
    let is_pooled = |login: &Login| runtime.block_on(is_pooler(login, &login.url.hosts[0], &[]));
    let seen = until("the pooler to listen", LONG, || look(&runtime, &through).ok());
    assert_eq!(seen.role, Role::Primary);
    assert_eq!((is_pooled(&direct), is_pooled(&through)), (false, true));
    // What is asked seldom is understood through it too.
    let facts = runtime.block_on(async {
        let connection = Connection::open(&through, &through.url.hosts[0]).await?;
        connection.facts(seen.version).await
    });
    let facts = facts.expect("it answers").expect("it knows all");
    assert_eq!(facts.port, Some(server.port()));
    server.crash();
    let asked = Instant::now();
    let opened = runtime.block_on(Connection::open(&through, &through.url.hosts[0]));
    let answer = opened.map(|connection| runtime.block_on(connection.look()));
    assert!(!matches!(answer, Ok(Ok(_))), "it answers for a server that is gone");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

/// A process that ends with its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// As Amazon Aurora does, which has no log of its own to show.
#[test]
fn a_server_that_hides_its_log_says_who_runs_it() {
    let runtime = Runtime::new().expect("a runtime");
    let server = Postgres::primary();
    let login = login(&server.properties());
    let hide = "revoke execute on function pg_current_wal_lsn() from public";
    server.sql_in(DATABASE, hide);
    let refusal = look(&runtime, &login).expect_err("nobody shows it");
    assert_eq!(refusal, Refusal::Other("42501".to_owned()));
    let sign = "create function aurora_version() returns text language sql as $$select '15.4'$$";
    server.sql_in(DATABASE, sign);
    let refusal = look(&runtime, &login).expect_err("nobody shows it");
    assert_eq!(refusal, Refusal::Managed(Platform::Aurora));
}

/// As pgjdbc judges it: a certificate that `openssl req -x509` made is one that its own file may vouch for.
#[test]
fn the_servers_certificate_is_judged_as_the_driver_does() {
    let runtime = Runtime::new().expect("a runtime");
    let server = Postgres::primary();
    let folder = tempfile::tempdir().expect("a folder");
    let (root, other): (PathBuf, PathBuf) = (folder.path().join("root.pem"), folder.path().join("other.pem"));
    let certificate = server.make_certificate("/CN=127.0.0.1", "subjectAltName=IP:127.0.0.1");
    std::fs::write(&root, &certificate).expect("written");
    server.configure("postgresql.conf", "ssl = on");
    let elsewhere = Postgres::primary();
    let foreign = elsewhere.make_certificate("/CN=127.0.0.1", "subjectAltName=IP:127.0.0.1");
    std::fs::write(&other, foreign).expect("written");
    let with = |query: &str| {
        let login = login(&server.properties().replace("/cruise", &format!("/cruise?{query}")));
        look(&runtime, &login).map(|look| look.role)
    };
    let file = |path: &PathBuf| format!("sslrootcert={}", path.display());
    until("the server to take up its certificate", LONG, || {
        with("sslmode=require").ok()
    });
    for mode in ["prefer", "require", "verify-ca", "verify-full"] {
        assert_eq!(
            with(&format!("sslmode={mode}&{}", file(&root))),
            Ok(Role::Primary),
            "{mode}"
        );
    }
    for query in [
        format!("sslmode=verify-ca&{}", file(&other)),
        format!("sslmode=verify-full&{}", file(&other)),
        "ssl=true".to_owned(),
    ] {
        assert!(
            matches!(with(&query), Err(Refusal::Tls(_))),
            "{query}: {:?}",
            with(&query)
        );
    }
    let named = server.properties().replace("127.0.0.1", "localhost");
    let named = |mode: &str| {
        let text = named.replace("/cruise", &format!("/cruise?sslmode={mode}&{}", file(&root)));
        look(&runtime, &login(&text)).map(|look| look.role)
    };
    assert_eq!(named("verify-ca"), Ok(Role::Primary));
    assert!(
        matches!(named("verify-full"), Err(Refusal::Tls(_))),
        "{:?}",
        named("verify-full")
    );
}
