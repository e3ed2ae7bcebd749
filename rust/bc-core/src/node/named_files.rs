//! The files that `cruise-config.xml` names and that are not synced, told to another node without their names or bytes.
//!
//! Each node looks its own list up, by its own configuration, and tells keyed digests (`Token::keyed_digest`) of what the
//! configuration says and of what the file holds. Nothing that is heard becomes a path: it is only held against what was
//! looked up here.

use std::{collections::BTreeSet, io};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Digest, Error, Kind, digest::Hasher, digest::pieces, regular_file},
    generation::{Layout, Name},
    gocd::cruise_config::{CruiseConfig, MentionedFile},
    keys::Token,
};

/// So many files of one configuration are looked at.
const MOST: usize = 64;
/// The longest file that is looked at, in bytes: these are files of passwords and of secrets.
const LONGEST: u64 = 16 << 20;

/// A file that the configuration of this node names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// Where it is.
    pub path: String,
    /// The key of the property that names it, such as `PasswordFilePath`.
    pub property: String,
    /// The keyed digest of the value of that property.
    pub name: Digest,
    /// What it holds.
    pub content: Content,
}

/// What a named file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The keyed digest of its bytes.
    Of(Digest),
    /// There is no such file.
    Missing,
    /// Nobody can say, and why.
    Unread(String),
}

/// What a node tells of the files that its configuration names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    files: Vec<ToldFile>,
}

/// What a node tells of one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ToldFile {
    name: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<Digest>,
    #[serde(default)]
    is_missing: bool,
}

impl Told {
    /// What a node tells of these.
    pub fn of(files: &[NamedFile]) -> Self {
        let files = files.iter().map(|file| ToldFile {
            name: file.name,
            content: match file.content {
                Content::Of(digest) => Some(digest),
                Content::Missing | Content::Unread(_) => None,
            },
            is_missing: file.content == Content::Missing,
        });
        Self { files: files.collect() }
    }

    /// What was told of the file that has this name in the configuration; none where it has none there.
    pub fn content(&self, name: Digest) -> Option<Content> {
        let told = self.files.iter().find(|told| told.name == name)?;
        Some(match (told.content, told.is_missing) {
            (Some(digest), _) => Content::Of(digest),
            (None, true) => Content::Missing,
            (None, false) => Content::Unread("it could not be read there".to_owned()),
        })
    }
}

/// Looks the files up that the configuration in this layout names. Blocks on disks.
///
/// # Errors
/// The configuration cannot be read, or is no whole XML file.
pub fn look(layout: &Layout, token: &Token) -> Result<Vec<NamedFile>, Error> {
    let config = layout.cruise_config();
    let Some(text) = regular_file::read_if_there(config, Name::CruiseConfig.largest())? else {
        return Ok(Vec::new());
    };
    let read = CruiseConfig::read(&text).map_err(|reason| {
        let what = format!("{} {reason}", config.display());
        Error::new(Kind::Busy, what, "GoCD may be writing it: ask again.")
    })?;
    let mut seen = BTreeSet::new();
    let named = read.files.into_iter().filter(|file| seen.insert(file.path.clone()));
    Ok(named
        .filter_map(|file| looked_up(&file, layout, token))
        .take(MOST)
        .collect())
}

/// Looks one file up.
fn looked_up(file: &MentionedFile, layout: &Layout, token: &Token) -> Option<NamedFile> {
    let path = file.place(layout.working_dir())?;
    let content = match regular_file::if_there(digest(&path)) {
        Ok(Some(digest)) => Content::Of(token.keyed_digest("content of a named file", digest.to_string().as_bytes())),
        Ok(None) => Content::Missing,
        Err(error) => Content::Unread(Error::cannot("read", &path)(error).message().to_owned()),
    };
    Some(NamedFile {
        path: path.display().to_string(),
        property: file.property.clone(),
        name: token.keyed_digest("name of a named file", file.path.as_bytes()),
        content,
    })
}

/// The digest of a regular file of bounded length.
fn digest(path: &std::path::Path) -> io::Result<Digest> {
    let mut hasher = Hasher::default();
    pieces(regular_file::open(path)?, |piece| {
        hasher.update(piece);
        match hasher.size() <= LONGEST {
            true => Ok(true),
            false => Err(io::ErrorKind::FileTooLarge.into()),
        }
    })?;
    Ok(hasher.finish().sha256)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::basics::Properties;

    fn token(password: &str) -> Token {
        let text = format!("user = {password}");
        Token::parse(text.as_bytes(), Path::new("token")).expect("valid")
    }

    /// A server whose configuration names these files.
    fn server(named: &[&str]) -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().expect("folder");
        let properties: Properties = [("user.dir", folder.path().display().to_string())]
            .into_iter()
            .collect();
        let layout = Layout::from_properties(&properties);
        let property = |path: &&str| format!("<property><key>PasswordFilePath</key><value>{path}</value></property>");
        let text: String = named.iter().map(property).collect();
        fs::create_dir(folder.path().join("config")).expect("folder");
        fs::write(layout.cruise_config(), format!("<cruise>{text}</cruise>")).expect("write");
        (folder, layout)
    }

    #[test]
    fn equal_files_are_told_alike_and_others_are_not() {
        let names = ["config/users", "config/other", "gone"];
        let ((here, here_layout), (there, there_layout)) = (server(&names), server(&names));
        for folder in [&here, &there] {
            fs::write(folder.path().join("config/users"), "admin=hash").expect("write");
        }
        fs::write(here.path().join("config/other"), "a").expect("write");
        fs::write(there.path().join("config/other"), "b").expect("write");
        let own = look(&here_layout, &token("one")).expect("readable");
        let told = Told::of(&look(&there_layout, &token("one")).expect("readable"));
        let wire = serde_json::to_string(&told).expect("plain");
        let told: Told = serde_json::from_str(&wire).expect("the same");
        let heard: Vec<_> = own.iter().map(|file| told.content(file.name)).collect();
        assert_eq!(heard[0].as_ref(), Some(&own[0].content));
        assert!(matches!(own[0].content, Content::Of(_)));
        assert!(matches!(&heard[1], Some(other @ Content::Of(_)) if *other != own[1].content));
        assert_eq!(
            (heard[2].as_ref(), &own[2].content),
            (Some(&Content::Missing), &Content::Missing)
        );
        for secret in ["users", "admin", "hash", "config"] {
            assert!(!wire.contains(secret), "{wire}");
        }
        let stranger = Told::of(&look(&there_layout, &token("other")).expect("readable"));
        assert_eq!(
            stranger.content(own[0].name),
            None,
            "another token tells nothing that can be compared"
        );
    }

    #[test]
    fn what_cannot_be_read_is_neither_equal_nor_missing() {
        let (folder, layout) = server(&["config", "long", "pipe", "config", ""]);
        let long = fs::File::create(folder.path().join("long")).expect("make");
        long.set_len(LONGEST + 1).expect("a hole");
        #[cfg(unix)]
        nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let own = look(&layout, &token("one")).expect("readable");
        let told = Told::of(&own);
        assert_eq!(own.len(), 3, "each is looked at once: {own:?}");
        for file in own.iter().take(if cfg!(unix) { 3 } else { 2 }) {
            assert!(
                matches!(&file.content, Content::Unread(why) if why.contains("cannot read")),
                "{file:?}"
            );
            assert!(matches!(told.content(file.name), Some(Content::Unread(_))), "{file:?}");
        }
    }

    #[test]
    fn a_configuration_that_is_not_whole_tells_nothing() {
        let (folder, layout) = server(&[]);
        assert_eq!(look(&layout, &token("one")), Ok(Vec::new()));
        fs::write(layout.cruise_config(), "<cruise>").expect("write");
        assert_eq!(look(&layout, &token("one")).expect_err("cut").kind(), Kind::Busy);
        fs::remove_file(layout.cruise_config()).expect("remove");
        assert_eq!(
            look(&layout, &token("one")),
            Ok(Vec::new()),
            "nothing is configured yet"
        );
        drop(folder);
    }
}
