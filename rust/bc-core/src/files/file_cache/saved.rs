//! What is known of jars, over a restart.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{Content, FileCache, KnownFile};
use crate::{
    basics::{Digest, Digests, regular_file},
    files::{descriptor::Jar, stamp::Stamp},
    generation::PluginIdentity,
};

/// Version of the saved form. Another one is not taken up: earlier ones found fewer jars to be our own plugin.
const FORMAT: u32 = 2;

impl FileCache {
    /// Takes up into the cache what [`FileCache::save`] wrote. A file that is missing, damaged or of another version is
    /// as good as none: everything is read again.
    pub(crate) fn load(&mut self, path: &Path) {
        let saved = regular_file::read(path, regular_file::LARGEST_OF_OURS)
            .ok()
            .and_then(|text| serde_json::from_slice::<Saved>(&text).ok());
        let Some(saved) = saved.filter(|saved| saved.format == FORMAT) else {
            return;
        };
        for file in saved.files {
            let content = match file.known {
                SavedContent::Own(identity) => Content::Own(identity),
                SavedContent::Jar { sha256, jar, list } => Content::File(Arc::new(KnownFile {
                    stamp: file.stamp,
                    digests: Digests {
                        sha256,
                        size: file.stamp.size(),
                    },
                    bytes: None,
                    jar: Some(jar),
                    list,
                })),
            };
            self.insert(&file.path, file.stamp, true, content);
        }
        self.is_dirty = false;
    }

    /// Saves what the cache knows of jars, if that is news, so that a restart need not read them. Losing it costs time
    /// and nothing else, so it is not forced to the disk, and failing to write it is no error.
    pub(crate) fn save(&mut self, path: &Path) {
        if !self.is_dirty {
            return;
        }
        let files = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.is_settled && entry.content.is_saved())
            .map(|(path, entry)| SavedFile {
                path: path.clone(),
                stamp: entry.stamp,
                known: match &entry.content {
                    Content::Own(identity) => SavedContent::Own(identity.clone()),
                    Content::File(known) => SavedContent::Jar {
                        sha256: known.digests.sha256,
                        jar: known.jar.clone().unwrap_or(Jar::Plain),
                        list: known.list,
                    },
                },
            })
            .collect();
        let Ok(text) = serde_json::to_vec(&Saved { format: FORMAT, files }) else {
            return;
        };
        self.is_dirty = crate::durable::atomic::replace(path, &text, 0o600).is_err();
    }
}

#[derive(Serialize, Deserialize)]
struct Saved {
    format: u32,
    files: Vec<SavedFile>,
}

#[derive(Serialize, Deserialize)]
struct SavedFile {
    path: PathBuf,
    stamp: Stamp,
    known: SavedContent,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SavedContent {
    Own(PluginIdentity),
    Jar {
        sha256: Digest,
        jar: Jar,
        /// Unknown to earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        list: Option<Digest>,
    },
}

#[cfg(test)]
mod tests {
    use std::{fs, thread::sleep, time::Duration};

    use super::{
        super::{
            Detail, Observed,
            tests::{cache, known},
        },
        *,
    };
    use crate::files::descriptor::tests::plugin;

    #[test]
    fn what_is_known_of_jars_survives_a_restart() {
        let folder = tempfile::tempdir().expect("folder");
        let saved = folder.path().join("cache.json");
        let (plain, own) = (folder.path().join("a.jar"), folder.path().join("b.jar"));
        fs::write(&plain, plugin("a", "1")).expect("write");
        fs::write(&own, plugin(crate::generation::own_files::OWN_PLUGIN_ID, "1")).expect("write");
        sleep(Duration::from_millis(40));
        let mut before = cache();
        let digests = known(&mut before, &plain, Detail::Jar).digests.clone();
        before.observe(&own, Detail::Jar).expect("readable");
        before.save(&saved);
        let mut after = cache();
        after.load(&saved);
        assert_eq!(after.entries.len(), 2);
        let restored = after.entries[&plain].content.observed();
        let Observed::File(restored) = restored else {
            panic!("{restored:?}")
        };
        assert_eq!(restored.digests, digests);
        assert!(Arc::ptr_eq(&restored, &known(&mut after, &plain, Detail::Jar)));
        assert!(matches!(after.observe(&own, Detail::Jar), Ok(Observed::Own(_))));
        fs::write(&plain, plugin("a", "2")).expect("write");
        assert_ne!(known(&mut after, &plain, Detail::Jar).digests, digests);
        let mut of_the_version_before: serde_json::Value =
            serde_json::from_slice(&fs::read(&saved).expect("saved")).expect("JSON");
        for file in of_the_version_before["files"].as_array_mut().expect("files") {
            if let Some(jar) = file["known"].get_mut("jar") {
                jar["md5"] = "900150983cd24fb0d6963f7d28e17f72".into();
            }
        }
        fs::write(&saved, of_the_version_before.to_string()).expect("write");
        let mut after = cache();
        after.load(&saved);
        assert_eq!(after.entries.len(), 2, "it is still taken up");
        fs::write(&saved, "{").expect("damage");
        cache().load(&saved);
    }
}
