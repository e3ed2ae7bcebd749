//! Talks to a running node on its local socket.
//!
//! Where none answers, three things are told apart, since each is mended in another way: no node runs; one runs, by the
//! lock of its state folder, and has no socket; this user may not reach it.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use bc_core::{
    basics::words,
    node::{Order, Reply},
    status::Status,
};

use serde_json::Value;

use crate::{
    exit_code::ExitCode,
    failure::Failure,
    output::{self, LiveLine},
};

mod silence;

pub(crate) use silence::{after_silence, nobody_answers, silence};

/// The longest text in an answer, in characters: a message with its guidance.
const LONGEST_TEXT: usize = 2 * words::LONGEST_MESSAGE;
/// The field of an answer that has several lines.
const DIFFERENCE: &str = "difference";

/// Asks the node in `state_dir` for its status, on its local socket; none when no node answers there.
///
/// # Errors
/// A node may be there, but cannot be asked.
pub(crate) fn status(state_dir: &Path) -> Result<Option<Status>, Failure> {
    match ask(state_dir, &Order::Status, |_| {})? {
        None => Ok(None),
        Some(Reply::Status { status }) => Ok(Some(*status)),
        Some(other) => Err(unexpected(&other)),
    }
}

/// Gives an order to the node in `state_dir`, on its local socket, and returns its last word; none when no node answers
/// there. Steps are told through `on_step`.
///
/// # Errors
/// A node may be there, but cannot be asked; or it went away before its last word.
pub(crate) fn ask(state_dir: &Path, order: &Order, on_step: impl FnMut(&str)) -> Result<Option<Reply>, Failure> {
    let Some((address, connection)) = platform::connect(state_dir)? else {
        return Ok(None);
    };
    converse(connection, order, on_step).map(Some).map_err(|error| {
        Failure::new(
            ExitCode::Failed,
            format!("the node at {} broke off the conversation", address.display()),
            "It may be busy or ending: look with `gocd-bc status` and try again.",
        )
        .caused_by(error)
    })
}

/// Gives an order that only a running node can carry out, shows its steps on a line of the terminal, and prints the
/// node's last word.
///
/// # Errors
/// No node answers, it refused, or the conversation broke off.
pub(crate) fn order(state_dir: &Path, order: &Order) -> Result<ExitCode, Failure> {
    let reply = {
        let line = LiveLine::new();
        ask(state_dir, order, |step| line.show(step))?.ok_or_else(|| nobody_answers(state_dir))?
    };
    output::print(&format!("{}\n", done(reply)?))?;
    Ok(ExitCode::Ok)
}

/// Takes the message from the node's last word; a refusal or a surprise is the failure that it is to whoever ordered.
///
/// # Errors
/// The node refused.
pub(crate) fn done(reply: Reply) -> Result<String, Failure> {
    match reply {
        Reply::Done { message } => Ok(message),
        Reply::Refused { message, guidance } => Err(Failure::new(ExitCode::Failed, message, guidance)),
        other => Err(unexpected(&other)),
    }
}

/// Writes an order to the node's local socket, and reads the answer line by line.
fn converse(connection: impl Read + Write, order: &Order, mut on_step: impl FnMut(&str)) -> io::Result<Reply> {
    let mut connection = BufReader::new(connection);
    let mut line = serde_json::to_string(order).expect("an order has only plain fields");
    line.push('\n');
    connection.get_mut().write_all(line.as_bytes())?;
    loop {
        line.clear();
        if connection.read_line(&mut line)? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it ended without a last word",
            ));
        }
        match heard(&line)? {
            Reply::Progress { message } => on_step(&message),
            last => return Ok(last),
        }
    }
}

/// Reads a line of the node's answer, with each text in it made one bounded line: a node repeats what its primary, its
/// standbys, files and plugins say of themselves.
fn heard(line: &str) -> io::Result<Reply> {
    let mut reply: Value = serde_json::from_str(line)?;
    make_lines(&mut reply);
    Ok(serde_json::from_value(reply)?)
}

/// Makes each text in a node's answer one bounded line.
fn make_lines(value: &mut Value) {
    match value {
        Value::String(text) => *text = words::shown(text, LONGEST_TEXT),
        Value::Array(values) => values.iter_mut().for_each(make_lines),
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match value {
                    // The one text of several lines. What it shows of a file is printable
                    // (`bc_core::standby::store::diff`).
                    Value::String(text) if name == DIFFERENCE => *text = words::printable(text),
                    other => make_lines(other),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Makes a failure of a node's refusal, or of its answer to something else.
pub(crate) fn unexpected(reply: &Reply) -> Failure {
    let message = match reply {
        Reply::Refused { message, guidance } => {
            return Failure::new(ExitCode::Failed, message, guidance);
        }
        other => format!("the node answered something else than was asked: {other:?}"),
    };
    Failure::new(
        ExitCode::Failed,
        message,
        "Use the gocd-bc of the plugin's own version.",
    )
}

#[cfg(unix)]
mod platform {
    use std::{
        os::unix::{fs::MetadataExt, net::UnixStream},
        time::Duration,
    };

    use bc_core::{
        basics::{ShortPath, Shortage, regular_file},
        node::control::{ABSTRACT, SOCKET, SOCKET_POINTER},
    };
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

    use super::{ExitCode, Failure, Path, PathBuf, fs, io};
    use crate::owner;

    /// The longest silence of a node: its last pull before a promotion takes up to 90 s.
    const SILENCE: Duration = Duration::from_secs(150);

    /// Connects to the local socket of the node on Unix; none when none is there.
    pub(super) fn connect(state_dir: &Path) -> Result<Option<(PathBuf, UnixStream)>, Failure> {
        let inside = state_dir.join(SOCKET);
        let found = match pointed_to(state_dir) {
            Some(elsewhere) => match connect_elsewhere(&elsewhere) {
                Ok(stream) => Some((elsewhere, stream)),
                Err(error) if is_nobody(&error) => None,
                Err(error) => return Err(unreachable(&elsewhere, &error)),
            },
            None => None,
        };
        let found = match found {
            Some(found) => found,
            None => match connect_inside(state_dir) {
                Ok(Some(stream)) => (inside, stream),
                Ok(None) => return Ok(None),
                Err(error) if is_nobody(&error) => return Ok(None),
                Err(error) => return Err(unreachable(&inside, &error)),
            },
        };
        let (address, stream) = found;
        match is_the_nodes_own(&address, &stream, state_dir) {
            Some(true) => {}
            // A node that ends takes its socket along.
            None => return Ok(None),
            Some(false) => {
                return Err(Failure::new(
                    ExitCode::Failed,
                    format!(
                        "the socket {} belongs to another user than the state folder",
                        address.display()
                    ),
                    "Do not trust what answers there. Remove that file: a node that runs makes its socket again within seconds.",
                ));
            }
        }
        for limit in [UnixStream::set_read_timeout, UnixStream::set_write_timeout] {
            limit(&stream, Some(SILENCE)).map_err(|error| unreachable(&address, &error))?;
        }
        Ok(Some((address, stream)))
    }

    /// Connects to the node's socket in its state folder; none where the path is too long for a socket and has no short
    /// way: a node would have left a pointer.
    fn connect_inside(state_dir: &Path) -> io::Result<Option<UnixStream>> {
        let Some(way) = ShortPath::to(state_dir, SOCKET)? else {
            return Ok(None);
        };
        UnixStream::connect(way.path()).map(Some)
    }

    /// Connects to a node's socket outside of the state folder: a path, or the name of an abstract one.
    fn connect_elsewhere(address: &Path) -> io::Result<UnixStream> {
        #[cfg(target_os = "linux")]
        if let Some(name) = address.to_str().and_then(|address| address.strip_prefix(ABSTRACT)) {
            use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};

            return UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?);
        }
        UnixStream::connect(address)
    }

    /// Whether a node has said on Unix that its socket is outside of the state folder.
    pub(super) fn is_elsewhere(state_dir: &Path) -> bool {
        pointed_to(state_dir).is_some()
    }

    /// Whether a failed connection means that no node is there, or only the socket of one that was killed.
    fn is_nobody(error: &io::Error) -> bool {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::ConnectionRefused
        )
    }

    /// Reads the pointer by which a node that has no short way, or one of an earlier version, says where its socket is.
    fn pointed_to(state_dir: &Path) -> Option<PathBuf> {
        let text = regular_file::read_text(&state_dir.join(SOCKET_POINTER), 4096).ok()?;
        (!text.trim().is_empty()).then(|| PathBuf::from(text.trim()))
    }

    /// Whether the socket and whoever listens there are of the user whose node it is, or of root. Anybody could have
    /// put a socket where a pointer from before a restart of the machine leads to.
    fn is_the_nodes_own(address: &Path, stream: &UnixStream, state_dir: &Path) -> Option<bool> {
        let Ok(folder) = fs::metadata(state_dir) else {
            return Some(false);
        };
        let is_of_node = |uid: u32| uid == folder.uid() || uid == 0;
        let is_peer = getsockopt(stream, PeerCredentials).is_ok_and(|peer| is_of_node(peer.uid()));
        if address.to_str().is_some_and(|address| address.starts_with(ABSTRACT)) {
            return Some(is_peer);
        }
        match fs::metadata(address) {
            Ok(socket) => Some(is_peer && is_of_node(socket.uid())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => Some(false),
        }
    }

    /// Says why the local socket of a node cannot be connected to, and what to do.
    fn unreachable(address: &Path, error: &io::Error) -> Failure {
        let (why, hint) = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let owner = owner::name_of_owner(address).filter(|name| name != "root");
                let whose = owner.map_or_else(String::new, |name| format!(", or as {name}"));
                let hint = format!("Type `sudo` before the command, or run it as root{whose}.");
                ("this user may not connect to its local socket".to_owned(), hint)
            }
            io::ErrorKind::WouldBlock => ("too many others ask it".to_owned(), "Try again in a moment.".to_owned()),
            _ => match Shortage::of(error) {
                Some(shortage) => (shortage.to_string(), shortage.advice()),
                None => (error.to_string(), "Try again.".to_owned()),
            },
        };
        let message = format!("cannot ask the node at {}: {why}", address.display());
        Failure::new(ExitCode::Failed, message, hint)
    }
}

#[cfg(windows)]
mod platform {
    use super::{ExitCode, Failure, Path, PathBuf, fs, io};

    /// Whether a node's socket is outside of the state folder: never on Windows, where the name of the pipe is known.
    pub(super) fn is_elsewhere(_: &Path) -> bool {
        false
    }

    /// Connects to the named pipe of the node on Windows; none when none is there.
    pub(super) fn connect(state_dir: &Path) -> Result<Option<(PathBuf, fs::File)>, Failure> {
        let Ok(node_id) = fs::read_to_string(state_dir.join("node-id")) else {
            return Ok(None);
        };
        let name = PathBuf::from(format!(r"\\.\pipe\gocd-bc-{}", node_id.trim()));
        match fs::OpenOptions::new().read(true).write(true).open(&name) {
            Ok(pipe) => Ok(Some((name, pipe))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::new(
                ExitCode::Failed,
                format!("cannot ask the node at {}: {error}", name.display()),
                "Run the command as an administrator.",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use bc_core::{generation::Role, status::Phase};

    use super::*;

    /// Says fixed lines and forgets what it is told.
    struct Script(io::Cursor<Vec<u8>>);

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn hear(text: &str) -> (io::Result<Reply>, Vec<String>) {
        let mut steps = Vec::new();
        let script = Script(io::Cursor::new(text.as_bytes().to_vec()));
        let reply = converse(script, &Order::Status, |step| steps.push(step.to_owned()));
        (reply, steps)
    }

    #[test]
    fn steps_and_the_last_word() {
        let (reply, steps) =
            hear("{\"reply\":\"progress\",\"message\":\"one\"}\n{\"reply\":\"done\",\"message\":\"all\"}\n");
        assert_eq!(
            reply.expect("heard"),
            Reply::Done {
                message: "all".to_owned()
            }
        );
        assert_eq!(steps, ["one"]);
    }

    #[test]
    fn each_text_is_one_line_and_a_difference_stays_several() {
        let quoted = r#""x\r\nCRITICAL forged\u001b[2J\u202e""#;
        let clean = "x  CRITICAL forged [2J ";
        let (reply, steps) = hear(&format!(
            "{{\"reply\":\"progress\",\"message\":{quoted}}}\n\
             {{\"reply\":\"refused\",\"message\":{quoted},\"guidance\":{quoted}}}\n"
        ));
        assert_eq!(reply.expect("heard"), Reply::refused(clean, clean));
        assert_eq!(steps, [clean]);
        let mut difference = serde_json::json!({"state": "shown", "difference": "+a\n-b\u{1b}[2J\n"});
        make_lines(&mut difference);
        assert_eq!(difference["difference"], "+a\n-b\u{fffd}[2J\n");
    }

    #[test]
    fn no_text_of_a_status_reaches_the_screen_as_it_came() {
        let status = Status::new(&"ab".repeat(16), Role::Standby, Phase::Holding, 0);
        let mut json = serde_json::to_value(Reply::Status {
            status: Box::new(status),
        })
        .expect("plain");
        json["status"]["node_id"] = "a\nb\u{9b}2J".into();
        json["status"]["gocd_version"] = "26\n\u{202e}".into();
        json["status"]["problems"] = serde_json::json!([
            {"topic": "x", "severity": "WARNING", "message": "m\nOK  all is well", "since_ms": 0}
        ]);
        let Ok(Reply::Status { status }) = heard(&json.to_string()) else {
            panic!("{json}")
        };
        assert_eq!(status.node_id, "a b 2J");
        assert_eq!(status.gocd_version.as_deref(), Some("26  "));
        assert_eq!(status.problems[0].message, "m OK  all is well");
    }

    #[test]
    fn an_early_end_is_an_error() {
        assert!(
            hear("")
                .0
                .expect_err("nothing was said")
                .to_string()
                .contains("without a last word")
        );
        hear("nonsense\n").0.expect_err("no reply");
    }
}
