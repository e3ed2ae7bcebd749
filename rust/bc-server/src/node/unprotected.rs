//! A running GoCD although this node is no primary.
//!
//! Where the Java agent is missing, nobody held it; that is said only where it is so. Where the agent is there, it let
//! GoCD go, or the order to be a standby came later: then the next start holds it.
//!
//! From 23.1 on GoCD ignores `go.server.mode=standby` and starts fully active. From 20.6 to 22.3 it turns
//! passive, but only late in its start (`AddOnConfiguration` belongs to the last servlet), so this is judged
//! once GoCD says that it runs.

use std::sync::Arc;

use bc_core::{
    basics::Severity,
    generation::{Role, own_files::START_IN_STANDBY_FILE},
    gocd::version,
    settings::{Flag, Settings},
    status::{GocdState, Status, StatusBoard, Topic},
};
use tracing::error;

use super::{
    Assembly,
    supervisor::{Part, Supervisor},
};

/// Waits in the background for a GoCD that runs although a standby was asked for, until that is said once.
pub(crate) fn start(assembly: &Assembly, supervisor: &Supervisor) {
    let board = Arc::clone(&assembly.board);
    let (settings, version) = (Arc::clone(&assembly.settings), assembly.gocd_version.clone());
    let part = Part {
        name: "unprotected",
        does: "sees whether GoCD runs although a standby was asked for",
    };
    supervisor.supervise_until_done(part, move || {
        complain(Arc::clone(&board), Arc::clone(&settings), version.clone())
    });
}

/// Waits until GoCD answers, where its address is known, then says on the board and in the log that it runs
/// unprotected, and what to do.
async fn complain(board: Arc<StatusBoard>, settings: Arc<Settings>, gocd_version: Option<String>) {
    let mut changes = board.changes();
    while settings.gocd_listen.is_some() && board.look(Status::gocd_state) != Some(GocdState::Healthy) {
        if changes.changed().await.is_err() {
            return;
        }
    }
    let role = board.look(|status| status.role);
    let message = message(role, settings.flag, settings.agent_present, gocd_version.as_deref());
    error!("{message}");
    board.raise(&Topic::Unprotected, Severity::Critical, message);
}

/// Says in words that GoCD runs although a standby was asked for, and what to do.
fn message(role: Role, flag: Flag, agent_present: bool, gocd_version: Option<&str>) -> String {
    const LINE: &str = "-javaagent:plugins/external/gocd-business-continuity.jar";
    let wanted = match (role, flag) {
        (Role::Fenced, _) => "another node has taken over from this server".to_owned(),
        (_, Flag::Property) => "this server was asked to be a standby by go.server.mode".to_owned(),
        (_, Flag::File) => format!("this server was asked to be a standby by the file {START_IN_STANDBY_FILE}"),
        (_, Flag::None) => "the record of this server does not say that it is a primary".to_owned(),
    };
    let state = match gocd_version {
        Some(version) if version::turns_passive_itself(version) && flag == Flag::Property => {
            format!(
                "GoCD {version} is passive by its own means alone: it still reads and writes its database, can be reached by \
                 agents, and asks bc.primary.url itself each minute in the way of the original product, with the same token"
            )
        }
        Some(version) => format!("GoCD {version} runs as an active server"),
        None => "GoCD runs, from 23.1 on as an active server".to_owned(),
    };
    let remedy = if agent_present {
        "The Java agent is there: it let GoCD go at this start, and said why on standard error (the wrapper's log), or the \
         order came later. Restart this server, and the agent holds it."
            .to_owned()
    } else {
        format!(
            "The Java agent that would hold it is missing. Stop this server, add the JVM argument {LINE} \
             (wrapper-properties.conf: wrapper.java.additional.102={LINE}; Docker: in GOCD_SERVER_JVM_OPTS) and start it \
             again."
        )
    };
    format!("{wanted}, but {state}. This plugin does not follow the primary here. {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_fits_the_version_and_the_role() {
        let said = |role, flag, version| message(role, flag, false, version);
        let standby = |version| said(Role::Standby, Flag::Property, version);
        assert!(standby(Some("26.1.0-22000")).contains("runs as an active server"));
        assert!(standby(Some("22.3.0-15301")).contains("is passive"));
        assert!(standby(Some("22.3.0-15301")).contains("by go.server.mode"));
        assert!(standby(Some("22.3.0-15301")).contains("asks bc.primary.url itself"));
        assert!(!standby(Some("26.1.0-22000")).contains("asks bc.primary.url itself"));
        let by_file = said(Role::Standby, Flag::File, Some("22.3.0-15301"));
        assert!(
            by_file.contains("start.in.standby") && by_file.contains("runs as an active server"),
            "{by_file}"
        );
        assert!(said(Role::Fenced, Flag::None, None).starts_with("another node has taken over"));
    }

    #[test]
    fn the_agent_is_called_missing_only_where_it_is() {
        for version in [None, Some("nonsense"), Some("26.1.0-22000")] {
            for role in [Role::Standby, Role::Fenced] {
                let missing = message(role, Flag::Property, false, version);
                assert!(
                    missing.contains("is missing") && missing.contains("-javaagent:plugins/external/"),
                    "{missing}"
                );
                let present = message(role, Flag::Property, true, version);
                assert!(
                    !present.contains("missing") && !present.contains("-javaagent") && present.contains("Restart"),
                    "{present}"
                );
            }
        }
    }
}
