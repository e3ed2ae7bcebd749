//! Hears when somebody touches the live files of a standby, and has them looked at.
//!
//! It is only a hint: the store keeper looks regularly all the same. Our own applies are heard as well, and cost one
//! more look. Where nothing can be heard that is said, and tried again.

use std::{sync::Arc, time::Duration};

use bc_core::primary::scan::watch::{Hint, Hints};
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    Assembly, hints,
    supervisor::{Part, Supervisor},
};

/// How long one wait for a hint is. A wait begins with a look which folders there are.
const WAIT: Duration = Duration::from_secs(60);
/// How long after a first touch the look waits: further touches are looked at together with it, and an apply that
/// follows is not in the way.
const TOGETHER: Duration = Duration::from_millis(200);

/// Watches the live files of a standby, on a thread of its own that ends with what is returned; `touched` is told.
pub(crate) fn start(assembly: &Assembly, supervisor: &Supervisor, touched: &Arc<Notify>) -> JoinHandle<()> {
    let (layout, hints_of) = (assembly.settings.layout.clone(), assembly.hints);
    let (touched, stop) = (Arc::clone(touched), assembly.stop.clone());
    let board = Arc::clone(&assembly.board);
    let part = Part {
        name: "live watch",
        does: "hears when live files are touched",
    };
    supervisor.supervise_thread(part, "bc-live", move || {
        let hints = hints_of(&layout);
        let waker = hints.waker();
        let (touched, stop) = (Arc::clone(&touched), stop.clone());
        let board = Arc::clone(&board);
        let work = move || {
            let tell = |hints: &dyn Hints| hints::show(hints, &board);
            watch(hints, &touched, &stop, tell);
        };
        (work, move || waker.wake())
    })
}

/// Waits for hints that live files were touched, and tells the store keeper.
fn watch(mut hints: Box<dyn Hints>, touched: &Notify, stop: &CancellationToken, tell: impl Fn(&dyn Hints)) {
    // Something may have happened before the first wait.
    touched.notify_one();
    while !stop.is_cancelled() {
        tell(&*hints);
        if hints.wait(WAIT) == Hint::Changed {
            std::thread::sleep(TOGETHER);
            touched.notify_one();
        }
    }
}
