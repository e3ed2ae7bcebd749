//! A primary and its standby, with lines between them that can be cut.

use std::net::SocketAddr;

use bc_core::{basics::Clock, role::guard::Said};
use bc_testkit::fault_proxy::{Fault, FaultProxy};

use super::*;

/// Longest time until a replaced primary that can know it has ended.
pub(super) const FENCED_WITHIN: Duration = Duration::from_secs(15);

/// What a node is opened with.
pub(super) struct Wish<'a> {
    pub(super) settings: &'a [(&'a str, &'a str)],
    pub(super) clock: Arc<dyn Clock>,
    /// What db.properties says.
    pub(super) database: Option<String>,
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Self {
            settings: &[],
            clock: Arc::new(SystemClock),
            database: None,
        }
    }
}

/// Both nodes, which reach each other over lines alone.
pub(super) struct Pair {
    pub(super) primary: Scene,
    pub(super) standby: Scene,
    lines: [FaultProxy; 2],
    settings: [Vec<(&'static str, String)>; 2],
}

impl Pair {
    /// A primary and a standby that is in sync.
    pub(super) fn open(of_primary: &Wish<'_>, of_standby: &Wish<'_>) -> Self {
        let dirs = [GocdDir::new(), GocdDir::new()];
        let lines = dirs
            .each_ref()
            .map(|dir| FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], dir.port))));
        let urls = lines.each_ref().map(|line| format!("https://{}", line.address()));
        let [at_primary, at_standby] = dirs;
        let [of_line, own] = urls;
        let settings = vec![("bc.external.url", of_line.clone())];
        let primary = boot(at_primary, &settings, of_primary);
        primary.until("it offers its files", |status| {
            status.listening.is_some() && status.generation.is_some()
        });
        let key = primary
            .board
            .look(|status| status.fingerprint)
            .expect("every node has one")
            .to_string();
        let of_former = settings;
        let settings = vec![
            ("go.server.mode", "standby".to_owned()),
            ("bc.primary.url", of_line),
            ("bc.primary.fingerprint", key),
            ("bc.external.url", own),
        ];
        let standby = boot(at_standby, &settings, of_standby);
        standby.until("in sync", is_in_sync);
        Self {
            primary,
            standby,
            lines,
            settings: [of_former, settings],
        }
    }

    /// Waits until the primary has asked its standby who that is.
    pub(super) fn is_heard(&self) {
        self.primary.until("the primary hears its standby", |status| {
            status.peers.iter().any(|peer| peer.said == Some(Said::Agrees))
                && status.standbys.iter().any(|one| one.in_sync)
        });
    }

    /// Ends both nodes, and starts them again, the former primary first.
    pub(super) fn boot(self, of_primary: &Wish<'_>, of_standby: &Wish<'_>) -> (Scene, Scene, [FaultProxy; 2]) {
        let dirs = [self.primary, self.standby].map(|scene| {
            scene.node.close();
            scene.dir
        });
        let [at_primary, at_standby] = dirs;
        let primary = boot(at_primary, &self.settings[0], of_primary);
        let standby = boot(at_standby, &self.settings[1], of_standby);
        (primary, standby, self.lines)
    }

    pub(super) fn cut(&self) {
        self.lines.iter().for_each(|line| line.set(Fault::Cut));
    }

    pub(super) fn heal(&self) {
        self.lines.iter().for_each(|line| line.set(Fault::None));
    }

    /// Waits until the former primary is fenced, and ends.
    pub(super) fn is_fenced(&self, epoch: u64) {
        let since = std::time::Instant::now();
        self.primary.until("the former primary is fenced", |status| {
            status.role == Role::Fenced
                && status
                    .fenced_by
                    .as_ref()
                    .is_some_and(|winner| winner.epoch.number == epoch)
        });
        wait::until("GoCD ends there", SOON, || {
            matches!(
                self.primary.node.next_event(Duration::from_millis(50)),
                Some(Event::Exit(_))
            )
            .then_some(())
        });
        assert!(since.elapsed() < FENCED_WITHIN, "{:?}", since.elapsed());
    }
}

/// Opens a node in its folder as a command does that has no JVM.
fn boot(dir: GocdDir, settings: &[(&'static str, String)], wish: &Wish<'_>) -> Scene {
    let mut all: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    all.extend(wish.settings);
    if let Some(database) = &wish.database {
        fs::write(dir.config().join("db.properties"), database).expect("write");
        all.push(("bc.db.watch", ""));
    }
    Scene::open_as(dir, &all, |assembly| {
        assembly.restart_waits = short();
        // What was made with the machine's clock is made anew.
        assembly.clock = Arc::clone(&wish.clock);
        assembly.board = Arc::new(StatusBoard::new(assembly.board.picture(), Arc::clone(&wish.clock)));
        assembly.audit = AuditWriter::new(
            Audit::new(Arc::clone(&assembly.state)),
            Arc::clone(&assembly.board),
            Arc::clone(&wish.clock),
        );
    })
}

/// The order of a person to promote a standby, with its database or without.
pub(super) fn promote(with_database: bool) -> Order {
    Order::Promote {
        without_database: !with_database,
        as_it_is: false,
        // Nothing tells how far a primary's database was that is not watched.
        accept_loss: true,
        force: false,
        maintenance: false,
        replay_within_s: None,
    }
}
