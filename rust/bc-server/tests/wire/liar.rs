//! A primary with the right key, and bytes that are not what its manifest says: nothing of them is ever live, the
//! standby says so, and follows again as soon as the primary tells the truth.

use std::{fs, path::Path, time::Duration};

use bc_core::{
    basics::{Clock, Digest, SystemClock},
    generation::Name,
    primary::scan::snapshot::{Snapshot, Source},
};
use bc_testkit::gocd_dir::{GocdDir, write_large_plugin_jar};
use bytes::Bytes;
use tokio::runtime::Runtime;

use crate::{
    common::{self, Kind, Node, jar},
    whole::{Whole, Witness, is_in_sync},
};

const CONFIG: &str = "config/cruise-config.xml";
const JAR: &str = "plugins/external/a.jar";

/// Makes `snapshot` give out `bytes` for the file that has the digest of `announced`.
fn lie(snapshot: &mut Snapshot, announced: &[u8], bytes: Vec<u8>) {
    let source = Source::Memory(Bytes::from(bytes));
    snapshot
        .sources
        .insert(Digest::of(announced), source)
        .expect("a file on offer");
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

#[test]
fn what_is_not_what_was_announced_is_never_live() {
    let runtime = Runtime::new().expect("a runtime");
    let liar = runtime.block_on(Node::start(Kind::Primary));
    let dir = GocdDir::new();
    dir.write_token("standby = right-and-known-to-both\n");
    let standby = Whole::standby_in(dir, liar.address, liar.identity.fingerprint(), Duration::from_secs(1));
    let offer = liar.context.offer.as_ref().expect("a primary");
    let mut config = fs::read_to_string(standby.dir.path().join(CONFIG)).expect("the sample");
    let cipher = fs::read(standby.dir.path().join("config/cipher.aes")).expect("the sample");
    let mut plugin = plugin_bytes(0);
    type Lie = fn(&[u8]) -> Vec<u8>;
    let lies: [(Lie, &str); 4] = [
        (flipped, "has the digest"),
        (|bytes| bytes[..bytes.len() - 9].to_vec(), "of the"),
        // As long as announced in the end, since the second part is asked for from where the first one ended.
        (|bytes| flipped(&bytes[..bytes.len() - 9]), "of the"),
        (|bytes| [bytes, b"more"].concat(), "more than the"),
    ];
    for (number, (lie_about, trouble)) in lies.into_iter().enumerate() {
        let before = (config.clone(), plugin.clone());
        config = config.replace("</cruise>", &format!("<!-- {number} --></cruise>"));
        plugin = plugin_bytes(number + 1);
        let files: [(Name, &[u8]); 3] = [
            (Name::CipherAes, &cipher),
            (Name::CruiseConfig, config.as_bytes()),
            (jar("a.jar"), &plugin),
        ];
        let witnesses = [CONFIG, JAR].map(|file| Witness::of(&standby.dir.path().join(file)));
        for lied_about in [config.as_bytes(), &plugin] {
            let mut snapshot = just_read(&liar, &files);
            lie(&mut snapshot, lied_about, lie_about(lied_about));
            offer.publish(snapshot).expect("publish");
            standby.until_trouble(trouble);
        }
        assert_eq!(read(&standby, CONFIG), before.0.as_bytes(), "lie {number}");
        offer.publish(just_read(&liar, &files)).expect("publish");
        standby.until("in sync with the truth", |status| {
            is_in_sync(status) && read(&standby, CONFIG) == config.as_bytes()
        });
        assert_eq!(read(&standby, JAR), plugin);
        let [of_config, of_jar] = witnesses;
        of_config.saw_only(&[before.0.as_bytes(), config.as_bytes()]);
        of_jar.saw_only(&[&before.1, &plugin]);
    }
}

/// Nobody is in sync with a primary that has not read its files for long.
fn just_read(liar: &Node, files: &[(Name, &[u8])]) -> Snapshot {
    Snapshot {
        scanned_ms: SystemClock.now_ms(),
        ..common::snapshot(liar.folder.path(), files)
    }
}

/// The bytes of a plugin.
fn plugin_bytes(version: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.jar");
    write_large_plugin_jar(&path, "a", &version.to_string(), 50_000);
    fs::read(path).expect("just written")
}

fn read(standby: &Whole, file: impl AsRef<Path>) -> Vec<u8> {
    fs::read(standby.dir.path().join(file)).unwrap_or_default()
}
