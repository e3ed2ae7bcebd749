//! Keeps GoCD's health messages equal to what the status says is wrong.
//!
//! Nobody hears whether GoCD has taken them: while it starts it takes none, and it forgets all of them when it restarts
//! its plugins. So the whole list is said again and again, first soon, later every half a minute.

use std::{sync::Arc, time::Duration};

use bc_core::{
    node::{Event, Events},
    status::{Status, StatusBoard},
};
use tokio::time::{Instant, sleep_until};

use super::{
    Assembly,
    supervisor::{Part, Supervisor},
};

/// From a list that is news to the same list again; doubled each time.
const SOON: Duration = Duration::from_secs(1);
/// The longest time between two times.
const REPEAT: Duration = Duration::from_secs(30);

/// Posts GoCD's health messages for as long as the node lives.
pub(crate) fn start(assembly: &Assembly, supervisor: &Supervisor) {
    let (board, events) = (Arc::clone(&assembly.board), Arc::clone(&assembly.events));
    let part = Part {
        name: "health",
        does: "posts GoCD's health messages",
    };
    supervisor.supervise(part, move || run(Arc::clone(&board), Posted::new(Arc::clone(&events))));
}

/// Posts GoCD's health messages whenever the status changes, and again when it is time.
async fn run(board: Arc<StatusBoard>, mut posted: Posted) {
    let mut changes = board.changes();
    loop {
        changes.mark_unchanged();
        let due = posted.post(board.look(Status::health_messages));
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = sleep_until(due) => {}
        }
    }
}

/// The list that GoCD is to have.
pub(super) struct Posted {
    events: Arc<Events>,
    list: Option<Vec<String>>,
    pause: Duration,
    due: Instant,
}

impl Posted {
    /// Makes the list of health messages that GoCD is to have; nothing is posted yet.
    pub(super) fn new(events: Arc<Events>) -> Self {
        Self {
            events,
            list: None,
            pause: SOON,
            due: Instant::now(),
        }
    }

    /// Posts the whole list of health messages to GoCD where it is news, and where it is time for it again. Returns
    /// when that will be.
    pub(super) fn post(&mut self, list: Vec<String>) -> Instant {
        let now = Instant::now();
        if self.list.as_ref() != Some(&list) {
            self.pause = SOON;
        } else if now < self.due {
            return self.due;
        } else {
            self.pause = REPEAT.min(2 * self.pause);
        }
        self.due = now + self.pause;
        self.events.push(Event::Health(list.clone()));
        self.list = Some(list);
        self.due
    }
}

#[cfg(test)]
mod tests {
    use bc_core::{
        basics::{Severity, SystemClock},
        generation::Role,
        status::{Phase, Topic},
    };

    use super::*;

    /// How many times the list is posted until `end`, and the last one of them.
    async fn until(end: Instant, events: &Events) -> (usize, Vec<String>) {
        let (mut count, mut last) = (0, Vec::new());
        while Instant::now() < end {
            while let Some(Event::Health(list)) = events.next(Duration::ZERO) {
                (count, last) = (count + 1, list);
            }
            tokio::time::sleep(SOON / 10).await;
        }
        (count, last)
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_is_posted_at_once_and_again_soon_and_then_every_half_a_minute() {
        let (board, events) = (
            Arc::new(StatusBoard::new(
                Status::new("node", Role::Primary, Phase::Running, 0),
                Arc::new(SystemClock),
            )),
            Arc::new(Events::default()),
        );
        let running = tokio::spawn(run(Arc::clone(&board), Posted::new(Arc::clone(&events))));
        let begun = Instant::now();
        // At 0, 1, 3, 7, 15 and 31 s.
        let (count, last) = until(begun + Duration::from_secs(45), &events).await;
        assert_eq!((count, last), (6, Vec::new()), "GoCD may have an older list");
        let (count, _) = until(begun + Duration::from_secs(45 + 300), &events).await;
        assert_eq!(count, 10);

        board.raise(&Topic::Disk, Severity::Warning, "low");
        let news = Instant::now();
        let (count, last) = until(news + Duration::from_millis(500), &events).await;
        assert_eq!((count, last), (1, vec!["WARNING low".to_owned()]));
        // What changes nothing in the list does not post it.
        board.update(|status| status.holding = Some("here".to_owned()));
        let (count, _) = until(news + Duration::from_millis(900), &events).await;
        assert_eq!(count, 0);
        let (count, _) = until(news + Duration::from_secs(20), &events).await;
        assert_eq!(count, 4, "as soon as of the first list");
        running.abort();
    }
}
