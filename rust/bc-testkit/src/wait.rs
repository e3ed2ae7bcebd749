//! Waiting by looking.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// Looks every 10 ms until `look` finds something.
///
/// # Panics
/// Nothing was found within `limit`; `what` says what was waited for.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        sleep(Duration::from_millis(10));
    }
}
