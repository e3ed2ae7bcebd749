//! What is there after a promotion of what was there before, whichever way led to it: rows, edits, the agent, and the run that
//! was cut.

use std::fs;

use anyhow::Result;
use serde::Serialize;

use super::scene::{AgentId, Scene};

/// What the primary had in the last moment before.
pub(crate) struct Before {
    agent: AgentId,
    rows: usize,
    config: Vec<u8>,
}

/// What the promoted server has of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Aftermath {
    agent_back_ms: Option<f64>,
    agents: Option<usize>,
    cut_run: Option<String>,
    next_run: Option<String>,
    lost_rows: Option<usize>,
    lost_edits: Option<usize>,
}

impl Before {
    /// Looks at the primary, whose agent is this one.
    pub(crate) fn look(scene: &Scene<'_>, agent: AgentId) -> Result<Self> {
        Ok(Self {
            agent,
            rows: scene.servers.rows_of_primary()?,
            config: fs::read(scene.servers.primary.folder.cruise_config())?,
        })
    }
}

impl Aftermath {
    /// Moves the address to the promoted server, and looks at that, until the run `cut` and the run `next` have ended there.
    pub(crate) fn look(&mut self, scene: &Scene<'_>, before: &Before) -> Result<()> {
        self.agent_back_ms = Some(scene.move_address(&before.agent)?);
        let live = fs::read(scene.servers.standby.folder.cruise_config())?;
        self.lost_edits = Some(usize::from(live != before.config));
        self.lost_rows = Some(before.rows.saturating_sub(scene.servers.rows_of_standby()?));
        let api = scene.standby();
        self.agents = Some(api.agents()?.len());
        self.cut_run = Some(scene.ended(api, "cut")?);
        scene.schedule(api, "next")?;
        self.next_run = Some(scene.ended(api, "next")?);
        Ok(())
    }

    /// Whether the next run has passed, which knows a secret that the former server has encrypted.
    pub(crate) fn next_passed(&self) -> bool {
        self.next_run.as_deref() == Some("Passed")
    }

    /// What should be, and what to say where it is not.
    pub(crate) fn wishes(&self) -> Vec<(bool, &'static str)> {
        vec![
            (self.lost_rows == Some(0), "rows were lost"),
            (self.lost_edits == Some(0), "edits were lost"),
            (self.agents == Some(1), "there is not the one agent of before"),
            (
                self.cut_run.as_deref() == Some("Passed"),
                "the run that was cut did not pass",
            ),
            (self.next_passed(), "the next run did not pass"),
        ]
    }

    /// One with which nothing is wrong.
    #[cfg(test)]
    pub(crate) fn perfect() -> Self {
        Self {
            agent_back_ms: None,
            agents: Some(1),
            cut_run: Some("Passed".to_owned()),
            next_run: Some("Passed".to_owned()),
            lost_rows: Some(0),
            lost_edits: Some(0),
        }
    }
}
