//! Changes of the primary's cruise-config.xml, one after the other, and how long each takes.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use crate::demo::{numbers::milliseconds, observer::Observer, pair::Pair, primary_files};

/// When a change counts as lost.
const LOST: Duration = Duration::from_secs(30);

/// What is changed, and how often it was.
#[derive(Debug)]
pub(crate) struct Changes {
    original: String,
    arrives: PathBuf,
    made: u32,
}

impl Changes {
    /// Of the file as it is now.
    pub(crate) fn of(pair: &Pair) -> Result<Self> {
        let file = pair.primary.folder.cruise_config();
        Ok(Self {
            original: fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?,
            arrives: pair.standby.folder.cruise_config(),
            made: 0,
        })
    }

    /// How many there were.
    pub(crate) fn made(&self) -> u32 {
        self.made
    }

    /// Changes it, and waits until that is live on the standby. Returns how long that took, in ms.
    ///
    /// # Errors
    /// It does not arrive, or a JVM has ended.
    pub(crate) fn make(&mut self, pair: &mut Pair, observer: &Observer) -> Result<f64> {
        pair.must_run()?;
        self.made += 1;
        let text = primary_files::changed_config(&self.original, self.made)?;
        let digest = observer.expect(text.as_bytes());
        let written = primary_files::save_config(&pair.primary.folder, &text)?;
        let arrived = observer.wait_for(&self.arrives, Some(&digest), LOST)?;
        Ok(milliseconds(arrived.saturating_duration_since(written)))
    }
}
