//! Two PostgreSQL clusters which the commands make a pair, and somebody who types what the commands say.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use bc_testkit::{
    postgres::{DATABASE, Postgres, USER},
    secrets,
    wait::until,
};

use crate::support::{Answer, Place};

pub const LONG: Duration = Duration::from_secs(120);
pub const ROLE: &str = "gocd_replication";
/// Lines that let nobody replicate.
pub const NO_REPLICATION: &str = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
/// So many rounds of reading and typing are enough for a person.
const ROUNDS: usize = 5;

/// Both hosts of the database, which are one here.
pub struct Pair {
    pub place: Place,
    pub primary: Postgres,
    pub standby: Postgres,
    pub share: Option<PathBuf>,
}

impl Pair {
    /// Bare: a cluster with GoCD's database, and one that `initdb` has just made.
    pub fn bare(major: u32) -> Self {
        let standby = Postgres::cluster_of(major);
        standby.start();
        Self::with(standby)
    }

    /// The same with a standby's that need not be there yet.
    pub fn with(standby: Postgres) -> Self {
        let primary = Postgres::primary_of(standby.major());
        primary.sql_in(
            DATABASE,
            &format!("set role {USER}; create table databasechangelog (id text); create table pipelines (id int)"),
        );
        Self {
            place: Place::new(),
            primary,
            standby,
            share: None,
        }
    }

    /// Makes it a pair by the two commands.
    pub fn become_one(&self) {
        let primary = self.on_primary(&["--write", "--restart"]);
        assert_eq!(primary.code, 0, "{}: {primary:?}", self.primary.major());
        let standby = self.on_standby(&["--write"]);
        assert_eq!(standby.code, 0, "{}: {standby:?}", self.primary.major());
        self.follows();
    }

    /// Another server is the primary from now on, and whoever carries the password to its host did.
    pub fn takes_over(&mut self, primary: Postgres) {
        let former = std::mem::replace(&mut self.primary, primary);
        let password = fs::read(Self::password_file_of(&former)).expect("set-up made it");
        fs::write(self.password_file(), password).expect("written");
    }

    pub fn on_primary(&self, more: &[&str]) -> Answer {
        self.set_up("database-primary", "--standby", "127.0.0.1", &self.primary, more)
    }

    pub fn on_standby(&self, more: &[&str]) -> Answer {
        let primary = format!("127.0.0.1:{}", self.primary.port());
        self.set_up("database-standby", "--primary", &primary, &self.standby, more)
    }

    /// One of the commands on the host that it is for, where that cluster is the only one.
    fn set_up(&self, command: &str, other: &str, name: &str, cluster: &Postgres, more: &[&str]) -> Answer {
        let text = |path: PathBuf| path.display().to_string();
        let (data, passwords) = (text(cluster.data()), text(self.password_file()));
        let share = self.share.clone().map(text);
        let mut words = vec!["setup", command, other, name, "--pgdata", &data];
        words.extend(["--password-file", &passwords]);
        words.extend(share.iter().flat_map(|share| ["--share", share]));
        words.extend(more.iter().filter(|word| !words.contains(word)).collect::<Vec<_>>());
        let answer = self.place.run(&words);
        if let Some(password) = self.password() {
            secrets::register("password of the replication role", password.as_bytes());
            assert!(!format!("{answer:?}").contains(&password), "it shows the password");
        }
        answer
    }

    fn password_file(&self) -> PathBuf {
        Self::password_file_of(&self.primary)
    }

    fn password_file_of(primary: &Postgres) -> PathBuf {
        primary.path().join("replication.pgpass")
    }

    /// The password of the role, once there is one.
    pub fn password(&self) -> Option<String> {
        let file = fs::read_to_string(self.password_file()).ok()?;
        Some(file.trim().rsplit(':').next()?.to_owned())
    }

    /// What the primary writes reaches the standby.
    pub fn follows(&self) {
        self.primary
            .sql("create table if not exists seen(at timestamptz); insert into seen values (now())");
        let rows = self.primary.sql("select count(*) from seen");
        until("the standby to have it", LONG, || {
            let there = self
                .standby
                .try_sql("postgres", "select count(*), pg_is_in_recovery() from seen");
            (there.as_ref() == Ok(&format!("{rows}|t"))).then_some(())
        });
    }

    /// Has the standby follow somebody else, as whoever changes it by hand.
    pub fn standby_follows(&self, upstream: &str) {
        let standby = &self.standby;
        match standby.major() {
            11 => standby.append_recovery("primary_conninfo", upstream),
            _ => drop(standby.sql(&format!("alter system set primary_conninfo = '{upstream}'"))),
        }
        standby.restart();
    }

    /// Cuts off whoever replicates, who finds out then whether it may come back.
    pub fn cut(&self) {
        self.primary
            .sql("select pg_terminate_backend(pid) from pg_stat_replication");
    }

    /// Nobody may replicate any more.
    pub fn remove_lines(&self) {
        self.primary.rewrite("pg_hba.conf", NO_REPLICATION);
        self.cut();
    }

    /// The standby is away for so long that the primary gives up what it needs.
    pub fn lose_the_log(&self) {
        let primary = &self.primary;
        self.standby.stop();
        match primary.major() {
            11 | 12 => {
                primary.sql("alter system set wal_keep_segments = 0");
                primary.sql("select pg_drop_replication_slot('gocd_bc')");
            }
            _ => {
                primary.sql("alter system set wal_keep_size = 0");
                primary.sql("alter system set max_slot_wal_keep_size = '16MB'");
            }
        }
        primary.sql("select pg_reload_conf()");
        primary.switch_log();
        let needed = primary.sql("select pg_walfile_name(pg_current_wal_lsn())");
        let kept = format!("select count(*) from pg_ls_waldir() where name = '{needed}'");
        until("the file to be gone", LONG, || {
            primary.switch_log();
            primary.sql("checkpoint");
            (primary.sql(&kept) == "0").then_some(())
        });
    }

    /// Reads what the command on the standby says, types it, and does so again until all is well. Returns what it said.
    pub fn types_until_well(&self, fault: &str) -> Vec<String> {
        let major = self.primary.major();
        let mut said = Vec::new();
        for _ in 0..ROUNDS {
            let answer = self.on_standby(&["--write"]);
            if answer.code == 0 {
                self.follows();
                return said;
            }
            let typed = self.types(&answer.stderr);
            said.push(answer.stderr);
            assert!(typed > 0, "{major}, {fault}: nothing to type in {said:?}");
        }
        panic!(
            "{major}, {fault}: typing does not mend it: {said:#?}\n{}",
            self.standby.log()
        );
    }

    /// Types everything that a text has between backticks and that can be typed here: on the primary's host where it
    /// says so, else on the standby's. Returns how much that was.
    pub fn types(&self, text: &str) -> usize {
        self.types_on(&self.standby, text)
    }

    /// The same where nothing else is said on the host of that server.
    pub fn types_on(&self, at: &Postgres, text: &str) -> usize {
        self.types_within(at, text, ROUNDS)
    }

    /// The same, and what the commands say that are typed, which is so long at most.
    fn types_within(&self, at: &Postgres, text: &str, rounds: usize) -> usize {
        let parts: Vec<String> = text.split('`').map(|part| words(part).join(" ")).collect();
        let mut sentence = String::new();
        let mut typed = 0;
        for (index, part) in parts.iter().enumerate() {
            match index % 2 {
                0 => {
                    let begin = part.rfind(". ").map_or(0, |end| end + 2);
                    if begin > 0 {
                        sentence.clear();
                    }
                    sentence.push_str(&part[begin..]);
                }
                _ => {
                    let is_for_primary = ["On 127.0.0.1", "On the primary's"]
                        .iter()
                        .any(|on| sentence.contains(on));
                    let at = if is_for_primary { &self.primary } else { at };
                    typed += usize::from(self.types_one(part, at, rounds));
                }
            }
        }
        typed
    }

    /// Whether it is something that can be typed here.
    fn types_one(&self, command: &str, at: &Postgres, rounds: usize) -> bool {
        if ["select ", "alter ", "set ", "update "]
            .iter()
            .any(|begin| command.starts_with(begin))
        {
            at.sql(command);
            return true;
        }
        match words(command).as_slice() {
            ["gocd-bc", "setup", "database-primary", "--standby", _, more @ ..] => {
                let answer = self.on_primary(more);
                assert_eq!(answer.code, 0, "{command}: {answer:?}");
                true
            }
            ["gocd-bc", "setup", "database-standby", more @ ..] => {
                let primary = more.iter().position(|word| *word == "--primary");
                let is_primary = |index| primary.is_some_and(|at| index == at || index == at + 1);
                let words = more.iter().enumerate().filter(|(index, _)| !is_primary(*index));
                self.sets_up_standby(words.map(|(_, word)| *word).collect(), rounds);
                true
            }
            ["gocd-bc", "doctor"] => {
                self.types_what_the_doctor_says(at, rounds);
                true
            }
            ["\\password", role] => {
                // Whoever types it has the password in the file.
                let password = self.password().expect("set-up made it");
                at.sql(&format!(
                    "set password_encryption = 'scram-sha-256'; alter role {role} password '{password}'"
                ));
                true
            }
            ["runuser" | "chmod" | "chown", ..] => {
                // Not through pipes, which a server that starts would keep open.
                let mut shell = Command::new("sh");
                shell.args(["-c", command]).current_dir(at.path());
                let done = shell.stdin(Stdio::null()).stdout(Stdio::null()).status();
                assert!(done.expect("sh runs").success(), "{command}");
                true
            }
            _ => false,
        }
    }

    /// Runs the command on the standby, with the order to write once it asks for that, and types what else it says.
    fn sets_up_standby(&self, mut more: Vec<&str>, rounds: usize) {
        let answer = self.on_standby(&more);
        if answer.stderr.contains("--write does it") {
            more.push("--write");
            return self.sets_up_standby(more, rounds);
        }
        if answer.code != 0 {
            assert!(rounds > 0, "typing does not end: {answer:?}");
            self.types_within(&self.standby, &answer.stderr, rounds - 1);
        }
    }

    /// Types what the doctor says on the host of a server that is critical there.
    fn types_what_the_doctor_says(&self, at: &Postgres, rounds: usize) {
        let data = at.data().display().to_string();
        let answer = self.place.run(&["doctor", "--json", "--pgdata", &data]);
        let answer = answer.json();
        let findings = answer["findings"].as_array().into_iter().flatten();
        for finding in findings.filter(|finding| finding["level"] == "CRITICAL") {
            println!("{}: the doctor says {finding}", self.primary.major());
            let seen = finding["seen"].as_str().expect("a text");
            if self.types_within(at, seen, rounds - 1) == 0 {
                let commands = finding["commands"].as_array().into_iter().flatten();
                for command in commands.filter_map(|command| command.as_str()) {
                    self.types_one(command, at, rounds - 1);
                }
            }
        }
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}
