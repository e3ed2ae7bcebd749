//! When a primary shows another key, so that its standbys do not lose their trust in it.
//!
//! | step | is taken | what a crash after it leaves |
//! |---|---|---|
//! | [`Step::GoOn`] | at each start: a next key that is there is published | the same again |
//! | publishing, on an order | the next key is made unless it is there, trusted in the peers file, and told in every answer to a report | it is published anew at the next start |
//! | [`Step::Wait`] | while a standby that is trusted and not silent has not confirmed it | the same |
//! | [`Step::Switch`] | once all have, or on an order that skips them: the next key becomes the shown one, in one rename | the new key is shown |
//! | [`Step::EndFormer`] | after a switch, and after each start: every key that was shown before is removed from the peers file, and every answer to a report says so | they are removed after the next start |
//!
//! What is next, by what is known ([`Rotation::next`]):
//!
//! | the next key | confirmed by all | former keys | step |
//! |---|---|---|---|
//! | published | yes | | `Switch` |
//! | published | no | not looked at | `GoOn` |
//! | none | | not looked at | `GoOn` |
//! | published | no | may be left | `EndFormer` |
//! | none | | may be left | `EndFormer` |
//! | published | no | ended | `Wait` |
//! | none | | ended | `Rest` |
//!
//! So a rotation ends the former key: on this node at once, on a standby with the first report that is answered under
//! the new one. What an order does, from the moment on at which the key is published ([`ordered`]):
//!
//! | shown | waited | `--now` | confirmed by all | does |
//! |---|---|---|---|---|
//! | yes | | | | `Done` |
//! | no | 45 s | | | `LeftToItself` |
//! | no | less | no | | `Wait` |
//! | no | 3 s | yes | | `Switch` |
//! | no | less | yes | yes | `Switch` |
//! | no | less | yes | no | `Wait` |
//!
//! A certificate that an administrator gives is not ours to change: it may come back, so nothing is published
//! or ended by itself then. What fails is tried again at the next look, and leaves what was before.

use std::time::Duration;

use crate::basics::{Error, Fingerprint, Kind};

/// How long an order waits until all have confirmed; standbys report every half minute.
const ORDER_WAITS: Duration = Duration::from_secs(45);
/// How long one waits that is to be carried out now: those who are connected hear of the key within this time, and whoever
/// is skipped follows again only by hand.
const NOW_WAITS: Duration = Duration::from_secs(3);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Rest,
    /// Make a next key known that was made before this start.
    GoOn,
    /// Wait for those who have not confirmed it.
    Wait,
    /// Show the next key.
    Switch,
    /// Remove the keys that were shown before.
    EndFormer,
}

/// How far the change of a node's key has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    is_given: bool,
    next: Option<Fingerprint>,
    former: Former,
}

/// The keys that a node showed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Former {
    /// Since this start; nothing is ended while a key that is still to be shown may be unknown.
    NotLookedAt,
    MayBeLeft,
    Ended,
}

impl Rotation {
    /// A change of key as it stands when a node opens. `is_given` is whether an administrator gives it the certificate
    /// that it shows.
    pub fn new(is_given: bool) -> Self {
        Self {
            is_given,
            next: None,
            former: if is_given { Former::Ended } else { Former::NotLookedAt },
        }
    }

    /// The next step of a change of key, where `is_confirmed` tells whether nobody is waited for with this key.
    pub fn next(&self, is_confirmed: impl FnOnce(&Fingerprint) -> bool) -> Step {
        match (&self.next, self.former) {
            (Some(next), _) if is_confirmed(next) => Step::Switch,
            (_, Former::NotLookedAt) => Step::GoOn,
            (_, Former::MayBeLeft) => Step::EndFormer,
            (Some(_), Former::Ended) => Step::Wait,
            (None, Former::Ended) => Step::Rest,
        }
    }

    /// Whether an order may begin a change of key.
    ///
    /// # Errors
    /// [`Kind::Refused`] where the certificate is given.
    pub fn may_be_ordered(&self) -> Result<(), Error> {
        if !self.is_given {
            return Ok(());
        }
        Err(Error::new(
            Kind::Refused,
            "this node shows the certificate in bc.tls.certificate, not a key of its own",
            "Put another certificate and its key into the files of bc.tls.certificate and bc.tls.private.key; they are \
             read again by themselves.",
        ))
    }

    /// Notes that this key is published as the next one. Returns whether that is news.
    pub fn published(&mut self, key: Fingerprint) -> bool {
        self.next.replace(key) != Some(key)
    }

    /// Notes that a next key that was made before this start is published, if there is one.
    pub fn gone_on(&mut self) {
        self.former = Former::MayBeLeft;
    }

    /// Notes that the next key is shown.
    pub fn switched(&mut self) {
        self.next = None;
        self.former = Former::MayBeLeft;
    }

    /// Notes that there is no next key any more.
    pub fn given_up(&mut self) {
        self.next = None;
    }

    /// Notes that all keys that were shown before are removed.
    pub fn former_ended(&mut self) {
        self.former = Former::Ended;
    }
}

/// What an order is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordered {
    /// Wait for those who have not confirmed the key.
    Wait,
    /// Show the key, whoever has not confirmed it.
    Switch,
    /// Say that the node switches by itself once all have confirmed.
    LeftToItself,
    /// Say that the key is shown.
    Done,
}

/// What an order does that has waited for so long since the key was published; the table is at the head of this module.
pub fn ordered(is_shown: bool, waited: Duration, now: bool, is_confirmed: bool) -> Ordered {
    if is_shown {
        Ordered::Done
    } else if waited >= ORDER_WAITS {
        Ordered::LeftToItself
    } else if now && (is_confirmed || waited >= NOW_WAITS) {
        Ordered::Switch
    } else {
        Ordered::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of a table of the documentation, by the first words in its head.
    fn table(head: &str) -> Vec<Vec<String>> {
        include_str!("rotation.rs")
            .lines()
            .skip_while(|line| !line.starts_with(&format!("//! | {head} |")))
            .skip(2)
            .map_while(|line| line.strip_prefix("//! |")?.strip_suffix('|'))
            .map(|line| line.split('|').map(|cell| cell.trim().replace('`', "")).collect())
            .collect()
    }

    /// Both where a cell is empty.
    fn either(cell: &str, yes: &str, no: &str) -> Vec<bool> {
        let both = [(true, yes), (false, no)].into_iter();
        both.filter(|(_, word)| cell.is_empty() || cell == *word)
            .map(|(value, _)| value)
            .collect()
    }

    #[test]
    fn the_steps_of_the_documentation_are_the_steps() {
        let key = Fingerprint::of_public_key(b"next");
        let rows = table("the next key");
        assert_eq!(rows.len(), 7);
        for row in rows {
            let all = [
                (Former::NotLookedAt, "not looked at"),
                (Former::MayBeLeft, "may be left"),
                (Former::Ended, "ended"),
            ];
            for (former, _) in all.iter().filter(|(_, word)| row[2].is_empty() || row[2] == *word) {
                for is_confirmed in either(&row[1], "yes", "no") {
                    let rotation = Rotation {
                        is_given: false,
                        next: (row[0] == "published").then_some(key),
                        former: *former,
                    };
                    assert_eq!(format!("{:?}", rotation.next(|_| is_confirmed)), row[3], "{row:?}");
                }
            }
        }
    }

    #[test]
    fn an_order_does_what_the_documentation_says() {
        let rows = table("shown");
        assert_eq!(rows.len(), 6);
        for row in rows {
            let second = Duration::from_secs(1);
            let waited = match (row[1].as_str(), row[2].as_str()) {
                ("45 s", _) => vec![ORDER_WAITS, ORDER_WAITS * 2],
                ("3 s", _) => vec![NOW_WAITS, ORDER_WAITS - second],
                ("less", "no") => vec![Duration::ZERO, ORDER_WAITS - second],
                ("less", _) => vec![Duration::ZERO, NOW_WAITS - second],
                _ => vec![Duration::ZERO, NOW_WAITS, ORDER_WAITS],
            };
            for waited in waited {
                for now in either(&row[2], "yes", "no") {
                    for is_confirmed in either(&row[3], "yes", "no") {
                        let does = ordered(row[0] == "yes", waited, now, is_confirmed);
                        assert_eq!(format!("{does:?}"), row[4], "{row:?}, {waited:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_key_goes_through_all_steps_and_the_former_one_ends_last() {
        let key = Fingerprint::of_public_key(b"next");
        let mut rotation = Rotation::new(false);
        assert_eq!(rotation.next(|_| true), Step::GoOn);
        rotation.gone_on();
        assert_eq!(
            rotation.next(|_| true),
            Step::EndFormer,
            "of a rotation before this start"
        );
        rotation.former_ended();
        assert_eq!(rotation.next(|_| true), Step::Rest);
        assert!(rotation.published(key) && !rotation.published(key));
        assert_eq!(rotation.next(|_| false), Step::Wait);
        assert_eq!(rotation.next(|confirmed| *confirmed == key), Step::Switch);
        rotation.switched();
        assert_eq!(rotation.next(|_| true), Step::EndFormer);
        rotation.former_ended();
        assert_eq!(rotation.next(|_| true), Step::Rest);
    }

    #[test]
    fn a_given_certificate_is_left_alone() {
        let given = Rotation::new(true);
        assert_eq!(given.next(|_| true), Step::Rest, "it may come back");
        given.may_be_ordered().expect_err("it is not ours to change");
    }
}
