//! Files of the primary that nobody can read there: the standby keeps what it has, and both say so.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use bc_core::{
    basics::Severity,
    generation::Name,
    status::{FileState, Status},
};
use bc_testkit::{
    gocd_dir::{GocdDir, write_plugin_jar},
    wait,
};

use crate::whole::{SOON, Whole, is_in_sync};

/// What a folder of the configuration folder holds.
const CA: &str = "ldap/ca.pem";
const LARGE: &str = "ldap/large.bin";

/// Both nodes, with a plugins, a jetty.xml and a key, in sync.
struct Pair {
    primary: Whole,
    standby: Whole,
}

const SEEN: &str = "plugins/external/seen.jar";
const UNSEEN: &str = "plugins/external/unseen.jar";

impl Pair {
    fn new() -> Self {
        let dir = GocdDir::new();
        write_plugin_jar(&dir.path().join(SEEN), "seen", "1");
        write_plugin_jar(&dir.path().join(UNSEEN), "unseen", "1");
        fs::write(dir.path().join("config/jetty.xml"), "<Configure/>").expect("written");
        let primary = Whole::open(dir, &[]);
        let standby = Whole::standby(primary.address(), primary.key(), SOON);
        standby.until_equal(&primary.dir, UNSEEN);
        Self { primary, standby }
    }

    /// What the standby has under a name of the primary.
    fn here(&self, file: &str) -> Option<Vec<u8>> {
        fs::read(self.standby.dir.path().join(file)).ok()
    }

    /// That both nodes warn of the file and say why, and that the standby has what it had.
    fn assert_said(&self, file: &str, why: &str, kept: &[u8]) {
        let name: Name = file.parse().expect("a synced file");
        self.both_say(&format!("{file} {why}"));
        for node in [&self.primary, &self.standby] {
            node.until(&format!("{file} is in the list"), |status| {
                let mut files = status.files.iter();
                files.any(|file| file.name == name && file.state == FileState::Withheld)
            });
        }
        let folder = if file.contains('/') { "" } else { "config/" };
        assert_eq!(self.here(&format!("{folder}{file}")).as_deref(), Some(kept));
    }

    /// That both nodes warn in these words, and that the standby does not claim to be in sync.
    fn both_say(&self, words: &str) {
        // Without the key nothing can be decrypted.
        let severity = match words.starts_with("cipher.aes") {
            true => Severity::Critical,
            false => Severity::Warning,
        };
        let says = |status: &Status| {
            let mut problems = status.problems.iter();
            problems.any(|problem| problem.severity == severity && problem.message.contains(words))
        };
        self.primary.until(&format!("the primary says that {words}"), says);
        // What the primary withholds changes while it looks at its files once more.
        let standby = self.standby.until(&format!("the standby says that {words}"), |status| {
            let primary = self.primary.status();
            says(status) && primary.is_some_and(|primary| status.withheld == primary.withheld)
        });
        assert!(!is_in_sync(&standby), "{standby:#?}");
    }

    /// An edit of the configuration arrives, whatever is amiss with other files.
    fn assert_goes_on(&self, mark: &str) {
        let config = self.primary.dir.path().join("config/cruise-config.xml");
        let text = fs::read_to_string(&config).expect("readable");
        let edited = text.replace("</cruise>", &format!("<!-- {mark} --></cruise>"));
        self.primary.dir.rewrite_config(&edited);
        wait::until("an edit arrives", SOON, || {
            (self.here("config/cruise-config.xml")? == edited.as_bytes()).then_some(())
        });
    }
}

/// Puts a link to `target` in the place of a file, without a moment at which nothing is there. What was there is called
/// as what is returned.
fn replaced_by_link(path: &Path, target: &str) -> PathBuf {
    let (aside, link) = (path.with_extension("aside"), path.with_extension("link"));
    fs::hard_link(path, &aside).expect("another name");
    symlink(target, &link).expect("linked");
    fs::rename(&link, path).expect("replaced");
    aside
}

#[test]
fn a_jar_that_cannot_be_seen_stays_on_the_standby_also_over_a_restart_without_a_cache() {
    let mut pair = Pair::new();
    let jar = pair.primary.dir.path().join(UNSEEN);
    let kept = fs::read(&jar).expect("readable");
    let aside = replaced_by_link(&jar, "/not/mounted/unseen.jar");
    pair.assert_said(UNSEEN, "is a symbolic link to something that is not there", &kept);
    pair.primary.restart(|dir| {
        fs::remove_file(dir.state().join("digests.json")).expect("there is a cache");
        // Nothing is mapped where a process's memory begins: reading that fails as a bad disk does.
        fs::remove_file(&jar).expect("removed");
        symlink("/proc/self/mem", &jar).expect("linked");
    });
    pair.assert_said(UNSEEN, "cannot be read", &kept);
    pair.assert_goes_on("one");
    // Nor does a standby that starts anew lose it.
    pair.standby.restart(|_| {});
    pair.assert_said(UNSEEN, "cannot be read", &kept);

    fs::rename(&aside, &jar).expect("moved back");
    let status = pair.standby.until("in sync", is_in_sync);
    assert!(
        status
            .problems
            .iter()
            .all(|problem| !problem.message.contains("unseen")),
        "{status:#?}"
    );
    // What is known to be gone goes.
    fs::remove_file(&jar).expect("removed");
    wait::until("it goes on the standby too", SOON, || {
        pair.here(UNSEEN).is_none().then_some(())
    });
    pair.standby.until("in sync", is_in_sync);
}

#[test]
fn a_plugin_folder_that_leads_nowhere_empties_no_standby() {
    let mut pair = Pair::new();
    let folder = pair.primary.dir.path().join("plugins/external");
    let kept = pair.here(UNSEEN).expect("it is here");
    pair.primary.restart(|dir| {
        fs::rename(&folder, folder.with_extension("aside")).expect("moved");
        symlink("/not/mounted", &folder).expect("linked");
        fs::remove_file(dir.state().join("digests.json")).expect("there is a cache");
    });
    pair.both_say("plugins/external is a symbolic link to something that is not there");
    pair.assert_goes_on("one");
    assert!(pair.here(SEEN).is_some());
    assert_eq!(pair.here(UNSEEN), Some(kept));
}

#[test]
fn configuration_that_cannot_be_seen_stays_while_the_rest_goes_on() {
    let mut pair = Pair::new();
    let jetty = pair.primary.dir.path().join("config/jetty.xml");
    pair.primary.restart(|_| {
        replaced_by_link(&jetty, "/not/mounted/jetty.xml");
    });
    let why = "is a symbolic link to something that is not there";
    pair.assert_said("jetty.xml", why, b"<Configure/>");
    assert!(pair.here(SEEN).is_some());
    pair.assert_goes_on("one");
    let cipher = pair.primary.dir.path().join("config/cipher.aes");
    let kept = fs::read(&cipher).expect("readable");
    replaced_by_link(&cipher, "/proc/self/mem");
    pair.assert_said("cipher.aes", "cannot be read", &kept);
    pair.assert_goes_on("two");
}

#[test]
fn an_edit_arrives_beside_a_jetty_xml_that_is_half_written_and_stays_as_it_is_here() {
    let mut pair = Pair::new();
    let jetty = pair.primary.dir.path().join("config/jetty.xml");
    fs::write(&jetty, "<Configure><Set").expect("half written");
    pair.assert_goes_on("one");
    let status = pair
        .standby
        .until("it is awaited", |status| !status.withheld.is_empty());
    assert!(!is_in_sync(&status), "{status:#?}");
    pair.primary.restart(|_| {});
    pair.assert_goes_on("two");
    assert_eq!(pair.here("config/jetty.xml").as_deref(), Some(&b"<Configure/>"[..]));
    fs::write(&jetty, "<Configure><Set/></Configure>").expect("whole");
    pair.standby.until_equal(&pair.primary.dir, "config/jetty.xml");
}

#[test]
fn a_further_file_in_a_folder_comes_and_one_that_is_too_large_is_left_out_while_the_rest_goes_on() {
    let (dir, standby) = (GocdDir::new(), GocdDir::new());
    fs::create_dir(dir.path().join("config/ldap")).expect("folder");
    fs::write(dir.path().join("config/ldap/ca.pem"), "a certificate").expect("written");
    let extra = ("bc.sync.extra", "ldap/ca.pem, ldap/large.bin");
    fs::write(dir.path().join("config").join(LARGE), "small").expect("written");
    let primary = Whole::open(dir, &[extra]);
    let (url, key) = (format!("https://{}", primary.address()), primary.key().to_string());
    let settings = [
        ("go.server.mode", "standby"),
        ("bc.primary.url", url.as_str()),
        ("bc.primary.fingerprint", key.as_str()),
        extra,
    ];
    let standby = Whole::open(standby, &settings);
    standby.until_equal(&primary.dir, "config/ldap/ca.pem");
    let pair = Pair { primary, standby };
    let large = pair.primary.dir.path().join("config").join(LARGE);
    let file = fs::File::options().write(true).open(&large).expect("open");
    file.set_len((16 << 20) + 1).expect("without blocks on the disk");
    let why = "is larger than what is carried of such a file";
    pair.both_say(&format!("{LARGE} {why}"));
    pair.assert_goes_on("one");
    fs::write(pair.primary.dir.path().join("config").join(CA), "another").expect("written");
    wait::until("the rest goes on", SOON, || {
        (pair.here("config/ldap/ca.pem")? == b"another").then_some(())
    });
    assert_eq!(pair.here("config/ldap/large.bin").as_deref(), Some(&b"small"[..]));
    file.set_len(3).expect("shortened");
    pair.standby.until("in sync", is_in_sync);
    assert_eq!(pair.here("config/ldap/large.bin").map(|bytes| bytes.len()), Some(3));
}
