//! The named pipe on Windows, `\\.\pipe\gocd-bc-<node id>`.
//!
//! Windows' default rights of a pipe let the user that made it, administrators and the system write to it. Which of
//! them it is we do not look up, so all count as the user of the node: orders that change anything need
//! `bc.operator=owner`.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bc_core::basics::Error;
use tokio::{
    net::windows::named_pipe::{NamedPipeServer, ServerOptions},
    sync::Semaphore,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    ControlHandler, Tell, converse,
    rights::{Caller, Rights},
};

/// Connections at a time.
const CONNECTIONS: usize = 24;

/// Makes the named pipe that is the local socket on Windows, and answers on it until `shutdown`. Returns its name, and
/// the task that answers; it ends at once where there is no pipe.
pub(super) fn serve<H: ControlHandler>(
    state_dir: &Path,
    rights: Rights,
    handler: Arc<H>,
    tell: Tell,
    shutdown: CancellationToken,
) -> (PathBuf, JoinHandle<()>) {
    match make(state_dir, rights, handler, shutdown) {
        Ok(made) => {
            tell(Ok(&made.0));
            made
        }
        Err(problem) => {
            tell(Err(&problem));
            (PathBuf::new(), tokio::spawn(async {}))
        }
    }
}

/// Makes the named pipe, and the task that answers on it.
fn make<H: ControlHandler>(
    state_dir: &Path,
    rights: Rights,
    handler: Arc<H>,
    shutdown: CancellationToken,
) -> Result<(PathBuf, JoinHandle<()>), Error> {
    let path = state_dir.join("node-id");
    let node_id = fs::read_to_string(&path).map_err(Error::cannot("read", &path))?;
    let name = PathBuf::from(format!(r"\\.\pipe\gocd-bc-{}", node_id.trim()));
    let first = ServerOptions::new()
        .first_pipe_instance(true)
        .create(&name)
        .map_err(Error::cannot("make the local pipe", &name))?;
    let task = tokio::spawn(accept(first, name.clone(), Arc::new(rights), handler, shutdown));
    Ok((name, task))
}

/// Accepts callers on the named pipe, and serves each on a task of its own.
async fn accept<H: ControlHandler>(
    mut waiting: NamedPipeServer,
    name: PathBuf,
    rights: Arc<Rights>,
    handler: Arc<H>,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let connected = tokio::select! {
            () = shutdown.cancelled() => return,
            connected = waiting.connect() => connected,
        };
        // The next instance is made before this one is served: without one, callers find no pipe.
        let next = loop {
            match ServerOptions::new().create(&name) {
                Ok(next) => break next,
                Err(error) => {
                    warn!("cannot make the local pipe {} again: {error}", name.display());
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        };
        let stream = std::mem::replace(&mut waiting, next);
        if connected.is_err() {
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (rights, handler) = (Arc::clone(&rights), Arc::clone(&handler));
        tokio::spawn(async move {
            converse(stream, Caller::Owner.into(), &rights, handler.as_ref(), || true).await;
            drop(place);
        });
    }
}
