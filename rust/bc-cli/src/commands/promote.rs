//! `gocd-bc promote`: shows what speaks against it, asks, has the node promote itself, and waits until GoCD runs.

use std::{
    io::{self, BufRead, IsTerminal},
    path::Path,
    time::Duration,
};

use bc_core::{
    generation::Role,
    node::{Order, Reply},
    role::{
        preflight::{Preflight, Verdict},
        promotion::Journal,
    },
    settings::Face,
    status::{GocdStatus, Status, Topic},
};
use bc_server::node::host_name;
use serde::Serialize;

use crate::{
    client,
    exit_code::ExitCode,
    failure::Failure,
    find::Search,
    output::{self, table},
};

mod launch;

use launch::Launch;

/// What was typed.
pub(crate) struct Wish {
    pub(crate) dry_run: bool,
    pub(crate) yes: bool,
    pub(crate) accept_loss: bool,
    pub(crate) force: bool,
    pub(crate) without_database: bool,
    pub(crate) as_it_is: bool,
    pub(crate) maintenance: bool,
    /// In seconds.
    pub(crate) replay_wait: Option<u64>,
    /// In seconds.
    pub(crate) wait: u64,
    pub(crate) json: bool,
}

/// The JSON form.
#[derive(Serialize)]
struct Shown<'a> {
    preflight: Option<&'a Preflight>,
    promotion: Option<&'a Journal>,
}

/// Runs `gocd-bc promote`: orders the promotion and follows it.
pub(crate) fn run(search: &Search, wish: &Wish) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    let Some(before) = client::status(&node.state_dir)? else {
        return Err(client::nobody_answers(&node.state_dir));
    };
    if before.role == Role::Primary && (before.hands_over.is_some() || before.problem(&Topic::HandOver).is_some()) {
        return take_back(&node.state_dir, &before, wish);
    }
    let preflight = match wish.without_database {
        true => None,
        false => Some(looked_at(&node.state_dir, wish)?),
    };
    if let Some(preflight) = &preflight {
        if wish.dry_run && wish.json {
            output::print_json(&Shown {
                preflight: Some(preflight),
                promotion: None,
            })?;
        } else {
            show(preflight, wish)?;
        }
        if preflight.refusals().next().is_some() {
            return Err(refused(preflight));
        }
        if wish.dry_run {
            return Ok(ExitCode::Ok);
        }
        if !wish.yes && preflight.handed_over.is_none() {
            confirm(host_name().as_deref())?;
        }
    }
    let order = Order::Promote {
        without_database: wish.without_database,
        as_it_is: wish.as_it_is,
        accept_loss: wish.accept_loss,
        force: wish.force,
        maintenance: wish.maintenance,
        replay_within_s: wish.replay_wait,
    };
    let launch = Launch::of(&node.state_dir, &before);
    let reply = client::ask(&node.state_dir, &order, |step| output::say(&format!("  {step}\n")))?
        .ok_or_else(|| client::nobody_answers(&node.state_dir))?;
    output::say(&format!("  {}\n", client::done(reply)?));
    if wish.wait == 0 {
        return Ok(ExitCode::Ok);
    }
    let status = launch.wait(Duration::from_secs(wish.wait))?;
    if wish.json {
        output::print_json(&Shown {
            preflight: preflight.as_ref(),
            promotion: status.promotion.as_ref(),
        })?;
        return Ok(how_it_runs(&status));
    }
    output::print(&match before.face {
        Face::Cli => "The node goes on as the primary. There is no JVM in it: start GoCD now.\n".to_owned(),
        _ => format!(
            "GoCD runs, and this node is the primary ({}): GoCD is {}.\n",
            status.node_id,
            status
                .gocd
                .as_ref()
                .map_or_else(|| "not asked by this version".to_owned(), GocdStatus::line)
        ),
    })?;
    if let Some(problem) = status.problem(&Topic::GocdDiffers) {
        output::say(&format!("{}  {}\n", problem.severity, problem.message));
    }
    Ok(how_it_runs(&status))
}

/// What the command ends with where GoCD runs.
fn how_it_runs(status: &Status) -> ExitCode {
    match status.problem(&Topic::GocdDiffers) {
        Some(_) => ExitCode::Differs,
        None => ExitCode::Ok,
    }
}

/// Runs `gocd-bc promote --take-over`.
pub(crate) fn take_over(search: &Search, wish: &Wish) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    let Some(before) = client::status(&node.state_dir)? else {
        return Err(client::nobody_answers(&node.state_dir));
    };
    if wish.accept_loss && !wish.yes {
        confirm(host_name().as_deref())?;
    }
    let order = Order::TakeOver {
        accept_loss: wish.accept_loss,
    };
    let launch = Launch::of(&node.state_dir, &before);
    let reply = client::ask(&node.state_dir, &order, |_| {})?.ok_or_else(|| client::nobody_answers(&node.state_dir))?;
    output::say(&format!("  {}\n", client::done(reply)?));
    if wish.wait != 0 {
        launch.wait(Duration::from_secs(wish.wait))?;
    }
    Ok(ExitCode::Ok)
}

/// Takes a hand-over back for `gocd-bc promote` on the primary that hands over.
fn take_back(state_dir: &Path, before: &Status, wish: &Wish) -> Result<ExitCode, Failure> {
    if wish.dry_run {
        output::print("would take the hand-over back, once every other node has answered that it was not promoted\n")?;
        return Ok(ExitCode::Ok);
    }
    let launch = Launch::of(state_dir, before);
    let reply = client::ask(state_dir, &Order::TakeBack, |_| {})?.ok_or_else(|| client::nobody_answers(state_dir))?;
    output::say(&format!("  {}\n", client::done(reply)?));
    if wish.wait != 0 {
        launch.wait(Duration::from_secs(wish.wait))?;
    }
    Ok(ExitCode::Ok)
}

/// Runs `gocd-bc promote --abort`.
pub(crate) fn abort(search: &Search) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    client::order(&node.state_dir, &Order::AbortPromotion)
}

/// Has the node look at all that may speak against its promotion.
fn looked_at(state_dir: &Path, wish: &Wish) -> Result<Preflight, Failure> {
    let order = Order::Preflight {
        accept_loss: wish.accept_loss,
        force: wish.force,
    };
    match client::ask(state_dir, &order, |_| {})?.ok_or_else(|| client::nobody_answers(state_dir))? {
        Reply::Preflight { preflight } => Ok(*preflight),
        other => Err(client::unexpected(&other)),
    }
}

/// Shows the table of a promotion's preflight: as data where it is all that was asked for, else as talk.
fn show(preflight: &Preflight, wish: &Wish) -> Result<(), Failure> {
    let word = |verdict| match verdict {
        Verdict::Fine => "ok",
        Verdict::Warns => "WARNING",
        Verdict::Refuses => "REFUSES",
    };
    let rows: Vec<Vec<String>> = preflight
        .checks
        .iter()
        .map(|check| {
            let (about, verdict) = (check.about.words().to_owned(), word(check.verdict).to_owned());
            vec![about, verdict, check.seen.clone()]
        })
        .collect();
    let hands_over = match preflight.handed_over {
        Some(_) => "The primary hands over. ",
        None => "",
    };
    let text = format!(
        "{}\n{hands_over}This promotion loses {}.\n\n",
        table(&rows),
        preflight.loss.words()
    );
    match wish.dry_run {
        true => output::print(&text),
        false => {
            output::say(&text);
            Ok(())
        }
    }
}

/// The failure that the preflight of a promotion is, with all ways on.
fn refused(preflight: &Preflight) -> Failure {
    let seen: Vec<&str> = preflight
        .refusals()
        .map(|check| check.seen.trim_end_matches('.'))
        .collect();
    let ways: Vec<&str> = preflight.refusals().map(|check| check.way.as_str()).collect();
    Failure::new(
        ExitCode::Failed,
        format!("the promotion is refused: {}", seen.join("; ")),
        ways.join("\n"),
    )
}

/// Asks whoever sits there for the name of this server: whoever types it has looked where he is.
fn confirm(name: Option<&str>) -> Result<(), Failure> {
    let name = name.unwrap_or("promote");
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::new(
            ExitCode::Usage,
            "nobody is there to say that this server is to be the primary",
            "Run the command with --yes.",
        ));
    }
    output::say(&format!(
        "From then on this server is the primary, and the old one must not run. Type its name, {name}, to go on: "
    ));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == name => Ok(()),
        _ => Err(Failure::new(
            ExitCode::Failed,
            "that is not its name, so nothing was changed",
            "",
        )),
    }
}
