//! When a jar counts: once nobody writes it any more and all of it is there.
//!
//! | somebody tells | and the jar | it counts |
//! |---|---|---|
//! | that it was closed, or moved here | is a whole zip file | at once |
//! | nothing | is a whole zip file | once it has stood still for [`STILL_MS`] |
//! | that it is being written | | once it has stood still for [`PATIENCE_MS`]: its writer keeps it open for ever |
//! | whatever | is no whole zip file | after [`PATIENCE_MS`], since GoCD tolerates it; once more after [`ONCE_MORE_MS`] |
//! | whatever | has the list of the jar before it, and other contents | the same: it is being overwritten from its beginning |
//! | whatever | has had [`SHORT_LIVES`] short lives in a row | once it has stood still for longer each time |
//!
//! So a jar that comes slowly is carried at most twice, the second time whole, and one that is written again and again
//! keeps nobody from carrying the rest. A jar stands still while its size and its times do.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use crate::{
    files::{Jar, Stamp, file_cache::KnownFile},
    generation::JarName,
    primary::scan::{amiss::PATIENCE_MS, watch::Writer},
};

/// How long a jar must stand still: while a copy goes on, the times of a file move more often on any file system.
pub(super) const STILL_MS: i64 = 2_000;
/// How long what is no whole jar must stand still where something that was none either was carried before.
pub(super) const ONCE_MORE_MS: i64 = 3_600_000;
/// After so many versions in a row, each of which was gone within [`STILL_MS`], somebody is trying something out.
pub(super) const SHORT_LIVES: u32 = 3;

/// Why a file does not count yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wait {
    /// To be read after its name.
    pub(super) reason: Cow<'static, str>,
    /// When it should be looked at again if nobody tells of it, in milliseconds from now.
    pub(super) again_ms: i64,
}

/// What is known of each jar that is there.
#[derive(Default)]
pub(super) struct Unfinished {
    jars: HashMap<JarName, State>,
    /// How often the folder was looked through, this time included.
    looks: u64,
}

#[derive(Default)]
struct State {
    /// What the operating system says of it, and since when it is known to say so.
    stands: Option<(Stamp, i64)>,
    /// Its last version that counted, and since when.
    counted: Option<(Arc<KnownFile>, i64)>,
    /// When that version was first seen to be there no more.
    gone_ms: Option<i64>,
    short_lives: u32,
    /// Whether that version was carried although it was not finished.
    is_odd: bool,
    waits_since: Option<i64>,
}

impl Unfinished {
    /// Notes how a jar looks that may be unfinished. `before` is what was known of it before a restart. How long it has
    /// stood still is told by our own clock: the jar's times may be those of a server whose clock is behind. Only at
    /// the first look after a start are they believed, since nobody else knows anything of before.
    pub(super) fn look(
        &mut self,
        jar: &JarName,
        stamp: Stamp,
        before: impl FnOnce() -> Option<Arc<KnownFile>>,
        now_ms: i64,
    ) {
        let is_first = self.looks <= 1;
        if !self.jars.contains_key(jar) {
            let state = State {
                counted: before().map(|known| (known, 0)),
                ..State::default()
            };
            self.jars.insert(jar.clone(), state);
        }
        let state = self.jars.get_mut(jar).expect("just put there");
        match &mut state.stands {
            // A clock that was set back begins anew.
            Some((same, since)) if *same == stamp => *since = (*since).min(now_ms),
            stands => {
                let since = if is_first {
                    stamp.modified_ms().min(now_ms)
                } else {
                    now_ms
                };
                *stands = Some((stamp, since));
            }
        }
    }

    /// Whether a jar that may be unfinished may be read to see whether it counts.
    ///
    /// # Errors
    /// Somebody is writing it.
    pub(super) fn before_reading(&mut self, jar: &JarName, writer: Writer, now_ms: i64) -> Result<(), Wait> {
        let state = self.jars.entry(jar.clone()).or_default();
        let needed = match writer {
            Writer::Done => return Ok(()),
            Writer::AtWork => PATIENCE_MS,
            // Somebody may only have touched it.
            Writer::Unknown if state.has_size_as_before() => return Ok(()),
            Writer::Unknown => STILL_MS,
        };
        state.wait(needed, "is being written", now_ms)
    }

    /// Whether a jar counts by what was read of it. `writer` asks what is said of it since.
    ///
    /// # Errors
    /// It is not finished.
    pub(super) fn after_reading(
        &mut self,
        jar: &JarName,
        known: &Arc<KnownFile>,
        writer: impl FnOnce() -> Writer,
        now_ms: i64,
    ) -> Result<(), Wait> {
        let state = self.jars.entry(jar.clone()).or_default();
        if state.is_as_before(known) {
            state.count(known, now_ms);
            return Ok(());
        }
        let is_broken = known.jar == Some(Jar::Broken);
        let is_overwritten = state.is_overwritten(known);
        match writer() {
            Writer::Done => {}
            Writer::AtWork => state.wait(PATIENCE_MS, "is being written", now_ms)?,
            Writer::Unknown => state.wait(STILL_MS, "was written a moment ago", now_ms)?,
        }
        if is_broken {
            state.wait(state.patience(), "is not a whole jar", now_ms)?;
        } else if is_overwritten {
            let reason = "has the list of files of the jar before it, and other contents";
            state.wait(state.patience(), reason, now_ms)?;
        }
        let short_lives = state.short_lives_after(now_ms);
        if short_lives >= SHORT_LIVES {
            let rest = STILL_MS << (short_lives - SHORT_LIVES).min(4);
            state.wait(rest.min(PATIENCE_MS), "is written again and again", now_ms)?;
        }
        state.short_lives = short_lives;
        state.is_odd = is_broken || is_overwritten;
        state.count(known, now_ms);
        Ok(())
    }

    /// Notes that a jar is unfinished and does not count now, and returns since when.
    pub(super) fn waits(&mut self, jar: &JarName, now_ms: i64) -> i64 {
        let state = self.jars.entry(jar.clone()).or_default();
        state.gone_ms.get_or_insert(now_ms);
        let since = state.waits_since.get_or_insert(now_ms);
        *since = (*since).min(now_ms);
        *since
    }

    /// Begins to look through the plugin folder for unfinished jars, and forgets those that are not there any more.
    pub(super) fn begin(&mut self, is_there: impl Fn(&JarName) -> bool) {
        self.looks += 1;
        self.jars.retain(|jar, _| is_there(jar));
    }
}

impl State {
    /// Whether a jar that may be unfinished has the bytes that it had before.
    fn is_as_before(&self, known: &KnownFile) -> bool {
        let counted = self.counted.as_ref();
        counted.is_some_and(|(counted, _)| counted.digests.sha256 == known.digests.sha256)
    }

    /// Whether a jar that may be unfinished has the size that it had before.
    fn has_size_as_before(&self) -> bool {
        let size = self.stands.as_ref().map(|(stamp, _)| stamp.size());
        let counted = self.counted.as_ref();
        counted.is_some_and(|(counted, _)| Some(counted.digests.size) == size)
    }

    /// A writer who does not truncate leaves the old list at the end until he comes to it.
    fn is_overwritten(&self, known: &KnownFile) -> bool {
        let counted = self.counted.as_ref();
        known.list.is_some() && counted.is_some_and(|(counted, _)| counted.list == known.list)
    }

    /// For how many milliseconds an unfinished jar has to stand still before it counts.
    fn patience(&self) -> i64 {
        let counted = self.counted.as_ref();
        let was_broken = counted.is_some_and(|(counted, _)| counted.jar == Some(Jar::Broken));
        if was_broken || self.is_odd {
            ONCE_MORE_MS
        } else {
            PATIENCE_MS
        }
    }

    /// How many short lives in a row its versions have had.
    fn short_lives_after(&self, now_ms: i64) -> u32 {
        let Some((_, since)) = &self.counted else { return 0 };
        let lived = self.gone_ms.unwrap_or(now_ms).saturating_sub(*since);
        if (0..STILL_MS).contains(&lived) {
            self.short_lives.saturating_add(1)
        } else {
            0
        }
    }

    /// Lets an unfinished jar count as it was read now.
    fn count(&mut self, known: &Arc<KnownFile>, now_ms: i64) {
        match &mut self.counted {
            Some((same, _)) if same.digests.sha256 == known.digests.sha256 => *same = Arc::clone(known),
            counted => *counted = Some((Arc::clone(known), now_ms)),
        }
        self.gone_ms = None;
        self.waits_since = None;
    }

    /// Waits until the unfinished jar has stood still for so long.
    fn wait(&self, needed_ms: i64, reason: &'static str, now_ms: i64) -> Result<(), Wait> {
        let Some((_, since)) = &self.stands else {
            return Ok(());
        };
        let stood = now_ms.saturating_sub(*since);
        if stood >= needed_ms {
            return Ok(());
        }
        Err(Wait {
            reason: reason.into(),
            again_ms: needed_ms - stood,
        })
    }
}
