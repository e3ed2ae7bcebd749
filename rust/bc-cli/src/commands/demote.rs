//! `gocd-bc demote`: makes a server a standby from its next start on, or has it forget what it was.
//!
//! A node that runs does it itself. To forget is also needed where none answers, since a JVM whose library does not
//! load obeys the record: then the command takes the lock that a node would have, and removes the file as its owner.

use std::path::Path;

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
