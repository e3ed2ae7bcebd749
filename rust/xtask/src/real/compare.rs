//! One script of requests, edits and kills against a real GoCD and against the stand-in of the tests, and where they differ.
//!
//! What is compared is what our product sees of a server: how its own port answers, what an edit and a kill lead to, whether
//! our plugin is active, and how a start ends that fails. Each step of the script says that in a few words; where both say the
//! same, the stand-in tells the truth there. What is known to differ stands in [`KNOWN`] with its reason.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{Built, api::Api, scene::LONG, servers};
use crate::{
    demo::{
        Stop,
        folders::{self, GocdFolder},
        http,
        node::{HEALTH, Node, Ports, Start},
    },
    natives::place,
    ports,
    project::{JAR, Project, Variant},
    tools::Jdk,
};

/// Longer than two of GoCD's looks at its configuration, with time to validate.
const TWO_POLLS: Duration = Duration::from_secs(15);
/// What the script finds different and what is to stay so, with the reason.
const KNOWN: [(&str, &str); 4] = [
    (
        "an edit that GoCD takes",
        "the stand-in keeps comments, GoCD drops them and writes the file again",
    ),
    ("the page of the server", "the stand-in has no web application"),
    (
        "an environment is made by the API",
        "the stand-in saves nothing by its API",
    ),
    ("a page of the original product", "the stand-in is a GoCD of after 21.2"),
];

/// What each step of the script came to, in order.
type Said = Vec<(&'static str, String)>;

/// Where the two differ: step, what the real server did, what the stand-in did, and why that stays so, if it does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    step: &'static str,
    real: String,
    stand_in: String,
    known: Option<&'static str>,
}

/// Plays the script on both in `root`, which is made anew.
pub(crate) fn compare(project: &Project, built: &Built, root: &Path, stop: &Stop) -> Result<Vec<Difference>> {
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| format!("cannot remove {}", root.display()))?;
    }
    let real = Subject::start(project, &built.jdk, "real", &built.go_jar, root, stop)?.play()?;
    let stand_in = Subject::start(project, &built.jdk, "stand-in", &project.host_jar(), root, stop)?.play()?;
    Ok(differences(&real, &stand_in))
}

/// The table for people, and whether something differs that is not known to.
pub(crate) fn print(differences: &[Difference]) -> bool {
    for one in differences {
        println!("{}\n  real:     {}\n  stand-in: {}", one.step, one.real, one.stand_in);
        println!("  {}", one.known.map_or("NOT KNOWN", |reason| reason));
    }
    differences.iter().any(|one| one.known.is_none())
}

fn differences(real: &Said, stand_in: &Said) -> Vec<Difference> {
    let pairs = real.iter().zip(stand_in).filter(|(real, stand_in)| real != stand_in);
    pairs
        .map(|((step, real), (_, stand_in))| Difference {
            step,
            real: real.clone(),
            stand_in: stand_in.clone(),
            known: KNOWN.iter().find(|(known, _)| known == step).map(|(_, reason)| *reason),
        })
        .collect()
}

/// A server that the script is played on.
struct Subject<'a> {
    node: Node,
    stop: &'a Stop,
    said: Said,
}

impl<'a> Subject<'a> {
    /// Starts one as a primary with our plugin, on GoCD's H2.
    fn start(
        project: &Project,
        jdk: &Jdk,
        name: &'static str,
        go_jar: &Path,
        root: &Path,
        stop: &'a Stop,
    ) -> Result<Self> {
        let folder = GocdFolder::at(root.join(name));
        for part in ["logs", "tmp", "plugins/external", "config"] {
            let path = folder.root().join(part);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        place(&project.jar(Variant::Product), &folder.plugins().join(JAR))?;
        folders::make_token(&folder)?;
        let [gocd, sync] = ports::free()?;
        let ports = Ports { gocd, sync };
        let asked = [
            format!("-javaagent:plugins/external/{JAR}"),
            "-Dbc.db.watch=off".to_owned(),
        ];
        let start = Start {
            name,
            program: jdk.program("java"),
            pid_file: None,
            words: servers::words(go_jar, ports, &asked),
        };
        let node = start.node(folder, ports, root.join(format!("{name}.log")))?;
        Ok(Self {
            node,
            stop,
            said: Said::new(),
        })
    }

    /// The script.
    fn play(mut self) -> Result<Said> {
        let first = self.first_answer()?;
        self.say("the first answer of its port while it starts", first);
        self.until_healthy()?;
        for (step, path, accept) in [
            ("health, whatever is accepted", HEALTH, "*/*"),
            ("health, JSON without a version", HEALTH, "application/json"),
            ("health, JSON of a version", HEALTH, "application/vnd.go.cd.v1+json"),
            (
                "an unknown route of the API",
                "/go/api/nothing",
                "application/vnd.go.cd+json",
            ),
            ("the page of the server", "/go/pipelines", "text/html"),
            ("the root of the port", "/", "text/html"),
            (
                "a page of the original product",
                "/go/add-on/business-continuity/api/cipher.aes",
                "*/*",
            ),
        ] {
            let answer = self.answer(path, accept);
            self.say(step, answer);
        }
        self.stop.wait_until("GoCD has loaded our plugin", LONG, || {
            Ok(self.api().plugins().is_ok_and(|plugins| !plugins.is_empty()))
        })?;
        let plugins = format!("{:?}", self.api().plugins()?);
        self.say("our plugin", plugins);
        let made = match self.api().make_environment("by-api") {
            Ok(()) => "taken",
            Err(_) => "refused",
        };
        self.say("an environment is made by the API", made.to_owned());

        let good = self.config()?.replacen("</cruise>", "<!-- by hand --></cruise>", 1);
        self.edit("an edit that GoCD takes", &good)?;
        let twice = "<pipelines group=\"twice\"/><pipelines group=\"twice\"/></cruise>";
        let bad = good.replacen("</cruise>", twice, 1);
        self.edit("an edit that GoCD refuses", &bad)?;
        self.restart("a start with it, and a history")?;
        let kept = self.config()?.contains("\"twice\"");
        self.say(
            "the file after that",
            if kept { "as it was" } else { "replaced" }.to_owned(),
        );
        self.node.jvm.kill()?;
        fs::write(self.node.folder.cruise_config(), &bad)?;
        fs::remove_dir_all(self.node.folder.root().join("db/config.git")).context("cannot remove the history")?;
        self.start_again("a start with it, without a history")?;
        fs::write(self.node.folder.cruise_config(), good)?;
        self.start_again("a start once the file is mended")?;
        self.restart("a start after a kill")?;
        Ok(self.said)
    }

    fn say(&mut self, step: &'static str, said: String) {
        self.said.push((step, said));
    }

    fn api(&self) -> Api {
        Api {
            port: self.node.ports.gocd,
        }
    }

    fn config(&self) -> Result<String> {
        let file = self.node.folder.cruise_config();
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    }

    /// Status, and where it leads or what it says in a word.
    fn answer(&self, path: &str, accept: &str) -> String {
        match http::get(self.node.ports.gocd, path, accept) {
            Ok(Some(answer)) => {
                let leads = answer.header("Location").map(|to| {
                    let after = to.find("/go").map_or("", |at| &to[at..]);
                    format!(" to {after}")
                });
                let is_ok = path == HEALTH && answer.body.contains("OK");
                format!(
                    "{}{}{}",
                    answer.status,
                    leads.unwrap_or_default(),
                    if is_ok { " OK" } else { "" }
                )
            }
            Ok(None) => "closed".to_owned(),
            Err(_) => "refused".to_owned(),
        }
    }

    /// The first answer that its port gives.
    fn first_answer(&mut self) -> Result<String> {
        let begin = Instant::now();
        while begin.elapsed() < LONG {
            self.node.jvm.must_run()?;
            if let Ok(Some(answer)) = http::get(self.node.ports.gocd, HEALTH, "*/*") {
                return Ok(answer.status.to_string());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok("none".to_owned())
    }

    fn until_healthy(&mut self) -> Result<()> {
        let node = &mut self.node;
        self.stop.wait_until("GoCD is healthy", LONG, || {
            node.jvm.must_run()?;
            Ok(node.gocd_is_healthy())
        })
    }

    /// Saves by hand, and says what became of the file and of GoCD's warnings.
    fn edit(&mut self, step: &'static str, text: &str) -> Result<()> {
        fs::write(self.node.folder.cruise_config(), text)?;
        self.stop.sleep(TWO_POLLS);
        let file = if self.config()? == text {
            "left"
        } else {
            "written again"
        };
        let messages = self.api().get("server_health_messages")?.to_string();
        let warned = if messages.contains("nvalid") {
            "said to be invalid"
        } else {
            "nothing said"
        };
        let healthy = if self.node.gocd_is_healthy() {
            "healthy"
        } else {
            "not healthy"
        };
        self.say(step, format!("{file}, {warned}, {healthy}"));
        Ok(())
    }

    fn restart(&mut self, step: &'static str) -> Result<()> {
        self.node.jvm.kill()?;
        self.start_again(step)
    }

    /// Starts it, and says how that ended.
    fn start_again(&mut self, step: &'static str) -> Result<()> {
        let log = self.node.folder.root().join("logs/go-server.log");
        let logged = fs::metadata(&log)?.len();
        self.node.start_again()?;
        let mut ended = None;
        let node = &mut self.node;
        self.stop.wait_until("GoCD is healthy or has ended", LONG, || {
            if let Err(error) = node.jvm.must_run() {
                let said = error.to_string();
                ended = said.rsplit_once(": ").map(|(_, status)| status.to_owned());
            }
            Ok(ended.is_some() || node.gocd_is_healthy())
        })?;
        let said = match ended {
            None => "healthy".to_owned(),
            Some(status) => {
                let log = fs::read(&log)?;
                let at = usize::try_from(logged).expect("a log that fits into memory");
                let log = String::from_utf8_lossy(&log[at..]).into_owned();
                // What the product reads, to know that a start ended for this.
                let names_file = log.contains("There is no versioned configuration to fallback");
                format!(
                    "ended with {status}, {}",
                    if names_file {
                        "for an invalid file"
                    } else {
                        "for something else"
                    }
                )
            }
        };
        self.say(step, said);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_said_and_known_differences_have_a_reason() {
        let real = vec![
            ("a", "1".to_owned()),
            ("b", "2".to_owned()),
            (KNOWN[0].0, "200".to_owned()),
        ];
        let stand_in = vec![
            ("a", "1".to_owned()),
            ("b", "3".to_owned()),
            (KNOWN[0].0, "404".to_owned()),
        ];
        let found = differences(&real, &stand_in);
        let steps: Vec<_> = found.iter().map(|one| (one.step, one.known.is_some())).collect();
        assert_eq!(steps, [("b", false), (KNOWN[0].0, true)]);
        assert!(print(&found));
        assert!(!print(&found[1..]));
    }
}
