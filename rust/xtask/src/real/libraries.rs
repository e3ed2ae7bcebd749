//! The libraries of one tag of GoCD, in the versions that its own build names, brought by Maven.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use regex::Regex;

use super::{files, sources::Sources};
use crate::{command, project::Project};

/// Libraries that only GoCD's tests use, by their names in its build.
const OF_TESTS: &str = "assert|awaitility|dbunit|hamcrest|jsonUnit|json-unit|junit|mockito|systemStubs|systemRules|\
                        testcontainers|tinybundles|xmlUnit|springTest|spring-test|jsoup|gradleDownload|grolifant|tfsSdk|\
                        bundler|httpClientMock|[a-z]Bom$";
/// What is not needed without the Rails pages, or is taken from elsewhere.
const NOT_NEEDED: [&str; 7] = [
    "rack",
    "ehcache",
    "jruby",
    "jruby-rack",
    "jruby-complete",
    "xalan",
    "commons-logging",
];
/// Versions that Maven Central lacks or this Java cannot use, and near ones.
const INSTEAD: [(&str, &str); 4] = [
    (
        "io.github.kostaskougios:cloning:1.13.0",
        "io.github.kostaskougios:cloning:1.12.0",
    ),
    ("com.github.oshi:oshi-core:7.3.2", "com.github.oshi:oshi-core:6.9.2"),
    ("org.projectlombok:lombok:1.18.12", "org.projectlombok:lombok:1.18.24"),
    ("org.projectlombok:lombok:1.18.18", "org.projectlombok:lombok:1.18.24"),
];
/// What no library may bring with it: GoCD's build excludes it, or has it in another name.
const EXCLUDED: [(&str, &str); 4] = [
    ("javax.jms", "jms"),
    ("javax.servlet", "*"),
    ("commons-logging", "*"),
    ("org.projectlombok", "*"),
];
/// The same, in tags on Jetty 9.
const EXCLUDED_BEFORE: [(&str, &str); 10] = [
    ("xalan", "*"),
    ("xml-apis", "*"),
    ("net.sf.ehcache", "ehcache-core"),
    ("log4j", "*"),
    ("org.slf4j", "slf4j-log4j12"),
    ("struts", "*"),
    ("sslext", "*"),
    ("com.jcraft", "*"),
    ("com.mchange", "*"),
    ("com.zaxxer", "*"),
];

/// The libraries of a tag.
pub(crate) struct Libraries {
    folder: PathBuf,
    /// Whether the tag is on Jetty 9, which most of its build goes by.
    pub(crate) old: bool,
}

impl Libraries {
    /// Brings the libraries into `folder`, unless they are there.
    ///
    /// # Errors
    /// Maven Central lacks one, or its build is written in a way that is not known here.
    pub(crate) fn fetch(project: &Project, sources: &Sources, folder: PathBuf) -> Result<Self> {
        let wanted = Wanted::of(sources)?;
        if !folder.exists() {
            let beside = folder.with_extension("part");
            let pom = folder.with_extension("pom.xml");
            fs::write(&pom, wanted.pom()).with_context(|| format!("cannot write {}", pom.display()))?;
            let mut maven = project.command("mvn");
            maven
                .args(["-q", "-B", "-f"])
                .arg(&pom)
                .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
                .arg(format!("-DoutputDirectory={}", beside.display()));
            command::run(&mut maven)?;
            for jar in files::under(&beside)? {
                let name = files::relative(&beside, &jar);
                let is_twice = name.starts_with("servlet-api-2")
                    || !wanted.old && (name.contains("-9.4.") || name.starts_with("javax.servlet-api-3"));
                if is_twice {
                    fs::remove_file(&jar)?;
                }
            }
            let vendored = sources.path("server/vendor");
            if vendored.is_dir() {
                for jar in files::under(&vendored)? {
                    fs::copy(&jar, beside.join(jar.file_name().context("no name")?))?;
                }
            }
            fs::rename(&beside, &folder).with_context(|| format!("cannot write {}", folder.display()))?;
        }
        Ok(Self {
            folder,
            old: wanted.old,
        })
    }

    /// All jars.
    pub(crate) fn jars(&self) -> Result<Vec<PathBuf>> {
        let all = files::under(&self.folder)?.into_iter();
        Ok(all
            .filter(|file| file.extension().is_some_and(|ending| ending == "jar"))
            .collect())
    }

    /// The jars whose names this expression matches from their beginning.
    pub(crate) fn matching(&self, expression: &str) -> Result<Vec<PathBuf>> {
        let expression = Regex::new(&format!("^(?:{expression})")).expect("a constant");
        let name = |jar: &Path| files::relative(&self.folder, jar);
        Ok(self
            .jars()?
            .into_iter()
            .filter(|jar| expression.is_match(&name(jar)))
            .collect())
    }

    /// All of them as javac's class path.
    pub(crate) fn class_path(&self) -> String {
        format!("{}/*", self.folder.display())
    }
}

/// What a tag wants.
struct Wanted {
    coordinates: Vec<String>,
    jetty: String,
    old: bool,
}

impl Wanted {
    fn of(sources: &Sources) -> Result<Self> {
        let script = sources.first_of(&["dependencies.gradle", "build.gradle"])?;
        let script = fs::read_to_string(&script).with_context(|| format!("cannot read {}", script.display()))?;
        let (named, versions) = named(&script, sources)?;
        let version = |name: &str| {
            let found = versions.get(name).map(String::as_str);
            found.with_context(|| format!("the build of this tag names no version of {name}"))
        };
        let jetty = version("jetty")?.to_owned();
        let old = jetty.starts_with("9.");
        let of_tests = Regex::new(OF_TESTS).expect("a constant");
        let mut wanted: Vec<String> = named
            .iter()
            .filter(|(name, _)| !of_tests.is_match(name) && !NOT_NEEDED.contains(&name.as_str()))
            .map(|(_, coordinate)| instead(coordinate).to_owned())
            .collect();
        let bouncy = wanted.iter().find(|coordinate| coordinate.contains(":bcprov-"));
        let bouncy = bouncy.context("no Bouncy Castle")?.replace("bcprov", "bcpkix");
        // 2.10.9.2 stands in for a 2.11 that was packed anew and is nowhere to be had.
        let ehcache = if old { version("ehcache")? } else { "2.10.9.2" };
        wanted.push(format!("net.sf.ehcache:ehcache:{ehcache}"));
        let mut family = |group: &str, prefix: &str, names: &[&str], version: &str| {
            wanted.extend(names.iter().map(|name| format!("{group}:{prefix}{name}:{version}")));
        };
        family(
            "org.eclipse.jetty",
            "jetty-",
            &[
                "deploy", "jmx", "servlet", "servlets", "util", "webapp", "xml", "http", "io", "security",
            ],
            &jetty,
        );
        if old {
            family("org.eclipse.jetty", "jetty-", &["plus"], &jetty);
        }
        let websocket: &[&str] = if old {
            &["server", "servlet", "common", "api", "client"]
        } else {
            &[
                "jetty-server",
                "core-server",
                "servlet",
                "jetty-api",
                "jetty-common",
                "core-common",
            ]
        };
        family("org.eclipse.jetty.websocket", "websocket-", websocket, &jetty);
        family(
            "org.springframework",
            "spring-",
            &[
                "context",
                "context-support",
                "orm",
                "tx",
                "web",
                "webmvc",
                "aop",
                "beans",
                "expression",
                "jdbc",
            ],
            version("spring")?,
        );
        family(
            "org.springframework.security",
            "spring-security-",
            &["web", "core"],
            version("springSecurity")?,
        );
        family(
            "org.apache.httpcomponents",
            "",
            &["httpmime"],
            version("apacheHttpComponents")?,
        );
        family("com.bazaarvoice.jolt", "", &["json-utils"], version("jolt")?);
        family(
            "org.eclipse.jgit",
            "",
            &["org.eclipse.jgit.http.server"],
            version("jgit")?,
        );
        if let Ok(jaxb) = version("jaxbBom") {
            let api = if old { "4.0.0" } else { "4.0.4" };
            family("jakarta.xml.bind", "", &["jakarta.xml.bind-api"], api);
            family("org.glassfish.jaxb", "", &["jaxb-runtime"], jaxb);
        } else if script.contains("jaxbRuntime") {
            family("org.glassfish.jaxb", "", &["jaxb-runtime"], version("jaxb")?);
        }
        if let Ok(aspectj) = version("aspectj") {
            family("org.aspectj", "", &["aspectjweaver"], aspectj);
        }
        let slf4j = version("slf4jBom").or_else(|_| version("slf4j"))?;
        family("org.slf4j", "", &["slf4j-api", "jcl-over-slf4j", "jul-to-slf4j"], slf4j);
        if old {
            family("org.slf4j", "", &["log4j-over-slf4j"], slf4j);
        }
        let jackson = version("jacksonBom").or_else(|_| version("jackson"))?;
        let (core, databind) = match jackson {
            "2.13.4.20221013" => ("2.13.4", "2.13.4.2"),
            jackson => (jackson, jackson),
        };
        family("com.fasterxml.jackson.core", "", &["jackson-core"], core);
        family("com.fasterxml.jackson.core", "", &["jackson-databind"], databind);
        if wanted.iter().any(|coordinate| coordinate.contains("com.sun.mail")) {
            wanted.push(format!("com.sun.mail:smtp:{}", version("mail")?));
        }
        wanted.push(bouncy);
        let mut coordinates: Vec<String> = Vec::new();
        for coordinate in wanted {
            if !coordinates.contains(&coordinate) {
                coordinates.push(coordinate);
            }
        }
        Ok(Self {
            coordinates,
            jetty,
            old,
        })
    }

    /// What Maven is told.
    fn pom(&self) -> String {
        let before: &[_] = if self.old { &EXCLUDED_BEFORE } else { &[] };
        let exclusions: String = EXCLUDED
            .iter()
            .chain(before)
            .map(|(group, name)| {
                format!("<exclusion><groupId>{group}</groupId><artifactId>{name}</artifactId></exclusion>")
            })
            .collect();
        let dependency = |coordinate: &str, rest: &str| {
            let mut parts = coordinate.split(':');
            let mut part = || parts.next().unwrap_or_default();
            format!(
                "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>{rest}</dependency>\n",
                part(),
                part(),
                part()
            )
        };
        let exclusions = format!("<exclusions>{exclusions}</exclusions>");
        let wanted: String = self
            .coordinates
            .iter()
            .map(|name| dependency(name, &exclusions))
            .collect();
        let managed: String = ["server", "http", "io", "util", "security", "webapp", "servlet", "xml"]
            .iter()
            .map(|name| dependency(&format!("org.eclipse.jetty:jetty-{name}:{}", self.jetty), ""))
            .collect();
        format!(
            "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
             <groupId>real</groupId><artifactId>real</artifactId><version>1</version>\n\
             <dependencyManagement><dependencies>\n{managed}</dependencies></dependencyManagement>\n\
             <dependencies>\n{wanted}</dependencies></project>\n"
        )
    }
}

/// By the names of GoCD's build: the coordinates of its libraries, and their versions.
type Named = (BTreeMap<String, String>, BTreeMap<String, String>);

/// What a tag's build names. Before 20.10 or so it has the versions alone, and its modules' scripts say of what.
fn named(script: &str, sources: &Sources) -> Result<Named> {
    let pairs = |expression: &str| -> BTreeMap<String, String> {
        let expression = Regex::new(expression).expect("a constant");
        let found = expression.captures_iter(script);
        found.map(|found| (found[1].to_owned(), found[2].to_owned())).collect()
    };
    let mut named = pairs(r"(?m)^  (\w+) *: '([\w.\-]+:[\w.\-]+:[\w.\-]+)'");
    let mut versions: BTreeMap<String, String> = named
        .iter()
        .filter_map(|(name, coordinate)| Some((name.clone(), coordinate.rsplit(':').next()?.to_owned())))
        .collect();
    if versions.contains_key("jetty") {
        return Ok((named, versions));
    }
    versions = pairs(r"(?m)^  (\w+) *: '([\w.\-]+)'");
    let not_ours = Regex::new("^(buildSrc|test/|development-utility|tfs-impl|docker|installers|tw-go|rack_hack)")
        .expect("a constant");
    let line = Regex::new(r"(?m)^\s*(\w+)\(? ?group: '([^']+)', name: '([^']+)', version: (?:project\.)?([\w.']+)")
        .expect("a constant");
    for (path, text) in sources.build_scripts()? {
        if not_ours.is_match(&path) {
            continue;
        }
        for found in line.captures_iter(&text) {
            let [_, configuration, group, name, version] = std::array::from_fn(|index| &found[index]);
            if configuration.to_lowercase().contains("test") || matches!(configuration, "jrubyGems" | "runtimeOnly") {
                continue;
            }
            let version = match version.strip_prefix('\'') {
                Some(literal) => literal.trim_end_matches('\''),
                None => {
                    let key = version.rsplit('.').next().unwrap_or(version);
                    versions
                        .get(key)
                        .with_context(|| format!("no version {key}, which {path} names"))?
                }
            };
            named.insert(name.to_owned(), format!("{group}:{name}:{version}"));
        }
    }
    Ok((named, versions))
}

fn instead(coordinate: &str) -> &str {
    INSTEAD
        .iter()
        .find(|(from, _)| *from == coordinate)
        .map_or(coordinate, |(_, to)| to)
}

/// Whether a program called `mvn` is there, or what to type.
pub(crate) fn maven_is_there() -> Result<()> {
    let there = command::succeeds(Command::new("mvn").arg("-v"));
    anyhow::ensure!(
        there,
        "Maven is missing; run `apt-get install --no-install-recommends maven`"
    );
    Ok(())
}
