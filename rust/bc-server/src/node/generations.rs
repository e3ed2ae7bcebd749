//! The generations that a standby keeps: what is asked about them on the local socket.

use std::path::Path;

use bc_core::{control::Reply, error::Error, store::generations};

/// All of them.
pub(crate) async fn list(state_dir: &Path) -> Reply {
    let folder = state_dir.to_owned();
    let listed = blocking(move || generations::list(&folder)).await;
    listed.map_or_else(Reply::from, |generations| Reply::Generations { generations })
}

/// One of them.
pub(crate) async fn show(state_dir: &Path, id: String) -> Reply {
    let folder = state_dir.to_owned();
    let shown = blocking(move || generations::show(&folder, &id)).await;
    shown.map_or_else(Reply::from, |(generation, files)| Reply::Generation {
        generation,
        files,
    })
}

/// Reads files where that may block.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> Result<R, Error> + Send + 'static) -> Result<R, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(Error::new(bc_core::error::Kind::Busy, "the node is being closed", "")),
    }
}
