//! `gocd-bc setup standby`: what the server needs that is to follow a primary, up to its first sync. GoCD is stopped
//! meanwhile.
//!
//! The lines of the wrapper are written first: once they are there, a GoCD that somebody starts is held. Each step is whole or
//! not done, and the command can be run again after any of them.

use std::path::Path;

use bc_core::{
    basics::{Error, Fingerprint, Properties, regular_file},
    database::other_host::{OtherHost, other_host},
    generation::{Role, layout},
    keys::{Token, peers::PeersFile},
    settings::{Settings, primary_url::PrimaryUrl},
    status::Status,
};
use bc_setup::{console::Console, foreign_file::ForeignFile, plan::Plan};

use super::{
    first_sync,
    gocd_host::{GocdHost, JarCopy, Runs, WrapperLines, standby_settings},
    introduction::{Acquaintance, Introduction},
    said::{conclude, written},
};
use crate::{
    args::setup::StandbyWish, commands::token, console::secret, exit_code::ExitCode, failure::Failure, find::Search,
    owner,
};

/// What a standby keeps in its state folder of what it has made live.
const APPLIED: &str = "applied.json";

/// What is to be done; what is none is done already.
struct Steps {
    lines: Option<WrapperLines>,
    jar: Option<JarCopy>,
    token: TokenStep,
    key: KeyStep,
    database: Option<DatabaseStep>,
}

enum TokenStep {
    Keep(Token),
    /// Root copied it, and GoCD could not read it.
    GiveAway(Token),
    Write(Token),
    /// Somebody has to be asked.
    Ask,
}

enum KeyStep {
    /// Something here vouches for it.
    Known,
    /// The command line does.
    Trust(Fingerprint),
    /// Somebody has to compare it.
    Ask(Fingerprint),
}

struct DatabaseStep {
    file: ForeignFile,
    /// Whether root copied it.
    is_roots: bool,
    /// What is to be in it, where that is something else.
    text: Option<Vec<u8>>,
}

/// Sets up a standby, or says what would be done.
///
/// # Errors
/// Something is in the way; what was done before stays, and the command can be run again.
pub(crate) fn run(search: &Search, wish: &StandbyWish, console: &mut dyn Console) -> Result<ExitCode, Failure> {
    let host = GocdHost::find(search)?;
    let properties = properties(&host, &wish.primary);
    let (settings, _) = Settings::parse(&properties, layout::may_be_there);
    let introduction = Introduction::new(&settings, &wish.primary)?;
    let peers = PeersFile::of(&settings.layout);
    let mut plan = Plan::default();
    plan.is("GoCD", host.description());
    let steps = Steps::plan(&host, wish, &introduction, &peers, &mut plan)?;
    if let (Some(token), Some(accepted)) = (steps.token.token(), steps.key.accepted()) {
        introduction.greet(token, &peers, accepted)?;
    }
    if plan.changes_nothing() {
        conclude(&plan, console)?;
        return how_it_is(&host, console);
    }
    if !wish.write {
        conclude(&plan, console)?;
        return Ok(ExitCode::Ok);
    }
    refuse_running(&host)?;
    console.show(&format!("{plan}\n"))?;
    let key = steps.key.confirmed(console)?;
    let token = steps.token.given()?;
    introduction.greet(token.token().expect("somebody was asked"), &peers, key)?;
    if let Some(lines) = &steps.lines {
        lines.write(console)?;
    }
    if let Some(jar) = &steps.jar {
        jar.write(&host, console)?;
    }
    token.carry_out(&host, console)?;
    if let Some(key) = key {
        let said = host.as_gocd(|| Ok(peers.change_key(key, false)?))?;
        console.say(&said);
    }
    if let Some(database) = &steps.database {
        database.carry_out(&host, console)?;
    }
    let state_dir = settings.layout.state_dir();
    let status = host.as_gocd(|| first_sync::run(&properties, state_dir, console))?;
    console.show(&format!("\nIn sync with the primary at {}.\n", wish.primary))?;
    let exit = tell(&status, console)?;
    let login = host.check_login();
    if let Err(error) = &login {
        console.show(&format!("WARNING  {}. {}\n", error.message(), error.guidance()))?;
    }
    console.show(&format!(
        "\nNow: {}\nGoCD is held then until `gocd-bc promote`; `gocd-bc status` and `gocd-bc doctor` say how it is.\n",
        host.restart()
    ))?;
    Ok(if login.is_err() { ExitCode::Warning } else { exit })
}

/// The system properties of a node of this server that follows the primary.
fn properties(host: &GocdHost, primary: &PrimaryUrl) -> Properties {
    let mut properties = host.properties().clone();
    for argument in standby_settings(primary) {
        argument.set(&mut properties);
    }
    properties.set("bc.face", "cli");
    properties
}

impl Steps {
    fn plan(
        host: &GocdHost,
        wish: &StandbyWish,
        introduction: &Introduction<'_>,
        peers: &PeersFile,
        plan: &mut Plan,
    ) -> Result<Self, Failure> {
        let jar = host.jar(wish.jar.as_deref(), plan)?;
        let [mode, url] = standby_settings(&wish.primary);
        let lines = host.arguments(&[mode, url, host.agent()], plan)?;
        let key = KeyStep::plan(introduction, peers, wish, plan)?;
        let token = TokenStep::plan(host, wish.token_file.as_deref(), plan)?;
        let database = DatabaseStep::plan(host, wish, plan)?;
        host.port(plan);
        let is_following = matches!(&host.runs, Runs::Node(status) if status.role == Role::Standby);
        let syncs = !is_following && !host.settings.layout.state_dir().join(APPLIED).exists();
        match syncs {
            true => plan.change(
                "first sync",
                "none yet",
                "in sync",
                "by a node of this command, without GoCD",
            ),
            false => plan.is("first sync", "done before"),
        }
        Ok(Self {
            lines,
            jar,
            token,
            key,
            database,
        })
    }
}

impl KeyStep {
    fn plan(
        introduction: &Introduction<'_>,
        peers: &PeersFile,
        wish: &StandbyWish,
        plan: &mut Plan,
    ) -> Result<Self, Failure> {
        let seen = introduction.key()?;
        if let Some(named) = wish.fingerprint.filter(|named| *named != seen) {
            return Err(Failure::new(
                ExitCode::Failed,
                format!(
                    "the primary at {} shows the key {seen}, but --fingerprint is {named}",
                    wish.primary
                ),
                "Compare with `gocd-bc identity show` on the primary. If that is another one than is shown here, somebody \
                 else answers in the primary's place.",
            ));
        }
        plan.is("primary", wish.primary.to_string());
        match introduction.acquaintance(&seen, peers)? {
            Acquaintance::Known(how) => {
                plan.is("its key", format!("{seen}, trusted {how}"));
                Ok(Self::Known)
            }
            Acquaintance::Unknown => {
                let why = match wish.fingerprint {
                    Some(_) => "as --fingerprint says",
                    None => "compare it with `gocd-bc identity show` there",
                };
                plan.change("its key", format!("{seen}, not trusted yet"), "trusted", why);
                Ok(wish.fingerprint.map_or(Self::Ask(seen), Self::Trust))
            }
        }
    }

    /// The key to trust besides what is known here; none where nobody has vouched for it yet.
    fn accepted(&self) -> Option<Option<Fingerprint>> {
        match self {
            Self::Known => Some(None),
            Self::Trust(key) => Some(Some(*key)),
            Self::Ask(_) => None,
        }
    }

    /// Has somebody compare the key where that is needed.
    fn confirmed(&self, console: &mut dyn Console) -> Result<Option<Fingerprint>, Failure> {
        let Self::Ask(seen) = self else {
            return Ok(self.accepted().flatten());
        };
        let question = format!(
            "The primary shows the key\n\n  {seen}\n\nRun `gocd-bc identity show` on the primary and compare. Is it the same?"
        );
        match console.ask(&question) {
            Some(true) => Ok(Some(*seen)),
            Some(false) => Err(Failure::new(
                ExitCode::Failed,
                "the primary's key is not trusted, so nothing was changed",
                "If it is another one, somebody else answers in the primary's place, or the address is wrong.",
            )),
            None => Err(Failure::new(
                ExitCode::Failed,
                format!("nothing says yet that {seen} is the primary's key, and nobody is here to be asked"),
                format!("Compare it with `gocd-bc identity show` on the primary, and add: --fingerprint {seen}"),
            )),
        }
    }
}

impl TokenStep {
    fn plan(host: &GocdHost, given: Option<&Path>, plan: &mut Plan) -> Result<Self, Failure> {
        let path = host.settings.layout.token();
        let shown = |token: &Token| format!("{} (user {})", path.display(), token.user());
        let given = given.map(Token::load).transpose()?;
        let present = host.token()?;
        let is_roots = owner::is_roots_alone(&path, host.settings.layout.cruise_config());
        match (given, present) {
            (Some(given), None) => {
                plan.change("token", "missing", shown(&given), "of --token-file");
                Ok(Self::Write(given))
            }
            (Some(given), Some(present)) if given != present => {
                plan.change("token", "another one", shown(&given), "of --token-file");
                Ok(Self::Write(given))
            }
            (_, Some(present)) if is_roots => {
                plan.change(
                    "token",
                    format!("{}, root's", shown(&present)),
                    "GoCD's",
                    "GoCD must read it",
                );
                Ok(Self::GiveAway(present))
            }
            (_, Some(present)) => {
                plan.is("token", shown(&present));
                Ok(Self::Keep(present))
            }
            (None, None) => {
                plan.change(
                    "token",
                    "missing",
                    path.display().to_string(),
                    "copy it from the primary, or --token-file",
                );
                Ok(Self::Ask)
            }
        }
    }

    fn token(&self) -> Option<&Token> {
        match self {
            Self::Keep(token) | Self::GiveAway(token) | Self::Write(token) => Some(token),
            Self::Ask => None,
        }
    }

    /// Has somebody type the token where there is none.
    fn given(self) -> Result<Self, Failure> {
        if self.token().is_some() {
            return Ok(self);
        }
        let typed = secret("The line in the primary's file business-continuity-token (it is not shown): ");
        let typed = typed.ok_or_else(|| {
            Failure::new(
                ExitCode::Failed,
                "there is no token on this server, and nobody is here to be asked",
                "Copy business-continuity-token from the primary's configuration folder, and name the copy with --token-file.",
            )
        })?;
        Ok(Self::Write(Token::parse(
            typed.as_bytes(),
            Path::new("what was typed"),
        )?))
    }

    fn carry_out(&self, host: &GocdHost, console: &mut dyn Console) -> Result<(), Failure> {
        let (path, config) = (host.settings.layout.token(), host.settings.layout.cruise_config());
        match self {
            Self::Keep(_) | Self::Ask => return Ok(()),
            Self::GiveAway(_) => owner::give(&path, config)?,
            Self::Write(token) => host.as_gocd(|| token::write(&path, token, true))?,
        }
        console.say(&format!("The token is in {}.", path.display()));
        Ok(())
    }
}

impl DatabaseStep {
    fn plan(host: &GocdHost, wish: &StandbyWish, plan: &mut Plan) -> Result<Option<Self>, Failure> {
        const WHAT: &str = "database";
        let path = host.database_file();
        let file = ForeignFile::read_bytes(path)?;
        let source = wish.db_properties.as_deref().map(read).transpose()?;
        let Some(text) = source.as_deref().or(file.exists().then_some(file.bytes())) else {
            let missing = format!("there is no {}", path.display());
            const HINT: &str = "Copy the primary's file there, or name a copy of it with --db-properties.";
            if wish.database.is_some() {
                return Err(Failure::new(ExitCode::Failed, missing, HINT));
            }
            plan.is(
                WHAT,
                format!("{missing}, so GoCD would use H2, of which no standby has a copy. {HINT}"),
            );
            return Ok(None);
        };
        let looked = other_host(text, host.properties(), wish.database.as_ref())?;
        let is_new = source.is_some() && text != file.bytes();
        let then = match looked {
            OtherHost::NotCovered(what) => {
                plan.is(
                    WHAT,
                    format!("WARNING  {what}: only PostgreSQL is covered, so this server has no copy of the database"),
                );
                None
            }
            OtherHost::Stays { named, why } => {
                plan.is(WHAT, format!("{named}. {why}"));
                is_new.then(|| text.to_vec())
            }
            OtherHost::AsItIs(named) if is_new => {
                plan.change(WHAT, "another db.properties, or none", named, "of --db-properties");
                Some(text.to_vec())
            }
            OtherHost::AsItIs(named) if wish.database.is_none() => {
                plan.is(WHAT, format!("{named}; if that is the primary's: --database HOST"));
                None
            }
            OtherHost::AsItIs(named) => {
                plan.is(WHAT, named);
                None
            }
            OtherHost::Replaced { text, now, then } => {
                plan.change(WHAT, now, then, format!("in {}", path.display()));
                Some(text)
            }
        };
        let is_roots = owner::is_roots_alone(path, host.settings.layout.cruise_config());
        if is_roots {
            plan.change(path.display().to_string(), "root's", "GoCD's", "GoCD must read it");
        }
        Ok((is_roots || then.is_some()).then_some(Self {
            file,
            is_roots,
            text: then,
        }))
    }

    fn carry_out(&self, host: &GocdHost, console: &mut dyn Console) -> Result<(), Failure> {
        if self.is_roots {
            owner::give(self.file.path(), host.settings.layout.cruise_config())?;
        }
        let Some(text) = &self.text else { return Ok(()) };
        let kept = self.file.replace(text, 0o600)?;
        console.say(&written(self.file.path(), kept.as_deref()));
        Ok(())
    }
}

/// Nothing is changed under a GoCD that runs.
fn refuse_running(host: &GocdHost) -> Result<(), Failure> {
    let what = match &host.runs {
        Runs::Nobody => return Ok(()),
        Runs::Node(status) if status.role == Role::Standby => "a standby runs here already".to_owned(),
        Runs::Node(status) => format!("a {} runs here", status.role),
        Runs::Another(address) => format!("GoCD runs here: something answers at {address}"),
    };
    Err(Failure::new(
        ExitCode::Failed,
        what,
        format!("Stop it first ({}), and run the command again.", host.stop()),
    ))
}

/// Says how a standby is that has all it needs.
fn how_it_is(host: &GocdHost, console: &mut dyn Console) -> Result<ExitCode, Failure> {
    match &host.runs {
        Runs::Node(status) => {
            console.show(&format!("\n{}  {}\n", status.severity(), status.headline()))?;
            tell(status, console)
        }
        _ => {
            console.show(&format!("Now: {}\n", host.restart()))?;
            Ok(ExitCode::Ok)
        }
    }
}

/// Says of a node how its database is and what is wrong.
fn tell(status: &Status, console: &mut dyn Console) -> Result<ExitCode, Failure> {
    if let Some(database) = &status.database {
        console.show(&format!("Database: {}\n", database.line()))?;
    }
    for problem in &status.problems {
        console.show(&format!("{}  {}\n", problem.severity, problem.message))?;
    }
    Ok(status.severity().into())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    regular_file::read(path, regular_file::LARGEST_OF_A_FEW_LINES)
        .map_err(|error| Failure::from(Error::io("read", path, &error)))
}
