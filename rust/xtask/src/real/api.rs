//! GoCD's API, as an administrator's script uses it. A new GoCD asks nobody who he is.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::demo::http::{self, Answer};

/// The file of the repository that each run keeps as its artifact.
pub(crate) const ARTIFACT: &str = "file";
const PATIENCE: Duration = Duration::from_secs(60);
/// The newest version of each route, which all releases from 20.6 on understand.
const NEWEST: &str = "application/vnd.go.cd+json";

/// The API of the GoCD at one port of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Api {
    pub(crate) port: u16,
}

impl Api {
    /// Asks.
    pub(crate) fn get(self, path: &str) -> Result<Value> {
        self.send("GET", path, None)
    }

    /// Orders.
    pub(crate) fn post(self, path: &str, body: &Value) -> Result<Value> {
        self.send("POST", path, Some(body))
    }

    /// Makes an environment: the smallest change of the configuration that there is.
    pub(crate) fn make_environment(self, name: &str) -> Result<()> {
        self.post("admin/environments", &json!({"name": name})).map(drop)
    }

    /// Makes a pipeline of one job on a git repository, with a secret as an environment variable, and lets it run.
    pub(crate) fn make_pipeline(self, name: &str, repository: &str, secret: &str, script: &str) -> Result<()> {
        let task = json!({"type": "exec", "attributes": {
            "run_if": ["passed"], "command": "/bin/sh", "arguments": ["-c", script],
        }});
        let kept = json!({"type": "build", "source": ARTIFACT, "destination": ""});
        let job = json!({"name": "job", "tasks": [task], "artifacts": [kept]});
        let pipeline = json!({"group": "story", "pipeline": {
            "name": name,
            "materials": [{"type": "git", "attributes": {"url": repository, "branch": "master"}}],
            "environment_variables": [{"name": "SECRET", "secure": true, "value": secret}],
            // It runs when it is told to.
            "stages": [{"name": "stage", "approval": {"type": "manual", "authorization": {"roles": [], "users": []}}, "jobs": [job]}],
        }});
        self.post("admin/pipelines", &pipeline)?;
        // Some releases pause a pipeline that is made by the API; the others refuse this.
        let _ = self.post(&format!("pipelines/{name}/unpause"), &Value::Null);
        Ok(())
    }

    /// How the newest run of a pipeline ended, such as `Passed`, or how its job stands; none before the first.
    pub(crate) fn newest_run(self, name: &str) -> Result<Option<String>> {
        let history = self.get(&format!("pipelines/{name}/history"))?;
        let newest = &history["pipelines"][0];
        let stage = &newest["stages"][0];
        if newest["counter"].is_null() {
            return Ok(None);
        }
        let job = &stage["jobs"][0];
        let state = match job["result"].as_str() {
            Some(result) if result != "Unknown" => result,
            _ => job["state"].as_str().unwrap_or_default(),
        };
        Ok(Some(state.to_owned()))
    }

    /// The plugins that GoCD has loaded: for each its id and its state, such as `active`, in the order of the ids.
    pub(crate) fn plugins(self) -> Result<Vec<(String, String)>> {
        let answer = self.get("admin/plugin_info?include_bad=true")?;
        let plugins = answer["_embedded"]["plugin_info"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut plugins: Vec<_> = plugins
            .iter()
            .map(|plugin| (text(&plugin["id"]), text(&plugin["status"]["state"])))
            .collect();
        plugins.sort();
        Ok(plugins)
    }

    /// Whether an agent is at work on a pipeline. The history of a pipeline says that late.
    pub(crate) fn is_building(self, pipeline: &str) -> Result<bool> {
        let answer = self.get("agents")?;
        let agents = answer["_embedded"]["agents"].as_array();
        Ok(agents.is_some_and(|agents| {
            agents
                .iter()
                .any(|agent| agent["agent_state"] == "Building" && agent["build_details"]["pipeline_name"] == pipeline)
        }))
    }

    /// Whether GoCD has a file that a job kept, named by pipeline, run, stage, its run, job and path.
    pub(crate) fn has_file(self, path: &str) -> bool {
        let answer = http::get(self.port, &format!("/go/files/{path}"), "*/*");
        matches!(answer, Ok(Some(answer)) if answer.status == 200)
    }

    /// The agents: for each its id and its state, such as `Building`.
    pub(crate) fn agents(self) -> Result<Vec<(String, String)>> {
        let answer = self.get("agents")?;
        let agents = answer["_embedded"]["agents"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(agents
            .iter()
            .map(|agent| (text(&agent["uuid"]), text(&agent["agent_state"])))
            .collect())
    }

    /// The release of GoCD, such as `26.1.0`.
    pub(crate) fn release(self) -> Result<String> {
        let answer = self.get("version")?;
        Ok(answer["version"].as_str().unwrap_or_default().to_owned())
    }

    fn send(self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        self.sent(method, path, body)
            .with_context(|| format!("{method} /go/api/{path} at port {}", self.port))
    }

    fn sent(self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = match body {
            None | Some(Value::Null) => String::new(),
            Some(body) => body.to_string(),
        };
        // By HTTP/1.0, so that nothing comes in chunks.
        write!(
            stream,
            "{method} /go/api/{path} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\nAccept: {NEWEST}\r\n\
             Content-Type: application/json\r\nX-GoCD-Confirm: true\r\nContent-Length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        )?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let answer = Answer::parse(&bytes).context("the answer is no HTTP")?;
        if !(200..300).contains(&answer.status) {
            bail!("answered {}: {}", answer.status, answer.body);
        }
        Ok(serde_json::from_str(&answer.body).unwrap_or(Value::Null))
    }
}
