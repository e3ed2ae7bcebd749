//! `go.jar` and `agent-bootstrapper.jar`, put together as GoCD's build does it, without Rails and bundled plugins.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use regex::Regex;

use super::{files, jars::Jar, libraries::Libraries, sources::Sources};

/// Modules of the server that its launcher has, with all that is in them.
fn tops(old: bool) -> [&'static str; 2] {
    [if old { "jetty9" } else { "jetty" }, "app-server"]
}

/// Modules of the agent alone.
const AGENT_SIDE: [&str; 5] = [
    "agent",
    "agent-bootstrapper",
    "agent-launcher",
    "agent-process-launcher",
    "jar-class-loader",
];
const BOOT: (&str, &str) = ("Main-Class", "com.thoughtworks.gocd.Boot");
const AGENT_LIBRARIES: &str = "angus-activation|animal|ant-1|bc|cloning\
    |commons-(codec|collections4|configuration2|io|lang3|text)|gson|httpc|httpmime|istack\
    |jakarta\\.(activation|annotation|xml)|jaxb|jcl|jcommander|jdom2|jna|logback|objenesis|org\\.apache\\.felix|oshi\
    |semantic|slf4j|spring-(aop|beans|context-\\d|core|expression|tx|web-)|txw2";
const AGENT_LIBRARIES_BEFORE: &str = "animal|ant-1|asm|bc|cglib|checker|cloning\
    |commons-(beanutils|codec|collections|configuration2|digester3|io|lang3|lang-|text)|dom4j|error_prone\
    |failureaccess|gson|guava|httpc|httpmime|istack|j2objc|jackson|jakarta\\.(activation|annotation|servlet|xml)\
    |angus-activation|javax\\.(activation|annotation|inject|servlet)|jaxb|jcl|jcommander|jdom2|joda|jolt|json-utils\
    |jsr305|listenable|logback|nanohttpd|objenesis|org\\.apache\\.felix|plugin|quartz|semantic|slf4j-api\
    |spring-(aop|beans|context-\\d|core|expression|tx|web)|stax-ex|FastInfoset|txw2";
/// What the launcher of a server has of each module, besides those of [`tops`].
const OF_LAUNCHER: [(&str, &str); 3] = [
    (
        "server",
        r"/(GoLauncher|GoServer)[^/]*\.class$|/util/validators/[^/]*\.class$",
    ),
    (
        "common",
        r"/(SubprocessLogger|CurrentProcess)[^/]*\.class$|/validators/[^/]*\.class$",
    ),
    (
        "base",
        r"/(LogHelper|LogConfigurator[^/]*|SystemEnvironment[^/]*|ConfigDirProvider|SystemUtil[^/]*|UrlUtil|CurrentProcess[^/]*|SubprocessLogger[^/]*)\.class$|/validators/[^/]*\.class$|gocd-version",
    ),
];
const OF_LAUNCHER_BEFORE: [(&str, &str); 3] = [
    ("server", r"/(GoServer|BaseUrlProvider|GoLauncher)[^/]*\.class$"),
    (
        "common",
        r"/(SubprocessLogger|CurrentProcess|Environment)[^/]*\.class$|/validators/[^/]*\.class$|/CommandLineException\.class$",
    ),
    (
        "base",
        r"gocd-version\.properties$|/(CurrentGoCDVersion|LogConfigurator|SystemEnvironment)[^/]*\.class$|/validators/[^/]*\.class$|/(LogHelper|AssertJava|JavaVersion|OperatingSystem|ConfigDirProvider|SystemUtil|Os|ExceptionUtils|StreamConsumer|InMemoryConsumer|InMemoryStreamConsumer|ConsoleOutputStreamConsumer|StringUtil)\.class$",
    ),
];

/// All that bundles are made of.
pub(crate) struct Bundles<'a> {
    pub(crate) tag: &'a str,
    pub(crate) sources: &'a Sources,
    pub(crate) libraries: &'a Libraries,
    /// A jar for each module.
    pub(crate) modules: &'a BTreeMap<String, PathBuf>,
    /// Where they are written.
    pub(crate) folder: &'a Path,
}

impl Bundles<'_> {
    /// Writes both, and all that goes into them.
    pub(crate) fn write(&self) -> Result<()> {
        let launcher = self.agent_launcher()?;
        let agent = self.agent()?;
        self.agent_bootstrapper(&launcher)?;
        let web_application = self.web_application()?;
        let launcher_main = self.launcher_main()?;
        self.go_jar(&launcher, &agent, &web_application, &launcher_main)
    }

    fn old(&self) -> bool {
        self.libraries.old
    }

    /// Either of these two, by how old the tag is, joined to what both have.
    fn either(&self, both: &str, old: &str) -> String {
        if self.old() {
            format!("{both}|{old}")
        } else {
            both.to_owned()
        }
    }

    fn module(&self, name: &str) -> Result<&PathBuf> {
        self.modules
            .get(name)
            .with_context(|| format!("this tag has no module {name}"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Puts in the jars of modules, below `prefix`.
    fn add_modules(&self, jar: &mut Jar, prefix: &str, names: &[&str]) -> Result<()> {
        for name in names {
            let module = self.module(name)?;
            let file = match name.ends_with("go-plugin-activator") {
                true => "go-plugin-activator.jar".to_owned(),
                false => files::relative(module.parent().context("no folder")?, module),
            };
            jar.file(&format!("{prefix}{file}"), module)?;
        }
        Ok(())
    }

    /// Puts in the classes of `jar-class-loader`, from which GoCD's mains start.
    fn add_boot(&self, jar: &mut Jar) -> Result<()> {
        jar.contents_of(self.module("jar-class-loader")?, "", |_| true)
    }

    fn agent_launcher(&self) -> Result<PathBuf> {
        let mut jar = Jar::with_manifest(
            self.path("agent-launcher.jar"),
            &[
                (
                    "Go-Agent-Launcher-Class",
                    "com.thoughtworks.go.agent.launcher.AgentLauncherImpl",
                ),
                ("Go-Agent-Launcher-Lib-Dir", "libs"),
            ],
        )?;
        self.add_modules(&mut jar, "libs/", &["base", "agent-common", "agent-launcher"])?;
        let wanted = self.either(
            "bc|commons-io|httpc|jcl|jcommander|logback|slf4j-api",
            "ant-1|commons-codec|commons-lang3|joda",
        );
        jar.files("libs/", &self.libraries.matching(&wanted)?)?;
        jar.finish()
    }

    fn agent(&self) -> Result<PathBuf> {
        let mut jar = Jar::with_manifest(
            self.path("agent.jar"),
            &[
                BOOT,
                ("GoCD-Main-Class", "com.thoughtworks.go.agent.AgentMain"),
                (
                    "Go-Agent-Bootstrap-Class",
                    "com.thoughtworks.go.agent.AgentProcessParentImpl",
                ),
            ],
        )?;
        let mut wanted = vec![
            "base",
            "util",
            "commandline",
            "common",
            "domain",
            "db",
            "config/config-api",
            "agent",
            "agent-common",
        ];
        let infrastructure = self.modules.keys().map(String::as_str);
        wanted.extend(infrastructure.filter(|name| name.starts_with("plugin-infra/")));
        self.add_modules(&mut jar, "lib/", &wanted)?;
        let libraries = if self.old() {
            AGENT_LIBRARIES_BEFORE
        } else {
            AGENT_LIBRARIES
        };
        jar.files("lib/", &self.libraries.matching(libraries)?)?;
        jar.contents_of(self.module("agent-process-launcher")?, "", |_| true)?;
        self.add_boot(&mut jar)?;
        jar.finish()
    }

    fn agent_bootstrapper(&self, launcher: &Path) -> Result<()> {
        let mut jar = Jar::with_manifest(
            self.path("agent-bootstrapper.jar"),
            &[
                BOOT,
                (
                    "GoCD-Main-Class",
                    "com.thoughtworks.go.agent.bootstrapper.AgentBootstrapper",
                ),
            ],
        )?;
        self.add_modules(&mut jar, "lib/", &["agent-bootstrapper", "agent-common", "base"])?;
        let wanted = self.either(
            "commons-io|jcommander|logback|slf4j-api",
            "ant-1|commons-codec|commons-lang3|httpc|jcl|joda",
        );
        jar.files("lib/", &self.libraries.matching(&wanted)?)?;
        jar.file("defaultFiles/agent-launcher.jar", launcher)?;
        self.add_boot(&mut jar)?;
        jar.finish().map(drop)
    }

    /// `cruise.war`.
    fn web_application(&self) -> Result<PathBuf> {
        let webapp = self.sources.path("server/src/main/webapp");
        let mut war = Jar::create(self.path("cruise.war"))?;
        war.text("WEB-INF/web.xml", &without_rails(&webapp)?)?;
        war.tree(&webapp, |name| {
            name != "WEB-INF/web.xml" && !name.starts_with("WEB-INF/rails/")
        })?;
        war.text(
            "WEB-INF/rails/public/assets/.sprockets-manifest-0.json",
            r#"{"files":{},"assets":{}}"#,
        )?;
        war.text(
            "WEB-INF/rails/public/assets/webpack/manifest.json",
            r#"{"entrypoints":{"single_page_apps/x":{"assets":["x.js"]}},"assetsDir":"webpack"}"#,
        )?;
        war.file("cruise-config.xsd", &self.schema())?;
        war.contents_of(self.module("server")?, "WEB-INF/classes/", |_| true)?;
        let endpoint = webapp.join("WEB-INF/rails/webpack/rails-shared/plugin-endpoint.js");
        if endpoint.exists() {
            war.file("WEB-INF/classes/plugin-endpoint.js", &endpoint)?;
        }
        let tops = tops(self.old());
        let ours = self.modules.iter().filter(|(name, _)| {
            let name = name.as_str();
            !AGENT_SIDE.contains(&name) && !tops.contains(&name) && name != "server"
        });
        war.files("WEB-INF/lib/", ours.map(|(_, jar)| jar))?;
        let of_launcher = Regex::new(if self.old() {
            "^(jetty|websocket|logback|bc(prov|pkix|util)|jul-|log4j-over|lombok|annotations-)"
        } else {
            "^(jetty|websocket|logback|jakarta.servlet)"
        })
        .expect("a constant");
        let libraries = self.libraries.jars()?;
        let of_war = libraries.iter().filter(|jar| {
            let name = jar.file_name().map(|name| name.to_string_lossy().into_owned());
            name.is_some_and(|name| !of_launcher.is_match(&name))
        });
        war.files("WEB-INF/lib/", of_war)?;
        war.finish()
    }

    /// The classes of the server that run before its web application does.
    fn launcher_main(&self) -> Result<PathBuf> {
        let mut jar = Jar::create(self.path("server-launcher-main.jar"))?;
        for top in tops(self.old()) {
            jar.contents_of(self.module(top)?, "", |_| true)?;
        }
        let parts = if self.old() { OF_LAUNCHER_BEFORE } else { OF_LAUNCHER };
        for (module, wanted) in parts {
            let wanted = Regex::new(wanted).expect("a constant");
            // Old tags have classes of these names for other things as well.
            let not = ["/domain/", "/validation/", "/remote/"];
            let is_elsewhere =
                |name: &str| self.old() && module == "common" && not.iter().any(|part| name.contains(part));
            jar.contents_of(self.module(module)?, "", |name| {
                wanted.is_match(name) && !is_elsewhere(name)
            })?;
        }
        jar.file(
            "config/logback.xml",
            &self.sources.path("server/src/main/resources/config/logback.xml"),
        )?;
        jar.finish()
    }

    fn go_jar(&self, launcher: &Path, agent: &Path, web_application: &Path, launcher_main: &Path) -> Result<()> {
        let version = format!("{}-1", self.tag);
        let mut jar = Jar::with_manifest(
            self.path("go.jar.part"),
            &[
                BOOT,
                ("GoCD-Main-Class", "com.thoughtworks.go.server.util.GoLauncher"),
                ("Implementation-Version", &version),
            ],
        )?;
        let wanted = self.either(
            "jetty|websocket|logback|jakarta.servlet|slf4j-api|jcl|jul|commons-io",
            "javax.servlet|bc(prov|pkix|util)|commons-lang3|joda|log4j-over",
        );
        jar.files("lib/", &self.libraries.matching(&wanted)?)?;
        let mut nothing = Jar::create(self.path("tfs-impl-14.jar"))?;
        nothing.text("none", "")?;
        let nothing = nothing.finish()?;
        if self.old() {
            let key = "go_update_server.pub";
            jar.file(
                &format!("defaultFiles/config/{key}"),
                &self.sources.path(&format!("server/config/{key}")),
            )?;
            jar.file("lib/tfs-impl-14.jar", &nothing)?;
        }
        jar.file("lib/server-launcher-main.jar", launcher_main)?;
        jar.file(
            "lib/go-plugin-activator.jar",
            self.module("plugin-infra/go-plugin-activator")?,
        )?;
        let mut plugins = Jar::create(self.path("plugins.zip"))?;
        plugins.text("version.txt", &format!("{version} (built-here)"))?;
        let plugins = plugins.finish()?;
        let configuration = self.sources.first_of(&[
            "installers/go-server/release/cruise-config.xml",
            "server/config/cruise-config.xml",
        ])?;
        for (name, file) in [
            ("cruise.war", web_application),
            ("agent.jar", agent),
            ("agent-launcher.jar", launcher),
            ("tfs-impl-14.jar", &nothing),
            ("plugins.zip", &plugins),
            ("config/cruise-config.xml", &configuration),
            ("config/jetty.xml", &self.sources.path("server/config/jetty.xml")),
            ("config/cruise-config.xsd", &self.schema()),
        ] {
            jar.file(&format!("defaultFiles/{name}"), file)?;
        }
        self.add_boot(&mut jar)?;
        // The last of all: whoever finds it finds all.
        fs::rename(jar.finish()?, self.path("go.jar")).context("cannot write go.jar")
    }

    fn schema(&self) -> PathBuf {
        self.sources
            .path("config/config-server/src/main/resources/cruise-config.xsd")
    }
}

/// `web.xml` for production, without what starts Rails.
fn without_rails(webapp: &Path) -> Result<String> {
    let file = webapp.join("WEB-INF/web.xml");
    let mut text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    text = text.replace(
        "<param-value>development</param-value>",
        "<param-value>production</param-value>",
    );
    for gone in [
        r"(?s)<listener>\s*<listener-class>org\.jruby[^<]*</listener-class>\s*</listener>",
        r"(?s)<listener>\s*<listener-class>com\.thoughtworks\.go\.rackhack[^<]*</listener-class>\s*</listener>",
        r"(?s)<servlet>\s*<servlet-name>rails</servlet-name>.*?</servlet>",
        r"(?s)<servlet-mapping>\s*<servlet-name>rails</servlet-name>.*?</servlet-mapping>",
    ] {
        text = Regex::new(gone)
            .expect("a constant")
            .replace_all(&text, "")
            .into_owned();
    }
    Ok(text)
}
