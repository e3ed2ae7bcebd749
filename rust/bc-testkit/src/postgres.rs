//! Real PostgreSQL servers of every version that the product covers: primaries, and standbys that stream or restore.
//!
//! They run as the user `postgres`, since PostgreSQL does not run as root, listen on loopback alone, and write nothing to
//! disk that they wait for. All that one is told is in the files of its data folder, so that a command of the product
//! which starts it anew finds the same. [`programs`] says where the programs come from.

mod faults;
mod gocd_tables;
pub mod programs;
mod recovery;

use std::{
    any::Any,
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;

pub use faults::Sessions;

use crate::{free_port, wait::until};

/// The user and the password that a test logs in with, who owns [`DATABASE`].
pub const USER: &str = "gocd";
/// Its password.
pub const PASSWORD: &str = "the password of a database";
/// The database that GoCD would use.
pub const DATABASE: &str = "cruise";
/// The versions that the product covers.
pub const MAJORS: [u32; 8] = [11, 12, 13, 14, 15, 16, 17, 18];

/// How long a server may take on a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// Does the same for every version at the same time, and returns what came of it in the order of [`MAJORS`].
///
/// # Panics
/// It panics for one of them.
pub fn for_every_major<T: Send>(run: impl Fn(u32) -> T + Sync) -> Vec<T> {
    for_majors(&MAJORS, run)
}

/// The same for some of them.
///
/// # Panics
/// It panics for one of them.
pub fn for_majors<T: Send>(majors: &[u32], run: impl Fn(u32) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let start = |major: &u32| {
            let (major, run) = (*major, &run);
            let named = thread::Builder::new().name(format!("PostgreSQL {major}"));
            named.spawn_scoped(scope, move || run(major)).expect("a thread")
        };
        let threads: Vec<_> = majors.iter().map(start).collect();
        let outcomes = threads.into_iter().map(thread::ScopedJoinHandle::join).zip(majors);
        // All have ended before one of them speaks for itself.
        let outcomes: Vec<_> = outcomes.collect();
        outcomes
            .into_iter()
            .map(|(outcome, major)| {
                outcome.unwrap_or_else(|panic| panic!("PostgreSQL {major}: {}", words(panic.as_ref())))
            })
            .collect()
    })
}

/// What a thread said when it panicked.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no words")
}

/// One server. Dropping it stops it and removes what it has.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    port: u16,
    major: u32,
}

impl Postgres {
    /// Makes and starts a primary with the user and the database of GoCD; of the newest version that Debian has installed.
    ///
    /// # Panics
    /// PostgreSQL is not installed, or does not start.
    pub fn primary() -> Self {
        Self::primary_of(programs::newest_of_debian())
    }

    /// The same, of one version.
    ///
    /// # Panics
    /// There is none of that version (`cargo xtask tools` brings it), or it does not start.
    pub fn primary_of(major: u32) -> Self {
        Self::primary_with(Self::cluster_of(major))
    }

    /// The same, with checksums of its pages.
    ///
    /// # Panics
    /// As [`Self::primary_of`].
    pub fn checked_primary_of(major: u32) -> Self {
        Self::primary_with(Self::made_by_initdb(major, &["--data-checksums"]))
    }

    fn primary_with(server: Self) -> Self {
        server.write(
            "pg_hba.conf",
            "local all all trust\nhost replication postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
        );
        server.start();
        server.sql(&format!(
            "set password_encryption = 'scram-sha-256'; create role {USER} login password '{PASSWORD}'"
        ));
        server.sql(&format!("create database {DATABASE} owner {USER}"));
        server
    }

    /// A cluster as `initdb` leaves it, with a port of its own: another one beside those that belong together. It does not
    /// run yet, and has neither the user nor the database of GoCD.
    ///
    /// # Panics
    /// As [`Self::primary_of`].
    pub fn cluster_of(major: u32) -> Self {
        Self::made_by_initdb(major, &[])
    }

    fn made_by_initdb(major: u32, more: &[&str]) -> Self {
        let server = Self::place_of(major);
        let usual = [
            "-U",
            "postgres",
            "--auth=trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ];
        server.run("initdb", &[&usual, more, &["-D"]].concat(), Some(&server.data()));
        server.append("postgresql.conf", "fsync = off\nssl = off\n");
        server.settle();
        server
    }

    /// A place for a server that somebody else makes: [`Self::data`] is not there yet. Once it has files there,
    /// [`Self::settle`] gives it the port of this place.
    ///
    /// # Panics
    /// There is no user `postgres`.
    pub fn place_of(major: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("pg").tempdir().expect("a folder");
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(folder.path(), mode).expect("owned");
        let server = Self {
            folder,
            port: free_port(),
            major,
        };
        server.own(server.path());
        server
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its version.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The folder that all it has is in, its own alone; its sockets are there too.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of its programs.
    pub fn programs(&self) -> PathBuf {
        programs::of(self.major)
    }

    /// What `db.properties` says of it.
    pub fn properties(&self) -> String {
        self.properties_as(USER, PASSWORD)
    }

    /// The same, for another user than GoCD's.
    pub fn properties_as(&self, user: &str, password: &str) -> String {
        format!(
            "db.driver=org.postgresql.Driver\ndb.url=jdbc:postgresql://127.0.0.1:{}/{DATABASE}\ndb.user={user}\n\
             db.password={password}\n",
            self.port
        )
    }

    /// Runs a statement as superuser and returns what it prints.
    ///
    /// # Panics
    /// It fails.
    pub fn sql(&self, statement: &str) -> String {
        self.sql_in("postgres", statement)
    }

    /// The same in one database of it.
    ///
    /// # Panics
    /// It fails.
    pub fn sql_in(&self, database: &str, statement: &str) -> String {
        match self.try_sql(database, statement) {
            Ok(printed) => printed,
            Err(said) => panic!("{statement} on {}: {said}\n{}", self.major, self.log()),
        }
    }

    /// Runs a statement as superuser.
    ///
    /// # Errors
    /// What psql said where it failed.
    ///
    /// # Panics
    /// There is no psql.
    pub fn try_sql(&self, database: &str, statement: &str) -> Result<String, String> {
        let output = self.psql(&["-U", "postgres", "-d", database], statement);
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    }

    /// Adds a line to a file of its configuration and has it read.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn configure(&self, file: &str, line: &str) {
        self.append(file, &format!("{line}\n"));
        self.sql("select pg_reload_conf()");
    }

    /// Writes a file of its configuration anew, and has it read if it runs.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn rewrite(&self, file: &str, text: &str) {
        self.write(file, text);
        if self.runs() {
            self.control(&["reload"]);
        }
    }

    /// Gives it a self-signed certificate that is an authority as well, as `openssl req -x509` makes it, and returns that.
    ///
    /// # Panics
    /// There is no openssl.
    pub fn make_certificate(&self, subject: &str, names: &str) -> Vec<u8> {
        let (key, certificate) = (self.data().join("server.key"), self.data().join("server.crt"));
        let mut command = self.as_postgres("openssl");
        command
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
                "-subj",
                subject,
                "-addext",
                names,
                "-keyout",
            ])
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        checked("openssl", &command.output().expect("openssl runs"));
        fs::read(certificate).expect("it is there")
    }

    /// Makes a tablespace of this name, in a folder beside the data folder, and returns that.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn tablespace(&self, name: &str) -> PathBuf {
        let folder = self.folder_of(name);
        self.sql(&format!("create tablespace {name} location '{}'", folder.display()));
        folder
    }

    /// A folder beside the data folder, which the server may write into.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn folder_of(&self, name: &str) -> PathBuf {
        let folder = self.path().join(name);
        fs::create_dir_all(&folder).expect("made");
        self.own(&folder);
        folder
    }

    /// Starts it, or again.
    ///
    /// # Panics
    /// It does not start.
    pub fn start(&self) {
        self.control(&["-w", "start"]);
    }

    /// Starts it without waiting until it answers: for one that is not going to.
    ///
    /// # Panics
    /// There is no `pg_ctl`.
    pub fn start_anyway(&self) {
        let output = self.pg_ctl(&["-W", "start"]).output();
        assert!(output.expect("pg_ctl runs").status.success(), "{}", self.log());
    }

    /// Stops it as an administrator does: sessions are cut, and a standby that is connected gets everything first.
    ///
    /// # Panics
    /// It does not stop.
    pub fn stop(&self) {
        self.control(&["-w", "-m", "fast", "stop"]);
    }

    /// Stops and starts it.
    ///
    /// # Panics
    /// It does not start.
    pub fn restart(&self) {
        self.control(&["-w", "-m", "fast", "restart"]);
    }

    /// Makes a primary of a standby, and waits until it is one.
    ///
    /// # Panics
    /// It is none, or does not become one.
    pub fn promote(&self) {
        self.control(&["-w", "promote"]);
        until("the promotion", LONG, || {
            (self.sql("select pg_is_in_recovery()") == "f").then_some(())
        });
    }

    /// Whether its process is there, as its file says.
    pub fn runs(&self) -> bool {
        self.data().join("postmaster.pid").exists()
    }

    /// What it has said so far, where it was started from here.
    pub fn log(&self) -> String {
        fs::read(self.path().join("log"))
            .map_or_else(|_| String::new(), |log| String::from_utf8_lossy(&log).into_owned())
    }

    /// Waits until it has said `text`.
    ///
    /// # Panics
    /// It does not.
    pub fn wait_for_log(&self, text: &str) {
        until(&format!("{} says `{text}`", self.major), LONG, || {
            self.log().contains(text).then_some(())
        });
    }

    /// A program of PostgreSQL, as the server's user and of its version; none where there is none of that version here.
    pub fn tool(&self, name: &str) -> Option<Command> {
        let program = self.programs().join(name);
        program.exists().then(|| self.as_postgres(program))
    }

    /// Any program as the server's user.
    pub fn as_postgres(&self, program: impl AsRef<Path>) -> Command {
        // It becomes the program, so that a signal reaches that.
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"])
            .arg(program.as_ref())
            .env("HOME", self.path())
            .current_dir(self.path());
        command
    }

    /// Gives files that somebody else has put into [`Self::data`] the port of this place, and to the server's user.
    ///
    /// # Panics
    /// There are none.
    pub fn settle(&self) {
        self.append(
            "postgresql.conf",
            &format!(
                "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\n",
                self.port,
                self.path().display()
            ),
        );
    }

    fn psql(&self, arguments: &[&str], statement: &str) -> Output {
        let mut child = self
            .program("psql")
            .args(["-h", &self.path().display().to_string(), "-p", &self.port.to_string()])
            .args(arguments)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql starts");
        let mut input = child.stdin.take().expect("piped");
        // One that cannot log in does not read it.
        let _ = input.write_all(statement.as_bytes());
        drop(input);
        child.wait_with_output().expect("psql ends")
    }

    fn control(&self, arguments: &[&str]) {
        let output = self.pg_ctl(arguments).output().expect("pg_ctl runs");
        assert!(
            output.status.success(),
            "pg_ctl {arguments:?} of {}: {output:?}\n{}",
            self.major,
            self.log()
        );
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Command {
        let mut command = self.program("pg_ctl");
        command
            .arg("-D")
            .arg(self.data())
            .arg("-l")
            .arg(self.path().join("log"))
            .arg("-s")
            .args(arguments);
        command
    }

    fn run(&self, program: &str, arguments: &[&str], last: Option<&Path>) {
        let output = self.program(program).args(arguments).args(last).output();
        checked(program, &output.expect("it runs"));
    }

    fn program(&self, name: &str) -> Command {
        self.as_postgres(self.programs().join(name))
    }

    fn own(&self, place: &Path) {
        let owned = Command::new("chown").arg("postgres:").arg(place).status();
        assert!(owned.expect("chown runs").success(), "there is no user postgres");
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.data().join(name);
        fs::write(&file, text).expect("written");
        self.own(&file);
    }

    fn append(&self, name: &str, text: &str) {
        let path = self.data().join(name);
        let file = fs::File::options().append(true).create(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .expect("written");
        self.own(&path);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.runs() {
            // One that is frozen hears nothing.
            self.freeze(false);
            let stopped = self.pg_ctl(&["-m", "immediate", "stop"]).output();
            drop(stopped);
        }
        if thread::panicking() {
            eprintln!("---- log of PostgreSQL {} ----\n{}\n----", self.major, self.log());
        }
    }
}

fn checked(what: &str, output: &Output) {
    assert!(output.status.success(), "{what}: {output:?}");
}
