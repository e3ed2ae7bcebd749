//! A running GoCD although a standby was asked for: the Java agent is missing.
//!
//! From 23.1 on GoCD ignores `go.server.mode=standby` and starts fully active. From 20.6 to 22.3 it turns
//! passive, but only late in its start (`AddOnConfiguration` belongs to the last servlet), so this is judged
//! once its health path answers.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bc_core::{
    clock::Clock,
    status::{Severity, StatusBoard},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{
    Assembly,
    supervisor::{Part, Supervisor},
};

/// The board's topic.
const TOPIC: &str = "unprotected";

/// Judges this for as long as it takes.
pub(crate) fn start(assembly: &Assembly, supervisor: &Supervisor) {
    let (board, clock) = (Arc::clone(&assembly.board), Arc::clone(&assembly.clock));
    let (gocd, version) = (assembly.settings.gocd_listen, assembly.gocd_version.clone());
    let stop = assembly.stop.clone();
    let part = Part {
        name: "unprotected",
        does: "sees whether GoCD runs although a standby was asked for",
    };
    supervisor.finish(part, move || {
        judge(
            Arc::clone(&board),
            Arc::clone(&clock),
            gocd,
            version.clone(),
            stop.clone(),
        )
    });
}

/// Waits for GoCD where it is known where that listens, then says on the board and in the log what is wrong and which
/// line to add.
async fn judge(
    board: Arc<StatusBoard>,
    clock: Arc<dyn Clock>,
    gocd: Option<SocketAddr>,
    gocd_version: Option<String>,
    stop: CancellationToken,
) {
    while let Some(gocd) = gocd
        && !answers(gocd).await
    {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(Duration::from_secs(1)) => {}
        }
    }
    let message = message(gocd_version.as_deref());
    error!("{message}");
    board.raise(TOPIC, Severity::Critical, message, clock.now_ms());
}

fn message(gocd_version: Option<&str>) -> String {
    const LINE: &str = "-javaagent:plugins/external/gocd-business-continuity.jar";
    let state = match gocd_version {
        Some(version) if turns_passive_itself(version) => {
            format!("GoCD {version} is passive, but still reads and writes its database and can be reached by agents")
        }
        Some(version) => format!("GoCD {version} knows no standby and runs as an active server"),
        None => "GoCD runs, from 23.1 on as an active server".to_owned(),
    };
    format!(
        "this server was asked to be a standby, but the Java agent that holds it is missing: {state}. It does not \
         follow the primary. Stop it, add the JVM argument {LINE} (wrapper-properties.conf: \
         wrapper.java.additional.102={LINE}; Docker: in GOCD_SERVER_JVM_OPTS) and start it again."
    )
}

/// GoCD 20.6 to 22.3 know `go.server.mode=standby`.
fn turns_passive_itself(version: &str) -> bool {
    let mut numbers = version
        .split(['.', '-'])
        .map(|part| part.parse::<u32>().unwrap_or(u32::MAX));
    matches!((numbers.next(), numbers.next()), (Some(major), Some(_)) if major <= 22)
}

async fn answers(gocd: SocketAddr) -> bool {
    let gocd = if gocd.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], gocd.port()))
    } else {
        gocd
    };
    let ask = async {
        let mut stream = TcpStream::connect(gocd).await.ok()?;
        let request = "GET /go/api/v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.ok()?;
        Some(answer.ends_with(b" 200"))
    };
    matches!(timeout(Duration::from_secs(5), ask).await, Ok(Some(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_fits_the_version_and_names_the_line() {
        assert!(message(Some("26.1.0-22000")).contains("runs as an active server"));
        assert!(message(Some("22.3.0-15301")).contains("is passive"));
        for version in [None, Some("nonsense")] {
            assert!(message(version).contains("-javaagent:plugins/external/gocd-business-continuity.jar"));
        }
    }
}
