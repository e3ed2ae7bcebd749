//! The part that asks the peers of a server that is to be the primary hangs.

use bc_core::{
    generation::Epoch,
    role::{Recorded, StateDir},
    settings::Flag,
};

use super::*;

/// How often the agent's node of a server is let go within a while.
struct Asking {
    node: Node,
    board: Arc<StatusBoard>,
    provoked: Arc<Provoked>,
    _dir: GocdDir,
}

impl Asking {
    /// A server that was the primary and asks this peer, with a guard that hangs at `place`.
    fn of(peer: &str, key: Option<Fingerprint>, place: &'static str) -> Self {
        let dir = GocdDir::new();
        let state = StateDir::open(&dir.state()).expect("opens");
        Recorded::new(Role::Primary, Flag::None, 1)
            .save(state.path())
            .expect("written");
        drop(state);
        let mut properties = Properties::from_iter([
            ("bc.face", "agent"),
            ("bc.listen", "127.0.0.1:0"),
            ("cruise.listen.host", "127.0.0.1"),
            ("cruise.server.port", "0"),
            ("bc.guard.wait", "1000"),
            ("bc.db.watch", "off"),
        ]);
        properties.set("user.dir", dir.path().display().to_string());
        properties.set("bc.primary.url", peer);
        if let Some(key) = key {
            properties.set("bc.primary.fingerprint", key.to_string());
        }
        let mut parts = None;
        let node = Node::open_as(&properties, |assembly| {
            assembly.restart_waits = short();
            assembly.provoked.hang(place, true);
            parts = Some((Arc::clone(&assembly.board), Arc::clone(&assembly.provoked)));
        });
        let (board, provoked) = parts.expect("the node was put together");
        Self {
            node: node.expect("opens"),
            board,
            provoked,
            _dir: dir,
        }
    }

    fn is_given_up(&self) -> bool {
        self.board.look(|status| status.failed_parts == ["guard"])
    }

    /// Waits until this many starts of the guard; whether GoCD was let go meanwhile.
    fn until_started(&self, times: u32) -> bool {
        let is_released = std::cell::Cell::new(false);
        wait::until("the guard is started again", SOON, || {
            if matches!(self.node.next_event(Duration::from_millis(20)), Some(Event::Release(_))) {
                is_released.set(true);
            }
            (is_released.get() || self.provoked.starts("guard") >= times).then_some(())
        });
        is_released.get()
    }

    fn is_released(&self) -> bool {
        wait::until("GoCD is let go", SOON, || {
            matches!(
                self.node.next_event(Duration::from_millis(100)),
                Some(Event::Release(_))
            )
            .then_some(())
        });
        true
    }
}

fn nobody() -> String {
    format!("https://127.0.0.1:{}", free_port())
}

#[test]
fn a_guard_that_hangs_once_is_critical_and_the_next_one_decides() {
    let asking = Asking::of(&nobody(), None, "guard");
    assert!(!asking.until_started(1));
    wait::until("it is given up", SOON, || asking.is_given_up().then_some(()));
    asking.provoked.hang("guard", false);
    assert!(asking.is_released());
}

#[test]
fn a_guard_that_hangs_for_good_lets_a_healthy_server_go_and_says_so() {
    let asking = Asking::of(&nobody(), None, "guard");
    assert!(!asking.until_started(2), "the first time it is only started again");
    assert!(asking.is_released());
    let said = |status: &Status| {
        status
            .problem(&Topic::Guard)
            .is_some_and(|problem| problem.message.contains("hangs"))
    };
    assert!(asking.board.look(said), "{:#?}", asking.board.picture());
}

#[test]
fn a_guard_that_hangs_never_lets_gocd_start_next_to_a_higher_epoch_that_was_heard() {
    let dir = GocdDir::new();
    let state = StateDir::open(&dir.state()).expect("opens");
    let winner = |ledger: &mut Ledger| ledger.begin_epoch("b", 0);
    let epoch: Epoch = state.change_ledger(winner).expect("written").epoch;
    assert_eq!(epoch.number, 2);
    drop(state);
    let winner = Scene::open(dir, &[], short(), watch::watch);
    winner.until("it listens", |status| status.listening.is_some());
    let key = winner.board.look(|status| status.fingerprint);
    let asking = Asking::of(&format!("https://127.0.0.1:{}", winner.dir.port), key, "guard heard");
    // It hangs once it has heard, each time before it decides: what was heard counts.
    assert!(
        !asking.until_started(5),
        "GoCD would run beside it: {:#?}",
        asking.board.picture()
    );
    assert!(asking.board.look(|status| !status.peers.is_empty()));
    // And once it hangs no more it is fenced.
    asking.provoked.hang("guard heard", false);
    wait::until("it is fenced", SOON, || {
        asking.board.look(|status| status.role == Role::Fenced).then_some(())
    });
    assert!(!matches!(
        asking.node.next_event(Duration::from_millis(500)),
        Some(Event::Release(_))
    ));
}
