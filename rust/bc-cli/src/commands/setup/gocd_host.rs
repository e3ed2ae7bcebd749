//! GoCD on this machine, as set-up looks at it and changes it: jar, token, the lines of the wrapper.
//!
//! Files of the configuration and plugin folders are written as GoCD's user, those of the wrapper as whose they are. What is
//! changed of a file that was there is kept beside it.

use std::{
    fs,
    io::{self, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use bc_core::{
    basics::{Digest, Error, Host, Properties, words},
    database::configured,
    durable::atomic,
    files::Jar,
    generation::{layout, own_files::OWN_JAR},
    gocd::version,
    keys::token::Token,
    settings::{
        Property, Settings,
        primary_url::PrimaryUrl,
        wrapper_conf::{self, Argument, Change, Quoting},
    },
    status::Status,
};
use bc_setup::{console::Console, foreign_file::ForeignFile, plan::Plan};

use super::said::written;
use crate::{
    client,
    exit_code::ExitCode,
    failure::Failure,
    find::{Installation, Search},
    owner,
};

/// How long a port on this machine may take to answer.
const KNOCK: Duration = Duration::from_secs(2);
/// As much of a line of others is shown, in characters.
const LONGEST_SHOWN: usize = 200;
/// The image's own script: where it is, the lines of the wrapper come from the environment at each start.
const DOCKER_ENTRYPOINT: &str = "/docker-entrypoint.sh";
/// Where the image has GoCD.
const DOCKER_FOLDER: &str = "/go-server";

/// GoCD on this machine.
pub(super) struct GocdHost {
    installation: Installation,
    /// What an administrator has set so far.
    pub(super) settings: Settings,
    /// Who runs here.
    pub(super) runs: Runs,
}

/// Who runs on this machine.
pub(super) enum Runs {
    /// Nobody.
    Nobody,
    /// A node, whether in a JVM or without one.
    Node(Box<Status>),
    /// A server that is not one of our nodes, at this address.
    Another(SocketAddr),
}

impl GocdHost {
    /// Looks at the one GoCD that is meant, and who runs there.
    ///
    /// # Errors
    /// There is none, there are several, or its folder is missing.
    pub(super) fn find(search: &Search) -> Result<Self, Failure> {
        let installation = search.installation()?;
        let (settings, _) = Settings::parse(&installation.properties, layout::may_be_there);
        let folder = settings.layout.cruise_config_dir();
        if let Err(error) = fs::metadata(folder) {
            return Err(Failure::from(Error::io(
                "look at the configuration folder",
                folder,
                &error,
            )));
        }
        let runs = Runs::on(&settings)?;
        Ok(Self {
            installation,
            settings,
            runs,
        })
    }

    /// The system properties of the JVM of the GoCD on this host.
    pub(super) fn properties(&self) -> &Properties {
        &self.installation.properties
    }

    /// Where the GoCD on this host is and of which version, for people.
    pub(super) fn description(&self) -> String {
        let launcher = self.settings.launcher_jar.as_deref();
        let version = launcher.and_then(|jar| version::of_jar(jar).ok().flatten());
        match version {
            Some(version) => format!("{version}, {}", self.origin().display()),
            None => self.origin().display().to_string(),
        }
    }

    /// Where its wrapper's configuration or its folder is.
    fn origin(&self) -> &Path {
        &self.installation.origin
    }

    /// Does `work` as GoCD's user, where root does it.
    pub(super) fn as_gocd<T>(&self, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        owner::as_owner_of(self.settings.layout.cruise_config(), work)
    }

    /// What to type so that GoCD starts, or starts again.
    pub(super) fn restart(&self) -> String {
        let word = if matches!(self.runs, Runs::Nobody) {
            "start"
        } else {
            "restart"
        };
        let folder = self.origin().parent().and_then(Path::parent).unwrap_or(Path::new(""));
        if self.is_image() {
            return format!("{word} the container");
        }
        if cfg!(windows) {
            return format!("{word} the service Go Server");
        }
        if folder == Path::new("/usr/share/go-server") {
            return match Path::new("/run/systemd/system").is_dir() {
                true => format!("systemctl {word} go-server"),
                false => format!("service go-server {word}"),
            };
        }
        match folder.join("bin/go-server") {
            script if script.exists() => format!("{} {word}", script.display()),
            _ => format!("{word} GoCD"),
        }
    }

    /// What to type so that GoCD stops.
    pub(super) fn stop(&self) -> String {
        self.restart().replace("restart", "stop")
    }

    /// Whether this is a container of GoCD's image.
    fn is_image(&self) -> bool {
        self.origin().starts_with(DOCKER_FOLDER) && Path::new(DOCKER_ENTRYPOINT).exists()
    }

    /// Our jar as an agent, by the path that the JVM is to be told.
    pub(super) fn agent(&self) -> Argument {
        let path = self.jar_path();
        let working_dir = self.settings.layout.working_dir();
        let jar = path.strip_prefix(working_dir).unwrap_or(&path);
        Argument::Agent {
            jar: jar.display().to_string(),
        }
    }

    fn jar_path(&self) -> PathBuf {
        self.settings.layout.plugins_external().join(OWN_JAR)
    }

    /// Looks at our jar in the plugin folder. `given` is the one that the administrator names; without it, one beside
    /// this command does where none is there.
    ///
    /// # Errors
    /// There is none to be had, or what is named is not ours.
    pub(super) fn jar(&self, given: Option<&Path>, plan: &mut Plan) -> Result<Option<JarCopy>, Failure> {
        let path = self.jar_path();
        let is_there = path.exists();
        let beside = || {
            let own = std::env::current_exe().ok()?.with_file_name(OWN_JAR);
            own.is_file().then_some(own)
        };
        let source = given.map(Path::to_owned).or_else(|| (!is_there).then(beside).flatten());
        let Some(source) = source else {
            if !is_there {
                return Err(Failure::new(
                    ExitCode::Failed,
                    format!(
                        "there is no {OWN_JAR} in {}",
                        self.settings.layout.plugins_external().display()
                    ),
                    format!("Name the one that you have: --jar {OWN_JAR}"),
                ));
            }
            plan.is("plugin", format!("{} {}", path.display(), version_of(&path)?));
            return Ok(None);
        };
        let to_come = version_of(&source)?;
        if is_there && digest(&source)? == digest(&path)? {
            plan.is("plugin", format!("{} {to_come}", path.display()));
            return Ok(None);
        }
        let now = if is_there {
            version_of(&path).unwrap_or_else(|_| "another jar".to_owned())
        } else {
            "missing".to_owned()
        };
        let then = format!("{} {to_come}", path.display());
        plan.change_by_restart("plugin", now, then, format!("from {}", source.display()));
        Ok(Some(JarCopy { source, to: path }))
    }

    /// Looks at the lines by which the wrapper of the GoCD on this host gives its JVM these arguments.
    ///
    /// # Errors
    /// A file of the wrapper cannot be read.
    pub(super) fn arguments(&self, wanted: &[Argument], plan: &mut Plan) -> Result<Option<WrapperLines>, Failure> {
        let Some(conf) = self.installation.conf.as_ref().filter(|_| !self.is_image()) else {
            let given = match self.is_image() {
                true => format!("of the container: docker run {}", wrapper_conf::docker_option(wanted)),
                false => {
                    let texts: Vec<String> = wanted.iter().map(Argument::text).collect();
                    format!("there is no wrapper.conf here: start GoCD with {}", texts.join(" "))
                }
            };
            plan.is("JVM arguments", given);
            return Ok(None);
        };
        if let Some(unread) = conf.unread().first() {
            return Err(Failure::new(ExitCode::Failed, unread, "Run the command as root."));
        }
        let target = ForeignFile::read_bytes(conf.for_administrators())?;
        let others: Vec<ForeignFile> = conf
            .files()
            .iter()
            .filter(|path| *path != conf.for_administrators())
            .map(|path| ForeignFile::read_bytes(path))
            .collect::<Result<_, _>>()?;
        let others: Vec<&[u8]> = others.iter().map(ForeignFile::bytes).collect();
        let edited = wrapper_conf::edited(&others, target.bytes(), wanted, Quoting::here());
        plan.is("JVM arguments", target.path().display().to_string());
        let is_of = |argument: &Argument, change: &Change| change.then == Quoting::here().value(argument);
        let kept = |argument: &&Argument| !edited.changes.iter().any(|change| is_of(argument, change));
        for argument in wanted.iter().filter(kept) {
            plan.is("", argument.text());
        }
        for change in &edited.changes {
            let now = change
                .now
                .as_deref()
                .map_or("no line".to_owned(), |now| words::shown(now, LONGEST_SHOWN));
            plan.change_by_restart(&change.name, now, &change.then, "");
        }
        Ok((!edited.changes.is_empty()).then_some(WrapperLines {
            file: target,
            text: edited.text,
        }))
    }

    /// Looks at the token file: the token in it, none where it is missing.
    ///
    /// # Errors
    /// It holds no usable token, or cannot be read.
    pub(super) fn token(&self) -> Result<Option<Token>, Failure> {
        let path = self.settings.layout.token();
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            _ => Ok(Some(Token::load(&path)?)),
        }
    }

    /// The `db.properties` of the GoCD on this host.
    pub(super) fn database_file(&self) -> &Path {
        &self.settings.database.file
    }

    /// What is wrong with the password in `db.properties` by the `cipher.aes` that is there, or with anything else of it.
    ///
    /// # Errors
    /// [`bc_core::basics::Kind::Setting`], as [`configured::read`].
    pub(super) fn check_login(&self) -> Result<(), Error> {
        let source = &self.settings.database;
        let (file, cipher) = (fs::read(&source.file).ok(), fs::read(&source.cipher).ok());
        configured::read(file.as_deref(), &source.system, cipher.as_deref()).map(drop)
    }

    /// Looks at our own port on this host of GoCD: whether it is free, or ours already.
    pub(super) fn port(&self, plan: &mut Plan) {
        let Some(listen) = self.settings.listen else {
            plan.is("port", "none: bc.listen is malformed, see `gocd-bc status`");
            return;
        };
        let now = match &self.runs {
            Runs::Node(status) if status.listening.is_some() => "open",
            _ => match TcpListener::bind(listen) {
                Ok(_) => "free",
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    "taken by another program: stop that, or give this server another one with -Dbc.listen=0.0.0.0:PORT"
                }
                Err(_) => "cannot be tried",
            },
        };
        plan.is(format!("port {}", listen.port()), now);
    }

    /// How others reach our port: what is set, or the name of this machine.
    pub(super) fn url(&self) -> String {
        let port = self.settings.listen.map_or(8155, |listen| listen.port());
        match (&self.settings.external_url, host_name()) {
            (Some(url), _) => url.clone(),
            (None, Some(host)) => format!("https://{host}:{port}"),
            (None, None) => format!("https://primarygo:{port}"),
        }
    }
}

impl Runs {
    fn on(settings: &Settings) -> Result<Self, Failure> {
        let state_dir = settings.layout.state_dir();
        if let Some(status) = client::status(state_dir)? {
            return Ok(Self::Node(Box::new(status)));
        }
        let Some(listen) = settings.gocd_listen else {
            return Ok(Self::Nobody);
        };
        let address = match listen.ip().is_unspecified() {
            true => SocketAddr::new([127, 0, 0, 1].into(), listen.port()),
            false => listen,
        };
        let answers = TcpStream::connect_timeout(&address, KNOCK).is_ok();
        Ok(if answers { Self::Another(address) } else { Self::Nobody })
    }
}

/// Our jar, to be put into the plugin folder.
pub(super) struct JarCopy {
    source: PathBuf,
    to: PathBuf,
}

impl JarCopy {
    /// Copies our jar under a temporary name and renames it: a JVM that has the former one open keeps that.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub(super) fn write(&self, host: &GocdHost, console: &mut dyn Console) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::from(Error::io("read", &self.source, &error));
        let mut source = fs::File::open(&self.source).map_err(failed)?;
        host.as_gocd(|| {
            let cannot = |error: io::Error| Failure::from(Error::io("write", &self.to, &error));
            let folder = self.to.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder).map_err(cannot)?;
            let mut file = atomic::temporary(folder, 0o644).map_err(cannot)?;
            io::copy(&mut source, file.as_file_mut()).map_err(cannot)?;
            file.as_file().sync_all().map_err(cannot)?;
            file.persist(&self.to).map_err(|refused| cannot(refused.error))?;
            atomic::sync_folder(folder).map_err(cannot)
        })?;
        console.say(&written(&self.to, None));
        Ok(())
    }
}

/// The lines of the wrapper as they are to be.
pub(super) struct WrapperLines {
    file: ForeignFile,
    text: Vec<u8>,
}

impl WrapperLines {
    /// Writes the lines of the wrapper.
    ///
    /// # Errors
    /// The file cannot be written, or was changed meanwhile.
    pub(super) fn write(&self, console: &mut dyn Console) -> Result<(), Failure> {
        let kept = self.file.replace(&self.text, 0o640)?;
        console.say(&written(self.file.path(), kept.as_deref()));
        Ok(())
    }
}

/// The settings of the JVM of the GoCD on this host that ask for a standby of this primary.
pub(super) fn standby_settings(primary: &PrimaryUrl) -> [Argument; 2] {
    let setting = |property, value: &str| Argument::Setting {
        property,
        value: value.to_owned(),
    };
    [
        setting(Property::Mode, "standby"),
        setting(Property::PrimaryUrl, &primary.written()),
    ]
}

/// The version of our plugin in a jar.
fn version_of(jar: &Path) -> Result<String, Failure> {
    let file = fs::File::open(jar).map_err(|error| Failure::from(Error::io("read", jar, &error)))?;
    let inspected = Jar::inspect(BufReader::new(file));
    let ours = inspected.identity().filter(|_| inspected.is_own());
    ours.map(|ours| ours.version.clone().unwrap_or_default())
        .ok_or_else(|| {
            Failure::new(
                ExitCode::Failed,
                format!("{} is not the plugin of GoCD Business Continuity", jar.display()),
                "Name its jar with --jar FILE.",
            )
        })
}

fn digest(file: &Path) -> Result<Digest, Failure> {
    let bytes = fs::read(file).map_err(|error| Failure::from(Error::io("read", file, &error)))?;
    Ok(Digest::of(&bytes))
}

/// The name of this machine, where it is one that others can use.
fn host_name() -> Option<Host> {
    let name = bc_server::node::host_name()?;
    name.parse().ok().filter(|host: &Host| !host.is_loopback())
}
