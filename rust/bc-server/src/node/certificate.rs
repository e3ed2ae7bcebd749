//! The certificate that an administrator gives this node, as it is in its files now.
//!
//! Both files are looked at every two seconds. A new pair is shown from the next connection on; one that cannot be
//! used changes nothing and is a WARNING. Files are replaced one after the other, so a pair counts as bad only once it
//! is bad twice. One that has expired, is about to or is not valid yet is shown all the same: whoever goes by the key alone
//! does not mind, and whoever goes by `bc.tls.ca` refuses it, so it is a WARNING too.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bc_core::{
    clock::Clock,
    error::{Error, Kind},
    own_keys::OwnKeys,
    peers::PeersFile,
    regular_file,
    settings::CertificateFiles,
    status::{Severity, StatusBoard},
    words::minute,
};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{
    Assembly, peers_file,
    supervisor::{Part, Supervisor},
};
use crate::tls::{
    Dates, PemFile, Untimely, Unusable,
    node_key::{NodeKey, Shown},
};

/// The board's topic.
const TOPIC: &str = "certificate";
/// The board's topic for its dates.
const DATES_TOPIC: &str = "certificate dates";
/// A certificate that ends within this time is to be renewed: 14 days, in seconds.
const SOON: i64 = 14 * 24 * 3600;
/// How often the files are looked at: two stats.
const INTERVAL: Duration = Duration::from_secs(2);

/// Follows the files of one certificate.
#[derive(Clone)]
pub(crate) struct Keeper {
    files: CertificateFiles,
    peers: PeersFile,
    key: Arc<NodeKey>,
    own: Arc<OwnKeys>,
    board: Arc<StatusBoard>,
    clock: Arc<dyn Clock>,
    seen: Option<Stamps>,
    /// How often in a row the pair could not be used.
    failures: u32,
    /// From when to when what was taken from the files counts.
    dates: Option<Dates>,
}

/// When each file was written, and its length.
type Stamps = [Option<(SystemTime, u64)>; 2];

/// Takes the certificate into use where one is given; its keeper goes on from there.
pub(crate) fn first(assembly: &Assembly) -> Option<Keeper> {
    let mut keeper = Keeper {
        files: assembly.settings.tls_certificate.clone()?,
        peers: PeersFile::of(&assembly.settings.layout),
        key: Arc::clone(&assembly.key),
        own: Arc::clone(&assembly.own),
        board: Arc::clone(&assembly.board),
        clock: Arc::clone(&assembly.clock),
        seen: None,
        failures: 0,
        dates: None,
    };
    keeper.look();
    if keeper.failures > 0 {
        // Nothing is about to replace the other file: what is there is what there is.
        keeper.look();
    }
    Some(keeper)
}

impl Keeper {
    /// Follows the files for as long as the node lives.
    pub(crate) fn start(self, assembly: &Assembly, supervisor: &Supervisor) {
        let stop = assembly.stop.clone();
        let part = Part {
            name: "certificate",
            does: "watches the certificate in bc.tls.certificate",
        };
        supervisor.keep(part, move || {
            // One that is started again reads what has changed since the node opened.
            let (mut keeper, stop) = (self.clone(), stop.clone());
            async move {
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = sleep(INTERVAL) => keeper.look(),
                    }
                }
            }
        });
    }

    fn look(&mut self) {
        self.look_at_files();
        self.judge_dates();
    }

    /// Takes up what has changed since the last look, or could not be used then.
    fn look_at_files(&mut self) {
        let now = [stamp(&self.files.certificate), stamp(&self.files.private_key)];
        if self.failures == 0 && self.seen == Some(now) {
            return;
        }
        self.seen = Some(now);
        match load(&self.files) {
            Ok(shown) => {
                self.failures = 0;
                self.board.clear(TOPIC);
                self.dates = Some(shown.dates());
                self.show(shown);
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures < 2 {
                    return;
                }
                let message = format!(
                    "{error} Until then this node shows the certificate with the key {}.",
                    self.own.shown()
                );
                let now_ms = self.clock.now_ms();
                if self.board.raise(TOPIC, Severity::Warning, message, now_ms) {
                    warn!("{error}");
                }
            }
        }
    }

    /// Says where it does not count, or soon will not.
    fn judge_dates(&self) {
        let now_ms = self.clock.now_ms();
        let now = now_ms.div_euclid(1000);
        let Some(dates) = self.dates else { return };
        let what = match (dates.judge(now), dates.judge(now + SOON)) {
            (Err(untimely), _) => format!("{untimely}, so every standby that goes by bc.tls.ca refuses this server"),
            (Ok(()), Err(Untimely::Expired(end))) => format!(
                "ends on {}, and from then on every standby that goes by bc.tls.ca refuses this server",
                minute(end)
            ),
            (Ok(()), _) => return self.board.clear(DATES_TOPIC),
        };
        let path = self.files.certificate.display();
        let message = format!(
            "the certificate in {path} {what}. Put a new one there, and its key into {} where that is another one; both are \
             taken up by themselves. What stands there shows: openssl x509 -in {path} -noout -dates",
            self.files.private_key.display()
        );
        if self
            .board
            .raise(DATES_TOPIC, Severity::Warning, message.clone(), now_ms)
        {
            warn!("{message}");
        }
    }

    fn show(&self, shown: Shown) {
        let fingerprint = shown.fingerprint();
        info!(
            "the certificate in {} is shown from now on; its key is {fingerprint}",
            self.files.certificate.display()
        );
        self.key.show(shown);
        self.own.set(fingerprint, []);
        self.board.update(|status| status.fingerprint = Some(fingerprint));
        peers_file::join(&self.peers, self.own.peer(fingerprint), &self.board, &*self.clock);
    }
}

fn load(files: &CertificateFiles) -> Result<Shown, Error> {
    let read = |path: &Path, property: &str| {
        regular_file::read(path, regular_file::LARGEST_OF_A_FEW_LINES)
            .map_err(|error| Error::io(&format!("read the file of {property},"), path, &error))
    };
    let certificate = read(&files.certificate, "bc.tls.certificate")?;
    let private_key = read(&files.private_key, "bc.tls.private.key")?;
    let certificate = PemFile {
        name: &files.certificate.display().to_string(),
        bytes: &certificate,
    };
    let private_key = PemFile {
        name: &files.private_key.display().to_string(),
        bytes: &private_key,
    };
    Shown::from_pem(certificate, private_key).map_err(|Unusable { reason, guidance }| {
        Error::new(
            Kind::File,
            format!(
                "the certificate in {} with the private key in {} cannot be used: {reason}",
                certificate.name, private_key.name
            ),
            guidance,
        )
    })
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use bc_core::{
        clock::SystemClock,
        fingerprint::Fingerprint,
        identity::Identity,
        manifest::Role,
        status::{Phase, Status},
    };

    use super::*;

    fn identity() -> Identity {
        let folder = tempfile::tempdir().expect("folder");
        Identity::load_or_create(folder.path()).expect("identity")
    }

    fn keeper(folder: &Path, own: &Identity) -> Keeper {
        Keeper {
            files: CertificateFiles {
                certificate: folder.join("node.pem"),
                private_key: folder.join("node.key"),
            },
            peers: PeersFile::new(&folder.join("peers"), None),
            key: NodeKey::new(Shown::identity(own).expect("a pair")),
            own: Arc::new(OwnKeys::new("me", own.fingerprint())),
            board: Arc::new(StatusBoard::new(Status::new("me", Role::Primary, Phase::Running, 0))),
            clock: Arc::new(SystemClock),
            seen: None,
            failures: 0,
            dates: None,
        }
    }

    #[test]
    fn a_new_pair_is_shown_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let [own, first, second] = [identity(), identity(), identity()];
        let mut keeper = keeper(folder.path(), &own);
        let certificate = |identity: &Identity| {
            fs::write(folder.path().join("node.pem"), identity.certificate_pem()).expect("write");
        };
        let private_key = |text: &str| fs::write(folder.path().join("node.key"), text).expect("write");
        let warning = |keeper: &Keeper| {
            let problems = keeper.board.look(|status| status.problems.clone());
            problems.first().map(|problem| problem.message.clone())
        };
        let shows = |keeper: &Keeper, key: Fingerprint| {
            assert_eq!(keeper.key.shown().fingerprint(), key);
            assert_eq!(keeper.own.shown(), key);
        };
        keeper.look();
        keeper.look();
        assert!(warning(&keeper).expect("missing").contains("node.pem"));
        shows(&keeper, own.fingerprint());

        certificate(&first);
        private_key(first.key_pem());
        keeper.look();
        shows(&keeper, first.fingerprint());
        assert_eq!(warning(&keeper), None);
        let peers = keeper.peers.load().expect("peers");
        assert_eq!(peers.all()[0].fingerprint, first.fingerprint());
        assert_eq!(peers.all()[0].node_id.as_deref(), Some("me"));

        certificate(&second);
        keeper.look();
        assert_eq!(warning(&keeper), None, "the key may be about to follow");
        keeper.look();
        let said = warning(&keeper).expect("they do not belong together");
        assert!(said.contains("node.pem") && said.contains("node.key"), "{said}");
        assert!(!said.contains("PRIVATE"), "{said}");
        shows(&keeper, first.fingerprint());

        private_key(second.key_pem());
        keeper.look();
        shows(&keeper, second.fingerprint());
        assert_eq!(warning(&keeper), None);
    }

    /// A clock that a test turns, in seconds since 1970.
    struct Turned(AtomicI64);

    impl Clock for Turned {
        fn now_ms(&self) -> i64 {
            self.0.load(Ordering::SeqCst) * 1000
        }
    }

    #[test]
    fn a_certificate_that_does_not_count_is_shown_and_said() {
        let folder = tempfile::tempdir().expect("folder");
        let own = identity();
        let clock = Arc::new(Turned(AtomicI64::new(0)));
        let mut keeper = Keeper {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ..keeper(folder.path(), &own)
        };
        let key = rcgen::KeyPair::generate().expect("key");
        let mut parameters = rcgen::CertificateParams::new(vec!["primarygo".to_owned()]).expect("parameters");
        parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2026, 3, 1);
        let (begin, end) = (
            parameters.not_before.unix_timestamp(),
            parameters.not_after.unix_timestamp(),
        );
        let pem = parameters.self_signed(&key).expect("certificate").pem();
        fs::write(folder.path().join("node.pem"), pem).expect("write");
        fs::write(folder.path().join("node.key"), key.serialize_pem()).expect("write");
        for (now, words) in [
            (
                begin - 60,
                Some("is not valid before 2026-01-01 00:00 UTC, so every standby"),
            ),
            (begin + 60, None),
            (end - SOON - 60, None),
            (
                end - SOON + 60,
                Some("ends on 2026-03-01 00:00 UTC, and from then on every standby"),
            ),
            (end + 60, Some("expired on 2026-03-01 00:00 UTC, so every standby")),
        ] {
            clock.0.store(now, Ordering::SeqCst);
            keeper.look();
            let problems = keeper.board.look(|status| status.problems.clone());
            let said = problems.first().map(|problem| problem.message.clone());
            match (words, said) {
                (None, None) => {}
                (Some(words), Some(said)) => {
                    assert!(said.contains(words) && said.contains("node.pem"), "{said}");
                    bc_testkit::messages::assert_for_people(&said);
                }
                (words, said) => panic!("{words:?} at {now}, but {said:?}"),
            }
            assert_ne!(
                keeper.key.shown().fingerprint(),
                own.fingerprint(),
                "it is shown all the same"
            );
        }
    }
}
