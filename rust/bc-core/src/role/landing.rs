//! What a server found when it had been promoted: what GoCD had in its hands, and what is missing. `landing.json` in the
//! state folder, until a person has seen it.
//!
//! It is made once for each promotion, by the node that begins after it, and shown until `gocd-bc landing done`. What is
//! not known is said to be so, and nothing is concluded from it.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Error, Kind, mount, regular_file, words},
    database::in_hand::InHand,
    durable::{atomic, seal},
    generation::Layout,
    role::artifacts_folder,
};

/// The name of the file in the state folder.
pub const FILE: &str = "landing.json";
/// The version of the file.
const FORMAT: u32 = 1;
/// A promotion that was longer ago has nothing to land, in milliseconds: what GoCD has in its hands then is its own.
const PAST_MS: i64 = 24 * 60 * 60 * 1000;
/// After so long without a word GoCD gives an agent up (`agent.connection.timeout`), in milliseconds. It counts from its
/// own start for those that it has not heard since.
pub const AGENTS_LOST_AFTER_MS: i64 = 300_000;
/// As many of each are named in the words for people.
const NAMED: usize = 10;

/// The report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landing {
    format: u32,
    /// When this server was promoted, milliseconds since 1970 by its clock.
    pub promoted_ms: i64,
    /// When its node began after that.
    pub begun_ms: i64,
    /// When GoCD gives up agents of which it has not heard; none where GoCD does not run in this node's process.
    pub agents_lost_ms: Option<i64>,
    /// What GoCD had in its hands; none where that is not known.
    pub in_hand: Option<InHand>,
    /// When the database said that.
    pub asked_ms: Option<i64>,
    /// Why it is not known, or not yet; none where it is.
    pub unknown: Option<String>,
    /// The folder of artifacts.
    pub artifacts: Artifacts,
    /// Whether a person has seen the report.
    pub is_done: bool,
}

/// The folder in which GoCD keeps artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifacts {
    /// Where it is; none where the configuration does not say.
    pub path: Option<String>,
    /// What is there.
    pub state: ArtifactsState,
    /// Where the disk is mounted that holds it; none where there is nothing.
    pub mount: Option<String>,
}

/// What is in the folder of artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactsState {
    /// Something.
    Filled,
    /// Nothing.
    Empty,
    /// There is no such folder.
    Missing,
    /// It cannot be looked at.
    Unknown,
}

impl Artifacts {
    /// Looks at the folder of artifacts that the live configuration names. It waits for the disk.
    pub fn look(layout: &Layout) -> Self {
        let unknown = |path| Self {
            path,
            state: ArtifactsState::Unknown,
            mount: None,
        };
        let Some(folder) = artifacts_folder::configured(layout) else {
            return unknown(None);
        };
        let path = Some(folder.display().to_string());
        let state = match fs::read_dir(&folder).map(|mut entries| entries.next()) {
            Ok(None) => ArtifactsState::Empty,
            Ok(Some(Ok(_))) => ArtifactsState::Filled,
            Err(error) if error.kind() == io::ErrorKind::NotFound => ArtifactsState::Missing,
            Ok(Some(Err(_))) | Err(_) => return unknown(path),
        };
        let mount = (state != ArtifactsState::Missing).then(|| mount::mount_of(&folder).display().to_string());
        Self { path, state, mount }
    }

    /// What to say of the folder of artifacts after a promotion.
    fn line(&self) -> String {
        let path = self.path.as_deref().unwrap_or("artifacts");
        let mount = self.mount.as_deref().unwrap_or("/");
        match self.state {
            ArtifactsState::Filled => format!("artifacts: {path} has something in it, on the disk mounted at {mount}"),
            ArtifactsState::Empty => format!(
                "artifacts: {path} is EMPTY, on the disk mounted at {mount}: if artifacts are on a share, mount it; jobs \
                 that fetch older ones fail until then"
            ),
            ArtifactsState::Missing => format!(
                "artifacts: {path} is MISSING: if artifacts are on a share, mount it; jobs that fetch older ones fail \
                 until then"
            ),
            ArtifactsState::Unknown => format!("artifacts: not known, since {path} cannot be looked at"),
        }
    }
}

impl Landing {
    /// Whether a report on the promotion at `promoted_ms` is to be made, where there is this one. A clock that was set
    /// back makes none less.
    pub fn is_due(before: Option<&Self>, promoted_ms: i64, now_ms: i64) -> bool {
        before.is_none_or(|before| before.promoted_ms != promoted_ms) && now_ms.saturating_sub(promoted_ms) < PAST_MS
    }

    /// A report on the promotion at `promoted_ms`, for which nobody was asked yet. `has_gocd` is whether GoCD runs since
    /// `begun_ms` in the process of this node.
    pub fn begin(promoted_ms: i64, begun_ms: i64, has_gocd: bool, artifacts: Artifacts) -> Self {
        Self {
            format: FORMAT,
            promoted_ms,
            begun_ms,
            agents_lost_ms: has_gocd.then(|| begun_ms.saturating_add(AGENTS_LOST_AFTER_MS)),
            in_hand: None,
            asked_ms: None,
            unknown: Some("its database is being asked".to_owned()),
            artifacts,
            is_done: false,
        }
    }

    /// Takes into the report what the database said at `now_ms`, or why nothing is known.
    pub fn hear(&mut self, said: Result<InHand, String>, now_ms: i64) {
        match said {
            Ok(in_hand) => {
                self.in_hand = Some(in_hand);
                self.asked_ms = Some(now_ms);
                self.unknown = None;
            }
            Err(why) => self.unknown = Some(why),
        }
    }

    /// Loads the report of the last promotion; none where there is none.
    ///
    /// # Errors
    /// [`Kind::File`] when it cannot be read or is damaged.
    pub fn load(state_dir: &Path) -> Result<Option<Self>, Error> {
        let path = state_dir.join(FILE);
        let Some(text) = regular_file::read_if_there(&path, regular_file::LARGEST_OF_A_FEW_LINES)? else {
            return Ok(None);
        };
        seal::read(&text).map(Some).ok_or_else(|| {
            Error::new(
                Kind::File,
                format!("{} is damaged; it tells what GoCD had in its hands", path.display()),
                "Look at GoCD's own dashboard for jobs that run, then run `gocd-bc landing done`.",
            )
        })
    }

    /// Saves the report of a promotion, durably.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub fn save(&self, state_dir: &Path) -> Result<(), Error> {
        let text = seal::sealed(self).expect("a report has only plain fields");
        atomic::write(&state_dir.join(FILE), &text, 0o600)
    }

    /// The report of a promotion in words for people, a line each.
    pub fn lines(&self, now_ms: i64) -> Vec<String> {
        let mut lines = vec![format!("promoted at {}", words::moment(self.promoted_ms))];
        lines.push(self.clock_line(now_ms));
        match (&self.in_hand, &self.unknown) {
            (Some(in_hand), _) => lines.extend(in_hand_lines(in_hand)),
            (None, why) => {
                let why = why.as_deref().unwrap_or("nobody was asked");
                lines.push(format!("what GoCD had in its hands is not known: {why}"));
            }
        }
        lines.push(self.artifacts.line());
        lines
    }

    /// What the report of a promotion says of the time that agents have.
    fn clock_line(&self, now_ms: i64) -> String {
        const MEANS: &str = "an agent of which it has heard nothing by then, and gives the jobs of that one to others: they \
                             run twice";
        match self.agents_lost_ms {
            None => format!("agents: 300 s after its start GoCD gives up {MEANS}"),
            Some(lost) if now_ms < lost => format!(
                "agents: at {}, in {} s, GoCD gives up {MEANS}",
                words::moment(lost),
                (lost - now_ms) / 1000
            ),
            Some(lost) => format!(
                "agents: at {} GoCD gave up those of which it had heard nothing, and gave their jobs to others: look \
                 whether what is below ran twice",
                words::moment(lost)
            ),
        }
    }
}

/// The words of a promotion's report for what GoCD had in its hands.
fn in_hand_lines(in_hand: &InHand) -> Vec<String> {
    let jobs = in_hand.jobs.iter().map(|job| {
        let agent = job.agent.as_deref().unwrap_or("an agent that is not known");
        format!("{} ({}) on {agent}", job.job, job.state)
    });
    let locked = in_hand.locked.iter().map(|locked| match &locked.label {
        Some(label) => format!("{} by {label}", locked.pipeline),
        None => locked.pipeline.clone(),
    });
    let waiting = in_hand
        .waiting
        .iter()
        .map(|stage| format!("{} ({} jobs)", stage.stage, stage.jobs));
    vec![
        named("jobs on agents", in_hand.job_count, jobs),
        named("locked pipelines", in_hand.locked_count, locked),
        named("stages waiting for an agent", in_hand.waiting_count, waiting),
    ]
}

/// One line of a promotion's report: how many there are, and the first of them.
fn named(what: &str, count: u64, names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.take(NAMED).collect();
    let more = count.saturating_sub(names.len() as u64);
    match (count, more) {
        (0, _) => format!("{what}: none"),
        (_, 0) => format!("{what}: {count}: {}", words::list(&names)),
        _ => format!("{what}: {count}: {}, and {more} more", words::list(&names)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{basics::Properties, database::in_hand::Job};

    fn artifacts(state: ArtifactsState) -> Artifacts {
        Artifacts {
            path: Some("/mnt/artifacts".to_owned()),
            state,
            mount: Some("/".to_owned()),
        }
    }

    #[test]
    fn a_report_is_made_once_for_each_promotion_and_not_for_one_long_ago() {
        let folder = tempfile::tempdir().expect("folder");
        assert_eq!(Landing::load(folder.path()), Ok(None));
        let mut landing = Landing::begin(1_000, 2_000, true, artifacts(ArtifactsState::Empty));
        assert!(Landing::is_due(None, 1_000, 2_000));
        assert!(!Landing::is_due(None, 1_000, 1_000 + PAST_MS));
        landing.is_done = true;
        landing.save(folder.path()).expect("saved");
        let kept = Landing::load(folder.path()).expect("readable");
        assert_eq!(kept.as_ref(), Some(&landing));
        assert!(!Landing::is_due(kept.as_ref(), 1_000, 2_000), "it was seen");
        assert!(Landing::is_due(kept.as_ref(), 1_001, 2_000), "another promotion");
        let path = folder.path().join(FILE);
        let text = fs::read_to_string(&path).expect("text");
        fs::write(&path, text.replace("true", "false")).expect("write");
        let error = Landing::load(folder.path()).expect_err("damaged");
        assert!(error.to_string().contains("gocd-bc landing done"), "{error}");
    }

    #[test]
    fn the_words_say_what_is_known_and_what_is_not() {
        let mut landing = Landing::begin(0, 1_000, true, artifacts(ArtifactsState::Missing));
        let text = landing.lines(2_000).join("\n");
        for part in [
            "in 299 s",
            "run twice",
            "not known: its database is being asked",
            "MISSING",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let jobs = (0..12).map(|number| Job {
            job: format!("up/{number}/build/1/compile"),
            state: "Building".to_owned(),
            agent: Some("agent1".to_owned()),
        });
        let in_hand = InHand {
            jobs: jobs.collect(),
            job_count: 12,
            ..InHand::default()
        };
        landing.hear(Ok(in_hand), 3_000);
        let text = landing.lines(400_000).join("\n");
        for part in [
            "gave up those",
            "jobs on agents: 12: up/0/build/1/compile (Building) on agent1",
            "and 2 more",
            "locked pipelines: none",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("not known"), "{text}");
    }

    #[test]
    fn the_folder_of_artifacts_is_looked_at_where_the_configuration_says() {
        let folder = tempfile::tempdir().expect("folder");
        let properties = Properties::from_iter([("user.dir", folder.path().to_str().expect("UTF-8"))]);
        let layout = Layout::from_properties(&properties);
        assert_eq!(
            Artifacts::look(&layout).state,
            ArtifactsState::Unknown,
            "no configuration"
        );
        fs::create_dir(folder.path().join("config")).expect("folder");
        let config = "<cruise><server><artifacts><artifactsDir>kept</artifactsDir></artifacts></server></cruise>";
        fs::write(layout.cruise_config(), config).expect("write");
        assert_eq!(Artifacts::look(&layout).state, ArtifactsState::Missing);
        let kept = folder.path().join("kept");
        fs::create_dir(&kept).expect("folder");
        let found = Artifacts::look(&layout);
        assert_eq!(
            (found.state, found.path),
            (ArtifactsState::Empty, Some(kept.display().to_string()))
        );
        fs::write(kept.join("x"), "x").expect("write");
        assert_eq!(Artifacts::look(&layout).state, ArtifactsState::Filled);
    }
}
