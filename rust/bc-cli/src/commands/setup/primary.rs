//! `gocd-bc setup primary`: what the server needs that a standby is to follow. GoCD may run meanwhile.

use bc_core::{
    basics::Fingerprint,
    database::other_host::{OtherHost, other_host},
    keys::{Identity, Token},
    role::StateDir,
    settings::{Face, Flag, PrimaryUrl},
};
use bc_setup::{console::Console, plan::Plan};

use super::{
    gocd_host::{GocdHost, Runs},
    said::{conclude, written},
};
use crate::{args::setup::PrimaryWish, commands::token, exit_code::ExitCode, failure::Failure, find::Search};

/// Sets up the primary, or says what would be done.
///
/// # Errors
/// Something is in the way; what was done before stays, and the command can be run again.
pub(crate) fn run(search: &Search, wish: &PrimaryWish, console: &mut dyn Console) -> Result<ExitCode, Failure> {
    let host = GocdHost::find(search)?;
    refuse_standby(&host)?;
    let mut plan = Plan::default();
    plan.is("GoCD", host.description());
    let jar = host.jar(wish.jar.as_deref(), &mut plan)?;
    let token = host.token()?;
    let token_file = host.settings.layout.token();
    match &token {
        Some(token) => plan.is("token", format!("{} (user {})", token_file.display(), token.user())),
        None => plan.change(
            "token",
            "missing",
            token_file.display().to_string(),
            "both servers need the same one",
        ),
    }
    let key = key(&host)?;
    match key {
        Some(key) => plan.is("key", key.to_string()),
        None => plan.change("key", "none yet", "one is made", ""),
    }
    let lines = host.arguments(&[host.agent()], &mut plan)?;
    host.port(&mut plan);
    plan.is("database", database(&host)?);
    if !wish.write || plan.changes_nothing() {
        conclude(&plan, console)?;
        return tell_standby(&host, key, console).map(|()| ExitCode::Ok);
    }
    console.show(&format!("{plan}\n"))?;
    if let Some(jar) = jar {
        jar.write(&host, console)?;
    }
    if token.is_none() {
        let token = Token::generate()?;
        host.as_gocd(|| token::write(&token_file, &token, false))?;
        console.say(&written(&token_file, None));
    }
    let key = match key {
        Some(key) => key,
        None => make_key(&host)?,
    };
    if let Some(lines) = lines {
        lines.write(console)?;
    }
    if plan.needs_restart() || !is_ready(&host) {
        console.show(&format!("Now: {}\n", host.restart()))?;
    }
    tell_standby(&host, Some(key), console).map(|()| ExitCode::Ok)
}

/// A standby is not made a primary by set-up.
fn refuse_standby(host: &GocdHost) -> Result<(), Failure> {
    let by = match host.settings.flag {
        Flag::None => return Ok(()),
        Flag::Property => "by go.server.mode among the arguments of its JVM",
        Flag::File => "by the file start.in.standby in its configuration folder",
    };
    Err(Failure::new(
        ExitCode::Failed,
        format!("this server is asked to be a standby, {by}"),
        "To make it the primary: gocd-bc promote",
    ))
}

/// This server's key: that of the node that runs, or of its file.
fn key(host: &GocdHost) -> Result<Option<Fingerprint>, Failure> {
    if let Runs::Node(status) = &host.runs
        && let Some(key) = status.fingerprint
    {
        return Ok(Some(key));
    }
    Ok(Identity::load(host.settings.layout.state_dir())?.map(|identity| identity.fingerprint()))
}

/// Makes the key that the plugin would make at its first start, so that it can be shown now.
fn make_key(host: &GocdHost) -> Result<Fingerprint, Failure> {
    host.as_gocd(|| {
        let state = StateDir::open(host.settings.layout.state_dir())?;
        Ok(Identity::load_or_create(state.path())?.fingerprint())
    })
}

/// Whether a node runs here that a standby can follow at once.
fn is_ready(host: &GocdHost) -> bool {
    matches!(&host.runs, Runs::Node(status) if status.face != Face::Agent)
}

/// What GoCD's database is, for people.
fn database(host: &GocdHost) -> Result<String, Failure> {
    let file = std::fs::read(host.database_file()).unwrap_or_default();
    Ok(match other_host(&file, host.properties(), None) {
        Ok(OtherHost::NotCovered(what)) => {
            format!("{what}: no standby can have a copy of it, since only PostgreSQL is covered")
        }
        Ok(OtherHost::AsItIs(named) | OtherHost::Stays { named, .. }) => format!("PostgreSQL, {named}"),
        Ok(OtherHost::Replaced { now, .. }) => format!("PostgreSQL, {now}"),
        Err(error) => format!("{}: {}", host.database_file().display(), error.message()),
    })
}

/// Says what to type on the standby.
fn tell_standby(host: &GocdHost, key: Option<Fingerprint>, console: &mut dyn Console) -> Result<(), Failure> {
    let Some(key) = key else { return Ok(()) };
    let layout = &host.settings.layout;
    let url = host.url();
    let name = url
        .parse::<PrimaryUrl>()
        .map_or("HOST".to_owned(), |url| url.host().to_string());
    let folder = layout.cruise_config_dir().display().to_string();
    let bring: String = [layout.token().as_path(), host.database_file()]
        .iter()
        .map(|file| format!("  scp root@{name}:{} {folder}/\n", file.display()))
        .collect();
    console.show(&format!(
        "\nThe key of this server: {key}\n\nOn the standby, as root (any other way to bring both files there is as good: they \
         have passwords in them):\n{bring}  gocd-bc setup standby --primary {url} --fingerprint {key} --database HOST \
         --write\nwhere HOST is its PostgreSQL server, and {folder} its configuration folder.\n",
    ))?;
    Ok(())
}
