//! The token as it is in its file now.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bc_core::{
    basics::{
        Severity,
        regular_file::{self, Stamp},
    },
    keys::Token,
    status::{StatusBoard, Topic},
};
use tokio::{sync::watch, time::sleep};
use tracing::{error, info};

use super::{
    Assembly,
    supervisor::{Part, Supervisor},
};

/// How often the file is looked at. One stat; an administrator who mends it should not have to wait.
const INTERVAL: Duration = Duration::from_secs(2);

/// Reads the token and watches its file for as long as the node lives. While it is missing or bad the value is none and
/// the board says why.
///
/// The channel lives as long as the node, whatever becomes of the part that watches: nobody who waits on it is woken by
/// its end, and what that part has missed is read when it starts again.
pub(crate) fn start(assembly: &Assembly, supervisor: &Supervisor) -> watch::Receiver<Option<Token>> {
    let path = assembly.settings.layout.token();
    let mut seen = Some(regular_file::stamp(&path));
    let (sender, receiver) = watch::channel(None);
    let watch = TokenWatch {
        path,
        board: Arc::clone(&assembly.board),
        sender: Arc::new(sender),
    };
    watch.sender.send_replace(watch.read());
    let part = Part {
        name: "token",
        does: "watches the token file",
    };
    // Only the first time the file is known to have been read.
    supervisor.supervise(part, move || watch.clone().run(seen.take()));
    receiver
}

#[derive(Clone)]
struct TokenWatch {
    path: PathBuf,
    board: Arc<StatusBoard>,
    sender: Arc<watch::Sender<Option<Token>>>,
}

impl TokenWatch {
    /// Reads the token again whenever its file is another one than was `seen`.
    async fn run(self, mut seen: Option<Stamp>) {
        loop {
            let now = regular_file::stamp(&self.path);
            // A file that could not be read looks the same once its owner or mode is mended.
            if seen != Some(now) || self.sender.borrow().is_none() {
                let token = self.read();
                if token.is_some() {
                    info!("the token file {} was read again", self.path.display());
                }
                self.sender
                    .send_if_modified(|current| std::mem::replace(current, token.clone()) != token);
                seen = Some(now);
            }
            sleep(INTERVAL).await;
        }
    }

    /// Reads the token, and says on the board why there is none.
    fn read(&self) -> Option<Token> {
        match Token::load(&self.path) {
            Ok(token) => {
                self.board.clear(&Topic::Token);
                self.board.update(|status| status.user = Some(token.user().to_owned()));
                Some(token)
            }
            Err(error) => {
                let message = format!("{error} Until then the Business Continuity port stays closed.");
                if self.board.raise(&Topic::Token, Severity::Critical, message) {
                    error!("{error}");
                    self.board.update(|status| status.user = None);
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Instant};

    use bc_core::{basics::Properties, node::Event};

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
