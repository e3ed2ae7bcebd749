//! The certificate that an administrator gives this node, as it is in its files now.
//!
//! Both files are looked at every two seconds. A new pair is shown from the next connection on; one that cannot be used
//! changes nothing and is a WARNING. Files are replaced one after the other, so a pair counts as bad only once it is
//! bad twice. One that has expired, is about to or is not valid yet is shown all the same: whoever goes by the key
//! alone does not mind, and whoever goes by `bc.tls.ca` refuses it, so it is a WARNING too.

use std::{path::Path, sync::Arc, time::Duration};

use bc_core::{
    basics::{
        Error, Kind, Severity,
        regular_file::{self, Stamp},
        words::minute,
    },
    keys::{OwnKeys, PeersFile},
    settings::CertificateFiles,
    status::{StatusBoard, Topic},
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

/// A certificate that ends within this time is to be renewed: 14 days, in seconds.
const SOON: i64 = 14 * 24 * 3600;
/// How often the files are looked at: two stats.
const INTERVAL: Duration = Duration::from_secs(2);

/// Follows the files of one certificate.
#[derive(Clone)]
pub(crate) struct CertificateWatch {
    files: CertificateFiles,
    peers: PeersFile,
    key: Arc<NodeKey>,
    own: Arc<OwnKeys>,
    board: Arc<StatusBoard>,
    seen: Option<Stamps>,
    /// How often in a row the pair could not be used.
    failures: u32,
    /// From when to when what was taken from the files counts.
    dates: Option<Dates>,
}

/// When each file was written, and its length.
type Stamps = [Stamp; 2];

/// Shows an administrator's certificate from now on where one is given, and returns what watches its files.
pub(crate) fn begin(assembly: &Assembly) -> Option<CertificateWatch> {
    let mut watch = CertificateWatch {
        files: assembly.settings.tls_certificate.clone()?,
        peers: PeersFile::of(&assembly.settings.layout),
        key: Arc::clone(&assembly.key),
        own: Arc::clone(&assembly.own),
        board: Arc::clone(&assembly.board),
        seen: None,
        failures: 0,
        dates: None,
    };
    watch.look();
    if watch.failures > 0 {
        // Nothing is about to replace the other file: what is there is what there is.
        watch.look();
    }
    Some(watch)
}

impl CertificateWatch {
    /// Watches the files of an administrator's certificate for as long as the node lives.
    pub(crate) fn start(self, supervisor: &Supervisor) {
        let part = Part {
            name: "certificate",
            does: "watches the certificate in bc.tls.certificate",
        };
        // One that is started again reads what has changed since the node opened.
        supervisor.supervise(part, move || self.clone().watch());
    }

    /// Looks at the files of an administrator's certificate again and again.
    async fn watch(mut self) {
        loop {
            sleep(INTERVAL).await;
            self.look();
        }
    }

    /// Looks once at the files of an administrator's certificate, and at its dates.
    fn look(&mut self) {
        self.look_at_files();
        self.show_dates();
    }

    /// Takes up an administrator's certificate whose files have changed since the last look, or could not be used then.
    fn look_at_files(&mut self) {
        let now = [&self.files.certificate, &self.files.private_key].map(|path| regular_file::stamp(path));
        if self.failures == 0 && self.seen == Some(now) {
            return;
        }
        self.seen = Some(now);
        match load(&self.files) {
            Ok(shown) => {
                self.failures = 0;
                self.board.clear(&Topic::Certificate);
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
                if self.board.raise(&Topic::Certificate, Severity::Warning, message) {
                    warn!("{error}");
                }
            }
        }
    }

    /// Warns of an administrator's certificate that does not count now, or ends within [`SOON`].
    fn show_dates(&self) {
        let now = self.board.now_ms().div_euclid(1000);
        let Some(dates) = self.dates else { return };
        let what = match (dates.check(now), dates.check(now + SOON)) {
            (Err(untimely), _) => format!("{untimely}, so every standby that goes by bc.tls.ca refuses this server"),
            (Ok(()), Err(Untimely::Expired(end))) => format!(
                "ends on {}, and from then on every standby that goes by bc.tls.ca refuses this server",
                minute(end)
            ),
            (Ok(()), _) => return self.board.clear(&Topic::CertificateDates),
        };
        let path = self.files.certificate.display();
        let message = format!(
            "the certificate in {path} {what}. Put a new one there, and its key into {} where that is another one; both are \
             taken up by themselves. What stands there shows: openssl x509 -in {path} -noout -dates",
            self.files.private_key.display()
        );
        self.board
            .warn(&Topic::CertificateDates, Severity::Warning, Some(message));
    }

    /// Shows an administrator's certificate from the next connection on.
    fn show(&self, shown: Shown) {
        let fingerprint = shown.fingerprint();
        info!(
            "the certificate in {} is shown from now on; its key is {fingerprint}",
            self.files.certificate.display()
        );
        self.key.show(shown);
        self.own.set(fingerprint, []);
        self.board.update(|status| status.fingerprint = Some(fingerprint));
        peers_file::join(&self.peers, self.own.peer(fingerprint), &self.board);
    }
}

/// Reads an administrator's certificate and its private key from their files.
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

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::atomic::{AtomicI64, Ordering},
    };

    use bc_core::{
        basics::{Clock, Fingerprint, SystemClock},
        generation::Role,
        keys::Identity,
        status::{Phase, Status},
    };

    use super::*;

    fn identity() -> Identity {
        let folder = tempfile::tempdir().expect("folder");
        Identity::load_or_create(folder.path()).expect("identity")
    }

    fn board(clock: Arc<dyn Clock>) -> Arc<StatusBoard> {
        Arc::new(StatusBoard::new(
            Status::new("me", Role::Primary, Phase::Running, 0),
            clock,
        ))
    }

    fn watch(folder: &Path, own: &Identity) -> CertificateWatch {
        CertificateWatch {
            files: CertificateFiles {
                certificate: folder.join("node.pem"),
                private_key: folder.join("node.key"),
            },
            peers: PeersFile::new(&folder.join("peers"), None),
            key: NodeKey::new(Shown::identity(own).expect("a pair")),
            own: Arc::new(OwnKeys::new("a".repeat(32).parse().expect("id"), own.fingerprint())),
            board: board(Arc::new(SystemClock)),
            seen: None,
            failures: 0,
            dates: None,
        }
    }

    #[test]
    fn a_new_pair_is_shown_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let [own, first, second] = [identity(), identity(), identity()];
        let mut watch = watch(folder.path(), &own);
        let certificate = |identity: &Identity| {
            fs::write(folder.path().join("node.pem"), identity.certificate_pem()).expect("write");
        };
        let private_key = |text: &str| fs::write(folder.path().join("node.key"), text).expect("write");
        let warning = |watch: &CertificateWatch| {
            let problems = watch.board.look(|status| status.problems.clone());
            problems.first().map(|problem| problem.message.clone())
        };
        let shows = |watch: &CertificateWatch, key: Fingerprint| {
            assert_eq!(watch.key.shown().fingerprint(), key);
            assert_eq!(watch.own.shown(), key);
        };
        watch.look();
        watch.look();
        assert!(warning(&watch).expect("missing").contains("node.pem"));
        shows(&watch, own.fingerprint());

        certificate(&first);
        private_key(first.key_pem());
        watch.look();
        shows(&watch, first.fingerprint());
        assert_eq!(warning(&watch), None);
        let peers = watch.peers.load().expect("peers");
        assert_eq!(peers.all()[0].fingerprint, first.fingerprint());
        assert_eq!(peers.all()[0].node_id, Some("a".repeat(32)));

        certificate(&second);
        watch.look();
        assert_eq!(warning(&watch), None, "the key may be about to follow");
        watch.look();
        let said = warning(&watch).expect("they do not belong together");
        assert!(said.contains("node.pem") && said.contains("node.key"), "{said}");
        assert!(!said.contains("PRIVATE"), "{said}");
        shows(&watch, first.fingerprint());

        private_key(second.key_pem());
        watch.look();
        shows(&watch, second.fingerprint());
        assert_eq!(warning(&watch), None);
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
        let mut watch = CertificateWatch {
            board: board(clock.clone()),
            ..watch(folder.path(), &own)
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
            watch.look();
            let problems = watch.board.look(|status| status.problems.clone());
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
                watch.key.shown().fingerprint(),
                own.fingerprint(),
                "it is shown all the same"
            );
        }
    }
}
