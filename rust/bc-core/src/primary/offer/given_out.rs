//! The generations that were given out last, as they are written into a file of fixed length.
//!
//! One line for each, all of one length, so that another one takes the place of the oldest: `<sequence> <when it was
//! first seen> <generation> <check>`. The check is over the line, the node's id and its epoch: a line that was torn or
//! damaged, that another node wrote, or this one in another epoch, says nothing.

use crate::{
    basics::Digest,
    generation::{Epoch, lineage},
    role::ledger::MAX_COUNT,
};

/// How many are remembered: as many as the lineage names.
const KEPT: usize = lineage::KEPT;

const NUMBER_DIGITS: usize = 20;
const GENERATION_DIGITS: usize = 64;
const CHECK_DIGITS: usize = 32;
/// The length of a line, its end included.
pub(super) const LINE: usize = NUMBER_DIGITS + 1 + NUMBER_DIGITS + 1 + GENERATION_DIGITS + 1 + CHECK_DIGITS + 1;
/// The length of the whole text.
pub(super) const LENGTH: usize = KEPT * LINE;

/// A generation that was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// Its sequence.
    pub(super) sequence: u64,
    /// When it was first seen, milliseconds since 1970.
    pub(super) generated_ms: i64,
    /// Its id.
    pub(super) generation: Digest,
}

/// Those of one node in one epoch.
#[derive(Debug)]
pub(super) struct GivenOut {
    owner: String,
    slots: Vec<Option<Record>>,
}

impl GivenOut {
    /// What this node has given out in this epoch, which is nothing yet.
    pub(super) fn of(node_id: &str, epoch: &Epoch) -> Self {
        Self {
            owner: format!("{node_id} {} {}", epoch.number, epoch.promotion),
            slots: vec![None; KEPT],
        }
    }

    /// Takes up the generations given out that a text names, each where it stands there. Whatever else is in it says
    /// nothing.
    pub(super) fn parse(&mut self, text: &[u8]) {
        let owner = &self.owner;
        for (slot, line) in self.slots.iter_mut().zip(text.chunks(LINE)) {
            *slot = parsed(owner, line);
        }
    }

    /// Adds a generation given out in the place of the oldest, and says where that is and what was there.
    pub(super) fn push(&mut self, record: Record) -> (usize, Option<Record>) {
        let sequence = |slot: &Option<Record>| slot.as_ref().map(|record| record.sequence);
        let oldest = (0..KEPT).min_by_key(|slot| sequence(&self.slots[*slot]));
        let slot = oldest.expect("there are slots");
        let former = self.slots[slot].replace(record);
        (slot, former)
    }

    /// Takes a generation out again that was not given out after all, for what was there.
    pub(super) fn put_back(&mut self, (slot, former): (usize, Option<Record>)) {
        self.slots[slot] = former;
    }

    /// The generations given out above `sequence`, in their order.
    pub(super) fn since(&self, sequence: u64) -> Vec<&Record> {
        let mut since: Vec<&Record> = self
            .slots
            .iter()
            .flatten()
            .filter(|record| record.sequence > sequence)
            .collect();
        since.sort_by_key(|record| record.sequence);
        since
    }

    /// Whether generations before `since` may be missing here: newer ones took the places of the oldest.
    pub(super) fn may_lack(&self, since: &[&Record]) -> bool {
        since.len() == KEPT
    }

    /// The slots of what was given out, one for each line.
    pub(super) fn slots(&self) -> &[Option<Record>] {
        &self.slots
    }

    /// The line of one slot of what was given out.
    pub(super) fn line(&self, slot: usize) -> String {
        match &self.slots[slot] {
            Some(record) => line(&self.owner, record),
            None => format!("{:width$}\n", "", width = LINE - 1),
        }
    }

    /// All lines of what was given out.
    pub(super) fn text(&self) -> String {
        (0..KEPT).map(|slot| self.line(slot)).collect()
    }
}

/// The line of a generation given out, with its check.
fn line(owner: &str, record: &Record) -> String {
    let generated = u64::try_from(record.generated_ms).unwrap_or(0);
    let (sequence, generation) = (record.sequence, &record.generation);
    let content = format!("{sequence:0NUMBER_DIGITS$} {generated:0NUMBER_DIGITS$} {generation}");
    format!("{content} {}\n", check(owner, &content))
}

/// The check at the end of a line of what was given out: it names node and epoch.
fn check(owner: &str, content: &str) -> String {
    let mut digits = Digest::of(format!("{owner}\n{content}").as_bytes()).to_string();
    digits.truncate(CHECK_DIGITS);
    digits
}

/// The generation given out that a line names; none where its check does not fit.
fn parsed(owner: &str, line: &[u8]) -> Option<Record> {
    let text = std::str::from_utf8(line).ok().filter(|text| text.len() == LINE)?;
    let (content, found) = text.strip_suffix('\n')?.rsplit_once(' ')?;
    if found != check(owner, content) {
        return None;
    }
    let mut fields = content.split(' ');
    let (sequence, generated_ms) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let generation = fields.next()?.parse().ok()?;
    (sequence <= MAX_COUNT).then_some(Record {
        sequence,
        generated_ms,
        generation,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(sequence: u64) -> Record {
        Record {
            sequence,
            generated_ms: 1_700_000_000_000,
            generation: Digest::of(&sequence.to_le_bytes()),
        }
    }

    fn given_out(node_id: &str, number: u64) -> GivenOut {
        let promotion = "p".to_owned();
        GivenOut::of(node_id, &Epoch { number, promotion })
    }

    fn read(text: &[u8]) -> GivenOut {
        let mut read = given_out("me", 1);
        read.parse(text);
        read
    }

    fn sequences(given_out: &GivenOut) -> Vec<u64> {
        given_out.since(0).iter().map(|record| record.sequence).collect()
    }

    #[test]
    fn the_newest_are_kept_and_read_again() {
        let mut written = given_out("me", 1);
        for sequence in 1..=KEPT as u64 + 3 {
            written.push(record(sequence));
        }
        let text = written.text();
        assert_eq!(text.len(), LENGTH);
        let again = read(text.as_bytes());
        assert_eq!(again.slots, written.slots);
        assert_eq!(sequences(&again), (4..=KEPT as u64 + 3).collect::<Vec<_>>());
        assert!(again.may_lack(&again.since(0)) && !again.may_lack(&again.since(4)));
        assert_eq!(again.since(KEPT as u64 + 2), [&record(KEPT as u64 + 3)]);
    }

    #[test]
    fn what_was_not_given_out_is_taken_out() {
        let mut written = given_out("me", 1);
        written.push(record(1));
        let pushed = written.push(record(2));
        written.put_back(pushed);
        assert_eq!(sequences(&read(written.text().as_bytes())), [1]);
        assert_eq!(written.push(record(2)), pushed);
    }

    #[test]
    fn one_that_was_not_given_out_leaves_no_gap() {
        let mut written = given_out("me", 1);
        for sequence in 1..=KEPT as u64 {
            written.push(record(sequence));
        }
        let before = written.text();
        let pushed = written.push(record(KEPT as u64 + 1));
        written.put_back(pushed);
        assert_eq!(written.text(), before);
        let again = read(before.as_bytes());
        assert!(
            again.may_lack(&again.since(0)),
            "there may have been others before these"
        );
    }

    #[test]
    fn those_of_another_node_or_epoch_say_nothing() {
        for mut other in [given_out("you", 1), given_out("me", 2)] {
            other.push(record(7));
            assert_eq!(sequences(&read(other.text().as_bytes())), [0; 0]);
        }
    }

    proptest! {
        #[test]
        fn a_line_that_is_not_as_it_was_written_says_nothing(
            bytes in proptest::collection::vec(any::<u8>(), 0..500),
            at in 0..LINE,
            by in 1..=255_u8,
        ) {
            prop_assert_eq!(sequences(&read(&bytes)), [0; 0]);
            let mut text = [line("me 1 p", &record(7)), line("me 1 p", &record(8))].concat().into_bytes();
            text[at] ^= by;
            prop_assert_eq!(sequences(&read(&text)), [8]);
            prop_assert_eq!(sequences(&read(&text[LINE..LINE + at])), [0; 0]);
        }
    }
}
