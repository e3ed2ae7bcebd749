//! The certificate that an administrator gives this node, as it is in its files now.
//!
//! Both files are looked at every two seconds. A new pair is shown from the next connection on; one that cannot be
//! used changes nothing and is a WARNING. Files are replaced one after the other, so a pair counts as bad only once it
//! is bad twice.

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
};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{
    Assembly, peers_file,
    supervisor::{Part, Supervisor},
};
use crate::tls::node_key::{NodeKey, Shown};

/// The board's topic.
const TOPIC: &str = "certificate";
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

    /// Takes up what has changed since the last look, or could not be used then.
    fn look(&mut self) {
        let now = [stamp(&self.files.certificate), stamp(&self.files.private_key)];
        if self.failures == 0 && self.seen == Some(now) {
            return;
        }
        self.seen = Some(now);
        match load(&self.files) {
            Ok(shown) => {
                self.failures = 0;
                self.board.clear(TOPIC);
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
    Shown::from_pem(&certificate, &private_key).map_err(|reason| {
        Error::new(
            Kind::File,
            format!(
                "the certificate in {} and the private key in {} cannot be used: {reason}",
                files.certificate.display(),
                files.private_key.display()
            ),
            "Put a certificate and its key there, both in PEM form, the key without a password.",
        )
    })
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
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
}
