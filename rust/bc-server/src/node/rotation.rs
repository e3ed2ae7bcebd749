//! Gives a primary another key without its standbys losing trust in it.
//!
//! | step | what a crash after it leaves |
//! |---|---|
//! | the next key is made, in `identity-next.pem` | it goes on from here when the node opens |
//! | its fingerprint is in the peers file and in every answer to a report, and standbys that wait for a change hear that there is one | the same |
//! | each standby that is not silent has confirmed it, or `--now` skips the rest | the same |
//! | `identity-next.pem` becomes `identity.pem`, in one rename | the new key is shown |
//! | the former key is removed from the peers file, and every answer to a report says so | it is removed when the node opens |
//!
//! So a rotation ends the former key: on this node at once, on a standby with the first report that is answered under the
//! new one. A standby is one whose key is trusted; nobody else is waited for.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bc_core::{
    clock::Clock,
    control::Reply,
    error::Error,
    fingerprint::Fingerprint,
    identity::Identity,
    offer::Offer,
    own_keys::OwnKeys,
    peers::PeersFile,
    run,
    standbys::Standbys,
    state_dir::StateDir,
    status::{Severity, StatusBoard},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tracing::{info, warn};

use super::{
    Assembly,
    supervisor::{Part, Supervisor},
};
use crate::tls::node_key::{NodeKey, Shown};

/// How often is looked whether all have confirmed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long an order waits for that; standbys report every half minute.
const ORDER_WAITS: Duration = Duration::from_secs(45);
/// How long it waits where it is to be carried out now.
const NOW_WAITS: Duration = Duration::from_secs(3);
/// The board's topic.
const TOPIC: &str = "identity";

/// The change of one node's key.
pub(crate) struct Rotation {
    state: Arc<StateDir>,
    peers: PeersFile,
    key: Arc<NodeKey>,
    own: Arc<OwnKeys>,
    board: Arc<StatusBoard>,
    clock: Arc<dyn Clock>,
    standbys: Arc<Standbys>,
    offer: Arc<Offer>,
    is_given: bool,
    /// The key that is to be shown; held while anything of the change is done.
    next: Mutex<Option<Fingerprint>>,
    /// Whether former keys are still to be removed.
    ends_former: AtomicBool,
}

/// Goes on with a change that was begun before, and switches when it may, for as long as the node lives.
pub(crate) fn start(
    assembly: &Assembly,
    supervisor: &Supervisor,
    standbys: &Arc<Standbys>,
    offer: &Arc<Offer>,
) -> Arc<Rotation> {
    let rotation = Arc::new(Rotation {
        state: Arc::clone(&assembly.state),
        peers: PeersFile::of(&assembly.settings.layout),
        key: Arc::clone(&assembly.key),
        own: Arc::clone(&assembly.own),
        board: Arc::clone(&assembly.board),
        clock: Arc::clone(&assembly.clock),
        standbys: Arc::clone(standbys),
        offer: Arc::clone(offer),
        is_given: assembly.settings.tls_certificate.is_some(),
        next: Mutex::new(None),
        ends_former: AtomicBool::new(false),
    });
    let (kept, stop) = (Arc::clone(&rotation), assembly.stop.clone());
    let part = Part {
        name: "rotation",
        does: "gives it another key once its standbys have confirmed it",
    };
    supervisor.keep(part, move || {
        let (going_on, stop) = (Arc::clone(&kept), stop.clone());
        async move {
            going_on.go_on();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(LOOK_EVERY) => going_on.look(),
                }
            }
        }
    });
    rotation
}

impl Rotation {
    /// Carries out `gocd-bc identity rotate`; says who is waited for through `progress`.
    pub(crate) async fn order(&self, now: bool, progress: &mpsc::Sender<String>) -> Reply {
        if self.is_given {
            return Reply::refused(
                "this node shows the certificate in bc.tls.certificate, not a key of its own",
                "Put another certificate and its key into the files of bc.tls.certificate and bc.tls.private.key; \
                 they are read again by themselves.",
            );
        }
        let former = self.own.shown();
        let next = match self.publish() {
            Ok(next) => next,
            Err(error) => return error.into(),
        };
        let skipped = if now {
            self.missing_soon(&next).await
        } else {
            Vec::new()
        };
        if now && let Err(error) = self.switch() {
            return error.into();
        }
        let end = Instant::now() + ORDER_WAITS;
        let mut said = Vec::new();
        while self.own.shown() != next {
            let missing = self.missing(&next);
            if Instant::now() >= end {
                return Reply::Done {
                    message: format!(
                        "the next key {next} is published, but {} did not confirm it yet; this node switches by itself \
                         once they have. To switch without them: gocd-bc identity rotate --now",
                        missing.join(", ")
                    ),
                };
            }
            if missing != said {
                // A caller that went away is no reason to stop.
                drop(progress.send(format!("waiting for {}", missing.join(", "))).await);
                said = missing;
            }
            sleep(LOOK_EVERY).await;
        }
        let without = if skipped.is_empty() {
            String::new()
        } else {
            format!(
                "; not confirmed by {}: run `gocd-bc trust {next}` and `gocd-bc trust --remove {former}` there",
                skipped.join(", ")
            )
        };
        let copies = self.standbys.copies();
        let shut_out = if copies.is_empty() {
            String::new()
        } else {
            format!(
                ". A copy of this server has the former key alone, so it is shut out now: {}",
                run::named(&copies)
            )
        };
        Reply::Done {
            message: format!(
                "this node shows the key {next} from now on, and the former one, {former}, is trusted no longer: here at \
                 once, and on each standby with its next report{without}{shut_out}"
            ),
        }
    }

    /// Makes the next key unless it is there, and lets everybody know.
    fn publish(&self) -> Result<Fingerprint, Error> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let fingerprint = Identity::next_or_create(self.state.path())?.fingerprint();
        let peer = self.own.peer(fingerprint);
        self.peers.change(|peers| peers.trust(peer))?;
        if *next != Some(fingerprint) {
            info!("the next key of this node is {fingerprint}");
        }
        *next = Some(fingerprint);
        self.own.set(self.own.shown(), [fingerprint]);
        self.offer.announce(Some(fingerprint));
        Ok(fingerprint)
    }

    /// Goes on where a former process stopped.
    fn go_on(&self) {
        let begun = Identity::next(self.state.path()).and_then(|next| match next {
            Some(_) if !self.is_given => self.publish().map(drop),
            _ => Ok(()),
        });
        match begun {
            Ok(()) => {
                self.ends_former.store(!self.is_given, Ordering::Relaxed);
                self.end_former();
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Removes the keys that this node showed before. Only once a key that is still to be shown is known as one of its
    /// own. A certificate that an administrator gives may come back, so none of those is ended by itself.
    fn end_former(&self) {
        if !self.ends_former.load(Ordering::Relaxed) {
            return;
        }
        match self.peers.change(|peers| peers.end_former_keys(&self.own)) {
            Ok((ended, _)) => {
                self.ends_former.store(false, Ordering::Relaxed);
                for key in ended {
                    info!("the key {key}, which this node showed before, is trusted no longer");
                }
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Switches if there is a next key that nobody is waited for.
    fn look(&self) {
        let next = *self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_some_and(|next| self.missing(&next).is_empty())
            && let Err(error) = self.switch()
        {
            self.fail(&error);
        } else if next.is_none() {
            self.end_former();
        }
    }

    /// Shows the next key; nothing to do where another call was quicker.
    fn switch(&self) -> Result<(), Error> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none() {
            return Ok(());
        }
        let Some(identity) = Identity::next(self.state.path())? else {
            *next = None;
            return Ok(());
        };
        let shown = Shown::identity(&identity)?;
        Identity::switch(self.state.path())?;
        let fingerprint = shown.fingerprint();
        self.key.show(shown);
        self.own.set(fingerprint, []);
        self.offer.announce(None);
        *next = None;
        info!("this node shows the key {fingerprint} from now on");
        self.board.clear(TOPIC);
        self.board.update(|status| status.fingerprint = Some(fingerprint));
        self.ends_former.store(true, Ordering::Relaxed);
        self.end_former();
        Ok(())
    }

    /// The names of standbys that are trusted, are not silent, and have not confirmed this key.
    fn missing(&self, next: &Fingerprint) -> Vec<String> {
        self.standbys
            .picture(None)
            .iter()
            .filter(|standby| !standby.silent && !standby.confirms.contains(next))
            .map(|standby| standby.name())
            .collect()
    }

    /// The same after the moment that those who are connected need to hear of it and to confirm it: whoever is skipped
    /// follows again only by hand.
    async fn missing_soon(&self, next: &Fingerprint) -> Vec<String> {
        let end = Instant::now() + NOW_WAITS;
        loop {
            let missing = self.missing(next);
            if missing.is_empty() || Instant::now() >= end {
                return missing;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn fail(&self, error: &Error) {
        let now_ms = self.clock.now_ms();
        if self.board.raise(TOPIC, Severity::Warning, error.to_string(), now_ms) {
            warn!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bc_core::{
        clock::SystemClock,
        manifest::Role,
        report::{Report, ReportReply},
        run::{KeyHolder, Run},
        standbys::Sender,
        status::{Phase, Status},
    };

    use super::*;

    struct Place {
        folder: tempfile::TempDir,
        first: Fingerprint,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("folder");
            let first = Identity::load_or_create(folder.path()).expect("identity").fingerprint();
            Self { folder, first }
        }

        /// As when the node opens.
        fn open(&self) -> Rotation {
            let state = Arc::new(StateDir::open(self.folder.path()).expect("state"));
            let identity = Identity::load_or_create(state.path()).expect("identity");
            let own = Arc::new(OwnKeys::new(state.node_id(), identity.fingerprint()));
            let peers = PeersFile::new(&self.folder.path().join("peers"), Some(self.folder.path()));
            let shown = own.peer(own.shown());
            peers.change(|peers| peers.trust(shown)).expect("written");
            let (standbys, problem) =
                Standbys::open(state.path(), peers.clone(), Arc::clone(&own), Duration::from_secs(120));
            assert_eq!(problem, None);
            Rotation {
                board: Arc::new(StatusBoard::new(Status::new(
                    state.node_id(),
                    Role::Primary,
                    Phase::Running,
                    0,
                ))),
                offer: Arc::new(Offer::new(Arc::clone(&state), None, 1000).expect("an offer")),
                state,
                peers,
                key: NodeKey::new(Shown::identity(&identity).expect("a pair")),
                own,
                clock: Arc::new(SystemClock),
                standbys: Arc::new(standbys.by(&run("primarygo"))),
                is_given: false,
                next: Mutex::new(None),
                ends_former: AtomicBool::new(false),
            }
        }

        fn identity(&self) -> Fingerprint {
            Identity::load_or_create(self.folder.path())
                .expect("identity")
                .fingerprint()
        }
    }

    fn run(host: &str) -> Run {
        Run::begin(Some(host.to_owned()), Path::new("state"), 0).expect("random")
    }

    fn of(name: char, confirms: &[Fingerprint]) -> Report {
        Report {
            in_sync: Some(true),
            node_id: name.to_string().repeat(32),
            generation: None,
            applied_ago_ms: None,
            error: None,
            problem: None,
            url: None,
            product_version: "0.1.0".to_owned(),
            gocd_version: None,
            confirms: confirms.to_vec(),
            run: None,
        }
    }

    /// A standby reports and confirms what it was told of the keys in `confirms`.
    fn report(rotation: &Rotation, name: char, confirms: &[Fingerprint]) -> Vec<Fingerprint> {
        let key = Fingerprint::of_public_key(&[name as u8]);
        tells(rotation, of(name, confirms), Some(key)).keys
    }

    fn tells(rotation: &Rotation, report: Report, key: Option<Fingerprint>) -> ReportReply {
        let sender = Sender { key, address: None };
        rotation.standbys.report(report, sender, 1).expect("taken")
    }

    #[tokio::test]
    async fn the_key_is_switched_once_all_have_confirmed() {
        let place = Place::new();
        let rotation = place.open();
        report(&rotation, 'a', &[]);
        let next = rotation.publish().expect("published");
        rotation.look();
        assert_eq!(rotation.own.shown(), place.first, "nobody has confirmed");
        let told = report(&rotation, 'a', &[place.first]);
        assert_eq!(told, [place.first, next]);
        let peers = rotation.peers.load().expect("peers");
        assert!(peers.contains(&next), "and so is the peers file that it gets");
        assert!(peers.contains(&place.first));
        rotation.look();
        assert_eq!(rotation.own.shown(), place.first);
        report(&rotation, 'a', &[place.first, next]);
        rotation.look();
        assert_eq!(rotation.own.shown(), next);
        assert_eq!(rotation.key.shown().fingerprint(), next);
        assert_eq!(place.identity(), next);
        assert_eq!(report(&rotation, 'a', &[next]), [next]);
        let peers = rotation.peers.load().expect("peers");
        assert!(peers.is_removed(&place.first), "the former key has ended");
        let reply = tells(&rotation, of('a', &[next]), Some(Fingerprint::of_public_key(b"a")));
        assert_eq!(reply.removed, [place.first], "and each standby is told");
    }

    #[tokio::test]
    async fn nobody_holds_a_rotation_up_by_the_token_alone() {
        let place = Place::new();
        let rotation = place.open();
        report(&rotation, 'a', &[]);
        let next = rotation.publish().expect("published");
        for (number, name) in ('b'..='f').enumerate() {
            let key = (number % 2 == 0).then(|| Fingerprint::of_public_key(&[name as u8]));
            tells(&rotation, of(name, &[]), key);
        }
        tells(&rotation, of('a', &[]), None);
        report(&rotation, 'a', &[next]);
        rotation.look();
        assert_eq!(rotation.own.shown(), next);
    }

    #[tokio::test(start_paused = true)]
    async fn the_silent_are_not_waited_for() {
        let place = Place::new();
        let rotation = place.open();
        report(&rotation, 'a', &[]);
        rotation
            .standbys
            .trust(Fingerprint::of_public_key(b"b"))
            .expect("trusted");
        let next = rotation.publish().expect("published");
        tokio::time::advance(Duration::from_secs(121)).await;
        report(&rotation, 'b', &[next]);
        rotation.look();
        assert_eq!(rotation.own.shown(), next);
    }

    #[tokio::test(start_paused = true)]
    async fn now_skips_the_others_and_names_them() {
        let place = Place::new();
        let rotation = place.open();
        report(&rotation, 'a', &[]);
        let (progress, _steps) = mpsc::channel(4);
        let Reply::Done { message } = rotation.order(true, &progress).await else {
            panic!("it is done")
        };
        assert!(message.contains("not confirmed by node aaaaaaaa"), "{message}");
        assert!(
            message.contains(&format!("gocd-bc trust --remove {}", place.first)),
            "{message}"
        );
        assert_eq!(place.identity(), rotation.own.shown());
        assert_ne!(place.identity(), place.first);
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_does_not_wait_for_ever() {
        let place = Place::new();
        let rotation = place.open();
        let (progress, mut steps) = mpsc::channel(4);
        report(&rotation, 'a', &[]);
        let Reply::Done { message } = rotation.order(false, &progress).await else {
            panic!("it is published")
        };
        assert!(message.contains("node aaaaaaaa did not confirm it yet"), "{message}");
        assert_eq!(steps.recv().await.as_deref(), Some("waiting for node aaaaaaaa"));
        assert_eq!(place.identity(), place.first);
    }

    #[tokio::test]
    async fn a_crash_between_the_steps_loses_nothing() {
        let place = Place::new();
        let next = {
            let rotation = place.open();
            report(&rotation, 'a', &[]);
            rotation.standbys.save_if_due().expect("written");
            rotation.publish().expect("published")
        };
        {
            let again = place.open();
            again.go_on();
            assert_eq!(again.own.all(), [place.first, next], "it is still to come");
            assert!(again.peers.load().expect("peers").removed().is_empty());
            again.look();
            assert_eq!(again.own.shown(), place.first, "the standby has not confirmed");
            report(&again, 'a', &[next]);
            again.look();
        }
        let last = place.open();
        // As if the process had ended before the former key was removed.
        last.peers
            .change(|peers| peers.trust(last.own.peer(place.first)))
            .expect("written");
        last.go_on();
        assert_eq!(last.own.all(), [next]);
        let peers = last.peers.load().expect("peers");
        assert!(peers.is_removed(&place.first) && peers.contains(&next));
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_of_the_primary_is_said_to_be_shut_out() {
        let place = Place::new();
        let rotation = place.open();
        let copy = KeyHolder {
            run: run("clonego"),
            node_id: None,
        };
        rotation.standbys.shown(&place.first, copy);
        let (progress, _steps) = mpsc::channel(4);
        let Reply::Done { message } = rotation.order(true, &progress).await else {
            panic!("it is done")
        };
        assert!(
            message.contains("has the former key alone, so it is shut out now: clonego"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_given_certificate_is_not_ours_to_change() {
        let rotation = Rotation {
            is_given: true,
            ..Place::new().open()
        };
        let (progress, _steps) = mpsc::channel(4);
        let Reply::Refused { guidance, .. } = rotation.order(true, &progress).await else {
            panic!("refused")
        };
        assert!(guidance.contains("bc.tls.certificate"));
    }
}
