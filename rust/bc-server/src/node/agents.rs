//! Asks a promoted GoCD which of its agents are back, where an administrator gives a token for that.
//!
//! GoCD's API answers nobody without one. The token goes to GoCD's own port on this machine alone, and is read anew each
//! time, so that another one counts at once.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bc_core::{
    basics::regular_file,
    gocd::agents::{Agents, LONGEST_ANSWER, MEDIA_TYPE},
    settings::{Face, Settings},
    status::{GocdState, Status, StatusBoard},
};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep, timeout},
};

use super::{
    Assembly,
    gocd::exchange,
    supervisor::{Part, Supervisor},
};

/// From one question to the next.
const INTERVAL: Duration = Duration::from_secs(10);
/// GoCD has given up by then whoever is not back.
const ASKED_FOR: Duration = Duration::from_secs(900);
/// Longest wait for an answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Longest file with a token, in bytes.
const LONGEST_FILE: u64 = 4096;

/// Asks for the agents of a GoCD that was promoted, for as long as what it found is shown. `files` is where files may be
/// read.
pub(super) fn start(assembly: &Assembly, supervisor: &Supervisor, files: &Handle) {
    if assembly.settings.gocd_token_file.is_none() || assembly.settings.face != Face::Plugin {
        return;
    }
    let part = Part {
        name: "agents",
        does: "asks a promoted GoCD which of its agents are back",
    };
    let (board, settings, files) = (
        Arc::clone(&assembly.board),
        Arc::clone(&assembly.settings),
        files.clone(),
    );
    supervisor.supervise_until_done(part, move || {
        follow(Arc::clone(&board), Arc::clone(&settings), files.clone())
    });
}

/// Asks again and again until all are back, or it is of no use any more.
async fn follow(board: Arc<StatusBoard>, settings: Arc<Settings>, files: Handle) {
    let (Some(gocd), Some(file)) = (settings.gocd_at(), settings.gocd_token_file.clone()) else {
        return;
    };
    let mut changes = board.changes();
    let is_due = |status: &Status| status.landing.is_some() && status.gocd_state() == Some(GocdState::Healthy);
    while !board.look(is_due) {
        if changes.changed().await.is_err() {
            return;
        }
    }
    let begun = Instant::now();
    while begun.elapsed() < ASKED_FOR {
        let read = file.clone();
        let token = files.spawn_blocking(move || token(&read)).await;
        let found = match token {
            Ok(Ok(token)) => ask(gocd, &settings.gocd_context, &token, board.now_ms()).await,
            Ok(Err(why)) => Agents::unknown(why, board.now_ms()),
            Err(_) => return,
        };
        let are_back = found.are_back();
        board.update(|status| status.agents = status.landing.is_some().then_some(found));
        if are_back || board.look(|status| status.landing.is_none()) {
            return;
        }
        sleep(INTERVAL).await;
    }
}

/// Reads the token from the first line of its file. What is in it is in no message.
fn token(file: &Path) -> Result<String, String> {
    let text = regular_file::read_text(file, LONGEST_FILE).map_err(|error| {
        format!(
            "the file of bc.gocd.token.file, {}, cannot be read: {error}",
            file.display()
        )
    })?;
    let token = text.lines().next().unwrap_or_default().trim();
    // It goes into a header.
    match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token.to_owned()),
        false => Err(format!(
            "the file of bc.gocd.token.file, {}, has no access token in its first line",
            file.display()
        )),
    }
}

/// Asks GoCD once for its agents.
async fn ask(gocd: SocketAddr, context: &str, token: &str, now_ms: i64) -> Agents {
    let unknown = |why: &str| Agents::unknown(format!("GoCD at {gocd} {why}"), now_ms);
    // In the older form of HTTP an answer ends with its connection, and comes in one piece.
    let request = format!(
        "GET {context}/api/agents HTTP/1.0\r\nHost: localhost\r\nAccept: {MEDIA_TYPE}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let mut answer = Vec::new();
    let asked = exchange(gocd, &request, LONGEST_ANSWER, &mut answer);
    let Ok(Ok(())) = timeout(ANSWERS_WITHIN, asked).await else {
        return unknown("does not answer");
    };
    Agents::of_response(&answer, now_ms).unwrap_or_else(|why| unknown(&why))
}
