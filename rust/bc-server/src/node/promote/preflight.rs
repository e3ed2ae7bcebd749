//! Gathers what [`bc_core::role::preflight`] judges: asks the addresses of the primary, takes what the watch has seen of
//! the database, and reads the files.

use std::{path::Path, sync::Arc, time::Duration};

use bc_core::{
    basics::Error,
    database::promotion::Way,
    generation::Epoch,
    role::{
        claim::Holder,
        inquiry::{Heard, Inquiry, Site},
        preflight::{self, Facts, Launcher, Preflight, Secrets},
        promotion::Journal,
    },
    settings::{Property, Restriction},
};
use tokio::{
    runtime::Handle,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{Promotion, database::Own};
use crate::{
    client::site,
    node::{
        database::at_start,
        supervisor::{Part, Supervisor},
    },
};

/// How long the addresses of the primary may take to answer.
const HEARD_WITHIN: Duration = Duration::from_secs(3);
/// How long files may take to be read: a disk that hangs is said.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// How often it is refreshed on the board.
const EVERY: Duration = Duration::from_secs(30);
/// And the first time, so that the watch has seen the database by then.
const FIRST: Duration = Duration::from_secs(3);

/// Starts the part of a held standby that refreshes what a promotion would do now.
pub(crate) fn start(supervisor: &Supervisor, promotion: &Arc<Promotion>) {
    let part = Part {
        name: "preflight",
        does: "looks at what speaks against a promotion",
    };
    let promotion = Arc::clone(promotion);
    supervisor.supervise(part, move || refresh(Arc::clone(&promotion)));
}

/// Refreshes it on the board, for as long as the node lives.
async fn refresh(promotion: Arc<Promotion>) {
    let mut pause = FIRST;
    loop {
        sleep(pause).await;
        pause = EVERY;
        if promotion.is_running() {
            continue;
        }
        let found = promotion.preflight(false, false).await;
        promotion.board.update(|status| status.preflight = Some(found.clone()));
    }
}

/// What of a file shows that it is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    length: u64,
    modified: Option<std::time::SystemTime>,
}

impl Stamp {
    /// That of GoCD's launcher, as it is now; none where it cannot be looked at.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

/// What files say.
struct OnDisk {
    /// The sequence of the generation that is applied.
    applied: Option<u64>,
    secrets: Secrets,
    free: Option<u64>,
    launcher: Launcher,
    /// Whether a promotion before has begun to promote the database.
    resumes: bool,
    /// Whose files are live, in which epoch.
    followed: Option<(String, Epoch)>,
}

impl Promotion {
    /// Looks at all that may speak against a promotion with the database.
    pub(crate) async fn preflight(&self, accepts_loss: bool, forces: bool) -> Preflight {
        let (heard, site, locks, user_and_trigger, files) = tokio::join!(
            self.heard(),
            self.site(),
            self.locks(),
            self.user_and_trigger(),
            self.read_files()
        );
        let (user, trigger) = user_and_trigger.unwrap_or_default();
        let OnDisk {
            applied,
            secrets,
            free,
            launcher,
            resumes,
            followed,
        } = files;
        let facts = self.board.look(|status| Facts {
            at_ms: self.clock.now_ms(),
            heard: heard.clone(),
            followed: followed.clone(),
            site: site.clone(),
            locks: locks.clone(),
            database: status.database.clone().filter(|_| self.database.is_watched),
            user: user.clone(),
            trigger: trigger.clone(),
            way: self.database.way.clone(),
            resumes,
            max_lag: self.database.max_lag,
            accepts_loss,
            forces,
            applied,
            newest: status
                .primary
                .as_ref()
                .and_then(|primary| Some(primary.generation.as_ref()?.sequence)),
            has_newest: status.sync.as_ref().is_some_and(|sync| sync.has_newest),
            secrets: secrets.clone(),
            gocd: status.gocd_version.clone(),
            files_gocd: status.primary.as_ref().and_then(|primary| primary.gocd_version.clone()),
            launcher,
            free,
            wanted_free: self.settings.free_space,
        });
        Preflight::of(&facts)
    }

    /// What answers where people reach GoCD; none where no such address is set.
    pub(super) async fn site(&self) -> Option<(String, Site)> {
        match &self.settings.site_url {
            Restriction::Absent => None,
            Restriction::Malformed => Some((Property::SiteUrl.name().to_owned(), Site::Malformed)),
            Restriction::To(site) => {
                let own = self.board.look(|status| status.fingerprint);
                Some((
                    site.to_string(),
                    site::ask(site, &self.settings, own, HEARD_WITHIN).await,
                ))
            }
        }
    }

    /// Who has the primary's lock in the database, on each server that this node may ask.
    pub(super) async fn locks(&self) -> Vec<(String, Holder)> {
        match self.database.is_watched {
            true => at_start::locks(&self.database.source, &Handle::current(), self.state.node_id()).await,
            false => Vec::new(),
        }
    }

    /// What each address of the primary says to the question whether it is one. Whoever has this node's own id is judged
    /// as where a standby asks by itself.
    pub(super) async fn heard(&self) -> Vec<(String, Heard)> {
        let Some(primary) = &self.primary else {
            return Vec::new();
        };
        match timeout(HEARD_WITHIN, primary.who()).await {
            Ok(heard) => heard
                .into_iter()
                .map(|(address, heard)| self.not_itself(address, heard))
                .collect(),
            Err(_) => {
                let url = self
                    .board
                    .look(|status| status.primary.as_ref().map(|primary| primary.url.clone()));
                let silence = Heard::Silence(format!("no answer within {} s", HEARD_WITHIN.as_secs()));
                vec![(url.unwrap_or_default(), silence)]
            }
        }
    }

    /// What an address says, unless it leads to this very server.
    fn not_itself(&self, address: String, heard: Heard) -> (String, Heard) {
        let mut inquiry = Inquiry::new(self.state.node_id().clone(), Some(self.run.id.clone()));
        inquiry.hear(&address, heard.clone());
        let heard = inquiry.heard(&address).cloned().unwrap_or(heard);
        (address, heard)
    }

    /// Who logs in to the database, and which trigger file it looks for where nothing else would do.
    async fn user_and_trigger(&self) -> Result<(String, Option<bc_core::database::promotion::Trigger>), Error> {
        let mut own = Own::find(&self.database.source, &self.board).await?;
        let is_asked = self.database.way == Some(Way::Auto) && own.picture.may_promote == Some(false);
        let trigger = match is_asked {
            true => own.trigger().await,
            false => None,
        };
        Ok((own.login.user.clone(), trigger))
    }

    /// What files say. Where they do not within some seconds, nothing is claimed of them.
    async fn read_files(&self) -> OnDisk {
        let settings = Arc::clone(&self.settings);
        let (state, launcher, store) = (Arc::clone(&self.state), self.launcher.clone(), Arc::clone(&self.store));
        let reading = spawn_blocking(move || {
            let launcher = match launcher {
                None => Launcher::Unknown,
                Some((path, then)) if Stamp::of(&path) == Some(then) => Launcher::Same,
                Some(_) => Launcher::Replaced,
            };
            let resumes = matches!(Journal::load(state.path()), Ok(Some(journal)) if journal.is_half_way());
            let layout = &settings.layout;
            OnDisk {
                // The board knows it only once the primary has answered.
                applied: store().ok().and_then(|store| Some(store.position()?.sequence)),
                secrets: preflight::read_secrets(layout),
                free: preflight::free(layout),
                launcher,
                resumes,
                followed: state
                    .ledger()
                    .ok()
                    .and_then(|ledger| ledger.followed)
                    .map(|followed| (followed.node_id, followed.epoch)),
            }
        });
        match timeout(READ_WITHIN, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) | Err(_) => {
                let why = format!(
                    "it has not been read within {} s: a disk of this server hangs",
                    READ_WITHIN.as_secs()
                );
                OnDisk {
                    applied: None,
                    secrets: Secrets::Unread(why),
                    free: None,
                    launcher: Launcher::Unknown,
                    resumes: false,
                    followed: None,
                }
            }
        }
    }
}
