//! `gocd-bc setup database-standby` on real servers: what it makes, what it refuses, and what it leaves when it is killed.
#![cfg(target_os = "linux")]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use bc_testkit::{
    mounts::Mounts,
    postgres::{self, Postgres},
    secrets,
    wait::until,
};
use support::{Answer, NOBODY, Place};

#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

const ROLE: &str = "gocd_replication";
const PASSWORD: &str = "a pass:word of\\ replication";
const LONG: Duration = Duration::from_secs(120);

/// A primary that may be followed, and a place where its standby is to be.
struct Pair {
    place: Place,
    primary: Postgres,
    standby: Postgres,
}

impl Pair {
    /// With a cluster of its own at the standby's, which runs.
    fn new(major: u32) -> Self {
        let pair = Self::with(major, Postgres::cluster_of(major));
        pair.standby.start();
        pair
    }

    fn with(major: u32, standby: Postgres) -> Self {
        secrets::register("password of a replication role", PASSWORD.as_bytes());
        let place = Place::new();
        place.file("password", &format!("{PASSWORD}\n"), NOBODY);
        place.file("wrong", "not the password\n", NOBODY);
        let primary = Postgres::primary_of(major);
        primary.sql(&format!(
            "set password_encryption = 'scram-sha-256'; create role {ROLE} replication login password '{PASSWORD}' \
             connection limit 4"
        ));
        primary.configure("pg_hba.conf", &hba());
        Self {
            place,
            primary,
            standby,
        }
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<String> {
        let primary = format!("127.0.0.1:{}", self.primary.port());
        let data = self.standby.data().display().to_string();
        let mut arguments: Vec<String> = ["setup", "database-standby", "--pgdata", &data]
            .map(str::to_owned)
            .into();
        if !more.contains(&"--primary") {
            arguments.extend(["--primary".to_owned(), primary]);
        }
        if !more.contains(&"--password-file") {
            arguments.extend(["--password-file".to_owned(), "password".to_owned()]);
        }
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        arguments
    }

    fn run(&self, more: &[&str]) -> Answer {
        let arguments = self.arguments(more);
        let answer = self
            .place
            .run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let said = format!("{}{}", answer.stdout, answer.stderr);
        assert!(!said.contains(PASSWORD) && !said.contains("not the password"), "{said}");
        answer
    }

    fn starts(&self, more: &[&str]) -> Child {
        let arguments = self.arguments(more);
        let mut command = self
            .place
            .command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts")
    }

    /// What the primary writes reaches the standby.
    fn follows(&self) {
        self.primary
            .sql("create table if not exists seen(at timestamptz); insert into seen values (now())");
        let rows = self.primary.sql("select count(*) from seen");
        until("the standby to have it", LONG, || {
            let there = self.standby.try_sql("postgres", "select count(*) from seen");
            (there.as_ref() == Ok(&rows)).then_some(())
        });
        assert_eq!(self.standby.sql("select pg_is_in_recovery()"), "t");
    }

    /// Folders beside the data folder whose name begins so.
    fn beside(&self, begin: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.standby.path()).expect("list");
        let paths = entries.map(|entry| entry.expect("entry").path());
        let named = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(begin))
        };
        paths.filter(named).collect()
    }
}

fn hba() -> String {
    format!("host replication {ROLE} 127.0.0.1/32 scram-sha-256")
}

/// What is in a folder, and when it was changed.
fn picture(folder: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("list") {
        let path = entry.expect("entry").path();
        let metadata = fs::symlink_metadata(&path).expect("look");
        found.insert(path, (metadata.size(), metadata.mtime(), metadata.mtime_nsec()));
    }
    found
}

#[test]
fn a_standby_takes_the_place_of_what_was_there_and_a_second_run_changes_nothing() {
    // A password file in the home folder of PostgreSQL's user would come first; this machine may have one.
    let mounts = Mounts::private();
    let home = nix::unistd::User::from_name("postgres")
        .expect("asked")
        .expect("there is one")
        .dir;
    mounts.disk(&home, "size=1m,mode=0755");
    let pair = Pair::new(postgres::programs::newest_of_debian());
    pair.standby.sql("create database precious");
    pair.primary.sql("alter system set max_connections = 123");
    pair.primary.sql("alter system set synchronous_standby_names = ''");
    pair.primary.restart();

    let before = picture(pair.standby.path());
    let shown = pair.run(&[]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(
        shown
            .stdout
            .contains("another cluster, with precious -> a copy of the primary"),
        "{shown:?}"
    );
    assert!(
        shown.stdout.contains("max_connections           100 -> 123"),
        "{shown:?}"
    );
    assert!(
        shown.stderr.contains("Nothing was changed: --write does it."),
        "{shown:?}"
    );
    assert_eq!(picture(pair.standby.path()), before);
    assert_eq!(
        pair.standby
            .sql("select count(*) from pg_database where datname = 'precious'"),
        "1"
    );

    let done = pair.run(&["--write"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stdout.contains("streaming from 127.0.0.1:"), "{done:?}");
    pair.follows();
    assert_eq!(pair.standby.sql("show max_connections"), "123");
    assert_eq!(
        pair.primary
            .sql("select active from pg_replication_slots where slot_name = 'gocd_bc'"),
        "t"
    );
    assert!(!pair.standby.sql("show primary_conninfo").contains(PASSWORD));
    let [aside] = pair.beside("data.before-gocd-bc-").try_into().expect("one");
    assert!(aside.join("PG_VERSION").exists());
    assert_eq!(pair.beside("data.").len(), 1);

    let again = pair.run(&["--write"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(
        !again.stdout.contains("->") && again.stdout.contains("streaming from"),
        "{again:?}"
    );
    assert!(!again.stderr.contains("tarting"), "{again:?}");
    assert_eq!(pair.beside("data.").len(), 1);

    // Without a password file it is the one that is there.
    let arguments = pair.arguments(&[]);
    let without: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with("password"))
        .collect();
    let without: Vec<&str> = without.into_iter().filter(|word| *word != "--password-file").collect();
    let shown = pair.place.run(&without);
    assert_eq!(shown.code, 0, "{shown:?}");

    // Anew: what was the standby is kept as well.
    let anew = pair.run(&["--write", "--anew"]);
    assert_eq!(anew.code, 0, "{anew:?}");
    assert_eq!(pair.beside("data.before-gocd-bc-").len(), 2);
    pair.follows();
}

/// Two clusters that both commands make a pair of, as an administrator types them.
struct Commanded {
    place: Place,
    primary: Postgres,
    standby: Postgres,
}

impl Commanded {
    fn new() -> Self {
        let major = postgres::programs::newest_of_debian();
        let (primary, standby) = (Postgres::primary_of(major), Postgres::cluster_of(major));
        standby.start();
        Self {
            place: Place::new(),
            primary,
            standby,
        }
    }

    fn prepare(&self, more: &[&str]) -> Answer {
        self.run(&self.primary, &["database-primary", "--standby", "127.0.0.1"], more)
    }

    fn make(&self, more: &[&str]) -> Answer {
        let address = format!("127.0.0.1:{}", self.primary.port());
        let arguments = ["database-standby", "--primary", &address, "--tls", "require"];
        self.run(&self.standby, &arguments, more)
    }

    fn run(&self, server: &Postgres, arguments: &[&str], more: &[&str]) -> Answer {
        let password = self.primary.path().join("pass");
        let (file, data) = (password.display().to_string(), server.data().display().to_string());
        let usual = ["--password-file", &file, "--pgdata", &data];
        let answer = self.place.run(&[&["setup"], arguments, &usual, more].concat());
        // It is made when everything else has been found good.
        if let Ok(text) = fs::read_to_string(&password) {
            let secret = text.trim().rsplit(':').next().expect("a password");
            assert_eq!(secret.len(), 32);
            secrets::register("password of a replication role", secret.as_bytes());
            assert!(!format!("{answer:?}").contains(secret));
        }
        answer
    }

    /// Makes a table on the primary, and returns the file of its log that has it.
    fn writes(&self, table: &str) -> String {
        self.primary.sql(&format!("create table {table}()"));
        self.primary.sql("select pg_walfile_name(pg_current_wal_lsn())")
    }

    /// Whether the standby has this table.
    fn has(&self, table: &str) -> Option<()> {
        let found = self
            .standby
            .try_sql("postgres", &format!("select count(*) from {table}"));
        found.is_ok().then_some(())
    }
}

#[test]
fn a_gocd_on_another_host_than_the_standbys_database_is_let_in() {
    let pair = Pair::new(postgres::programs::newest_of_debian());
    let shown = pair.run(&["--gocd-host", "10.98.0.8"]);
    assert!(
        shown.code == 0 && shown.stdout.contains("lacks lines for GoCD"),
        "{shown:?}"
    );
    let lets_in = |address: &str| {
        let rules = format!("select count(*) from pg_hba_file_rules where address = '{address}' and error is null");
        pair.standby.sql(&rules)
    };
    let done = pair.run(&["--write", "--gocd-host", "10.98.0.8"]);
    assert_eq!(done.code, 0, "{done:?}");
    pair.follows();
    assert_eq!(lets_in("10.98.0.8"), "1", "{done:?}");
    let again = pair.run(&["--write"]);
    assert!(again.code == 0 && !again.stdout.contains("->"), "{again:?}");
    // One that runs reads its file again, and goes on streaming.
    let read = || pair.standby.sql("select pg_conf_load_time()");
    let receiver = || pair.standby.sql("select pid from pg_stat_wal_receiver");
    let (read_before, receiver_before) = (read(), receiver());
    let more = pair.run(&["--write", "--gocd-host", "10.98.0.9"]);
    assert_eq!(more.code, 0, "{more:?}");
    assert_eq!(
        (lets_in("10.98.0.8"), lets_in("10.98.0.9")),
        ("1".to_owned(), "1".to_owned())
    );
    until("it to be read", LONG, || (read() != read_before).then_some(()));
    assert_eq!(receiver(), receiver_before);
    // A copy that is taken anew brings the primary's file.
    let anew = pair.run(&["--write", "--anew"]);
    assert_eq!(anew.code, 0, "{anew:?}");
    pair.follows();
    assert_eq!(
        (lets_in("10.98.0.8"), lets_in("10.98.0.9")),
        ("1".to_owned(), "1".to_owned())
    );
}

#[test]
fn the_two_commands_make_a_pair() {
    let pair = Commanded::new();
    let begin = Instant::now();
    let prepared = pair.prepare(&["--write", "--restart"]);
    assert_eq!(prepared.code, 0, "{prepared:?}");
    let of_primary = begin.elapsed();
    let made = pair.make(&["--write"]);
    assert_eq!(made.code, 0, "{made:?}");
    println!("primary {of_primary:?}, both {:?}", begin.elapsed());
    assert!(
        begin.elapsed() < Duration::from_secs(150),
        "ten times what it may take on a machine that does nothing else"
    );
    assert_eq!(
        pair.primary
            .sql("select state, application_name like 'gocd_bc_%' from pg_stat_replication"),
        "streaming|t"
    );
    assert_eq!(pair.standby.sql("select pg_is_in_recovery()"), "t");
}

#[test]
fn a_name_that_leads_to_two_servers_is_refused_and_one_that_leads_to_one_twice_is_not() {
    let mounts = Mounts::private();
    let pair = Pair::new(postgres::programs::newest_of_debian());
    let port = pair.primary.port();
    let other = Postgres::place_of(pair.primary.major());
    let hosts = pair
        .place
        .file("hosts", "127.0.0.1 pair\n127.0.0.2 pair\n127.0.0.1 localhost\n", 0);
    mounts.bind(&hosts, Path::new("/etc/hosts"));
    let named = format!("pair:{port}");
    let shown = pair.run(&["--primary", &named]);
    assert_eq!(shown.code, 0, "nobody listens at the second one: {shown:?}");

    let second = Postgres::cluster_of(pair.primary.major());
    second.rewrite(
        "postgresql.conf",
        &format!(
            "port = {port}\nlisten_addresses = '127.0.0.2'\nunix_socket_directories = '{}'\n",
            other.path().display()
        ),
    );
    second.rewrite(
        "pg_hba.conf",
        "local all all trust\nhost replication all 127.0.0.0/8 trust\n",
    );
    second.start();
    let made = second
        .as_postgres(second.programs().join("psql"))
        .args([
            "-h",
            &other.path().display().to_string(),
            "-p",
            &port.to_string(),
            "-d",
            "postgres",
            "-c",
        ])
        .arg(format!("create role {ROLE} replication login"))
        .output()
        .expect("psql runs");
    assert!(made.status.success(), "{made:?}");
    let refused = pair.run(&["--primary", &named]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("the name pair leads to two servers"),
        "{refused:?}"
    );
}

#[test]
fn every_version_is_followed_by_a_standby_that_the_command_makes() {
    postgres::for_every_major(|major| {
        let pair = Pair::new(major);
        let done = pair.run(&["--write"]);
        assert_eq!(done.code, 0, "{major}: {done:?}");
        pair.follows();
        let settings = fs::read_to_string(pair.standby.data().join(match major {
            11 => "recovery.conf",
            _ => "postgresql.auto.conf",
        }));
        assert!(settings.expect("read").contains("recovery_target_timeline = 'latest'"));
        let again = pair.run(&["--write"]);
        assert!(again.code == 0 && !again.stdout.contains("->"), "{major}: {again:?}");
    });
}

#[test]
fn a_line_that_is_missing_is_named_and_typing_it_mends() {
    let pair = Pair::new(postgres::programs::newest_of_debian());
    let all = fs::read_to_string(pair.primary.data().join("pg_hba.conf")).expect("read");
    pair.primary.rewrite("pg_hba.conf", &all.replace(&hba(), ""));
    let refused = pair.run(&["--write"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("`all` in there does not include replication"),
        "{refused:?}"
    );
    let (_, behind) = refused.stderr.split_once("add the line `").expect("it says which");
    let (line, _) = behind.split_once('`').expect("whole");
    pair.primary.configure("pg_hba.conf", line);
    let done = pair.run(&["--write"]);
    assert_eq!(done.code, 0, "{done:?}");
    pair.follows();
}

#[test]
fn a_wrong_password_is_said_and_the_right_one_mends_it() {
    let pair = Pair::new(postgres::programs::newest_of_debian());
    let before = picture(pair.standby.path());
    let refused = pair.run(&["--write", "--password-file", "wrong"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("does not take this password of gocd_replication"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("--password-file"), "{refused:?}");
    assert_eq!(picture(pair.standby.path()), before);
    assert_eq!(pair.run(&["--write"]).code, 0);

    // Later somebody sets another one.
    let other = "another: password";
    secrets::register("password of a replication role", other.as_bytes());
    pair.primary.sql(&format!(
        "alter role {ROLE} password '{other}'; select pg_terminate_backend(pid) from pg_stat_replication"
    ));
    pair.place.file("other", other, NOBODY);
    let mended = pair.run(&["--write", "--password-file", "other"]);
    assert_eq!(mended.code, 0, "{mended:?}");
    assert!(mended.stdout.contains("gocd-bc.pgpass"), "{mended:?}");
    assert!(!mended.stderr.contains("Restarting"), "{mended:?}");
    pair.follows();
}

#[test]
fn what_keeps_a_standby_from_streaming_is_answered_by_its_log() {
    let pair = Pair::new(postgres::programs::newest_of_debian());
    assert_eq!(pair.run(&["--write"]).code, 0);
    // A failover or a person takes the slot, and the standby has what it needs from nowhere.
    pair.standby.stop();
    pair.primary.sql("select pg_drop_replication_slot('gocd_bc')");
    let answer = pair.run(&["--write"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    let typed = "select pg_create_physical_replication_slot('gocd_bc', true)";
    assert!(answer.stderr.contains(typed), "{answer:?}");
    pair.primary.sql(typed);
    let mended = pair.run(&["--write"]);
    assert_eq!(mended.code, 0, "{mended:?}");
    pair.follows();
}

#[test]
fn a_server_is_no_standby_of_itself_of_a_standby_or_of_its_other_half() {
    let pair = Pair::new(postgres::programs::newest_of_debian());
    let primary_data = pair.primary.data().display().to_string();
    let primary = format!("127.0.0.1:{}", pair.primary.port());
    let of_primary = |primary: &str| {
        let arguments = [
            "setup",
            "database-standby",
            "--write",
            "--password-file",
            "password",
            "--pgdata",
            &primary_data,
        ];
        pair.place.run(&[&arguments[..], &["--primary", primary]].concat())
    };
    let itself = of_primary(&primary);
    assert_eq!(itself.code, 1, "{itself:?}");
    assert!(itself.stderr.contains("is this very server"), "{itself:?}");

    assert_eq!(pair.run(&["--write"]).code, 0);
    let standby = format!("127.0.0.1:{}", pair.standby.port());
    let reversed = of_primary(&standby);
    assert_eq!(reversed.code, 1, "{reversed:?}");
    assert!(reversed.stderr.contains("is a standby itself"), "{reversed:?}");

    // Both write: neither becomes a copy of the other without a word.
    pair.standby.promote();
    let split = of_primary(&standby);
    assert_eq!(split.code, 1, "{split:?}");
    assert!(
        split.stderr.contains("both went on from one point") && split.stderr.contains("--reseed"),
        "{split:?}"
    );
    assert_eq!(pair.primary.sql("select pg_is_in_recovery()"), "f");
}

#[test]
fn a_name_that_leads_nowhere_and_a_port_where_nobody_listens_are_said() {
    let pair = Pair::new(postgres::programs::newest_of_debian());
    let nowhere = pair.run(&["--primary", "nowhere.invalid"]);
    assert_eq!(nowhere.code, 64, "{nowhere:?}");
    assert!(nowhere.stderr.contains("getent hosts nowhere.invalid"), "{nowhere:?}");
    let free = format!("127.0.0.1:{}", bc_testkit::free_port());
    let refused = pair.run(&["--primary", &free]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("nothing listens at 127.0.0.1") && refused.stderr.contains("pg_lsclusters"),
        "{refused:?}"
    );
}

#[test]
fn another_major_and_a_trigger_file_that_a_version_does_not_know_are_refused() {
    let pair = Pair::with(16, Postgres::cluster_of(15));
    pair.standby.start();
    let refused = pair.run(&["--write"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("the primary is PostgreSQL 16"), "{refused:?}");
    assert!(refused.stderr.contains("apt-get install postgresql-16"), "{refused:?}");
    let refused = pair.run(&["--write", "--trigger-file", "/tmp/promote"]);
    assert_eq!(refused.code, 64, "{refused:?}");
    assert!(refused.stderr.contains("know no trigger file"), "{refused:?}");
}

/// Whether a server that starts on a folder could take writes on the primary's timeline.
fn could_write(pair: &Pair, data: &Path) -> bool {
    let control = data.join("global/pg_control");
    let version = fs::read_to_string(data.join("PG_VERSION")).is_ok_and(|version| !version.trim().is_empty());
    let is_standby = data.join("standby.signal").exists();
    // The first eight bytes are the system identifier, in the order of this machine.
    let system = |control: &Path| {
        fs::read(control)
            .ok()
            .and_then(|bytes| bytes.get(..8).map(<[u8]>::to_vec))
    };
    let is_copy =
        system(&control).is_some() && system(&control) == system(&pair.primary.data().join("global/pg_control"));
    version && is_copy && !is_standby
}

#[test]
fn killed_at_any_instant_no_server_can_start_writable_and_the_next_run_goes_on() {
    let pair = Pair::new(postgres::programs::newest_of_debian());
    pair.primary
        .sql("create table ballast as select generate_series(1, 300000) as number");
    let mut kills = 0;
    for round in 0..14_u64 {
        let mut child = pair.starts(&["--write"]);
        if round % 2 == 0 {
            // In the base backup, somewhere.
            let begun = pair.standby.path().join("data.gocd-bc-partial");
            until("the base backup to begin", LONG, || {
                (begun.join("base").exists() || child.try_wait().expect("ours").is_some()).then_some(())
            });
        }
        let moment = Duration::from_millis(37 * round + 5);
        let ended = Instant::now();
        while ended.elapsed() < moment && child.try_wait().expect("ours").is_none() {
            std::hint::spin_loop();
        }
        kills += usize::from(child.kill().is_ok());
        child.wait().expect("ours");
        assert!(
            pair.standby.data().join("PG_VERSION").exists(),
            "there is always a data folder"
        );
        for folder in [pair.beside("data"), vec![pair.standby.data()]].concat() {
            if !folder.to_string_lossy().ends_with("gocd-bc-partial") {
                assert!(!could_write(&pair, &folder), "{} after {moment:?}", folder.display());
            }
        }
    }
    assert!(kills > 0);
    let done = pair.run(&["--write"]);
    assert_eq!(done.code, 0, "{done:?}");
    pair.follows();
    assert_eq!(pair.beside("data.gocd-bc-"), Vec::<PathBuf>::new());
    // What was there before, once.
    let kept = pair.beside("data.before-gocd-bc-");
    let originals = kept.iter().filter(|folder| !folder.join("standby.signal").exists());
    assert_eq!(originals.count(), 1, "{kept:?}");
}

#[test]
fn a_disk_that_is_too_small_or_fills_up_is_said_and_nothing_is_lost() {
    let mounts = Mounts::private();
    let pair = Pair::with(
        postgres::programs::newest_of_debian(),
        Postgres::place_of(postgres::programs::newest_of_debian()),
    );
    let small = pair.standby.path().to_owned();
    mounts.disk(&small, "size=100m,mode=0700");
    std::os::unix::fs::chown(&small, Some(owner(&pair.primary.data())), None).expect("root may");
    for more in [&[][..], &["--write"]] {
        let refused = pair.run(more);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(
            refused.stderr.contains("the base backup needs 2") && refused.stderr.contains("are free"),
            "{refused:?}"
        );
        assert_eq!(pair.beside("data"), Vec::<PathBuf>::new());
    }
    mounts.undo(&small);

    // The primary's files are more in number than there is room for, which it cannot tell before.
    mounts.disk(&small, "size=2g,nr_inodes=400,mode=0700");
    std::os::unix::fs::chown(&small, Some(owner(&pair.primary.data())), None).expect("root may");
    let full = pair.run(&["--write"]);
    assert_eq!(full.code, 1, "{full:?}");
    assert!(
        full.stderr.contains("the disk is full") && full.stderr.contains("df -h"),
        "{full:?}"
    );
    assert_eq!(pair.beside("data"), Vec::<PathBuf>::new());
    mounts.undo(&small);
    mounts.disk(&small, "size=2g,mode=0700");
    std::os::unix::fs::chown(&small, Some(owner(&pair.primary.data())), None).expect("root may");
    let done = pair.run(&["--write", "--no-start"]);
    assert_eq!(done.code, 0, "{done:?}");
}

fn owner(path: &Path) -> u32 {
    fs::metadata(path).expect("look").uid()
}

#[test]
fn the_volume_of_a_container_is_filled_and_its_server_follows_once_it_is_started() {
    let major = postgres::programs::newest_of_debian();
    let mounts = Mounts::private();
    let pair = Pair::with(major, Postgres::place_of(major));
    let volume = pair.standby.data();
    fs::create_dir(&volume).expect("made");
    mounts.disk(&volume, "size=2g,mode=0700");
    std::os::unix::fs::chown(&volume, Some(owner(&pair.primary.data())), None).expect("root may");
    let done = pair.run(&["--write", "--no-start"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stderr.contains("Start the container"), "{done:?}");
    assert!(volume.join("standby.signal").exists() && volume.join("gocd-bc.pgpass").exists());
    let hidden: Vec<_> = picture(&volume)
        .into_keys()
        .filter(|path| path.to_string_lossy().contains("/.gocd-bc"))
        .collect();
    assert_eq!(hidden, Vec::<PathBuf>::new());
    pair.standby.settle();
    pair.standby.start();
    pair.follows();

    // Filled once more, what is in it stays in it.
    pair.standby.stop();
    let anew = pair.run(&["--write", "--no-start", "--anew"]);
    assert_eq!(anew.code, 0, "{anew:?}");
    let kept = picture(&volume)
        .into_keys()
        .find(|path| path.to_string_lossy().contains("/.before-gocd-bc-"));
    assert!(kept.expect("kept").join("PG_VERSION").exists());
    pair.standby.settle();
    pair.standby.start();
    pair.follows();
}

/// What is on a share, without what is on its way there.
fn shipped(share: &Path) -> Vec<String> {
    let names = fs::read_dir(share).expect("list");
    let mut names: Vec<String> = names
        .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_pair_that_ships_its_log_follows_by_the_share_alone() {
    let pair = Commanded::new();
    let share = pair.primary.folder_of("the share's 100%");
    let folder = share.display().to_string();
    let refused = pair.prepare(&["--share", "/nowhere", "--write", "--restart"]);
    assert_eq!(refused.code, 64, "{refused:?}");
    assert!(
        refused.stderr.contains("install -d -o postgres -m 0700 /nowhere"),
        "{refused:?}"
    );
    let prepared = pair.prepare(&["--write", "--restart"]);
    assert_eq!(prepared.code, 0, "{prepared:?}");
    let warned = pair.make(&["--share", &folder]);
    assert_eq!(warned.code, 0, "{warned:?}");
    assert!(
        warned.stderr.contains("archive_mode is off") && warned.stderr.contains("database-primary"),
        "{warned:?}"
    );

    let prepared = pair.prepare(&["--share", &folder, "--write", "--restart"]);
    assert_eq!(prepared.code, 0, "{prepared:?}");
    assert!(prepared.stdout.contains("Proved: the log comes to"), "{prepared:?}");
    let made = pair.make(&["--share", &folder, "--write"]);
    assert_eq!(made.code, 0, "{made:?}");
    assert!(!made.stderr.contains("WARNING"), "{made:?}");
    for again in [
        pair.prepare(&["--share", &folder, "--write"]),
        pair.make(&["--share", &folder, "--write"]),
    ] {
        assert!(again.code == 0 && !again.stdout.contains("->"), "{again:?}");
    }

    // It cannot log in any more.
    let hba = fs::read_to_string(pair.primary.data().join("pg_hba.conf")).expect("read");
    pair.primary.rewrite("pg_hba.conf", &hba.replace(ROLE, "somebody_else"));
    pair.primary
        .sql("select pg_terminate_backend(pid) from pg_stat_replication");
    let first = shipped(&share).into_iter().next().expect("it ships");
    // A copy that a crash has cut short is written anew.
    let next = pair.writes("one");
    let half = share.join(format!("{next}.gocd-bc.tmp"));
    fs::write(&half, "half").expect("written");
    std::os::unix::fs::chown(&half, Some(owner(&share)), None).expect("root may");
    pair.primary.sql("select pg_switch_wal()");
    until("the share to bring it", LONG, || pair.has("one"));
    assert_eq!(pair.standby.sql("select count(*) from pg_stat_wal_receiver"), "0");
    assert!(!shipped(&share).iter().any(|name| name.ends_with(".tmp")));

    // What it has got is removed.
    until("the share to be tidied", LONG, || {
        pair.primary.sql("checkpoint; select pg_switch_wal()");
        pair.standby.sql("checkpoint");
        (!shipped(&share).contains(&first)).then_some(())
    });

    // A file that is somebody else's is not written over, and typing what is said mends it.
    let next = pair.writes("two");
    fs::write(share.join(&next), "somebody else's").expect("written");
    pair.primary.sql("select pg_switch_wal()");
    until("the server to have tried", LONG, || {
        (pair.primary.sql("select failed_count > 0 from pg_stat_archiver") == "t").then_some(())
    });
    let shown = pair.prepare(&["--share", &folder]);
    assert!(shown.stdout.contains(&format!("does not take {next}")), "{shown:?}");
    let fails = pair.prepare(&["--share", &folder, "--write"]);
    assert_eq!(fails.code, 1, "{fails:?}");
    assert!(
        fails
            .stderr
            .contains(&format!("the file {next} of the log does not come to"))
            && fails.stderr.contains("has another file of that name"),
        "{fails:?}"
    );
    assert_eq!(fs::read_to_string(share.join(&next)).expect("read"), "somebody else's");
    fs::rename(share.join(&next), share.join("moved away")).expect("moved");
    let mended = pair.prepare(&["--share", &folder, "--write"]);
    until("the share to bring that too", LONG, || pair.has("two"));
    assert_eq!(mended.code, 0, "{mended:?}");
}

#[test]
fn a_share_that_hangs_keeps_no_standby_from_starting() {
    let pair = Commanded::new();
    let share = pair.primary.folder_of("share");
    let folder = share.display().to_string();
    assert_eq!(pair.prepare(&["--share", &folder, "--write", "--restart"]).code, 0);
    assert_eq!(pair.make(&["--share", &folder, "--write"]).code, 0);
    pair.standby.stop();
    // It is asked for first of all, and a program that opens it waits for ever.
    let history = share.join("00000002.history");
    nix::unistd::mkfifo(&history, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("made");
    std::os::unix::fs::chown(&history, Some(owner(&share)), None).expect("root may");
    let begin = Instant::now();
    let started = pair.make(&["--share", &folder, "--write"]);
    assert_eq!(started.code, 0, "{started:?}");
    assert!(started.stdout.contains("streaming from"), "{started:?}");
    assert!(
        begin.elapsed() > Duration::from_secs(25),
        "it hung: {:?}",
        begin.elapsed()
    );
}

#[test]
fn a_primary_that_is_frozen_is_not_waited_for() {
    let pair = Pair::new(postgres::programs::newest_of_debian());
    let before = picture(pair.standby.path());
    pair.primary.freeze(true);
    let begin = Instant::now();
    let answer = pair.run(&["--write"]);
    pair.primary.freeze(false);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(
        answer.stderr.contains("nothing comes back from 127.0.0.1") && answer.stderr.contains("is frozen"),
        "{answer:?}"
    );
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    assert_eq!(picture(pair.standby.path()), before);
}

#[test]
fn a_primary_that_speaks_german_is_understood() {
    let pair = Pair::new(postgres::programs::newest_of_debian());
    pair.primary.stop();
    let settings = fs::read_to_string(pair.primary.data().join("postgresql.conf")).expect("read");
    pair.primary
        .rewrite("postgresql.conf", &format!("{settings}lc_messages = 'C.UTF-8'\n"));
    let log = pair.primary.path().join("log");
    let mut by_hand = pair.primary.tool("pg_ctl").expect("it is there");
    let words = ["-w", "-s", "-l", log.to_str().expect("text"), "-D"];
    let started = by_hand.env("LANGUAGE", "de").env("LC_ALL", "C.UTF-8").args(words);
    let started = started.arg(pair.primary.data()).arg("start").status().expect("it runs");
    assert!(started.success());
    let said = pair.primary.try_sql("postgres", "select 1/0").expect_err("it cannot");
    assert!(said.contains("FEHLER"), "{said}");

    let wrong = pair.run(&["--write", "--password-file", "wrong"]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(
        wrong.stderr.contains("does not take this password of gocd_replication"),
        "{wrong:?}"
    );
    let hba = fs::read_to_string(pair.primary.data().join("pg_hba.conf")).expect("read");
    pair.primary.rewrite("pg_hba.conf", &hba.replace(ROLE, "somebody_else"));
    let refused = pair.run(&["--write"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("add the line `host replication gocd_replication"),
        "{refused:?}"
    );
    pair.primary.rewrite("pg_hba.conf", &hba);
    let done = pair.run(&["--write"]);
    assert_eq!(done.code, 0, "{done:?}");
    pair.follows();
}

#[test]
fn a_cluster_of_debian_becomes_one_and_lets_the_other_in() {
    let pair = Pair::with(
        postgres::programs::newest_of_debian(),
        Postgres::place_of(postgres::programs::newest_of_debian()),
    );
    let (root, major) = (pair.standby.path(), pair.standby.major().to_string());
    let configurations = pair.standby.folder_of("etc");
    let sockets = pair.standby.folder_of("sockets");
    let port = pair.standby.port().to_string();
    let path = |name: &str| root.join(name).display().to_string();
    let debian = |program: &str, arguments: &[&str]| {
        let output = std::process::Command::new(program)
            .args(arguments)
            .env("PG_CLUSTER_CONF_ROOT", &configurations)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    };
    debian(
        "pg_createcluster",
        &[
            &major,
            "main",
            "-d",
            &path("data"),
            "-s",
            &sockets.display().to_string(),
            "-p",
            &port,
            "-l",
            &path("log"),
            "--start-conf",
            "manual",
        ],
    );
    debian("pg_ctlcluster", &[&major, "main", "start"]);
    let primary = format!("127.0.0.1:{}", pair.primary.port());
    let run = |more: &[&str]| {
        let arguments = [
            "setup",
            "database-standby",
            "--primary",
            &primary,
            "--password-file",
            "password",
        ];
        let mut command = pair.place.command(&[&arguments[..], more].concat());
        let output = command
            .env("PG_CLUSTER_CONF_ROOT", &configurations)
            .output()
            .expect("it runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let (code, said) = run(&["--write"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("streaming from"), "{said}");
    let data = root.join("data");
    assert!(data.join("standby.signal").exists());
    let settings = fs::read_to_string(data.join("postgresql.auto.conf")).expect("read");
    assert!(!settings.contains("port = "), "{settings}");
    assert!(settings.contains("wal_keep_size = '1GB'"), "{settings}");
    let hba = fs::read_to_string(configurations.join(&major).join("main/pg_hba.conf")).expect("read");
    let line = "hostssl replication,postgres gocd_replication 127.0.0.1/32 scram-sha-256\n";
    assert!(hba.contains(line), "{hba}");
    let (code, said) = run(&["--write"]);
    assert!(code == Some(0) && !said.contains("->"), "{said}");
    debian("pg_ctlcluster", &[&major, "main", "stop", "-m", "immediate"]);
}
