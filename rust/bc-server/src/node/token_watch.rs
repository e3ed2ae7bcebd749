//! The token as it is in its file now.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bc_core::{status::Severity, token::Token};
use tokio::{sync::watch, time::sleep};
use tracing::{error, info};

use super::{
    Assembly,
    supervisor::{Part, Supervisor},
};

/// The board's topic.
const TOPIC: &str = "token";
/// How often the file is looked at. One stat; an administrator who mends it should not have to wait.
const INTERVAL: Duration = Duration::from_secs(2);

/// Reads the token and follows its file for as long as the node lives. While it is missing or bad the value is
/// none and the board says why.
///
/// The channel lives as long as the node, whatever becomes of the part that watches: nobody who waits on it is woken by
/// its end, and what that part has missed is read when it starts again.
pub(crate) fn start(assembly: &Assembly, supervisor: &Supervisor) -> watch::Receiver<Option<Token>> {
    let path = assembly.settings.layout.token();
    let before = stamp(&path);
    let (board, clock, stop) = (
        Arc::clone(&assembly.board),
        Arc::clone(&assembly.clock),
        assembly.stop.clone(),
    );
    let read = Arc::new(move |path: &Path| match Token::load(path) {
        Ok(token) => {
            board.clear(TOPIC);
            board.update(|status| status.user = Some(token.user().to_owned()));
            Some(token)
        }
        Err(error) => {
            let message = format!("{error} Until then the Business Continuity port stays closed.");
            if board.raise(TOPIC, Severity::Critical, message, clock.now_ms()) {
                error!("{error}");
                board.update(|status| status.user = None);
            }
            None
        }
    });
    let (sender, receiver) = watch::channel(read(&path));
    let sender = Arc::new(sender);
    let part = Part {
        name: "token",
        does: "watches the token file",
    };
    let mut known = Some(before);
    supervisor.keep(part, move || {
        // Only the first time it is known to have been read.
        let mut seen = known.take();
        let (path, stop, sender, read) = (path.clone(), stop.clone(), Arc::clone(&sender), Arc::clone(&read));
        async move {
            loop {
                let now = stamp(&path);
                // A file that could not be read looks the same once its owner or mode is mended.
                if seen != Some(now) || sender.borrow().is_none() {
                    let token = read(&path);
                    if token.is_some() {
                        info!("the token file {} was read again", path.display());
                    }
                    sender.send_if_modified(|current| std::mem::replace(current, token.clone()) != token);
                    seen = Some(now);
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(INTERVAL) => {}
                }
            }
        }
    });
    receiver
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bc_core::{event::Event, properties::Properties};

    use crate::node::Node;

    use super::*;

    /// As after `chown`: the file is as it was, only now it can be used.
    #[test]
    fn a_token_that_is_mended_without_a_trace_is_taken_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("config");
        fs::create_dir(&config).expect("a folder");
        let path = config.join("business-continuity-token");
        fs::write(&path, "u=1\nv=2\n").expect("written");
        let written = fs::metadata(&path).and_then(|file| file.modified()).expect("a time");
        let mut properties = Properties::default();
        for (name, value) in [
            ("bc.face", "cli"),
            ("bc.listen", "127.0.0.1:0"),
            ("cruise.config.file", "config/cruise-config.xml"),
        ] {
            properties.set(name, value);
        }
        properties.set("user.dir", folder.path().display().to_string());
        let node = Node::open(&properties).expect("opens");
        fs::write(&path, "user=pass").expect("written");
        let file = fs::File::options().append(true).open(&path).expect("opens");
        file.set_modified(written).expect("set");

        let end = Instant::now() + Duration::from_secs(30);
        let is_told =
            |event: &Event| matches!(event, Event::Log { message, .. } if message.ends_with("was read again"));
        while !node.next_event(Duration::from_secs(1)).as_ref().is_some_and(is_told) {
            assert!(Instant::now() < end, "the token was not read again");
        }
        node.close();
    }
}
