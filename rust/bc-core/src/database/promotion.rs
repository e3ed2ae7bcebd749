//! How the database of a standby is promoted, and what is known by whether it was.
//!
//! | `bc.db.promote` | promotes it |
//! |---|---|
//! | `auto`, the default | `pg_promote()` where the user that watches may run it, else the trigger file of version 11 to 15 where this node may write it |
//! | `trigger:FILE` | that file, which the server looks for every five seconds |
//! | `command:COMMAND` | that command, of whoever runs the database |
//! | `wait` | nobody here: it fails over by itself, or somebody else does it |
//! | `none` | nobody: nothing is done with it, and nothing waited for |
//!
//! What any of them answers decides nothing. `pg_promote` says no of a promotion that comes a moment later, a command may
//! time out and have done its work: whether the database is promoted is seen at the server, which takes writes then.

use std::path::{Path, PathBuf};

use super::{
    look::Role,
    picture::{Picture, ServerPicture},
};
use crate::basics::{Error, Kind};

/// Asks a server to promote itself, and waits for nothing. Known from version 12 on.
pub const PROMOTE: &str = "select pg_promote(false)";
/// A write that leaves nothing behind: it takes the number of a transaction, which a server that takes no writes refuses.
pub const WRITE: &str = "select txid_current()";
/// Until it has ended `pg_rewind` of a former primary may find that nothing went different ways.
pub const CHECKPOINT: &str = "checkpoint";
/// Asks version 12 to 15 for the name of the trigger file.
pub const TRIGGER_FILE: &str = "select current_setting('promote_trigger_file', true)";
/// Asks version 11 for what its file says of recovery, which only a superuser is told.
pub const RECOVERY_CONF: &str = "select pg_read_file('recovery.conf')";

/// Who or what promotes the database (`bc.db.promote`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Way {
    /// The server itself, by what it has and the user may.
    #[default]
    Auto,
    /// A file that it looks for.
    Trigger(PathBuf),
    /// A command.
    Command(String),
    /// Somebody else.
    Wait,
    /// Nobody.
    None,
}

impl Way {
    /// The way to promote the database as an administrator writes it; none where it is not understood.
    pub fn parse(text: &str) -> Option<Self> {
        let command = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        match text.split_once(':') {
            None => match text {
                "auto" => Some(Way::Auto),
                "wait" => Some(Way::Wait),
                "none" => Some(Way::None),
                _ => None,
            },
            Some(("trigger", file)) => {
                let file = Path::new(file.trim());
                file.is_absolute().then(|| Way::Trigger(file.to_owned()))
            }
            Some(("command", text)) => command(text).map(Way::Command),
            Some(_) => None,
        }
    }
}

/// What is done to promote a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// `pg_promote()`.
    Function,
    /// A file is made.
    Trigger(PathBuf),
    /// A command is run.
    Command(String),
    /// Nothing, but that it takes writes is waited for.
    Wait,
}

/// For people, behind "promoted by".
impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Method::Function => f.write_str("pg_promote()"),
            Method::Trigger(file) => write!(f, "the trigger file {}", file.display()),
            // It may hold a secret.
            Method::Command(_) => f.write_str("the command of bc.db.promote"),
            Method::Wait => f.write_str("whoever runs it"),
        }
    }
}

/// A trigger file that a server says it looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Where it is.
    pub file: PathBuf,
    /// Whether this node may make it.
    pub is_writable: bool,
}

/// How the database at `server` is promoted, in this way; none where nobody here does anything with it.
///
/// # Errors
/// [`Kind::Refused`] where nobody here may, with the commands that make it possible.
pub fn method(
    way: &Way,
    server: &ServerPicture,
    trigger: Option<&Trigger>,
    user: &str,
) -> Result<Option<Method>, Error> {
    let refused = |message: String, guidance: String| Err(Error::new(Kind::Refused, message, guidance));
    match way {
        Way::None => return Ok(None),
        Way::Wait => return Ok(Some(Method::Wait)),
        Way::Command(command) => return Ok(Some(Method::Command(command.clone()))),
        Way::Trigger(file) => return Ok(Some(Method::Trigger(file.clone()))),
        Way::Auto => {}
    }
    let name = &server.address;
    if let Some(platform) = server.platform {
        return refused(
            format!("{platform} runs the database at {name}, and is to promote it"),
            format!(
                "Promote it with {} and run this command with bc.db.promote=wait, or write that command into \
                 bc.db.promote=command:…, and restart this server.",
                platform.promotion()
            ),
        );
    }
    if server.may_promote == Some(true) {
        return Ok(Some(Method::Function));
    }
    match trigger {
        Some(trigger) if trigger.is_writable => return Ok(Some(Method::Trigger(trigger.file.clone()))),
        _ => {}
    }
    let file = match trigger {
        Some(trigger) => format!(
            ", or make its trigger file there (`touch {}`) and have this node wait with bc.db.promote=wait",
            trigger.file.display()
        ),
        None => String::new(),
    };
    let grant = match server.version.as_deref().and_then(|version| version.split('.').next()) {
        Some("11") => {
            "Version 11 has a trigger file alone: write it into trigger_file of recovery.conf there and into \
                       bc.db.promote=trigger:FILE here"
                .to_owned()
        }
        _ => format!(
            "Run `grant execute on function pg_promote(boolean,integer) to {user}` in GoCD's database on the primary, which \
             replicates it"
        ),
    };
    refused(
        format!("{user} may not promote the database at {name}"),
        format!(
            "{grant}. Where the primary is lost: promote it on its machine (`pg_ctlcluster VERSION main promote`, or `pg_ctl \
             promote`){file}, then run `gocd-bc promote --without-database`."
        ),
    )
}

/// The server of GoCD's database that a standby would take over with; none where it is not to be told.
pub fn own(picture: &Picture) -> Option<&ServerPicture> {
    let is_standby = |server: &&ServerPicture| server.role == Some(Role::Standby);
    let mut standbys = picture.servers.iter().filter(is_standby);
    let only = standbys.next().filter(|_| standbys.next().is_none());
    picture.servers.iter().find(|server| server.is_own).or(only)
}

/// The trigger file that version 11 is told of in its `recovery.conf`; none where it is told of none.
pub fn trigger_in(recovery_conf: &str) -> Option<PathBuf> {
    let lines = recovery_conf.lines().map(str::trim);
    // As in all of PostgreSQL's files the last one counts.
    let value = lines.rev().find_map(|line| {
        let rest = line.strip_prefix("trigger_file")?.trim_start();
        Some(rest.strip_prefix('=').unwrap_or(rest).trim_start())
    })?;
    let inner = value.strip_prefix('\'')?;
    let end = inner.find('\'')?;
    let file = Path::new(&inner[..end]);
    file.is_absolute().then(|| file.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::facts::Platform;

    fn server(version: &str, may_promote: Option<bool>) -> ServerPicture {
        let json = serde_json::json!({"address": "db:5432", "version": version, "may_promote": may_promote});
        serde_json::from_value(json).expect("a server")
    }

    fn trigger(is_writable: bool) -> Trigger {
        Trigger {
            file: "/run/promote".into(),
            is_writable,
        }
    }

    #[test]
    fn what_an_administrator_writes_is_understood_or_nothing_at_all() {
        for (text, way) in [
            ("auto", Some(Way::Auto)),
            ("wait", Some(Way::Wait)),
            ("none", Some(Way::None)),
            ("trigger:/run/promote", Some(Way::Trigger("/run/promote".into()))),
            (
                "command: patronictl failover --force",
                Some(Way::Command("patronictl failover --force".to_owned())),
            ),
            ("command:", None),
            ("trigger:promote", None),
            ("Auto", None),
            ("off", None),
            ("run:this", None),
        ] {
            assert_eq!(Way::parse(text), way, "{text}");
        }
    }

    #[test]
    fn auto_takes_the_function_then_a_file_that_may_be_made_then_refuses_with_what_to_type() {
        let auto = |server: &ServerPicture, trigger: Option<&Trigger>| method(&Way::Auto, server, trigger, "gocd");
        let granted = server("15.18", Some(true));
        assert_eq!(auto(&granted, Some(&trigger(true))), Ok(Some(Method::Function)));
        let not_granted = server("15.18", Some(false));
        let by_file = Method::Trigger("/run/promote".into());
        assert_eq!(auto(&not_granted, Some(&trigger(true))), Ok(Some(by_file)));
        for (server, trigger, words) in [
            (
                &not_granted,
                None,
                "grant execute on function pg_promote(boolean,integer) to gocd",
            ),
            (&not_granted, Some(trigger(false)), "touch /run/promote"),
            (&server("11.22", Some(false)), None, "bc.db.promote=trigger:FILE"),
        ] {
            let refused = auto(server, trigger.as_ref()).expect_err(words);
            assert!(refused.guidance().contains(words), "{refused}");
            assert!(refused.guidance().contains("pg_ctlcluster"), "{refused}");
        }
    }

    #[test]
    fn nobody_promotes_behind_the_back_of_who_runs_it() {
        let managed = ServerPicture {
            platform: Some(Platform::Patroni),
            ..server("15.18", Some(true))
        };
        let refused = method(&Way::Auto, &managed, Some(&trigger(true)), "gocd").expect_err("managed");
        assert!(refused.guidance().contains("patronictl"), "{refused}");
        assert_eq!(method(&Way::Wait, &managed, None, "gocd"), Ok(Some(Method::Wait)));
        assert_eq!(method(&Way::None, &managed, None, "gocd"), Ok(None));
    }

    #[test]
    fn the_trigger_file_of_11_is_the_last_one_that_its_file_names() {
        for (text, file) in [
            (
                "standby_mode = on\ntrigger_file = '/run/promote'\n",
                Some("/run/promote"),
            ),
            ("trigger_file '/a'\ntrigger_file='/b' # now\n", Some("/b")),
            ("#trigger_file = '/a'\n", None),
            ("trigger_file = 'promote'\n", None),
            ("trigger_file = ''\n", None),
            ("", None),
        ] {
            assert_eq!(trigger_in(text), file.map(PathBuf::from), "{text}");
        }
    }
}
