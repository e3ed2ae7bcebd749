//! Lets GoCD run, and asks it on its own port whether it does.
//!
//! That GoCD has loaded this plugin is no proof that it runs: it loads plugins seconds before it is done, and may still
//! fail. So the plugin's node asks `/go/api/v1/health`, and the state folder keeps whether it ever answered
//! ([`bc_core::role::gocd_start`]). A release never waits for any of that.

use std::{future, io, net::SocketAddr, sync::Arc, time::Duration};

use bc_core::{
    basics::Severity,
    generation::Role,
    gocd::{
        health::{Heard, LONGEST_ANSWER, Watch},
        old_product,
    },
    node::{Event, Events},
    role::{
        StateDir,
        gocd_start::{GocdStart, WentBack},
    },
    settings::{Face, Settings},
    status::{GocdState, GocdStatus, StatusBoard, Topic},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
    time::{Instant, sleep, timeout},
};
use tracing::{error, info, warn};

use super::{
    Assembly,
    supervisor::{Part, Supervisor},
};

/// Longest wait for an answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Longest wait until it is known what is not as it was promoted.
const LOOKS_WITHIN: Duration = Duration::from_secs(5);

/// What the node of these settings knows of GoCD before it has asked; none where it is without a JVM.
pub(super) fn unasked(settings: &Settings, now_ms: i64) -> Option<GocdStatus> {
    let state = match settings.face {
        Face::Agent => GocdState::Held,
        Face::Plugin => GocdState::Starting,
        Face::Cli => return None,
    };
    Some(GocdStatus {
        state,
        since_ms: now_ms,
        url: settings.gocd_health_url(),
        said: None,
        log: settings.layout.gocd_log().display().to_string(),
        maintenance: false,
    })
}

/// How GoCD is let run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Of a server that was the primary: what is known of the start before counts on.
    AsBefore,
    /// By a promotion: what is known of the start before is of another time.
    Promoted {
        /// In GoCD's maintenance mode.
        maintenance: bool,
    },
}

/// Lets GoCD run, and notes that it was.
#[derive(Clone)]
pub(crate) struct Launch {
    pub(super) events: Arc<Events>,
    pub(super) note: Note,
}

impl Launch {
    /// Makes what lets GoCD run.
    pub(crate) fn of(assembly: &Assembly) -> Self {
        Self {
            events: Arc::clone(&assembly.events),
            note: Note::of(assembly),
        }
    }

    /// Lets GoCD run.
    pub(crate) fn let_run(&self, how: How) {
        let flag = self.note.settings.flag;
        self.events.push(match how {
            How::Promoted { maintenance: true } => Event::release_in_maintenance(flag),
            How::Promoted { maintenance: false } | How::AsBefore => Event::release(flag),
        });
        if self.note.settings.face != Face::Agent {
            return;
        }
        let note = self.note.clone();
        let begin = move || match how {
            How::AsBefore => drop(note.begin()),
            How::Promoted { maintenance } => {
                let now_ms = note.board.now_ms();
                note.save(&GocdStart::promoted(&note.settings.layout, maintenance, now_ms));
            }
        };
        match Handle::try_current() {
            // The node that closes now waits for it, within bounds.
            Ok(runtime) => drop(runtime.spawn_blocking(begin)),
            Err(_) => begin(),
        }
    }
}

/// Says on the board of a node that holds GoCD that its last start failed.
pub(super) fn show_failed_start(assembly: &Assembly) {
    if assembly.settings.face != Face::Agent || assembly.board.look(|status| status.role) != Role::Primary {
        return;
    }
    match GocdStart::load(assembly.state.path()) {
        Ok(start) => Note::of(assembly).show(start.as_ref()),
        Err(error) => warn!("{error}"),
    }
}

/// What is known of GoCD's starts. It touches files.
#[derive(Clone)]
pub(super) struct Note {
    pub(super) settings: Arc<Settings>,
    pub(super) state: Arc<StateDir>,
    pub(super) board: Arc<StatusBoard>,
}

impl Note {
    /// Makes what keeps what is known of GoCD's starts.
    fn of(assembly: &Assembly) -> Self {
        Self {
            settings: Arc::clone(&assembly.settings),
            state: Arc::clone(&assembly.state),
            board: Arc::clone(&assembly.board),
        }
    }

    /// Notes the start of GoCD in this process, where that is not noted yet.
    fn begin(&self) -> GocdStart {
        let before = GocdStart::load(self.state.path()).unwrap_or_else(|error| {
            warn!("{error}");
            None
        });
        let layout = &self.settings.layout;
        let mut start = GocdStart::after(before.clone(), &layout.gocd_log(), self.board.now_ms());
        // The plugin may come into a GoCD that has run for long.
        if self.settings.face == Face::Agent {
            start = start.about_to_read(layout);
        }
        if before.as_ref() != Some(&start) {
            self.save(&start);
        }
        start
    }

    /// Saves what is known of a start; where that fails, the next start knows less.
    fn save(&self, start: &GocdStart) {
        if let Err(error) = start.save(self.state.path()) {
            warn!("{error}");
        }
    }

    /// Notes that GoCD runs, and says what is not as it was promoted.
    fn succeeds(&self, mut start: GocdStart) {
        let is_first = start.healthy_ms.is_none();
        let differences = match is_first {
            true => start.differences(&self.settings.layout),
            false => Vec::new(),
        };
        if is_first {
            start.succeeds(&self.settings.layout, self.board.now_ms());
        }
        // Somebody may have seen that meanwhile.
        start.went_back = GocdStart::load(self.state.path())
            .ok()
            .flatten()
            .and_then(|now| now.went_back);
        self.board.clear(&Topic::GocdStart);
        let message = (!differences.is_empty()).then(|| {
            format!(
                "GoCD runs, but not all is as it was promoted: {}. `gocd-bc landing done` takes this away.",
                differences.join("; ")
            )
        });
        self.board.warn(&Topic::GocdDiffers, Severity::Warning, message);
        if is_first {
            self.save(&start);
        }
    }

    /// Says on the board that the start before failed, or that nothing is known of one.
    fn show(&self, start: Option<&GocdStart>) {
        let failed = start.and_then(GocdStart::failure);
        self.board
            .alarm(&Topic::GocdStart, failed.map(|failed| failed.message()));
        let went_back = start.and_then(|start| start.went_back.as_ref()).map(WentBack::message);
        self.board.warn(&Topic::WentBack, Severity::Critical, went_back);
    }
}

/// Asks the GoCD around this node whether it runs, for as long as the node lives. `files` is where files may be
/// written.
pub(super) fn start(assembly: &Assembly, supervisor: &Supervisor, files: &Handle) {
    let part = Part {
        name: "gocd",
        does: "asks GoCD whether it runs",
    };
    let (note, files) = (Note::of(assembly), files.clone());
    supervisor.supervise(part, move || follow(note.clone(), files.clone()));
}

/// Asks GoCD again and again, and keeps what it answers on the board.
async fn follow(note: Note, files: Handle) {
    let (board, settings) = (Arc::clone(&note.board), Arc::clone(&note.settings));
    let begun = note.clone();
    let beginning = files.spawn_blocking(move || {
        let start = begun.begin();
        begun.show(Some(&start));
        begun.board.update(|status| {
            if let Some(gocd) = &mut status.gocd {
                gocd.maintenance = start.maintenance;
            }
        });
        start
    });
    let Some(gocd) = settings.gocd_at() else {
        // Its settings are a mistake that the board shows.
        return future::pending().await;
    };
    let (mut watch, began) = (Watch::default(), Instant::now());
    let mut noting = Some(beginning);
    let mut gives_away = None;
    loop {
        let heard = ask(gocd, &settings.gocd_context).await;
        let state = watch.hear(&heard, began.elapsed());
        if state == GocdState::Healthy
            && let Some(beginning) = noting.take()
        {
            info!("GoCD answers that it is healthy");
            let (note, on_files) = (note.clone(), files.clone());
            let succeeding = files.spawn(async move {
                let Ok(start) = beginning.await else { return };
                drop(on_files.spawn_blocking(move || note.succeeds(start)).await);
            });
            // Whoever hears that it runs hears what is not right too; a disk that hangs keeps nobody from the first.
            drop(timeout(LOOKS_WITHIN, succeeding).await);
        }
        show(&board, state, heard);
        // What runs in this process stays the same until it ends.
        if state == GocdState::Healthy && gives_away.is_none() {
            gives_away = gives_secrets_away(gocd, &settings.gocd_context).await;
            if gives_away == Some(true) {
                let place = format!("http://{gocd}{}", settings.gocd_context);
                board.alarm(&Topic::GocdGivesAway, Some(old_product::message(&place)));
            }
        }
        sleep(watch.pause()).await;
    }
}

/// Shows on the board what GoCD does.
fn show(board: &StatusBoard, state: GocdState, heard: Heard) {
    let said = match heard {
        Heard::Healthy => None,
        Heard::Else(said) => Some(said),
    };
    board.update(|status| {
        let now_ms = status.now_ms;
        if let Some(gocd) = &mut status.gocd {
            if gocd.state != state {
                (gocd.state, gocd.since_ms) = (state, now_ms);
            }
            gocd.said = said;
        }
    });
    let problem = board.look(|status| status.gocd.as_ref().and_then(|gocd| gocd.problem(status.now_ms)));
    match problem {
        None => board.clear(&Topic::GocdHealth),
        Some((severity, message)) => {
            if board.raise(&Topic::GocdHealth, severity, message.as_str()) {
                error!("{severity} {message}");
            }
        }
    }
}

/// Asks GoCD as anybody could whether it gives its secrets away; none where it does not say. What it answered is not kept.
async fn gives_secrets_away(gocd: SocketAddr, context: &str) -> Option<bool> {
    let mut answer = Vec::new();
    let request = old_product::question(context);
    // What came until then counts.
    drop(timeout(ANSWERS_WITHIN, exchange(gocd, &request, LONGEST_ANSWER, &mut answer)).await);
    old_product::gives_secrets_away(&answer)
}

/// Asks GoCD once at its health path.
async fn ask(gocd: SocketAddr, context: &str) -> Heard {
    let mut answer = Vec::new();
    let asked = async {
        // GoCD answers 404 to whoever wants JSON and names no version of its API.
        let request = format!(
            "GET {context}/api/v1/health HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        exchange(gocd, &request, LONGEST_ANSWER, &mut answer).await
    };
    match timeout(ANSWERS_WITHIN, asked).await {
        _ if !answer.is_empty() => Heard::of_answer(&answer),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Heard::Else("refuses connections".to_owned())
        }
        Ok(_) => Heard::Else("breaks off the connection".to_owned()),
        Err(_) => Heard::Else(format!("says nothing for {} s", ANSWERS_WITHIN.as_secs())),
    }
}

/// Sends a request to GoCD's own port, and takes in what is answered until the connection ends, up to `longest` bytes. What
/// came before a failure is in `answer` all the same.
///
/// # Errors
/// Nobody listens there, or the connection breaks off.
pub(super) async fn exchange(gocd: SocketAddr, request: &str, longest: usize, answer: &mut Vec<u8>) -> io::Result<()> {
    let mut stream = TcpStream::connect(gocd).await?;
    stream.write_all(request.as_bytes()).await?;
    stream.take(longest as u64).read_to_end(answer).await?;
    Ok(())
}
