//! Waiting for something that others do.

use std::{
    thread,
    time::{Duration, Instant},
};

/// As often it is looked.
const TICK: Duration = Duration::from_millis(100);

/// What `look` finds at last; none where it has not within `deadline`. It looks once in any case.
#[expect(clippy::disallowed_methods, reason = "this is what waits, with a deadline")]
pub(crate) fn until<T>(deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        let found = look();
        if found.is_some() || begin.elapsed() >= deadline {
            return found;
        }
        thread::sleep(TICK);
    }
}
