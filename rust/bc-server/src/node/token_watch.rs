//! The token as it is in its file now.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bc_core::{status::Severity, token::Token};
use tokio::{runtime::Runtime, sync::watch, time::sleep};
use tracing::{error, info};

use super::Assembly;

/// The board's topic.
const TOPIC: &str = "token";
/// How often the file is looked at. One stat; an administrator who mends it should not have to wait.
const INTERVAL: Duration = Duration::from_secs(2);

/// Reads the token and follows its file for as long as the node lives. While it is missing or bad the value is
/// none and the board says why.
pub(crate) fn start(assembly: &Assembly, runtime: &Runtime) -> watch::Receiver<Option<Token>> {
    let path = assembly.settings.layout.token();
    let mut seen = stamp(&path);
    let (board, clock, stop) = (
        Arc::clone(&assembly.board),
        Arc::clone(&assembly.clock),
        assembly.stop.clone(),
    );
    let read = move |path: &Path| match Token::load(path) {
        Ok(token) => {
            board.clear(TOPIC);
            board.update(|status| status.user = Some(token.user().to_owned()));
            Some(token)
        }
        Err(error) => {
            error!("{error}");
            let message = format!("{error} Until then the Business Continuity port stays closed.");
            board.raise(TOPIC, Severity::Critical, message, clock.now_ms());
            board.update(|status| status.user = None);
            None
        }
    };
    let (sender, receiver) = watch::channel(read(&path));
    runtime.spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(INTERVAL) => {}
            }
            let now = stamp(&path);
            if now != seen {
                seen = now;
                let token = read(&path);
                if token.is_some() {
                    info!("the token file {} was read again", path.display());
                }
                sender.send_if_modified(|current| std::mem::replace(current, token.clone()) != token);
            }
        }
    });
    receiver
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
