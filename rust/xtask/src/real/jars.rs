//! Writing jars: nothing in them is compressed, since they live for a test.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::files;

/// A jar that is being written. What is put in twice counts the first time.
pub(crate) struct Jar {
    path: PathBuf,
    writer: ZipWriter<BufWriter<File>>,
    names: BTreeSet<String>,
}

impl Jar {
    /// Begins a jar.
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            path,
            writer: ZipWriter::new(BufWriter::new(file)),
            names: BTreeSet::new(),
        })
    }

    /// Begins a jar with these attributes in its manifest.
    pub(crate) fn with_manifest(path: PathBuf, attributes: &[(&str, &str)]) -> Result<Self> {
        let mut jar = Self::create(path)?;
        let lines: String = attributes
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"))
            .collect();
        jar.text("META-INF/MANIFEST.MF", &format!("Manifest-Version: 1.0\n{lines}\n"))?;
        Ok(jar)
    }

    /// Puts in bytes.
    pub(crate) fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if self.names.insert(name.to_owned()) {
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            self.writer.start_file(name, options)?;
            self.writer.write_all(bytes)?;
        }
        Ok(())
    }

    /// Puts in a text.
    pub(crate) fn text(&mut self, name: &str, text: &str) -> Result<()> {
        self.bytes(name, text.as_bytes())
    }

    /// Puts in a file.
    pub(crate) fn file(&mut self, name: &str, file: &Path) -> Result<()> {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        self.bytes(name, &bytes)
    }

    /// Puts in files under their own names, below `prefix`.
    pub(crate) fn files<'a>(&mut self, prefix: &str, all: impl IntoIterator<Item = &'a PathBuf>) -> Result<()> {
        for file in all {
            let name = file.file_name().context("no name")?.to_string_lossy();
            self.file(&format!("{prefix}{name}"), file)?;
        }
        Ok(())
    }

    /// Puts in what is below a folder and has one of these names.
    pub(crate) fn tree(&mut self, folder: &Path, keep: impl Fn(&str) -> bool) -> Result<()> {
        for file in files::under(folder)? {
            let name = files::relative(folder, &file);
            if keep(&name) {
                self.file(&name, &file)?;
            }
        }
        Ok(())
    }

    /// Puts in those files of another jar that are to be kept, each under the name `prefix` and its own.
    pub(crate) fn contents_of(&mut self, other: &Path, prefix: &str, keep: impl Fn(&str) -> bool) -> Result<()> {
        let file = File::open(other).with_context(|| format!("cannot read {}", other.display()))?;
        let mut archive = ZipArchive::new(BufReader::new(file))?;
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index)?;
            let name = entry.name()?.into_owned();
            if !name.ends_with('/') && keep(&name) {
                let mut bytes = Vec::new();
                std::io::copy(&mut entry, &mut bytes)?;
                self.bytes(&format!("{prefix}{name}"), &bytes)?;
            }
        }
        Ok(())
    }

    /// Puts in an entry for each folder: Spring looks through a jar by them.
    pub(crate) fn folders(&mut self) -> Result<()> {
        let folders: BTreeSet<String> = self
            .names
            .iter()
            .flat_map(|name| name.match_indices('/').map(|(end, _)| name[..=end].to_owned()))
            .collect();
        for folder in folders {
            self.writer.add_directory(folder, SimpleFileOptions::default())?;
        }
        Ok(())
    }

    /// Ends the jar.
    pub(crate) fn finish(self) -> Result<PathBuf> {
        self.writer.finish()?.flush()?;
        Ok(self.path)
    }
}
