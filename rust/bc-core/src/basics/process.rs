//! Which process is meant, also once its id belongs to another one.

use serde::{Deserialize, Serialize};

/// A process, by its id and by when it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its id, as seen where it was noted.
    pub id: u32,
    /// When it began, in ticks since the machine booted; none where the operating system does not say so.
    pub began: Option<u64>,
}

impl ProcessId {
    /// This process.
    pub fn own() -> Self {
        Self::of(std::process::id())
    }

    /// The process that has this id now.
    pub fn of(id: u32) -> Self {
        Self {
            id,
            began: looked_at(id).flatten(),
        }
    }

    /// Whether this process has ended; none where that cannot be found out.
    pub fn has_ended(&self) -> Option<bool> {
        let began = self.began?;
        looked_at(self.id).map(|now| now != Some(began))
    }
}

/// When the process with this id began; none in it where there is none, or one that has ended and whose parent has not
/// asked how.
#[cfg(target_os = "linux")]
fn looked_at(id: u32) -> Option<Option<u64>> {
    // Where nothing is shown of ourselves, nothing is shown of others.
    let own = std::fs::read("/proc/self/stat").ok()?;
    began(&own)?;
    Some(
        std::fs::read(format!("/proc/{id}/stat"))
            .ok()
            .and_then(|stat| began(&stat)),
    )
}

#[cfg(not(target_os = "linux"))]
fn looked_at(_id: u32) -> Option<Option<u64>> {
    None
}

/// `7 (a name) S 1 …`: the state is the first field after the name, which may hold anything; the 20th is when it began
/// (proc_pid_stat(5)).
#[cfg(target_os = "linux")]
fn began(stat: &[u8]) -> Option<u64> {
    let stat = String::from_utf8_lossy(stat);
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    (!matches!(state, "Z" | "X"))
        .then(|| fields.nth(18)?.parse().ok())
        .flatten()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_has_ended_once_it_is_gone_or_its_id_is_anothers() {
        let own = ProcessId::own();
        assert_eq!(own.has_ended(), Some(false));
        let other = ProcessId {
            began: own.began.map(|began| began + 1),
            ..own.clone()
        };
        assert_eq!(other.has_ended(), Some(true));
        assert_eq!(
            ProcessId { began: None, ..own }.has_ended(),
            None,
            "nobody said when it began"
        );
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let process = ProcessId::of(child.id());
        assert_eq!(process.has_ended(), Some(false));
        child.kill().expect("ours");
        // Nobody has asked yet how it ended.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while process.has_ended() != Some(true) {
            assert!(std::time::Instant::now() < end, "it is thought to live");
        }
        child.wait().expect("it ended");
        assert_eq!(process.has_ended(), Some(true));
    }

    #[test]
    fn a_name_may_hold_anything() {
        let rest = "S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0";
        assert_eq!(began(format!("7 (a) S 1 (b) {rest}").as_bytes()), Some(4711));
        assert_eq!(began(b"7 (a) S 1"), None);
        assert_eq!(began(format!("7 (a) {}", rest.replacen('S', "Z", 1)).as_bytes()), None);
    }
}
