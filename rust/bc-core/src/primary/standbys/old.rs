//! Who asks a primary for its files in the way of the original product, as a GoCD 20.6 to 22.3 does that is passive by its own
//! means. All that is known of such a server is that it has the token, and where it asks from: it raises and clears nothing,
//! and leaves nothing on the disk.

use std::{collections::BTreeMap, net::IpAddr, sync::Mutex};

use tokio::time::Instant;

use super::{FORGET_AFTER, MAX_STRANGERS};
use crate::{basics::lock, status::OldStandby};

/// Who has asked in that way, by address. As many are remembered as strangers, and for as long.
#[derive(Debug, Default)]
pub(super) struct OldStandbys(Mutex<BTreeMap<IpAddr, (i64, Instant)>>);

impl OldStandbys {
    /// Notes that somebody at `address` asks.
    pub(super) fn asks(&self, address: IpAddr, now_ms: i64) {
        let mut known = lock(&self.0);
        known.insert(address, (now_ms, Instant::now()));
        if known.len() > MAX_STRANGERS {
            let oldest = known
                .iter()
                .min_by_key(|(_, (_, asked))| *asked)
                .map(|(address, _)| *address);
            oldest.and_then(|oldest| known.remove(&oldest));
        }
    }

    /// All who have asked within the last ten minutes, in the order of their addresses.
    pub(super) fn all(&self) -> Vec<OldStandby> {
        let mut known = lock(&self.0);
        known.retain(|_, (_, asked)| asked.elapsed() < FORGET_AFTER);
        let one = |(address, (asked_ms, _)): (&IpAddr, &(i64, Instant))| OldStandby {
            address: *address,
            asked_ms: *asked_ms,
        };
        known.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn they_are_bounded_and_forgotten_once_they_are_silent() {
        let old = OldStandbys::default();
        let address = |number: u8| IpAddr::from([10, 0, 0, number]);
        for number in 0..40 {
            old.asks(address(number), i64::from(number));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let all = old.all();
        assert_eq!(all.len(), MAX_STRANGERS);
        assert_eq!(all[0].address, address(8), "the oldest made room");
        tokio::time::advance(FORGET_AFTER - Duration::from_secs(1)).await;
        old.asks(address(9), 99);
        let left = [OldStandby {
            address: address(9),
            asked_ms: 99,
        }];
        assert_eq!(old.all(), left);
    }
}
