//! `gocd-bc demote`: makes a server a standby from its next start on, or has it forget what it was.
//!
//! With `--handover` a running primary hands over, and the command waits until it says what.
//!
//! A node that runs does it itself. To forget is also needed where none answers, since a JVM whose library does not
//! load obeys the record: then the command takes the lock that a node would have, and removes the file as its owner.

use std::{
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use bc_core::{
    generation::Role,
    node::Order,
    role::{self, Recorded, StateDir, unacknowledged},
};

use crate::{
    client,
    exit_code::ExitCode,
    failure::Failure,
    find::Search,
    output::{self, LiveLine},
    owner,
};

/// Runs `gocd-bc demote`: gives the order, or removes the record where no node can.
pub(crate) fn run(search: &Search, forget: bool) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    let reply = {
        let line = LiveLine::new();
        client::ask(&node.state_dir, &Order::Demote { forget }, |step| line.show(step))?
    };
    let message = match reply {
        Some(reply) => client::done(reply)?,
        None if forget => without_a_node(&node.state_dir)?,
        None => return Err(client::nobody_answers(&node.state_dir)),
    };
    output::print(&format!("{message}\n"))?;
    Ok(ExitCode::Ok)
}

/// How often the node is asked how far its hand-over is.
const INTERVAL: Duration = Duration::from_millis(250);

/// Runs `gocd-bc demote --handover`: gives the order, and waits until the node says what it hands over.
pub(crate) fn hand_over(search: &Search, limit: Duration) -> Result<ExitCode, Failure> {
    let node = search.node(ExitCode::Usage)?;
    let reply = client::ask(&node.state_dir, &Order::HandOver, |_| {})?;
    let reply = reply.ok_or_else(|| client::nobody_answers(&node.state_dir))?;
    output::say(&format!("  {}\n", client::done(reply)?));
    if limit.is_zero() {
        return Ok(ExitCode::Ok);
    }
    let start = Instant::now();
    let line = LiveLine::new();
    let mut last = "nobody answers".to_owned();
    while start.elapsed() < limit {
        if let Ok(Some(status)) = client::status(&node.state_dir) {
            if let Some(token) = status.hands_over_token() {
                let text = format!("handed over: {token}\nNow run `gocd-bc promote` on the standby.\n");
                drop(line);
                output::print(&text)?;
                return Ok(ExitCode::Ok);
            }
            if status.role == Role::Fenced {
                drop(line);
                output::print("another server was promoted already\n")?;
                return Ok(ExitCode::Ok);
            }
            last = status.hands_over_line().unwrap_or_else(|| status.headline());
        }
        line.show(&format!("  {last}, {} s", start.elapsed().as_secs()));
        sleep(INTERVAL);
    }
    Err(Failure::new(
        ExitCode::Unconfirmed,
        format!(
            "the hand-over was ordered, and {} s later it is not ready: {last}",
            limit.as_secs()
        ),
        "GoCD is to be started again by its wrapper, and is held then; where nothing does, start it. `gocd-bc status` says \
         what it waits for; `gocd-bc promote` here takes it back.",
    ))
}

/// Removes the record of a server's role for `gocd-bc demote --forget` where no node answers.
fn without_a_node(state_dir: &Path) -> Result<String, Failure> {
    if !may_order() {
        return Err(Failure::new(
            ExitCode::Failed,
            format!(
                "no node answers in {}, and only root may remove its record then",
                state_dir.display()
            ),
            "Run the command as root.",
        ));
    }
    owner::as_owner_of(&state_dir.join(role::FILE), || {
        // Held until the file is gone: no node opens in between.
        let state = StateDir::open(state_dir)?;
        if let Ok(Some(Recorded { role: Role::Fenced, .. })) = Recorded::load(state.path()) {
            return Err(Failure::new(
                ExitCode::Failed,
                "this server is fenced: another node has a higher epoch",
                "See `gocd-bc status` on the other one.",
            ));
        }
        let was_there = role::forget(state.path())?;
        unacknowledged::remove(state.path())?;
        Ok(if was_there {
            "what this server was is forgotten: at its next start go.server.mode and start.in.standby alone decide"
        } else {
            "there is no record of what this server was: at its next start go.server.mode and start.in.standby alone \
             decide"
        }
        .to_owned())
    })
}

/// Whether this user may remove the record of a server's role. As on the local socket: GoCD's own user may not, since
/// jobs of an agent on this machine may be that user.
fn may_order() -> bool {
    #[cfg(unix)]
    return nix::unistd::geteuid().is_root();
    #[cfg(not(unix))]
    return true;
}
