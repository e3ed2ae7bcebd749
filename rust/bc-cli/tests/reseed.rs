//! `gocd-bc setup database-standby --reseed`, killed again and again, on real servers.
#![cfg(target_os = "linux")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use bc_core::database::reseed::FUNCTIONS_OF_REWIND;
use bc_testkit::{postgres::Postgres, wait::until};

const ROLE: &str = "gocd_replication";
const ROLES_PASSWORD: &str = "the password of the one who replicates";
const LONG: Duration = Duration::from_secs(120);

/// In the folder of the former primary's data alone: neither a base backup nor `pg_rewind` leaves it where it is.
const MARK: &str = "base/of-the-former-primary";

/// A former primary, and the one that was promoted in its place.
struct Pair {
    old: Postgres,
    new: Postgres,
}

impl Pair {
    /// That went on writing after the promotion.
    fn parted(hints: &str) -> Self {
        let pair = Self::streaming(hints);
        pair.new.promote();
        pair.old.sql("insert into t values ('lost')");
        pair
    }

    /// That was stopped in order before it.
    fn switched_over() -> Self {
        let pair = Self::streaming("off");
        pair.old.stop();
        pair.new.promote();
        pair
    }

    fn streaming(hints: &str) -> Self {
        let old = Postgres::primary();
        old.sql(&format!(
            "set password_encryption = 'scram-sha-256'; create role {ROLE} replication login password '{ROLES_PASSWORD}'"
        ));
        for function in FUNCTIONS_OF_REWIND {
            old.sql(&format!("grant execute on function {function} to {ROLE}"));
        }
        old.configure(
            "pg_hba.conf",
            &format!("host replication {ROLE} 127.0.0.1/32 scram-sha-256"),
        );
        old.configure(
            "postgresql.conf",
            &format!("wal_log_hints = {hints}\nwal_keep_size = 256MB"),
        );
        old.restart();
        old.sql("create table t (who text); insert into t values ('early')");
        let new = Postgres::standby_of(&old);
        until("the row to arrive", LONG, || {
            (new.try_sql("postgres", "select who from t").as_deref() == Ok("early")).then_some(())
        });
        fs::write(old.path().join("password"), ROLES_PASSWORD).expect("written");
        fs::write(old.data().join(MARK), "").expect("written");
        Self { old, new }
    }

    /// Folders beside the data folder that keep what was there before.
    fn kept(&self) -> Vec<PathBuf> {
        let beside = fs::read_dir(self.old.path()).expect("listed");
        let paths = beside.map(|entry| entry.expect("one").path());
        paths
            .filter(|path| path.display().to_string().contains(".before-gocd-bc-"))
            .collect()
    }

    /// Whether the former primary's data are somewhere, and not only in a copy that is under way.
    fn former_is_there(&self) -> bool {
        let whole = self.old.path().join("data.gocd-bc-whole");
        let places = [self.old.data(), whole].into_iter().chain(self.kept());
        let mut places = places.filter(|place| place.join(MARK).exists());
        places.any(|place| place.join("standby.signal").exists() || is_former(&place, &self.old))
    }

    /// Kills the command later and later until it comes to its end, and looks after each time; then lets it end.
    fn killed_anywhere(&self, way: &str) {
        let shown = text(&command(&self.old, &self.new).output().expect("it runs"));
        assert!(shown.contains(way), "{shown}");
        let (mut milliseconds, mut kills) = (20, 0);
        loop {
            let mut run = command(&self.old, &self.new).arg("--write").spawn().expect("it starts");
            // Not a wait for anything: somebody kills it at a moment that is as good as any.
            thread::sleep(Duration::from_millis(milliseconds));
            let has_ended = run.try_wait().expect("it runs").is_some();
            run.kill().expect("it is ours");
            let output = run.wait_with_output().expect("it ends");
            let said = format!("{way}, {milliseconds} ms: {}", text(&output));
            let data = self.old.data();
            assert!(data.join("PG_VERSION").exists(), "{said}");
            let is_standbys = data.join("standby.signal").exists();
            assert!(is_standbys || is_former(&data, &self.old), "{said}");
            assert!(self.former_is_there(), "{said}");
            if has_ended {
                break;
            }
            kills += 1;
            milliseconds += milliseconds / 2 + 10;
            assert!(milliseconds < 120_000, "{said}");
        }
        assert!(kills > 3, "{way}: killed {kills} times only");
        let output = command(&self.old, &self.new).arg("--write").output().expect("it runs");
        assert!(output.status.success(), "{}", text(&output));
        self.new.sql("insert into t values ('late')");
        until("the row to arrive", LONG, || {
            (self.old.sql("select string_agg(who, ' ' order by who) from t") == "early late").then_some(())
        });
    }
}

fn command(old: &Postgres, new: &Postgres) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gocd-bc"));
    command
        .args([
            "setup",
            "database-standby",
            "--reseed",
            "--primary",
            &format!("127.0.0.1:{}", new.port()),
        ])
        .arg("--pgdata")
        .arg(old.data())
        .arg("--password-file")
        .arg(old.path().join("password"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!text.contains(ROLES_PASSWORD));
    text
}

/// Whether what is in a folder is what the former primary had.
fn is_former(data: &Path, old: &Postgres) -> bool {
    let output = old
        .tool("pg_controldata")
        .expect("there is one")
        .arg("-D")
        .arg(data)
        .output();
    let output = String::from_utf8(output.expect("it runs").stdout).expect("text");
    output
        .lines()
        .any(|line| line.starts_with("Latest checkpoint's TimeLineID:") && line.ends_with(" 1"))
}

#[test]
fn killed_anywhere_in_a_rejoin_it_is_run_again_and_comes_back() {
    let pair = Pair::switched_over();
    pair.killed_anywhere("plain rejoin:");
    assert!(pair.old.data().join(MARK).exists());
    assert_eq!(pair.kept(), Vec::<PathBuf>::new());
}

#[test]
fn killed_anywhere_in_a_rewind_it_is_run_again_and_comes_back() {
    let pair = Pair::parted("on");
    pair.killed_anywhere("rewind:");
    assert!(pair.kept().iter().any(|folder| folder.join(MARK).exists()));
}

#[test]
fn killed_anywhere_in_a_base_backup_it_is_run_again_and_comes_back() {
    let pair = Pair::parted("off");
    pair.killed_anywhere("base backup:");
    assert!(pair.kept().iter().any(|folder| folder.join(MARK).exists()));
}

#[test]
fn without_an_order_it_shows_the_way_and_changes_nothing() {
    let Pair { old, new } = Pair::parted("on");
    let output = command(&old, &new).output().expect("it runs");
    assert!(output.status.success(), "{}", text(&output));
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("rewind: this database has records"), "{shown}");
    assert_eq!(old.sql("select string_agg(who, ' ' order by who) from t"), "early lost");
    let mut names = fs::read_dir(old.path())
        .expect("listed")
        .map(|entry| entry.expect("one").file_name());
    assert!(names.all(|name| !name.to_string_lossy().contains("gocd-bc")));
}
