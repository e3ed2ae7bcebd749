//! Who is connected to the local socket, and who must make room.
//!
//! Everybody on the machine may look, so somebody could keep all places taken. Whoever comes is let in: where a user
//! has too many connections, his oldest one goes; where all together are too many, the oldest one of the user that has
//! most of them. Root has places of its own, and a connection whose order is being carried out never goes.

use std::sync::{Arc, Mutex, MutexGuard};

use bc_core::basics::lock;
use tokio_util::sync::CancellationToken;

/// Connections of one user at a time.
const OF_ONE_USER: usize = 8;
/// Connections of all users but root at a time.
const OF_ALL_USERS: usize = 24;
/// The user number of root.
const ROOT: u32 = 0;

/// All connections of a socket.
#[derive(Debug, Default)]
pub(super) struct Visitors(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    next: u64,
    /// In the order in which they came.
    visitors: Vec<Visitor>,
}

#[derive(Debug)]
struct Visitor {
    number: u64,
    uid: u32,
    stays: bool,
    leave: CancellationToken,
}

/// One connection, until this is dropped.
#[derive(Debug)]
pub(super) struct Visit {
    visitors: Arc<Visitors>,
    number: u64,
    leave: CancellationToken,
}

impl Visitors {
    /// Lets a connection of the user `uid` in to the local socket, and has another make room where it must. None where
    /// nobody can make room: orders are carried out for all of them.
    pub(super) fn enter(self: &Arc<Self>, uid: u32) -> Option<Visit> {
        let mut book = self.book();
        if book.count(uid) >= OF_ONE_USER {
            book.dismiss(|visitor| visitor.uid == uid)?;
        }
        let of_users = book.visitors.iter().filter(|visitor| visitor.uid != ROOT).count();
        if uid != ROOT && of_users >= OF_ALL_USERS {
            let counts = book
                .visitors
                .iter()
                .filter(|visitor| visitor.uid != ROOT && !visitor.stays);
            // Of several with as many the one who came first.
            let most = counts
                .rev()
                .map(|visitor| visitor.uid)
                .max_by_key(|uid| book.count(*uid))?;
            book.dismiss(|visitor| visitor.uid == most)?;
        }
        let (number, leave) = (book.next, CancellationToken::new());
        book.next += 1;
        book.visitors.push(Visitor {
            number,
            uid,
            stays: false,
            leave: leave.clone(),
        });
        drop(book);
        Some(Visit {
            visitors: Arc::clone(self),
            number,
            leave,
        })
    }

    /// The connections to the local socket, locked.
    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.0)
    }
}

impl Book {
    /// How many connections to the local socket a user has.
    fn count(&self, uid: u32) -> usize {
        self.visitors.iter().filter(|visitor| visitor.uid == uid).count()
    }

    /// Ends the oldest connection to the local socket that is one of these and has no order under way.
    fn dismiss(&mut self, is_one: impl Fn(&Visitor) -> bool) -> Option<()> {
        let oldest = self
            .visitors
            .iter()
            .position(|visitor| !visitor.stays && is_one(visitor))?;
        self.visitors.remove(oldest).leave.cancel();
        Some(())
    }
}

impl Visit {
    /// Keeps a connection to the local socket from making room for others, since its order is to be carried out. Says
    /// whether it was still there.
    pub(super) fn stay(&self) -> bool {
        let mut book = self.visitors.book();
        let found = book.visitors.iter_mut().find(|visitor| visitor.number == self.number);
        found.map(|visitor| visitor.stays = true).is_some()
    }

    /// Waits until a connection to the local socket has to make room for another.
    pub(super) async fn dismissed(&self) {
        self.leave.cancelled().await;
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.visitors
            .book()
            .visitors
            .retain(|visitor| visitor.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_there(visit: &Visit) -> bool {
        !visit.leave.is_cancelled()
    }

    #[test]
    fn who_opens_many_connections_makes_room_himself() {
        let visitors = Arc::new(Visitors::default());
        let many: Vec<_> = (0..OF_ONE_USER + 2)
            .map(|_| visitors.enter(1000).expect("in"))
            .collect();
        assert_eq!(many.iter().filter(|visit| is_there(visit)).count(), OF_ONE_USER);
        assert!(!is_there(&many[0]) && !is_there(&many[1]));
    }

    #[test]
    fn lookers_of_many_users_keep_nobody_out() {
        let visitors = Arc::new(Visitors::default());
        let lookers: Vec<_> = (0..100)
            .flat_map(|number| [1000 + number, 1000 + number])
            .map(|uid| visitors.enter(uid).expect("in"))
            .collect();
        assert_eq!(lookers.iter().filter(|visit| is_there(visit)).count(), OF_ALL_USERS);
        let operator = visitors.enter(999).expect("in");
        assert!(operator.stay(), "its order is carried out");
        let more: Vec<_> = (0..100).map(|uid| visitors.enter(2000 + uid).expect("in")).collect();
        assert!(is_there(&operator) && more.iter().filter(|visit| is_there(visit)).count() < OF_ALL_USERS);
        let root: Vec<_> = (0..OF_ONE_USER).map(|_| visitors.enter(ROOT).expect("in")).collect();
        assert!(root.iter().all(is_there), "root has places of its own");
        drop((lookers, operator, more, root));
        assert!(visitors.book().visitors.is_empty());
    }

    #[test]
    fn an_order_that_came_too_late_is_none() {
        let visitors = Arc::new(Visitors::default());
        let first = visitors.enter(1000).expect("in");
        let _others: Vec<_> = (0..OF_ONE_USER).map(|_| visitors.enter(1000).expect("in")).collect();
        assert!(!first.stay());
        // Orders alone are never dismissed.
        let orders: Vec<_> = (0..OF_ONE_USER).map(|_| visitors.enter(7).expect("in")).collect();
        assert!(orders.iter().all(Visit::stay));
        assert!(visitors.enter(7).is_none());
    }
}
