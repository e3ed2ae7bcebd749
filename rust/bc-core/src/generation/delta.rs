//! What differs between a file's former bytes and its new ones, so that an edit of a large configuration is sent as the
//! few bytes that it changed.
//!
//! The form is GDIFF (W3C note of 1997): copies out of the former bytes and data between them. An edit is found by going
//! along both texts as long as they are the same, and then looking for the next line of the new one nearby in the former:
//! that takes well under a millisecond for 2 MB, where a difference of lines takes ten times as long. What moved farther
//! than 16 KiB is sent as data.
//!
//! Nothing is compressed: over every line that was measured a delta is at least as quick (`rust/docs/speed.md`), and
//! the length of compressed text tells, character by character, whether what somebody wrote into a pipeline stands
//! elsewhere in the file too, where the secrets are. Of a delta it tells only what stands right behind an edit, and
//! copies of 256 bytes and more within 16 KiB of it.
//!
//! A delta proves nothing: whoever puts bytes together by one checks their digest.

use memchr::{memchr_iter, memmem};

/// The media type of this form.
pub const MEDIA_TYPE: &str = "application/gdiff";
/// Shorter files are sent whole: that is as quick.
pub(crate) const WORTHWHILE: u64 = 16 * 1024;
/// The longest delta that is made or taken.
pub const MAX_LENGTH: usize = 4 << 20;

const MAGIC: [u8; 5] = [0xd1, 0xff, 0xd1, 0xff, 4];
const END: u8 = 0;
/// Followed by a length of 32 bits and so many bytes.
const DATA: u8 = 248;
/// Followed by a position in the former bytes and a length, both of 32 bits.
const COPY: u8 = 254;

/// How far from a difference both texts may be the same again, in bytes.
const WINDOW: usize = 16 * 1024;
/// So many bytes of a line are looked for.
const ANCHOR: usize = 32;
/// The same line may be there more than once: only what goes on being the same for so long counts.
const MIN_COPY: usize = 256;
/// Bytes that are compared at once.
const STRIDE: usize = 4096;

/// The delta that makes `new` out of `former`; none where it would be longer than half of `new`, or than
/// [`MAX_LENGTH`].
pub(crate) fn encode(former: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let longest = (new.len() / 2).min(MAX_LENGTH);
    let mut delta = MAGIC.to_vec();
    let (mut at_former, mut at_new) = (0, 0);
    loop {
        let same = common_start(&former[at_former..], &new[at_new..]);
        if same > 0 {
            delta.push(COPY);
            delta.extend(number(at_former)?);
            delta.extend(number(same)?);
        }
        at_former += same;
        at_new += same;
        if at_new == new.len() {
            delta.push(END);
            return (delta.len() <= longest).then_some(delta);
        }
        let (next_former, next_new) = same_again(former, at_former, new, at_new);
        if delta.len() + (next_new - at_new) > longest {
            return None;
        }
        delta.push(DATA);
        delta.extend(number(next_new - at_new)?);
        delta.extend_from_slice(&new[at_new..next_new]);
        (at_former, at_new) = (next_former, next_new);
    }
}

/// The pieces of the new bytes in their order, out of `former` and `delta`. None where that is no delta, or one for
/// something longer than `former`.
pub fn decode<'a>(former: &'a [u8], delta: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let mut rest = delta.strip_prefix(&MAGIC)?;
    let mut pieces = Vec::new();
    loop {
        match take(&mut rest, 1)?[0] {
            END => return rest.is_empty().then_some(pieces),
            DATA => {
                let length = take_number(&mut rest)?;
                pieces.push(take(&mut rest, length)?);
            }
            COPY => {
                let from = take_number(&mut rest)?;
                let length = take_number(&mut rest)?;
                pieces.push(former.get(from..)?.get(..length)?);
            }
            // The shorter forms of both, which `encode` never makes.
            _ => return None,
        }
    }
}

/// How many bytes both begin with alike.
fn common_start(one: &[u8], other: &[u8]) -> usize {
    let strides = one.chunks_exact(STRIDE).zip(other.chunks_exact(STRIDE));
    let same = strides.take_while(|(one, other)| one == other).count() * STRIDE;
    let bytes = one[same..].iter().zip(&other[same..]);
    same + bytes.take_while(|(one, other)| one == other).count()
}

/// How many bytes both end with alike.
fn common_end(one: &[u8], other: &[u8]) -> usize {
    let strides = one.rchunks_exact(STRIDE).zip(other.rchunks_exact(STRIDE));
    let same = strides.take_while(|(one, other)| one == other).count() * STRIDE;
    let bytes = one[..one.len() - same].iter().rev();
    let bytes = bytes.zip(other[..other.len() - same].iter().rev());
    same + bytes.take_while(|(one, other)| one == other).count()
}

/// Where former and new bytes of a delta are the same again after they began to differ: at the start of a line nearby,
/// or else as far as their ends are alike.
fn same_again(former: &[u8], at_former: usize, new: &[u8], at_new: usize) -> (usize, usize) {
    // The line in which they differ may have been there already, with another one before it.
    let from = at_former.saturating_sub(ANCHOR + WINDOW / 16);
    let nearby = &former[from..former.len().min(at_former + WINDOW)];
    let lines = memchr_iter(b'\n', &new[at_new..new.len().min(at_new + WINDOW)]).map(|end| at_new + end + 1);
    for line in lines {
        let Some(anchor) = new.get(line..line + ANCHOR) else {
            break;
        };
        for found in memmem::find_iter(nearby, anchor) {
            let there = from + found;
            let same = common_start(&former[there..], &new[line..]);
            if same >= MIN_COPY || line + same == new.len() {
                return (there, line);
            }
        }
    }
    let end = common_end(&former[at_former..], &new[at_new..]);
    (former.len() - end, new.len() - end)
}

/// A number as a delta in GDIFF has it, with a sign.
fn number(value: usize) -> Option<[u8; 4]> {
    Some(i32::try_from(value).ok()?.to_be_bytes())
}

/// Takes a number from the front of a delta; none where it is short or negative.
fn take_number(rest: &mut &[u8]) -> Option<usize> {
    let bytes = take(rest, 4)?.try_into().expect("as many as asked for");
    usize::try_from(i32::from_be_bytes(bytes)).ok()
}

/// Takes so many bytes from the front of a delta; none where it is short.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A configuration of so many pipelines, with further lines in some of them.
    fn config(pipelines: usize, edited: &[(usize, &str)]) -> Vec<u8> {
        let mut text = String::from("<cruise>\n");
        for number in 0..pipelines {
            text.push_str(&format!(
                "  <pipeline name=\"service-{number}\">\n    <environmentvariables>\n"
            ));
            for (_, line) in edited.iter().filter(|(at, _)| *at == number) {
                text.push_str(line);
            }
            text.push_str("    </environmentvariables>\n    <materials><git url=\"https://git.example.com/team/");
            text.push_str(&format!("service-{number}.git\"/></materials>\n  </pipeline>\n"));
        }
        text.push_str("</cruise>\n");
        text.into_bytes()
    }

    fn carried_out(former: &[u8], delta: &[u8]) -> Option<Vec<u8>> {
        decode(former, delta).map(|pieces| pieces.concat())
    }

    #[test]
    fn edits_in_two_places_are_sent_as_little_more_than_their_lines() {
        let line = "      <variable name=\"REVISION\"><value>0123456789abcdef</value></variable>\n";
        let former = config(10_000, &[(2_000, line)]);
        for new in [
            config(10_000, &[(7_000, line)]),
            config(10_000, &[(2_000, line), (9_999, line)]),
            config(10_000, &[(2_000, line), (2_001, line), (2_001, "     <x/>\n")]),
            config(10_000, &[]),
            config(9_999, &[(2_000, line)]),
        ] {
            let delta = encode(&former, &new).expect("much shorter");
            assert!(delta.len() < 1_000, "{} bytes", delta.len());
            assert_eq!(carried_out(&former, &delta).as_deref(), Some(&*new));
        }
    }

    #[test]
    fn a_delta_is_no_shorter_for_a_guess_at_what_stands_elsewhere() {
        let secret = "agentAutoRegisterKey=\"0123456789abcdef\" webhookSecret=\"fedcba9876543210\"";
        let with = |line: &str| {
            let text = String::from_utf8(config(1_000, &[(5, line)])).expect("text");
            text.replacen('\n', &format!("\n  <server {secret}/>\n"), 1)
                .into_bytes()
        };
        let length = |guess: &str| {
            let edited = with(&format!(
                "      <variable name=\"A\"><value>{guess}</value></variable>\n"
            ));
            encode(&with(""), &edited).expect("short").len()
        };
        let lengths = (0..=secret.len()).map(|right| {
            let wrong = "#".repeat(secret.len() - right);
            length(&format!("{}{wrong}", &secret[..right]))
        });
        assert_eq!(lengths.collect::<std::collections::BTreeSet<_>>().len(), 1);
    }

    #[test]
    fn what_has_little_in_common_is_better_sent_whole() {
        let former = config(1_000, &[]);
        let other: Vec<u8> = former.iter().map(|byte| byte ^ 1).collect();
        assert_eq!(encode(&former, &other), None);
        assert_eq!(encode(b"", b"new"), None);
        assert_eq!(encode(&former, b""), None, "the header alone is longer");
    }

    #[test]
    fn a_delta_for_something_else_is_refused_or_ends_inside_it() {
        let former = config(1_000, &[]);
        let new = config(1_000, &[(10, "      <!-- new -->\n")]);
        let delta = encode(&former, &new).expect("short");
        assert_eq!(decode(&former[..1_000], &delta), None, "it copies from beyond the end");
        assert_eq!(decode(&former, &delta[..delta.len() - 1]), None, "cut off");
        assert_eq!(decode(&former, &[&*delta, b"x"].concat()), None, "something follows");
        let backwards = [&MAGIC[..], &[COPY, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, END]].concat();
        assert_eq!(decode(&former, &backwards), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            lines in prop::collection::vec("[ab<>\n]{0,80}", 1..60),
            edits in prop::collection::vec((0_usize..60, "[ab<>\n]{0,120}", any::<bool>()), 0..6),
        ) {
            let mut edited = lines.clone();
            for (at, text, is_new) in edits {
                let at = at % edited.len();
                if is_new { edited.insert(at, text) } else { edited[at] = text }
            }
            // Repeated, so that the same lines are in many places.
            let (former, new) = (lines.join("\n").repeat(9).into_bytes(), edited.join("\n").repeat(9).into_bytes());
            if let Some(delta) = encode(&former, &new) {
                prop_assert!(delta.len() <= new.len() / 2);
                prop_assert_eq!(carried_out(&former, &delta), Some(new));
            }
        }

        #[test]
        fn random_bytes_are_no_trouble(
            former in prop::collection::vec(any::<u8>(), 0..200),
            commands in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let delta = [&MAGIC[..], &commands].concat();
            let _ = decode(&former, &delta);
            let _ = decode(&former, &commands);
        }
    }
}
