//! Goes back, before GoCD starts, from the configuration on which it ended when this server was promoted.
//!
//! The promotion took the newest configuration of the primary, which went away before its GoCD could look at it, and the
//! GoCD here refused it. It has no configuration repository to fall back to, so it would end again at each start. The
//! start after the promotion goes back once, to the newest that GoCD had accepted; a person hears of it until they say
//! that they have seen it.

use std::sync::Arc;

use bc_core::{
    basics::{Digest, Error, Severity},
    role::gocd_start::{GocdStart, WentBack},
    standby::store::{
        diff,
        disk::{self, DiskStore},
    },
    status::Topic,
};
use tracing::{error, warn};

use super::Assembly;

/// Goes back where GoCD ended on what this server was promoted with. What fails leaves everything as it is, and is said.
pub(super) fn go_back_if_refused(assembly: &Assembly) {
    let start = match GocdStart::load(assembly.state.path()) {
        Ok(Some(start)) => start,
        Ok(None) => return,
        Err(error) => return warn!("{error}"),
    };
    let Some(config) = start.refused(&assembly.settings.layout) else {
        return;
    };
    match go_back(assembly, start, &config) {
        Ok(Some(went_back)) => error!("CRITICAL {}", went_back.message()),
        Ok(None) => {
            warn!("GoCD refused the configuration that it was promoted with, and no other that it has accepted is kept")
        }
        Err(error) => {
            let message =
                format!("GoCD refused the configuration that it was promoted with, and going back failed: {error}");
            error!("CRITICAL {message}");
            assembly.raise(&Topic::WentBack, Severity::Critical, message);
        }
    }
}

/// Goes back from a configuration. What is to be said of it is durable before anything changes.
fn go_back(assembly: &Assembly, start: GocdStart, config: &Digest) -> Result<Option<WentBack>, Error> {
    let options = disk::Options {
        gocd_version: assembly.gocd_version.clone(),
        ..disk::Options::default()
    };
    let (state_dir, layout) = (assembly.state.path(), &assembly.settings.layout);
    let store = DiskStore::open(state_dir, layout, Arc::clone(&assembly.clock), options)?;
    let Some((from, to)) = store.accepted_beside(config)? else {
        return Ok(None);
    };
    let went_back = WentBack {
        at_ms: assembly.clock.now_ms(),
        from: from.to_string(),
        to: to.to_string(),
        changed: diff::changed(state_dir, &assembly.clock, &to.id, &from.id),
    };
    let mut noted = start.clone();
    noted.went_back = Some(went_back.clone());
    noted.save(state_dir)?;
    if let Err(error) = store.go_back(&to) {
        start.save(state_dir)?;
        return Err(error);
    }
    // What is live from now on is GoCD's own again.
    disk::forget_applied(state_dir)?;
    Ok(Some(went_back))
}
