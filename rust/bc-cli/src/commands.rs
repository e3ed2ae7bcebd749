//! One module per command.
//!
//! | module | runs |
//! |---|---|
//! | `status` | `gocd-bc status`; `files` where no node answers |
//! | `doctor`, `explain` | the commands of these names |
//! | `run` | `gocd-bc primary` and `gocd-bc standby`, a node without a JVM |
//! | `promote`, `demote`, `acknowledge` | the commands of these names |
//! | `landing` | `gocd-bc landing`, and `done` |
//! | `history` | `gocd-bc history` |
//! | `sync`, `verify` | the commands of these names |
//! | `generations` | `gocd-bc generations list`, `show`, `diff`, `restore` and `drop` |
//! | `guard` | `gocd-bc guard ignore` |
//! | `identity` | `gocd-bc identity show`, `rotate` and `new` |
//! | `setup` | the commands under `gocd-bc setup` |
//! | `token` | `gocd-bc token generate` and `check` |
//! | `trust` | `gocd-bc trust` |

use std::time::Duration;

use crate::{
    args::{self, Arguments, Command, GenerationsCommand, GuardCommand, IdentityCommand, LandingCommand, TokenCommand},
    exit_code::ExitCode,
    failure::Failure,
    find::Search,
    output,
};

mod acknowledge;
mod demote;
mod doctor;
mod explain;
mod generations;
mod guard;
mod history;
mod identity;
mod landing;
mod promote;
mod run;
mod setup;
mod status;
mod sync;
mod token;
mod trust;
mod verify;

/// Runs the command of `gocd-bc` that was given.
///
/// # Errors
/// It was not done.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let search = Search::new(&arguments.place);
    match arguments.command {
        Command::Status { json } => status::run(&search, json),
        Command::Doctor { json, pgdata } => doctor::run(&search, json, pgdata),
        Command::Explain { check } => explain::run(check.as_deref()),
        Command::Token(TokenCommand::Generate { force, place }) => token::generate(&search, &place, force),
        Command::Token(TokenCommand::Check { place }) => token::check(&search, &place),
        Command::Identity(IdentityCommand::Show { json }) => identity::show(&search, json),
        Command::Identity(IdentityCommand::Rotate { now }) => identity::rotate(&search, now),
        Command::Identity(IdentityCommand::New) => identity::new(&search),
        Command::Trust {
            fingerprint: Some(key),
            remove,
            config,
            ..
        } => trust::change(&search, config.config.as_deref(), key, remove),
        Command::Trust {
            fingerprint: None,
            json,
            config,
            ..
        } => trust::list(&search, config.config.as_deref(), json),
        Command::Verify { json } => verify::run(&search, json),
        Command::Generations(GenerationsCommand::List { json }) => generations::list(&search, json),
        Command::Generations(GenerationsCommand::Show { id, json }) => generations::show(&search, &id, json),
        Command::Generations(GenerationsCommand::Diff { from, to, json }) => {
            generations::diff::run(&search, from, to, json)
        }
        Command::Generations(GenerationsCommand::Restore { id }) => generations::restore(&search, &id),
        Command::Sync(arguments) => sync::run(&search, &arguments),
        Command::Generations(GenerationsCommand::Drop { id, .. }) => generations::let_go(&search, id),
        Command::Promote {
            dry_run,
            yes,
            accept_loss,
            force,
            take_over,
            without_database,
            as_it_is,
            abort,
            maintenance,
            replay_wait,
            wait,
            json,
        } => {
            let wish = promote::Wish {
                dry_run,
                yes,
                accept_loss,
                force,
                without_database,
                as_it_is,
                maintenance,
                replay_wait,
                wait,
                json,
            };
            match (abort, take_over) {
                (true, _) => promote::abort(&search),
                (false, true) => promote::take_over(&search, &wish),
                (false, false) => promote::run(&search, &wish),
            }
        }
        Command::Setup(command) => setup::run(&search, command),
        Command::Demote {
            handover: true, wait, ..
        } => demote::hand_over(&search, Duration::from_secs(wait)),
        Command::Demote { forget, .. } => demote::run(&search, forget),
        Command::Landing { command: None, json } => landing::show(&search, json),
        Command::Landing {
            command: Some(LandingCommand::Done),
            ..
        } => landing::done(&search),
        Command::History { number, json } => history::run(&search, number, json),
        Command::Acknowledge => acknowledge::run(&search),
        Command::Guard(GuardCommand::Ignore { peer }) => guard::ignore(&search, peer),
        Command::Primary { node } => run::primary(&search, &node),
        Command::Standby { primary_url, node } => run::standby(&search, primary_url, &node),
        Command::Completions { shell } => output::print(&args::completions(shell)).map(|()| ExitCode::Ok),
    }
}
