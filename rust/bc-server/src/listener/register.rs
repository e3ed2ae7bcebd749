//! All connections of a listener, and who must leave where there are too many.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use bc_core::{
    basics::{Network, lock},
    status::Rejection,
};

use super::Connection;

/// All open connections, oldest first.
pub(super) struct Register {
    limit: usize,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    next: u64,
    connections: BTreeMap<u64, Connection>,
}

/// A place in the register, given back when this is dropped.
pub(super) struct Entry {
    number: u64,
    register: Arc<Register>,
}

impl Register {
    /// Makes the register of open connections, with room for so many.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            connections: Mutex::default(),
        }
    }

    /// Finds room in the register for `connection`: where all is taken, that of a connection that never showed right
    /// credentials. None when all others did.
    pub(super) fn enter(register: &Arc<Self>, connection: &Connection) -> Option<Entry> {
        let mut all = lock(&register.connections);
        if all.connections.len() >= register.limit {
            let evicted = all
                .most_dispensable()
                .and_then(|number| all.connections.remove(&number));
            let Some(evicted) = evicted else {
                drop(all);
                connection.reject(Rejection::Full, "");
                return None;
            };
            evicted.cut();
            evicted.reject(
                Rejection::Full,
                "closed for another one, it never showed right credentials",
            );
        }
        let number = all.next;
        all.next += 1;
        all.connections.insert(number, connection.clone());
        drop(all);
        Some(Entry {
            number,
            register: Arc::clone(register),
        })
    }
}

impl Connections {
    /// The connection that makes room for another: the oldest without right credentials, of the network that has most
    /// of them; whoever opens many loses his own.
    fn most_dispensable(&self) -> Option<u64> {
        let mut strangers: HashMap<Network, (usize, u64)> = HashMap::new();
        for (number, connection) in &self.connections {
            if !connection.is_proven() {
                let network = Network::of(connection.peer().ip());
                strangers.entry(network).or_insert((0, *number)).0 += 1;
            }
        }
        let most = strangers
            .into_values()
            .max_by_key(|(count, oldest)| (*count, Reverse(*oldest)));
        most.map(|(_, oldest)| oldest)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut all = lock(&self.register.connections);
        all.connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures_util::FutureExt;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[test]
    fn the_oldest_stranger_makes_room_and_proven_ones_stay() {
        let register = Arc::new(Register::new(2));
        let connect = || connection([127, 0, 0, 1]);
        let (standby, stranger, late, later) = (connect(), connect(), connect(), connect());
        let _standby = Register::enter(&register, &standby).expect("room");
        standby.mark_proven();
        let _stranger = Register::enter(&register, &stranger).expect("room");
        let late_entry = Register::enter(&register, &late).expect("the stranger's room");
        assert!(is_evicted(&stranger));
        assert!(!is_evicted(&standby));
        late.mark_proven();
        assert!(Register::enter(&register, &later).is_none());
        drop(late_entry);
        assert!(Register::enter(&register, &later).is_some());
    }

    #[test]
    fn who_opens_many_connections_crowds_out_his_own() {
        let register = Arc::new(Register::new(3));
        let standby = connection([10, 0, 0, 1]);
        let many: Vec<_> = (0..4).map(|_| connection([10, 0, 0, 2])).collect();
        let _standby = Register::enter(&register, &standby).expect("room");
        let _others: Vec<_> = many
            .iter()
            .map(|other| Register::enter(&register, other).expect("room"))
            .collect();
        let evicted: Vec<_> = many.iter().map(is_evicted).collect();
        assert_eq!(evicted, [true, true, false, false]);
        assert!(!is_evicted(&standby), "the oldest of all, and not proven yet");
    }

    fn connection(address: [u8; 4]) -> Connection {
        Connection::new(SocketAddr::from((address, 1)), true, CancellationToken::new(), None)
    }

    fn is_evicted(connection: &Connection) -> bool {
        connection.evicted().now_or_never().is_some()
    }
}
