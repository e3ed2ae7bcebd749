//! What `pg_basebackup -P` says of how far it has come: `  40960/81920 kB (50%), 0/1 tablespace` (11 to 18).

/// How far a base backup has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that have come.
    pub done: u64,
    /// Bytes that the primary had when it began; it may write more meanwhile.
    pub total: u64,
}

impl Progress {
    /// The newest state in what `pg_basebackup` has said so far; none where it has not said any.
    pub fn last(said: &str) -> Option<Self> {
        said.rsplit(['\n', '\r']).find_map(of_line)
    }

    /// The first state in what `pg_basebackup` has said: it comes before a byte of the data does.
    pub fn first(said: &str) -> Option<Self> {
        said.split(['\n', '\r']).find_map(of_line)
    }
}

fn of_line(line: &str) -> Option<Progress> {
    let (numbers, _) = line.split_once(" kB ")?;
    let (done, total) = numbers.trim().split_once('/')?;
    let bytes = |kilobytes: &str| Some(kilobytes.parse::<u64>().ok()?.saturating_mul(1024));
    Some(Progress {
        done: bytes(done)?,
        total: bytes(total)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_state_are_found() {
        let said = "waiting for checkpoint\n     0/31234 kB (0%), 0/1 tablespace\r 15617/31234 kB (50%), 0/1 tablespace\n\
                    pg_basebackup: something / kB (else)\n";
        let state = |done: u64| Progress {
            done: done * 1024,
            total: 31234 * 1024,
        };
        assert_eq!(
            (Progress::first(said), Progress::last(said)),
            (Some(state(0)), Some(state(15617)))
        );
        assert_eq!(Progress::last("pg_basebackup: error: no"), None);
    }
}
