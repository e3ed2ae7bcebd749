//! Bytes on their way into the blobs.
//!
//! Jars go to their partial files as they come, so that memory stays flat. What comes of a configuration file stays in
//! memory: it is written once, to where it becomes live, and its blob is written when nobody waits any more. A transfer
//! that ends early leaves a partial file in both cases, for the next one to go on with.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    mem,
    sync::Arc,
};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::{
    basics::{Digest, Error, Hasher, Kind},
    generation::Name,
    standby::store::{Wanted, blobs::Blobs},
};

/// Larger configuration files go to the disk as jars do.
pub(super) const IN_MEMORY: u64 = 8 << 20;

/// Begins to receive a blob, or goes on where an earlier try ended.
///
/// # Errors
/// The partial file cannot be made or read.
pub(super) fn receive(blobs: &Arc<Blobs>, wanted: &Wanted) -> Result<Receiving, Error> {
    let is_small = !matches!(wanted.name, Name::Plugin(_)) && wanted.size <= IN_MEMORY;
    let mut hasher = Hasher::default();
    let place = if is_small && blobs.partial_size(&wanted.sha256) == 0 {
        // Those of a set that never came to its end.
        blobs.write_out()?;
        let size = usize::try_from(wanted.size).expect("a few megabytes");
        Place::Memory(Zeroizing::new(Vec::with_capacity(size)))
    } else {
        let partial = blobs.partial(&wanted.sha256);
        let failed = Error::cannot("write", &partial);
        let mut file = blobs.system().open(&partial, 0o600).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > wanted.size {
            file.set_len(0).map_err(failed)?;
        }
        // Leaves the position at the end.
        hasher.copy(&mut file, &mut io::sink()).map_err(failed)?;
        Place::File(file)
    };
    Ok(Receiving {
        blobs: Arc::clone(blobs),
        wanted: wanted.clone(),
        place,
        hasher,
    })
}

/// Work that waits for a disk.
pub type ToSync = Box<dyn FnOnce() -> Result<(), Error> + Send>;

/// Bytes on their way into the store. All calls block.
pub struct Receiving {
    blobs: Arc<Blobs>,
    wanted: Wanted,
    place: Place,
    hasher: Hasher,
}

enum Place {
    /// A configuration may have secrets in it.
    Memory(Zeroizing<Vec<u8>>),
    File(File),
    /// There is nothing to keep.
    Nowhere,
}

impl Receiving {
    /// The error of writing down what is received of a blob.
    fn failed(&self, error: &io::Error) -> Error {
        Error::io("write", &self.blobs.partial(&self.wanted.sha256), error)
    }

    /// Throws away what was received of a blob: nothing of it can be believed.
    fn throw_away(&mut self) {
        if let Place::File(_) = mem::replace(&mut self.place, Place::Nowhere) {
            let _ = self.blobs.system().remove(&self.blobs.partial(&self.wanted.sha256));
        }
    }
}

impl Receiving {
    /// How many bytes of the blob are there already from an earlier try.
    pub fn received(&self) -> u64 {
        self.hasher.size()
    }

    /// Writes the next bytes of the blob that is received.
    ///
    /// # Errors
    /// More bytes than announced, or the disk fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.received() + bytes.len() as u64 > self.wanted.size {
            self.throw_away();
            return Err(too_long(&self.wanted));
        }
        match &mut self.place {
            Place::Memory(memory) => memory.extend_from_slice(bytes),
            Place::File(file) => {
                let written = file.write_all(bytes);
                written.map_err(|error| self.failed(&error))?;
            }
            Place::Nowhere => return Err(too_long(&self.wanted)),
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// Begins to sync a blob that is still received. Gives what has the disk take the bytes that have come, while
    /// further ones come; it blocks. None where nothing is gained by it.
    ///
    /// # Errors
    /// The disk fails: then the transfer has failed, since it may not be said a second time.
    pub fn begin_to_sync(&self) -> Option<ToSync> {
        let Place::File(file) = &self.place else { return None };
        // Only jars are waited for at their end.
        let file = matches!(self.wanted.name, Name::Plugin(_)).then(|| file.try_clone())?;
        let (blobs, partial) = (Arc::clone(&self.blobs), self.blobs.partial(&self.wanted.sha256));
        Some(Box::new(move || {
            file.and_then(|file| blobs.system().sync(&file, &partial))
                .map_err(Error::cannot("write", &partial))
        }))
    }

    /// Finishes receiving a blob: checks length and digest and keeps the bytes under their digest. They are durable
    /// when the generation that needs them is applied, not before.
    ///
    /// # Errors
    /// [`Kind::Protocol`] when they are not what was announced: then they are thrown away; too few of them are kept for
    /// another try.
    pub fn finish(mut self) -> Result<(), Error> {
        if self.received() < self.wanted.size {
            return Err(too_short(&self.wanted, self.received()));
        }
        let digest = mem::take(&mut self.hasher).finish().sha256;
        if digest != self.wanted.sha256 {
            self.throw_away();
            return Err(wrong_digest(&self.wanted, &digest));
        }
        match mem::replace(&mut self.place, Place::Nowhere) {
            Place::Memory(memory) => {
                self.blobs.received_in_memory(digest, Bytes::from_owner(memory));
                Ok(())
            }
            Place::File(file) => {
                if matches!(self.wanted.name, Name::Plugin(_)) {
                    let partial = self.blobs.partial(&digest);
                    let synced = self.blobs.system().sync(&file, &partial);
                    synced.map_err(|error| self.failed(&error))?;
                }
                self.blobs.received_in_file(digest, self.wanted.size, &file)
            }
            Place::Nowhere => Err(too_long(&self.wanted)),
        }
    }
}

impl Drop for Receiving {
    /// Leaves what has come of a blob to the next try, which begins anew where that fails.
    fn drop(&mut self) {
        let Place::Memory(memory) = &self.place else { return };
        if memory.is_empty() {
            return;
        }
        let partial = self.blobs.partial(&self.wanted.sha256);
        if let Ok(mut file) = self.blobs.system().open(&partial, 0o600)
            // Another try has come as far.
            && file.seek(SeekFrom::End(0)).is_ok_and(|end| end < memory.len() as u64)
            && file.rewind().is_ok()
        {
            let _ = file.write_all(memory);
        }
    }
}

/// The error of a blob of which more is received than it has.
fn too_long(wanted: &Wanted) -> Error {
    Error::new(
        Kind::Protocol,
        format!(
            "the primary sent more than the {} bytes that it announced for {}",
            wanted.size, wanted.name
        ),
        "",
    )
}

/// The error of a blob of which less is received than it has.
fn too_short(wanted: &Wanted, received: u64) -> Error {
    Error::new(
        Kind::Protocol,
        format!(
            "only {received} of the {} bytes of {} came from the primary",
            wanted.size, wanted.name
        ),
        "",
    )
}

/// The error of a blob that is received and has another digest.
fn wrong_digest(wanted: &Wanted, digest: &Digest) -> Error {
    Error::new(
        Kind::Protocol,
        format!(
            "what came from the primary for {} has the digest {digest}, not {} as announced",
            wanted.name, wanted.sha256
        ),
        "",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::durable::OperatingSystem;

    const CONTENT: &[u8] = b"0123456789";

    fn wanted(name: Name) -> Wanted {
        Wanted {
            sha256: Digest::of(CONTENT),
            size: CONTENT.len() as u64,
            name,
            former: None,
        }
    }

    fn names() -> [Name; 2] {
        [Name::CruiseConfig, Name::Plugin("a.jar".parse().expect("valid"))]
    }

    struct Place(tempfile::TempDir, Arc<Blobs>);

    fn place() -> Place {
        let folder = tempfile::tempdir().expect("folder");
        let blobs = Blobs::open(Arc::new(OperatingSystem), folder.path().join("blobs")).expect("folder");
        Place(folder, Arc::new(blobs))
    }

    #[test]
    fn a_configuration_file_is_in_memory_until_it_is_settled_and_a_jar_never() {
        for name in names() {
            let Place(_folder, blobs) = place();
            let wanted = wanted(name);
            let mut receiving = receive(&blobs, &wanted).expect("begun");
            receiving.write(CONTENT).expect("as announced");
            receiving.finish().expect("right");
            let is_config = wanted.name == Name::CruiseConfig;
            assert_eq!(blobs.in_memory(&wanted.sha256).is_some(), is_config);
            assert_eq!(blobs.path(&wanted.sha256).exists(), !is_config);
            assert_eq!(blobs.has(&wanted.sha256, wanted.size), Ok(true));
            blobs.write_out().expect("written");
            assert_eq!(blobs.in_memory(&wanted.sha256), None);
            assert_eq!(fs::read(blobs.path(&wanted.sha256)).expect("there"), CONTENT);
            assert_eq!(blobs.has(&wanted.sha256, wanted.size), Ok(true));
        }
    }

    #[test]
    fn the_disk_can_begin_with_a_jar_while_it_comes_and_what_follows_is_kept() {
        for name in names() {
            let Place(_folder, blobs) = place();
            let wanted = wanted(name);
            let mut receiving = receive(&blobs, &wanted).expect("begun");
            receiving.write(&CONTENT[..4]).expect("as announced");
            let begun = receiving.begin_to_sync();
            assert_eq!(begun.is_some(), wanted.name != Name::CruiseConfig);
            receiving.write(&CONTENT[4..]).expect("as announced");
            begun.map_or(Ok(()), |sync| sync()).expect("the disk takes it");
            receiving.finish().expect("right");
            assert_eq!(blobs.has(&wanted.sha256, wanted.size), Ok(true));
        }
    }

    #[test]
    fn what_breaks_off_is_gone_on_with() {
        for name in names() {
            let Place(_folder, blobs) = place();
            let wanted = wanted(name);
            let mut receiving = receive(&blobs, &wanted).expect("begun");
            receiving.write(&CONTENT[..4]).expect("as announced");
            drop(receiving);
            let mut receiving = receive(&blobs, &wanted).expect("begun");
            assert_eq!(receiving.received(), 4, "{}", wanted.name);
            receiving.write(&CONTENT[4..7]).expect("as announced");
            receiving.finish().expect_err("too short");
            let mut receiving = receive(&blobs, &wanted).expect("begun");
            assert_eq!(receiving.received(), 7, "{}", wanted.name);
            receiving.write(&CONTENT[7..]).expect("as announced");
            receiving.finish().expect("right");
            assert_eq!(blobs.has(&wanted.sha256, wanted.size), Ok(true));
        }
    }

    #[test]
    fn nothing_is_kept_of_what_was_not_announced() {
        for name in names() {
            let Place(_folder, blobs) = place();
            let wanted = wanted(name);
            let mut longer = receive(&blobs, &wanted).expect("begun");
            longer.write(&[0; 11]).expect_err("too long");
            longer.write(CONTENT).expect_err("thrown away");
            drop(longer);
            let mut other = receive(&blobs, &wanted).expect("begun");
            other.write(&[0; 10]).expect("as announced");
            assert_eq!(other.finish().expect_err("another digest").kind(), Kind::Protocol);
            assert_eq!(receive(&blobs, &wanted).expect("begun").received(), 0);
            assert_eq!(blobs.has(&wanted.sha256, wanted.size), Ok(false));
        }
    }
}
