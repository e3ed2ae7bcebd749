//! Timelines of a PostgreSQL cluster: where each left the one before it.
//!
//! Every promotion begins a timeline with a number of its own. The server that is promoted writes a history file,
//! `00000003.history`: a line for each timeline that led there, with the position at which it was left (its fork), and a
//! reason, with tabs in between: `1  0/3018000  no recovery target specified`.
//!
//! Two servers that were promoted from one point have equal files: nothing in them tells those apart.

use super::lsn::Lsn;

/// The first timeline of every cluster, which has no history file.
const FIRST: u32 = 1;

/// The timelines that led to one, itself at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// Those before it, and where each was left.
    left: Vec<(u32, Lsn)>,
    timeline: u32,
}

/// The last stretch of two lineages that is one and the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// Which timeline it is on.
    pub timeline: u32,
    /// Where the first of the two left it; none where it is on it still.
    pub left: Option<Lsn>,
    /// Where the other one did.
    pub other_left: Option<Lsn>,
}

/// A text that is no history of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the history of timeline {timeline} does not name an earlier timeline and where it was left")]
pub struct NotAHistory {
    /// Whose history was read.
    pub timeline: u32,
    /// Counted from 1.
    pub line: usize,
}

impl Lineage {
    /// The lineage of the first timeline of a cluster.
    pub fn first() -> Self {
        Self {
            left: Vec::new(),
            timeline: FIRST,
        }
    }

    /// Reads the history file of a timeline. Blank lines and those with `#` say nothing, as in PostgreSQL.
    ///
    /// # Errors
    /// The first line that is no `timeline position reason`, or goes back. A file that was cut off in the middle of a
    /// line is seen, one cut off between lines is not.
    pub fn parse(timeline: u32, text: &str) -> Result<Self, NotAHistory> {
        let mut left: Vec<(u32, Lsn)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let not_one = NotAHistory {
                timeline,
                line: index + 1,
            };
            let mut words = line.split_whitespace();
            let parent = words.next().and_then(|word| word.parse().ok());
            let fork = words.next().and_then(|word| word.parse().ok());
            let (Some(parent), Some(fork)) = (parent, fork) else {
                return Err(not_one);
            };
            let goes_on = left.last().is_none_or(|&(before, at)| before < parent && at <= fork);
            if parent == 0 || parent >= timeline || !goes_on {
                return Err(not_one);
            }
            left.push((parent, fork));
        }
        Ok(Self { left, timeline })
    }

    /// The timeline that this lineage leads to.
    pub fn timeline(&self) -> u32 {
        self.timeline
    }

    /// Where this lineage left `timeline` for the next one; none where it is on it still, or never was.
    pub fn fork_of(&self, timeline: u32) -> Option<Lsn> {
        self.left
            .iter()
            .find(|(parent, _)| *parent == timeline)
            .map(|(_, fork)| *fork)
    }

    /// The last timeline that both lineages went along from the same position on; none where they have nothing in common.
    pub fn shared_with(&self, other: &Self) -> Option<Shared> {
        let stretches = self.stretches().zip(other.stretches());
        let same = stretches.take_while(|(mine, others)| mine.timeline == others.timeline && mine.from == others.from);
        same.last().map(|(mine, others)| Shared {
            timeline: mine.timeline,
            left: mine.to,
            other_left: others.to,
        })
    }

    fn stretches(&self) -> impl Iterator<Item = Stretch> {
        let begins = std::iter::once(None).chain(self.left.iter().map(|(_, fork)| Some(*fork)));
        let ends = self.left.iter().map(|(parent, fork)| (*parent, Some(*fork)));
        begins
            .zip(ends.chain([(self.timeline, None)]))
            .map(|(from, (timeline, to))| Stretch { timeline, from, to })
    }
}

struct Stretch {
    timeline: u32,
    /// None for the beginning of the cluster.
    from: Option<Lsn>,
    /// None where it goes on.
    to: Option<Lsn>,
}

/// The name of the file in `pg_wal` that has the history of a timeline.
pub fn history_file(timeline: u32) -> String {
    format!("{timeline:08X}.history")
}

/// Which timeline's history a file of this name in `pg_wal` has; none where it is no such file.
pub fn of_history_file(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".history").filter(|digits| digits.len() == 8)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn at(position: u64) -> Lsn {
        format!("{:X}/{:X}", position >> 32, position & u64::from(u32::MAX))
            .parse()
            .expect("a position")
    }

    /// A lineage through these forks.
    pub(crate) fn lineage(left: &[(u32, u64)], timeline: u32) -> Lineage {
        let text: String = left
            .iter()
            .map(|(parent, fork)| format!("{parent}\t{}\tno recovery target specified\n", at(*fork)))
            .collect();
        Lineage::parse(timeline, &text).expect("a history")
    }

    /// As PostgreSQL 15 wrote it.
    const SECOND: &str = "1\t0/3018000\tno recovery target specified\n";

    #[test]
    fn a_history_says_where_each_timeline_was_left() {
        let second = Lineage::parse(2, SECOND).expect("a history");
        assert_eq!((second.timeline(), second.fork_of(1)), (2, Some(at(0x0301_8000))));
        assert_eq!((second.fork_of(2), second.fork_of(3)), (None, None));
        let odd = "# a comment\n\n  1  0/3018000  before 2026-11-30 \"a name\"\r\n\n3\t1/0\tno recovery target\n";
        let fourth = Lineage::parse(4, odd).expect("a history");
        assert_eq!(fourth.fork_of(3), Some(at(1 << 32)));
        assert_eq!(Lineage::parse(1, ""), Ok(Lineage::first()));
    }

    #[test]
    fn a_line_that_leads_nowhere_is_named() {
        for (text, line) in [
            ("1", 1),
            ("1\t0/", 1),
            ("x\t0/1\tr", 1),
            ("0\t0/1\tr", 1),
            ("2\t0/1\tr", 1),
            ("1\t0/5\tr\n1\t0/6\tr", 2),
            ("\n1 0/5 r\n# 1\nno", 4),
        ] {
            assert_eq!(
                Lineage::parse(2, text),
                Err(NotAHistory { timeline: 2, line }),
                "{text}"
            );
        }
        // A later timeline was left before it began.
        let back = Lineage::parse(3, "1\t0/5\tr\n2\t0/4\tr");
        assert_eq!(back, Err(NotAHistory { timeline: 3, line: 2 }));
    }

    #[test]
    fn two_lineages_share_what_began_at_one_point() {
        let first = Lineage::first();
        let second = lineage(&[(1, 5)], 2);
        let shared = |timeline, left: Option<u64>, other_left: Option<u64>| {
            Some(Shared {
                timeline,
                left: left.map(at),
                other_left: other_left.map(at),
            })
        };
        assert_eq!(first.shared_with(&first), shared(1, None, None));
        assert_eq!(first.shared_with(&second), shared(1, None, Some(5)));
        assert_eq!(second.shared_with(&first), shared(1, Some(5), None));
        assert_eq!(second.shared_with(&second), shared(2, None, None));
        // The same number, begun somewhere else, is another timeline.
        let elsewhere = lineage(&[(1, 7)], 2);
        assert_eq!(second.shared_with(&elsewhere), shared(1, Some(5), Some(7)));
        let fourth = lineage(&[(1, 5), (2, 9)], 4);
        assert_eq!(second.shared_with(&fourth), shared(2, None, Some(9)));
        // Only the newest files were kept of the other one.
        let cut = lineage(&[(2, 9)], 4);
        assert_eq!(first.shared_with(&cut), None);
    }

    #[test]
    fn names_of_history_files() {
        assert_eq!(history_file(26), "0000001A.history");
        assert_eq!(of_history_file("0000001A.history"), Some(26));
        for name in ["1.history", "0000001A.history.gocd", "000000+1.history", "0000001A"] {
            assert_eq!(of_history_file(name), None, "{name}");
        }
    }

    fn any_lineage() -> impl Strategy<Value = Lineage> {
        proptest::collection::vec((1_u32..4, 0_u64..100), 0..5).prop_map(|steps| {
            let (mut timeline, mut position) = (1, 0);
            let mut left = Vec::new();
            for (further, bytes) in steps {
                position += bytes;
                left.push((timeline, position));
                timeline += further;
            }
            lineage(&left, timeline)
        })
    }

    proptest! {
        #[test]
        fn no_text_ends_the_program(timeline in any::<u32>(), text in "[0-9a-fA-F/#\\s]{0,60}|.{0,60}") {
            let _ = Lineage::parse(timeline, &text);
            let _ = of_history_file(&text);
        }

        #[test]
        fn what_is_shared_is_the_same_from_both_sides(one in any_lineage(), other in any_lineage()) {
            let turned = other.shared_with(&one).map(|shared| Shared {
                left: shared.other_left,
                other_left: shared.left,
                ..shared
            });
            prop_assert_eq!(one.shared_with(&other), turned);
            prop_assert_eq!(one.shared_with(&one).map(|shared| (shared.timeline, shared.left)), Some((one.timeline(), None)));
            prop_assert_eq!(of_history_file(&history_file(one.timeline())), Some(one.timeline()));
        }
    }
}
