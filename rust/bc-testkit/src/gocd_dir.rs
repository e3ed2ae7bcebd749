//! GoCD folders as an installation has them, and the servers that run in them.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use crate::{artefacts, free_port, http, process::Process, secrets, wait};

/// The token that the tests use.
pub const TOKEN: (&str, &str) = ("business-continuity", "correct-horse-battery-staple");

/// A GoCD folder with the sample configuration, our jar and ports of its own. Removed when dropped, unless the
/// environment variable `BC_KEEP` is set.
#[derive(Debug)]
pub struct GocdDir {
    root: Option<TempDir>,
    path: PathBuf,
    /// GoCD's port.
    pub gocd_port: u16,
    /// Our TLS port.
    pub port: u16,
}

impl GocdDir {
    /// A folder with the sample configuration and the token, without any plugin.
    ///
    /// # Panics
    /// The disk fails.
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        let path = root.path().to_owned();
        fs::create_dir_all(path.join("plugins/external")).expect("plugin folder");
        copy_folder(&artefacts::fixture("data/config"), &path.join("config"));
        let dir = Self {
            root: Some(root),
            path,
            gocd_port: free_port(),
            port: free_port(),
        };
        dir.write_token(&format!("{} = {}\n", TOKEN.0, TOKEN.1));
        dir
    }

    /// A folder with our jar in it.
    ///
    /// # Panics
    /// As [`GocdDir::new`], or the jar is missing.
    pub fn with_jar() -> Self {
        let dir = Self::new();
        dir.install(&artefacts::jar());
        dir
    }

    /// Puts a jar of ours into the plugin folder under the usual name.
    ///
    /// # Panics
    /// It cannot be copied.
    pub fn install(&self, jar: &Path) {
        let target = self.plugins().join("gocd-business-continuity.jar");
        let staged = self.path.join("staged.jar");
        fs::copy(jar, &staged).expect("copy the jar");
        fs::rename(staged, target).expect("move the jar in");
    }

    /// Its top.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps it beyond this test, and says where it is.
    pub fn keep(mut self) -> PathBuf {
        if let Some(root) = self.root.take() {
            drop(root.keep());
        }
        self.path.clone()
    }

    /// The configuration folder.
    pub fn config(&self) -> PathBuf {
        self.path.join("config")
    }

    /// The plugin folder.
    pub fn plugins(&self) -> PathBuf {
        self.path.join("plugins/external")
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.path.join("db/business-continuity")
    }

    /// Writes the token file.
    ///
    /// # Panics
    /// The disk fails.
    pub fn write_token(&self, text: &str) {
        secrets::register_token(text);
        fs::write(self.config().join("business-continuity-token"), text).expect("write the token");
    }

    /// Writes cruise-config.xml as GoCD does: in place, truncating (GoConfigFileWriter).
    ///
    /// # Panics
    /// The disk fails.
    pub fn rewrite_config(&self, text: &str) {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .open(self.config().join("cruise-config.xml"))
            .expect("the configuration exists");
        file.set_len(0).expect("truncate");
        file.seek(SeekFrom::Start(0)).expect("seek");
        file.write_all(text.as_bytes()).expect("write");
    }

    /// Copies the configuration folder of `primary`, as the administrator does.
    ///
    /// # Panics
    /// The disk fails.
    pub fn copy_config_of(&self, primary: &GocdDir) {
        copy_folder(&primary.config(), &self.config());
    }

    /// `java` with the ports of this folder, ready for more arguments before [`GocdDir::launch`].
    ///
    /// # Panics
    /// There is no such JDK.
    pub fn java(&self, major: u32) -> Command {
        let mut command = Command::new(artefacts::java(major));
        command
            .current_dir(&self.path)
            .env_remove("GOCD_SERVER_JVM_OPTIONS")
            .env_remove("JAVA_TOOL_OPTIONS")
            .args(["-Xmx256m", "-Xcheck:jni"])
            .arg(format!("-Dcruise.server.port={}", self.gocd_port))
            .arg(format!("-Dbc.listen=127.0.0.1:{}", self.port))
            // It has GoCD's H2, of which a node would warn.
            .arg("-Dbc.db.watch=off")
            // Artifacts are in its folder, which goes; for a test that wants them looked at the last argument counts.
            .arg("-Dbc.artifacts.shared=no");
        command
    }

    /// Arguments that make a held standby of `primary_port` on loopback.
    pub fn standby_arguments(primary_port: u16) -> [String; 3] {
        [
            "-javaagent:plugins/external/gocd-business-continuity.jar".to_owned(),
            "-Dgo.server.mode=standby".to_owned(),
            format!("-Dbc.primary.url=https://127.0.0.1:{primary_port}"),
        ]
    }

    /// Runs the stand-in GoCD with a command from [`GocdDir::java`].
    ///
    /// # Panics
    /// It cannot be started.
    pub fn launch(&self, name: &str, java: &mut Command) -> Process {
        Process::start(name, java.arg("-jar").arg(artefacts::host_jar()))
    }

    /// Waits until GoCD answers its health path with 200.
    ///
    /// # Panics
    /// It did not within a minute.
    pub fn wait_for_gocd(&self) {
        wait::until("GoCD's health answers 200", Duration::from_secs(60), || {
            http::get(self.gocd_port, "/go/api/v1/health")
                .filter(|answer| answer.status == 200)
                .map(drop)
        });
    }

    /// Waits until our TLS port accepts connections.
    ///
    /// # Panics
    /// It did not within a minute.
    pub fn wait_for_port(&self) {
        wait::until("the Business Continuity port accepts", Duration::from_secs(60), || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).ok().map(drop)
        });
    }

    /// The companion command for this node.
    ///
    /// # Panics
    /// It is not built.
    pub fn cli(&self, arguments: &[&str]) -> std::process::Output {
        let output = Command::new(artefacts::cli())
            .arg("--state-dir")
            .arg(self.state())
            .args(arguments)
            .output()
            .expect("the companion command starts");
        secrets::said("gocd-bc", &[output.stdout.as_slice(), &output.stderr].concat());
        output
    }

    /// The status of the node as JSON, where one answers.
    pub fn status(&self) -> Option<serde_json::Value> {
        let output = self.cli(&["status", "--json"]);
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        (answer["source"] == "node").then(|| answer["status"].clone())
    }

    /// Waits until the node's status satisfies `wanted`, and returns it.
    ///
    /// # Panics
    /// It did not within `limit`.
    pub fn wait_for_status(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let mut last = None;
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until(what, limit, || {
                last = self.status();
                last.clone().filter(|status| wanted(status))
            })
        }));
        match found {
            Ok(status) => status,
            Err(panic) => {
                eprintln!("last status: {last:#?}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Default for GocdDir {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for GocdDir {
    fn drop(&mut self) {
        secrets::leave(&self.path);
        if std::env::var_os("BC_KEEP").is_some()
            && let Some(root) = self.root.take()
        {
            eprintln!("kept {}", root.keep().display());
        }
    }
}

/// A jar with a descriptor, as GoCD takes it for a plugin. It was last written an hour ago: nobody has to wonder
/// whether it is being written.
///
/// # Panics
/// The disk fails.
pub fn write_plugin_jar(path: &Path, id: &str, version: &str) {
    write_large_plugin_jar(path, id, version, 0);
}

/// Writes a `go.jar` that tells this version of GoCD, and nothing else.
///
/// # Panics
/// The disk fails.
pub fn write_launcher_jar(path: &Path, version: &str) {
    let mut jar = zip::ZipWriter::new(fs::File::create(path).expect("create"));
    jar.start_file("META-INF/MANIFEST.MF", zip::write::SimpleFileOptions::default())
        .expect("entry");
    write!(jar, "Manifest-Version: 1.0\r\nImplementation-Version: {version}\r\n").expect("write");
    jar.finish().expect("finish");
}

/// As [`write_plugin_jar`], with so many bytes more that do not compress.
///
/// # Panics
/// The disk fails.
pub fn write_large_plugin_jar(path: &Path, id: &str, version: &str, filling: usize) {
    let staged = path.with_extension("staged");
    let mut jar = zip::ZipWriter::new(fs::File::create(&staged).expect("create"));
    let options = zip::write::SimpleFileOptions::default();
    jar.start_file("plugin.xml", options).expect("entry");
    write!(
        jar,
        "<?xml version=\"1.0\"?><go-plugin id=\"{id}\" version=\"1\"><about><name>{id}</name><version>{version}</version>\
         <description>sample</description><vendor><name>v</name><url>https://example.com</url></vendor></about></go-plugin>"
    )
    .expect("write");
    if filling > 0 {
        let stored = options.compression_method(zip::CompressionMethod::Stored);
        jar.start_file("filling", stored).expect("entry");
        // Another filling for another version.
        let seed = version
            .bytes()
            .fold(1, |seed: u32, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let numbers = (0..filling as u32).map(|number| (number.wrapping_mul(2_654_435_761) ^ seed) >> 11);
        jar.write_all(&numbers.map(|number| number as u8).collect::<Vec<u8>>())
            .expect("write");
    }
    let file = jar.finish().expect("finish");
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    file.set_modified(an_hour_ago).expect("date back");
    fs::rename(staged, path).expect("move in");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folder");
    for entry in fs::read_dir(from).expect("list").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copy");
        }
    }
}
