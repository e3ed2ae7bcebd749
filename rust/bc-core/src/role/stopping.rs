//! A primary that answers and is ordered to stop (`gocd-bc promote --force`): where it was seen before, and whether it has
//! stopped by all of that.
//!
//! | it was seen | it has stopped there once |
//! |---|---|
//! | it answered as the primary | it answers that it is fenced and GoCD held; or it has answered that it is fenced and GoCD being ended, and nobody is there any more |
//! | GoCD ran at `bc.site.url` | none does |
//! | it had the primary's lock in a database | that server says that it has not |
//!
//! A silence alone is no stop: the line may be cut. Nor is it one where GoCD runs on behind a fence (`bc.fence=warn`). What
//! nobody can order to stop, since it does not answer as a node, is not forced at all.

use super::{
    claim::Holder,
    inquiry::{Heard, Site},
};
use crate::{
    basics::{Error, Kind},
    generation::{AfterFence, Epoch, Role},
};

/// The three ways in which another node shows that it is the primary.
#[derive(Debug, Clone, Copy)]
pub struct Answers<'a> {
    /// What each address of the primary said.
    pub heard: &'a [(String, Heard)],
    /// What GoCD's site says, and where that is; none where no site is set.
    pub site: Option<&'a (String, Site)>,
    /// Who has the primary's lock, on each server of GoCD's database that answers.
    pub locks: &'a [(String, Holder)],
}

/// A primary that is to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopping {
    node_id: String,
    epoch: Epoch,
    /// Where it answered.
    addresses: Vec<String>,
    /// Where GoCD ran.
    site: Option<String>,
    /// The servers on which it had the lock.
    locks: Vec<String>,
    /// Whether it has said since that it is fenced and that GoCD is being ended.
    ends: bool,
}

impl Stopping {
    /// The primary that is to stop, by these answers; none where none answers that can be ordered to, or more than one is
    /// seen.
    pub fn of(answers: Answers<'_>) -> Option<Self> {
        let mut primaries = answers.heard.iter().filter_map(|(address, heard)| match heard {
            Heard::Node {
                node_id,
                role: Role::Primary,
                epoch,
                ..
            } => Some((address, node_id, epoch)),
            _ => None,
        });
        let (address, node_id, epoch) = primaries.next()?;
        let mut addresses = vec![address.clone()];
        for (address, other, _) in primaries {
            if other != node_id {
                return None;
            }
            addresses.push(address.clone());
        }
        let mut locks = Vec::new();
        for (server, holder) in answers.locks {
            match holder {
                Holder::Other(holder) if **holder == *node_id => locks.push(server.clone()),
                Holder::Other(_) => return None,
                Holder::Nobody | Holder::Own | Holder::Stranger => {}
            }
        }
        let site = answers.site.filter(|(_, site)| *site == Site::Runs);
        Some(Self {
            node_id: node_id.clone(),
            epoch: epoch.clone(),
            addresses,
            site: site.map(|(address, _)| address.clone()),
            locks,
            ends: false,
        })
    }

    /// Where a primary was seen that is to stop, for people.
    pub fn seen(&self) -> String {
        let mut seen = format!(
            "{} answers as the primary (node {:.8}, epoch {})",
            self.addresses.join(" and "),
            self.node_id,
            self.epoch.number
        );
        if let Some(site) = &self.site {
            seen.push_str(&format!(", GoCD runs at {site}"));
        }
        if !self.locks.is_empty() {
            seen.push_str(&format!(
                ", and it has the lock in the database at {}",
                self.locks.join(" and ")
            ));
        }
        seen
    }

    /// Hears what the primary answers now that it was ordered to stop. Returns where it has not stopped by that, for
    /// people; nothing once it has.
    pub fn hear(&mut self, answers: &[(String, Heard)]) -> Vec<String> {
        let mut left = Vec::new();
        for (address, heard) in answers {
            let was_there = self.addresses.contains(address);
            match heard {
                Heard::Node {
                    role: Role::Primary, ..
                } => left.push(format!("{address} answers as the primary still")),
                Heard::Node {
                    node_id,
                    role: Role::Fenced,
                    after_fence: Some(after),
                    ..
                } if *node_id == self.node_id => match after {
                    AfterFence::Held => self.ends = true,
                    AfterFence::Ends => {
                        self.ends = true;
                        left.push(format!("{address} is fenced, and GoCD ends there"));
                    }
                    AfterFence::RunsOn => left.push(format!("{address} is fenced, and GoCD runs on there")),
                },
                Heard::Silence(_) if was_there && self.ends => {}
                Heard::Node { role, .. } if was_there => {
                    left.push(format!(
                        "{address} is a {role}, and does not say whether GoCD has ended there"
                    ));
                }
                Heard::Silence(how)
                | Heard::Mute(how)
                | Heard::NotAsked(how)
                | Heard::Unproven(how)
                | Heard::OwnKey { how, .. }
                    if was_there =>
                {
                    left.push(format!("{address} has not said that it stops: {how}"));
                }
                _ => {}
            }
        }
        let is_asked = |address: &String| answers.iter().any(|(asked, _)| asked == address);
        if let Some(address) = self.addresses.iter().find(|address| !is_asked(address)) {
            left.push(format!("{address} was not asked"));
        }
        left
    }

    /// Where the primary has not stopped by what GoCD's site and the servers of its database say now, for people; nothing
    /// once it has.
    pub fn elsewhere(&self, at_site: Option<&(String, Site)>, locks: &[(String, Holder)]) -> Vec<String> {
        let mut left = Vec::new();
        if let Some(site) = &self.site
            && !matches!(at_site, Some((_, Site::Not(_))))
        {
            left.push(format!("GoCD runs at {site} still"));
        }
        for server in &self.locks {
            let holder = locks.iter().find(|(asked, _)| asked == server);
            match holder {
                Some((_, Holder::Other(_))) => {
                    left.push(format!("the primary's lock in the database at {server} is held"))
                }
                Some(_) => {}
                None => left.push(format!(
                    "the database at {server} does not say whether its lock is held"
                )),
            }
        }
        left
    }

    /// The error of a promotion whose primary was ordered to stop by the epoch of this number, and has not by all that is
    /// `left` after so many seconds.
    pub fn not_seen(&self, epoch: u64, left: &[String], waited_s: u64) -> Error {
        Error::new(
            Kind::Refused,
            format!(
                "the node {:.8} was ordered to stop, and has not been seen to within {waited_s} s: {}",
                self.node_id,
                left.join("; ")
            ),
            format!(
                "GoCD was not started here, and its database not touched. Stop GoCD there, then run `gocd-bc promote` here \
                 again. To leave it to that server, run `gocd-bc promote --abort` here; where epoch {epoch} has fenced it \
                 meanwhile, it is held at its next start, and `gocd-bc promote --take-over --accept-loss` there makes it \
                 the primary again."
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";
    const HERE: &str = "https://primarygo:8155";

    fn node(node_id: &str, role: Role, after_fence: Option<AfterFence>) -> Heard {
        Heard::Node {
            node_id: node_id.to_owned(),
            role,
            waits: false,
            after_fence,
            hands_over: None,
            epoch: Epoch::default(),
            highest: None,
            run: None,
        }
    }

    fn primary() -> Heard {
        node(ID, Role::Primary, None)
    }

    fn fenced(after: AfterFence) -> Heard {
        node(ID, Role::Fenced, Some(after))
    }

    /// All three ways at one moment.
    #[derive(Clone)]
    struct Moment {
        heard: Vec<(String, Heard)>,
        site: Option<(String, Site)>,
        locks: Vec<(String, Holder)>,
    }

    impl Moment {
        /// It answers so, GoCD's site and the lock say so.
        fn of(heard: Heard, site: Site, holder: Holder) -> Self {
            Self {
                heard: vec![(HERE.to_owned(), heard)],
                site: Some(("https://ci".to_owned(), site)),
                locks: vec![("db:5432".to_owned(), holder)],
            }
        }

        fn answers(&self) -> Answers<'_> {
            Answers {
                heard: &self.heard,
                site: self.site.as_ref(),
                locks: &self.locks,
            }
        }
    }

    fn lock_of(node_id: &str) -> Holder {
        Holder::Other(node_id.parse().expect("an id"))
    }

    fn before() -> Moment {
        Moment::of(primary(), Site::Runs, lock_of(ID))
    }

    fn gone() -> Site {
        Site::Not("no connection".to_owned())
    }

    /// Where it is left after these answers, one after the other.
    fn left(moments: &[Moment]) -> Vec<String> {
        let mut stopping = Stopping::of(before().answers()).expect("it answers");
        let left = moments.iter().map(|moment| {
            let mut left = stopping.hear(&moment.heard);
            left.extend(stopping.elsewhere(moment.site.as_ref(), &moment.locks));
            left
        });
        left.last().expect("one")
    }

    #[test]
    fn one_that_was_seen_in_three_ways_has_stopped_once_all_three_say_so() {
        let stopped = Moment::of(fenced(AfterFence::Held), gone(), Holder::Nobody);
        assert!(left(std::slice::from_ref(&stopped)).is_empty());
        for (moment, said) in [
            (
                Moment {
                    heard: before().heard,
                    ..stopped.clone()
                },
                "answers as the primary still",
            ),
            (
                Moment {
                    site: before().site,
                    ..stopped.clone()
                },
                "GoCD runs at https://ci still",
            ),
            (
                Moment {
                    locks: before().locks,
                    ..stopped.clone()
                },
                "lock in the database at db:5432 is held",
            ),
            (
                Moment {
                    locks: Vec::new(),
                    ..stopped.clone()
                },
                "does not say",
            ),
            (
                Moment {
                    heard: Vec::new(),
                    ..stopped.clone()
                },
                "was not asked",
            ),
        ] {
            let left = left(&[moment]);
            assert!(left.len() == 1 && left[0].contains(said), "{said}: {left:?}");
        }
    }

    #[test]
    fn a_silence_counts_after_the_word_that_gocd_ends_and_never_before_or_where_it_runs_on() {
        let at = |heard| Moment::of(heard, gone(), Holder::Nobody);
        let silence = at(Heard::Silence("Connection refused".to_owned()));
        assert!(!left(std::slice::from_ref(&silence)).is_empty());
        assert!(!left(&[at(fenced(AfterFence::Ends))]).is_empty(), "it has not ended");
        assert!(left(&[at(fenced(AfterFence::Ends)), silence.clone()]).is_empty());
        assert!(!left(&[at(fenced(AfterFence::RunsOn)), silence.clone()]).is_empty());
        // Of a version that does not say, of another node, or without proof.
        for heard in [
            node(ID, Role::Fenced, None),
            node(&"b".repeat(32), Role::Fenced, Some(AfterFence::Ends)),
            Heard::Unproven("another key".to_owned()),
            Heard::Mute("no answer".to_owned()),
        ] {
            assert!(!left(&[at(heard.clone())]).is_empty(), "{heard:?}");
            assert!(!left(&[at(heard.clone()), silence.clone()]).is_empty(), "{heard:?}");
        }
        let frozen = at(Heard::Mute("no answer".to_owned()));
        assert!(
            !left(&[at(fenced(AfterFence::Ends)), frozen]).is_empty(),
            "it may go on"
        );
    }

    #[test]
    fn nobody_is_ordered_to_stop_who_does_not_answer_as_a_node_or_where_two_are_seen() {
        let of = |moment: &Moment| Stopping::of(moment.answers());
        assert!(of(&before()).is_some_and(|stopping| {
            let seen = stopping.seen();
            ["https://ci", "db:5432", "node 01234567"]
                .iter()
                .all(|part| seen.contains(part))
        }));
        let unseen = Moment::of(Heard::Silence("refused".to_owned()), Site::Runs, lock_of(ID));
        assert_eq!(of(&unseen), None);
        let other = "b".repeat(32);
        assert_eq!(of(&Moment::of(primary(), Site::Runs, lock_of(&other))), None);
        let mut two = before();
        two.heard
            .push(("https://other".to_owned(), node(&other, Role::Primary, None)));
        assert_eq!(of(&two), None);
    }

    #[test]
    fn one_that_was_not_seen_to_stop_is_named_with_every_way_on() {
        let stopping = Stopping::of(before().answers()).expect("it answers");
        let error = stopping.not_seen(7, &["it runs".to_owned()], 30);
        assert!(error.message().contains("node 01234567") && error.message().contains("it runs"));
        for way in ["`gocd-bc promote`", "--abort`", "epoch 7", "--take-over --accept-loss`"] {
            assert!(error.guidance().contains(way), "{way}: {error}");
        }
    }
}
