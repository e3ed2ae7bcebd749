//! Java judges by flag, folders and record where the library cannot be asked, so both must read them by one rule: the
//! tables of `tests/fixtures/hold` hold for the library and for the shim in the jar.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bc_core::{
    basics::{Properties, properties, stray_ends::without_stray_ends},
    generation::{Epoch, Layout, Role, layout::may_be_there},
    role::{self, Known, Recorded, Start},
    settings::{Flag, OVERRIDDEN_FLAG, Settings},
};
use bc_testkit::artefacts;

/// The lines of a table, each with its cells; a cell of nothing is empty.
fn table<const COLUMNS: usize>(name: &str) -> Vec<[String; COLUMNS]> {
    let text = fs::read_to_string(artefacts::fixture("hold").join(name)).expect("a table");
    let rows: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(|cell| unescaped(cell.trim())).collect();
            cells
                .try_into()
                .unwrap_or_else(|_| panic!("not {COLUMNS} cells: {line}"))
        })
        .collect();
    assert!(rows.len() > 10, "{name} holds {} rows", rows.len());
    rows
}

fn unescaped(cell: &str) -> String {
    if cell == "-" {
        return String::new();
    }
    let mut parts = cell.split("\\u");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(4);
        let number = u32::from_str_radix(digits, 16).expect("four hex digits");
        text.push(char::from_u32(number).expect("a character"));
        text.push_str(rest);
    }
    text
}

/// The shim of the jar, in a JVM.
struct Shim {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What it makes of a set of properties.
#[derive(Debug, PartialEq, Eq)]
struct Judgement {
    state_folder: PathBuf,
    config_folder: PathBuf,
    flag: String,
    start: String,
}

impl Shim {
    fn start() -> Self {
        let mut child = Command::new(artefacts::java(17))
            .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "--class-path"])
            .arg(artefacts::jar())
            .arg(artefacts::fixture("java/AskShim.java"))
            .env_remove("JAVA_TOOL_OPTIONS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a JVM");
        Self {
            input: child.stdin.take().expect("piped"),
            output: BufReader::new(child.stdout.take().expect("piped")),
            child,
        }
    }

    fn line(&mut self, line: &str) -> String {
        self.input
            .write_all(format!("{line}\n").as_bytes())
            .expect("the JVM listens");
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("the JVM answers");
        assert!(answer.ends_with('\n'), "the JVM ended");
        answer.trim().to_owned()
    }

    fn judge(&mut self, given: &[(&str, &str)]) -> Judgement {
        let answer = self.line(&STANDARD.encode(properties::to_text(given.iter().copied())));
        let answer = String::from_utf8(STANDARD.decode(answer).expect("Base64")).expect("UTF-8");
        let lines: Vec<_> = answer.lines().collect();
        let [state_folder, config_folder, flag, start] = lines.as_slice() else {
            panic!("{answer}")
        };
        Judgement {
            state_folder: PathBuf::from(state_folder),
            config_folder: PathBuf::from(config_folder),
            flag: (*flag).to_owned(),
            start: (*start).to_owned(),
        }
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        // Already gone is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What is in a cell is given; what is empty is not.
fn given<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    pairs.iter().filter(|(_, value)| !value.is_empty()).copied().collect()
}

#[test]
fn stray_ends_are_the_same_in_both_languages() {
    for row in table::<2>("blanks.txt") {
        assert_eq!(without_stray_ends(&row[0]), row[1], "{row:?}");
    }
    let in_java = Shim::start().line("strays");
    let in_rust: Vec<_> = (0..=0xffff_u32)
        .filter(|number| char::from_u32(*number).is_some_and(|c| without_stray_ends(&c.to_string()).is_empty()))
        .map(|number| number.to_string())
        .collect();
    assert_eq!(in_java, in_rust.join(" "));
}

#[test]
fn folders_are_the_same_in_both_languages() {
    let mut shim = Shim::start();
    for row in table::<5>("folders.txt") {
        let pairs = given(&[
            ("user.dir", "/go"),
            ("bc.state.dir", &row[0]),
            ("cruise.config.dir", &row[1]),
            ("cruise.config.file", &row[2]),
        ]);
        let layout = Layout::from_properties(&Properties::from_iter(pairs.iter().copied()));
        assert_eq!(
            (layout.state_dir(), layout.cruise_config_dir()),
            (Path::new(&row[3]), Path::new(&row[4])),
            "{row:?}"
        );
        let judgement = shim.judge(&pairs);
        assert_eq!(judgement.state_folder, Path::new(&row[3]), "{row:?}");
        assert_eq!(judgement.config_folder, Path::new(&row[4]), "{row:?}");
    }
}

/// A folder in which this lies where start.in.standby would be, and the configuration file beside that.
fn with_flag_file(what: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("config")).expect("a folder");
    let flag = path("config/start.in.standby");
    let config = match what {
        "nothing" => "config",
        "file" => {
            fs::write(flag, "").expect("a file");
            "config"
        }
        "folder" => {
            fs::create_dir(flag).expect("a folder");
            "config"
        }
        "dangling link" => {
            symlink("nowhere", flag).expect("a link");
            "config"
        }
        "flat" => {
            fs::write(path("flat"), "").expect("a file");
            "flat"
        }
        "loop" => {
            symlink("loop", path("loop")).expect("a link");
            "loop"
        }
        other => panic!("{other}"),
    };
    let config = path(config).join("cruise-config.xml");
    (folder, config)
}

#[test]
fn flags_are_the_same_in_both_languages() {
    let mut shim = Shim::start();
    for row in table::<5>("flags.txt") {
        let (folder, config) = with_flag_file(&row[3]);
        let (folder, config) = (folder.path().display().to_string(), config.display().to_string());
        let pairs = given(&[
            ("user.dir", &folder),
            ("cruise.config.file", &config),
            ("go.server.mode", &row[0]),
            (&row[1], if row[1].is_empty() { "" } else { "standby" }),
            (OVERRIDDEN_FLAG, &row[2]),
        ]);
        let (settings, _) = Settings::parse(&Properties::from_iter(pairs.iter().copied()), may_be_there);
        assert_eq!(format!("{:?}", settings.flag).to_lowercase(), row[4], "{row:?}");
        assert_eq!(shim.judge(&pairs).flag, row[4], "{row:?}");
    }
}

/// A state folder with this record.
fn with_record(what: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(role::FILE);
    match what {
        "nothing" => {}
        "empty" => fs::write(path, "").expect("a file"),
        // What a standby leaves in the usual folder where its own is elsewhere.
        "signpost" => fs::write(path, "elsewhere=/elsewhere\n").expect("a file"),
        "malformed" => fs::write(path, "role=primary\nflag=\\u00\n").expect("a file"),
        "folder" => fs::create_dir(path).expect("a folder"),
        "loop" => symlink(role::FILE, path).expect("a link"),
        "dangling link" => symlink("nowhere", path).expect("a link"),
        record => {
            let parts = record.split('/').zip(["role", "flag", "hold"]);
            let lines: String = parts.map(|(value, key)| format!("{key}={value}\n")).collect();
            fs::write(path, lines).expect("a file");
        }
    }
    folder
}

fn with_library(flag: &str, state: &Path) -> &'static str {
    let flag = match flag {
        "none" => Flag::None,
        "property" => Flag::Property,
        "file" => Flag::File,
        other => panic!("{other}"),
    };
    match role::start(&Known::here(flag, &Recorded::load(state), &Epoch::default())) {
        Start::Release => "release",
        Start::Ask => "ask",
        _ => "hold",
    }
}

/// What the library writes says the same without it as what the version before wrote.
#[test]
fn a_record_of_this_version_and_of_the_one_before_hold_alike() {
    let mut shim = Shim::start();
    for role in [Role::Primary, Role::Standby, Role::Fenced] {
        for (then, word) in [(Flag::None, "none"), (Flag::Property, "property"), (Flag::File, "file")] {
            let now = tempfile::tempdir().expect("a folder");
            Recorded::new(role, then, 1).save(now.path()).expect("saved");
            let text = fs::read_to_string(now.path().join(role::FILE)).expect("read");
            assert!(text.contains("hold="), "{text}");
            let before = with_record(&format!("{role}/{word}"));
            for mode in ["", "standby"] {
                let mut start = |state: &Path| {
                    let folder = now.path().display().to_string();
                    let state = state.display().to_string();
                    let pairs = [
                        ("user.dir", &*folder),
                        ("bc.state.dir", &*state),
                        ("go.server.mode", mode),
                    ];
                    shim.judge(&given(&pairs)).start
                };
                assert_eq!(start(now.path()), start(before.path()), "{role}/{word}, `{mode}`");
            }
        }
    }
}

#[test]
fn every_flag_and_record_ends_as_the_table_says_in_both_languages() {
    let mut shim = Shim::start();
    for row in table::<4>("starts.txt") {
        let state = with_record(&row[1]);
        assert_eq!(with_library(&row[0], state.path()), row[3], "{row:?}");

        let (folder, config) = with_flag_file(if row[0] == "file" { "file" } else { "nothing" });
        let mode = if row[0] == "property" { "standby" } else { "" };
        let judgement = shim.judge(&given(&[
            ("user.dir", &folder.path().display().to_string()),
            ("cruise.config.file", &config.display().to_string()),
            ("bc.state.dir", &state.path().display().to_string()),
            ("go.server.mode", mode),
        ]));
        assert_eq!((&judgement.flag, &judgement.start), (&row[0], &row[2]), "{row:?}");
    }
}
