//! What real servers say when something is wrong between a primary and its standby, in the words of their version, and
//! that what the table of `bc_core::database::messages` has one type then mends it.

use std::{process::Command, time::Duration};

use bc_core::database::messages::{Meaning, Names, meaning};
use bc_testkit::{postgres::Postgres, wait::until};

mod primary;
mod standby;
mod start;

const LONG: Duration = Duration::from_secs(120);
/// The password of the replication role `rep`.
const SECRET: &str = "the password of a replica";

/// A primary and what is known of it to whoever explains a message.
struct Primary {
    server: Postgres,
    names: Names,
}

impl Primary {
    fn start(major: u32) -> Self {
        Self::of(Postgres::primary_of(major))
    }

    fn of(server: Postgres) -> Self {
        server.sql(&format!(
            "set password_encryption = 'scram-sha-256'; create role rep replication login password '{SECRET}'"
        ));
        let names = Names::default()
            .with("primary", "127.0.0.1")
            .with("port", server.port().to_string())
            .with("user", "rep")
            .with("slot", "provoked")
            .with("address", "127.0.0.1")
            .with("data", server.data().display().to_string());
        Self { server, names }
    }

    /// What psql says as the replication role, where the connection has these words as well.
    fn identify(&self, words: &str) -> Result<String, String> {
        self.replicate(words, "IDENTIFY_SYSTEM", Some(SECRET))
    }

    fn replicate(&self, words: &str, statement: &str, password: Option<&str>) -> Result<String, String> {
        let words = format!(
            "host=127.0.0.1 port={} user=rep dbname=replication replication=true sslmode=disable {words}",
            self.server.port()
        );
        let mut psql = self.server.tool("psql").expect("it is there");
        psql.args(["-X", "-w", "-A", "-t", "-d", &words, "-c", statement]);
        if let Some(password) = password {
            psql.env("PGPASSWORD", password);
        }
        said(&mut psql)
    }

    /// Asserts that a text means that row of the table.
    fn means(&self, text: &str, name: &str) -> Meaning {
        let major = self.server.major();
        let meaning = meaning(text, &self.names).unwrap_or_else(|| panic!("{major}, {name}: nobody knows `{text}`"));
        assert_eq!(meaning.name, name, "{major}: {text}");
        meaning
    }

    /// What the server says from now on until `name` is among it.
    fn logs(&self, name: &str, happens: impl FnOnce()) -> Meaning {
        logs(&self.server, &self.names, name, happens)
    }
}

/// What a server says from now on, until it says something that means `name`.
fn logs(server: &Postgres, names: &Names, name: &str, happens: impl FnOnce()) -> Meaning {
    let before = server.log().len();
    happens();
    until(&format!("{} to say what means {name}", server.major()), LONG, || {
        let log = server.log();
        let meanings = log[before..].lines().filter_map(|line| meaning(line, names));
        meanings.into_iter().find(|meaning| meaning.name == name)
    })
}

fn said(command: &mut Command) -> Result<String, String> {
    let output = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

/// What stands between backticks: what is to be typed.
fn typed(meaning: &Meaning) -> Vec<&str> {
    meaning.mend.split('`').skip(1).step_by(2).collect()
}

/// The statements among what is to be typed.
fn statements(meaning: &Meaning) -> Vec<&str> {
    let begins = ["select ", "alter ", "set "];
    let is_statement = |text: &&str| begins.iter().any(|begin| text.starts_with(begin));
    typed(meaning).into_iter().filter(is_statement).collect()
}

/// Types the statements of a message as superuser.
fn type_statements(server: &Postgres, meaning: &Meaning) {
    let statements = statements(meaning);
    assert!(!statements.is_empty(), "{meaning:?}");
    for statement in statements {
        server.sql(statement);
    }
}

/// Types what is to be typed in a shell.
fn type_commands(server: &Postgres, meaning: &Meaning) {
    for command in typed(meaning) {
        let done = Command::new("sh")
            .args(["-c", command])
            .current_dir(server.path())
            .status();
        assert!(done.expect("sh runs").success(), "{command}");
    }
}
