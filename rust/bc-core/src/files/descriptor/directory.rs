//! The list of files at the end of a zip file, read in pieces: however long somebody made it, one entry at a time is in
//! memory.
//!
//! GoCD opens jars by `java.util.jar.JarFile`. What that finds is found here too, in the same place: data before the
//! archive, bytes after it, and the 64-bit form. Of several entries of one name it takes the last. An encrypted entry,
//! or one packed in another way than by deflating, makes it refuse the whole jar.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::read::DeflateDecoder;

use crate::basics::{Digest, digest};

const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
const LISTED: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";

const END_LENGTH: u64 = 22;
const END_64_LENGTH: u64 = 56;
const LOCATOR_64_LENGTH: u64 = 20;
const LISTED_LENGTH: usize = 46;
const LOCAL_LENGTH: usize = 30;
/// The longest comment after the end.
const LONGEST_COMMENT: u64 = u16::MAX as u64;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Stands in place of a number whose 64-bit form is elsewhere.
const ELSEWHERE: u32 = u32::MAX;

/// What is looked for in a list of files.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// The entries of each name that was asked for, in their order in the list.
    found: Vec<Vec<Entry>>,
    /// Why Java refuses the whole file, where it does.
    pub(super) objection: Option<&'static str>,
}

/// One file, as the list says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    method: u16,
    packed: u64,
    at: u64,
}

/// Where the list is.
struct ListBounds {
    at: u64,
    length: u64,
    /// Bytes before the first byte that the archive counts.
    before: u64,
}

impl Directory {
    /// Looks in the list of a zip file for files with these names; none where this is no zip file, or not all of one.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn read(file: &mut (impl Read + Seek), names: &[&str]) -> io::Result<Option<Self>> {
        let Some(bounds) = ListBounds::find(file)? else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(bounds.at))?;
        let mut rest = BufReader::new(file.take(bounds.length));
        let mut directory = Self {
            found: vec![Vec::new(); names.len()],
            objection: None,
        };
        while !rest.fill_buf()?.is_empty() {
            let Some(header) = exactly::<LISTED_LENGTH>(&mut rest)? else {
                return Ok(None);
            };
            if header[..4] != LISTED {
                return Ok(None);
            }
            let (flags, method) = (half(&header, 8), half(&header, 10));
            let lengths = [28, 30, 32].map(|at| u64::from(half(&header, at)));
            let Some(name) = some(&mut rest, lengths[0])? else {
                return Ok(None);
            };
            let Some(extra) = some(&mut rest, lengths[1])? else {
                return Ok(None);
            };
            if io::copy(&mut (&mut rest).take(lengths[2]), &mut io::sink())? < lengths[2] {
                return Ok(None);
            }
            if flags & 1 != 0 {
                directory.objection = Some("it has encrypted files");
            } else if method != STORED && method != DEFLATED {
                directory.objection = Some("it has files that are packed in a way that Java does not read");
            }
            if let Some(wanted) = names.iter().position(|wanted| wanted.as_bytes() == name) {
                let Some(entry) = Entry::of(&header, &extra, &bounds) else {
                    return Ok(None);
                };
                // Two are enough to know that there are several; Java takes the last.
                let found = &mut directory.found[wanted];
                found.truncate(1);
                found.push(entry);
            }
        }
        Ok(Some(directory))
    }

    /// The digest of everything from where the list begins; none where this is no zip file, or not all of one. The list
    /// has a checksum of each file: two jars with other contents have other lists.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn digest(file: &mut (impl Read + Seek)) -> io::Result<Option<Digest>> {
        let Some(bounds) = ListBounds::find(file)? else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(bounds.at))?;
        Ok(Some(digest::hash(file)?.sha256))
    }

    /// The entries of a jar's list under one of the names: the first and the last of them.
    pub(super) fn entries(&self, name: usize) -> &[Entry] {
        &self.found[name]
    }
}

impl Entry {
    /// An entry of a zip file's list by its header; none where what that says is in no file.
    fn of(header: &[u8], extra: &[u8], bounds: &ListBounds) -> Option<Self> {
        let numbers = [24, 20, 42].map(|at| word(header, at));
        let [_, packed, at] = in_full(numbers, extra)?;
        Some(Self {
            method: half(header, 10),
            packed,
            at: at.checked_add(bounds.before)?,
        })
    }

    /// Unpacks an entry of a zip file, up to `most` bytes.
    ///
    /// # Errors
    /// Those of reading, and what is packed is damaged.
    pub(super) fn unpack(&self, file: &mut (impl Read + Seek), most: u64) -> io::Result<Vec<u8>> {
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        file.seek(SeekFrom::Start(self.at))?;
        let header = exactly::<LOCAL_LENGTH>(file)?.ok_or_else(damaged)?;
        if header[..4] != LOCAL {
            return Err(damaged());
        }
        let skipped = i64::from(half(&header, 26)) + i64::from(half(&header, 28));
        file.seek(SeekFrom::Current(skipped))?;
        let packed = file.take(self.packed);
        let mut content = Vec::new();
        match self.method {
            STORED => packed.take(most).read_to_end(&mut content)?,
            DEFLATED => DeflateDecoder::new(BufReader::new(packed))
                .take(most)
                .read_to_end(&mut content)?,
            _ => return Err(damaged()),
        };
        Ok(content)
    }
}

impl ListBounds {
    /// Finds where the list of a zip file is, by the record at its end.
    fn find(file: &mut (impl Read + Seek)) -> io::Result<Option<Self>> {
        let size = file.seek(SeekFrom::End(0))?;
        let searched = size.min(END_LENGTH + LONGEST_COMMENT);
        let from = size - searched;
        file.seek(SeekFrom::Start(from))?;
        let mut tail = Vec::new();
        file.take(searched).read_to_end(&mut tail)?;
        let Some(last) = tail.len().checked_sub(END_LENGTH as usize) else {
            return Ok(None);
        };
        for at in (0..=last).rev().filter(|at| tail[*at..].starts_with(&END)) {
            let end = &tail[at..];
            let position = from + at as u64;
            let (length, offset) = (word(end, 12), word(end, 16));
            if position + END_LENGTH + u64::from(half(end, 20)) != size && !fits(file, position, length, offset)? {
                continue;
            }
            return Self::of(file, position, length, offset);
        }
        Ok(None)
    }

    /// Where the list of a zip file is, by what its end record says of it.
    fn of(file: &mut (impl Read + Seek), end: u64, length: u32, offset: u32) -> io::Result<Option<Self>> {
        let (end, length, offset) = match long(file, end)? {
            Some((end, long_length, long_offset))
                if (length == ELSEWHERE || u64::from(length) == long_length)
                    && (offset == ELSEWHERE || u64::from(offset) == long_offset) =>
            {
                (end, long_length, long_offset)
            }
            _ => (end, u64::from(length), u64::from(offset)),
        };
        Ok(end
            .checked_sub(length)
            .and_then(|at| Some((at, at.checked_sub(offset)?)))
            .map(|(at, before)| Self { at, length, before }))
    }
}

/// Whether what looks like a zip file's end record is one, although more bytes follow it than it says.
fn fits(file: &mut (impl Read + Seek), end: u64, length: u32, offset: u32) -> io::Result<bool> {
    let Some(list) = end.checked_sub(u64::from(length)) else {
        return Ok(false);
    };
    let Some(first) = list.checked_sub(u64::from(offset)) else {
        return Ok(false);
    };
    Ok(begins(file, list, &LISTED)? && begins(file, first, &LOCAL)?)
}

/// Whether a record of a zip file begins here.
fn begins(file: &mut (impl Read + Seek), at: u64, mark: &[u8; 4]) -> io::Result<bool> {
    file.seek(SeekFrom::Start(at))?;
    Ok(exactly::<4>(file)?.as_ref() == Some(mark))
}

/// Where a zip file's 64-bit end is, and what it says of length and offset of the list; none where there is none.
fn long(file: &mut (impl Read + Seek), end: u64) -> io::Result<Option<(u64, u64, u64)>> {
    let Some(locator) = end.checked_sub(LOCATOR_64_LENGTH) else {
        return Ok(None);
    };
    if !begins(file, locator, &LOCATOR_64)? {
        return Ok(None);
    }
    let Some(rest) = exactly::<16>(file)? else {
        return Ok(None);
    };
    let at = double(&rest, 4);
    // A position that no file has is none.
    if at > locator || !begins(file, at, &END_64)? {
        return Ok(None);
    }
    let Some(rest) = exactly::<{ END_64_LENGTH as usize - 4 }>(file)? else {
        return Ok(None);
    };
    Ok(Some((at, double(&rest, 36), double(&rest, 44))))
}

/// Size, packed size and position of a zip file's entry, each from the 64-bit form where it stands there.
fn in_full(numbers: [u32; 3], extra: &[u8]) -> Option<[u64; 3]> {
    let mut rest = extra;
    let mut long: &[u8] = &[];
    while rest.len() >= 4 {
        let (kind, length) = (half(rest, 0), usize::from(half(rest, 2)));
        let content = rest.get(4..4 + length)?;
        if kind == 1 {
            long = content;
        }
        rest = &rest[4 + length..];
    }
    let mut full = numbers.map(u64::from);
    for (number, full) in numbers.iter().zip(&mut full) {
        if *number == ELSEWHERE && !long.is_empty() {
            *full = double(long.get(..8)?, 0);
            long = &long[8..];
        }
    }
    Some(full)
}

/// Reads the next `LENGTH` bytes of a zip file; none where fewer are left.
fn exactly<const LENGTH: usize>(from: &mut impl Read) -> io::Result<Option<[u8; LENGTH]>> {
    let mut bytes = [0; LENGTH];
    match from.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads as many bytes of a zip file as a length in it says, which has 16 bits; none where fewer are left.
fn some(from: &mut impl Read, length: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let read = from.take(length).read_to_end(&mut bytes)?;
    Ok((read as u64 == length).then_some(bytes))
}

/// A number of two bytes in a zip file.
fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// A number of four bytes in a zip file.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from(half(bytes, at)) | u32::from(half(bytes, at + 2)) << 16
}

/// A number of eight bytes in a zip file.
fn double(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}
