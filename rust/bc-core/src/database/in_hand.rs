//! What GoCD had in its hands, by the rows of its database: jobs on agents, locked pipelines, stages that wait.
//!
//! Tables and columns are those of GoCD's migrations, the same from 20.6 to 26.1 (`db-migration-scripts`): `builds`,
//! `stages`, `pipelines`, `agents` and `pipelinestates`. States are the words of GoCD's `JobState`; a job that was given
//! to another agent stays in `builds` as `Rescheduled`, and is none of these.

use serde::{Deserialize, Serialize};

use crate::basics::words;

/// As many of each are named; all are counted.
const NAMED: usize = 100;

/// As much of a name is kept, in characters.
const LONGEST_NAME: usize = 255;

/// The statements, all of one moment; each changes nothing. Their rows are for [`InHand::of`].
pub fn statements() -> String {
    format!(
        "begin transaction isolation level repeatable read read only; \
         select 'job', p.name, p.counter, s.name, s.counter, b.name, b.state, \
         coalesce((select max(a.hostname) from agents a where a.uuid = b.agentuuid), b.agentuuid), count(*) over () \
         from builds b join stages s on s.id = b.stageid join pipelines p on p.id = s.pipelineid \
         where b.state in ('Assigned', 'Preparing', 'Building', 'Completing') \
         order by p.name, p.counter, s.name, s.counter, b.name limit {NAMED}; \
         select 'locked', l.pipelinename, p.label, count(*) over () \
         from pipelinestates l left join pipelines p on p.id = l.lockedbypipelineid \
         where l.locked order by l.pipelinename limit {NAMED}; \
         select 'waiting', p.name, p.counter, s.name, s.counter, count(*), count(*) over () \
         from builds b join stages s on s.id = b.stageid join pipelines p on p.id = s.pipelineid \
         where b.state = 'Scheduled' group by p.name, p.counter, s.name, s.counter \
         order by p.name, p.counter, s.name, s.counter limit {NAMED}; \
         commit"
    )
}

/// What GoCD had in its hands at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InHand {
    /// Jobs that an agent had, the first hundred.
    pub jobs: Vec<Job>,
    /// All of them.
    pub job_count: u64,
    /// Pipelines that were locked, the first hundred.
    pub locked: Vec<Locked>,
    /// All of them.
    pub locked_count: u64,
    /// Stages with jobs that no agent had yet, the first hundred.
    pub waiting: Vec<Waiting>,
    /// All of them.
    pub waiting_count: u64,
}

/// A job that an agent had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// As GoCD writes it in addresses: pipeline, its counter, stage, its counter, job.
    pub job: String,
    /// `Assigned`, `Preparing`, `Building` or `Completing`.
    pub state: String,
    /// The name of the agent's host, else its id; none where the row has none.
    pub agent: Option<String>,
}

/// A pipeline that runs once at a time, and was locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    /// Its name.
    pub pipeline: String,
    /// The label of the run that has it locked; none where that run is not known.
    pub label: Option<String>,
}

/// A stage with jobs that no agent had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// As GoCD writes it in addresses: pipeline, its counter, stage, its counter.
    pub stage: String,
    /// Its jobs that wait.
    pub jobs: u64,
}

impl InHand {
    /// What the rows of [`statements`] say of GoCD's database.
    ///
    /// # Errors
    /// What no version of GoCD has in such a row.
    pub fn of<'r>(rows: impl IntoIterator<Item = Vec<Option<&'r str>>>) -> Result<Self, String> {
        let mut found = Self::default();
        for row in rows {
            let text = |column: usize| row.get(column).copied().flatten();
            // Whoever may edit pipelines may call them what he likes.
            let named = |column: usize| words::shown(text(column).unwrap_or("?"), LONGEST_NAME);
            let count = |column: usize| -> Result<u64, String> {
                let number = text(column).and_then(|text| text.parse().ok());
                number.ok_or_else(|| format!("no number in column {column} of a row of {}", named(0)))
            };
            match text(0) {
                Some("job") => {
                    found.job_count = count(8)?;
                    found.jobs.push(Job {
                        job: [1, 2, 3, 4, 5].map(named).join("/"),
                        state: named(6),
                        agent: text(7).map(|_| named(7)),
                    });
                }
                Some("locked") => {
                    found.locked_count = count(3)?;
                    found.locked.push(Locked {
                        pipeline: named(1),
                        label: text(2).map(|_| named(2)),
                    });
                }
                Some("waiting") => {
                    found.waiting_count = count(6)?;
                    found.waiting.push(Waiting {
                        stage: [1, 2, 3, 4].map(named).join("/"),
                        jobs: count(5)?,
                    });
                }
                other => return Err(format!("a row of {}", other.unwrap_or("nothing"))),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_apart_by_their_first_column() {
        let job = ["job", "up", "7", "build", "1", "compile", "Building", "agent1", "2"];
        let locked = [Some("locked"), Some("deploy"), None, Some("1")];
        let waiting = ["waiting", "up", "8", "build", "1", "3", "1"];
        let found =
            InHand::of([job.map(Some).to_vec(), locked.to_vec(), waiting.map(Some).to_vec()]).expect("understood");
        assert_eq!((found.job_count, found.locked_count, found.waiting_count), (2, 1, 1));
        assert_eq!(found.jobs[0].job, "up/7/build/1/compile");
        assert_eq!(found.locked[0].label, None);
        assert_eq!(
            (found.waiting[0].stage.as_str(), found.waiting[0].jobs),
            ("up/8/build/1", 3)
        );
        let without = [Some("job"), Some("up")].to_vec();
        assert!(
            InHand::of([without])
                .expect_err("it counts nothing")
                .contains("column 8")
        );
        InHand::of([vec![Some("else")]]).expect_err("not asked for");
        assert_eq!(InHand::of([]), Ok(InHand::default()));
    }
}
