//! What a held node must answer on GoCD's port, so that agents, load balancers and people are not misled.

use anyhow::{Context, Result, ensure};

use crate::demo::{
    http::{self, Answer},
    node::HEALTH,
};

/// What one path must answer.
enum Must {
    /// The connection is closed without a byte: GoCD agents keep build output on an I/O error and drop it on any
    /// HTTP status.
    BeSilent,
    /// This status; the body holds this text; a header of this name is there.
    Answer(u16, &'static str, Option<&'static str>),
}

struct Rule {
    path: &'static str,
    accept: &'static str,
    must: Must,
}

const fn rule(path: &'static str, accept: &'static str, must: Must) -> Rule {
    Rule { path, accept, must }
}

const RULES: [Rule; 12] = [
    rule("/go/remoting/api/agent/ping", "*/*", Must::BeSilent),
    rule(
        "/go/remoting/files/up42/1/up42_stage/1/up42_job/cruise-output/console.log",
        "*/*",
        Must::BeSilent,
    ),
    // An agent stores a 200 as its token and deletes its token on a 403.
    rule("/go/admin/agent/token?uuid=1", "*/*", Must::Answer(503, "", None)),
    rule("/go/admin/agent", "*/*", Must::Answer(503, "", None)),
    rule("/go/admin/agent-launcher.jar", "*/*", Must::Answer(503, "", None)),
    rule("/go/admin/latest-agent.status", "*/*", Must::Answer(503, "", None)),
    rule("/go/admin/tfs-impl.jar", "*/*", Must::Answer(503, "", None)),
    rule(HEALTH, "*/*", Must::Answer(503, "STANDBY", Some("Retry-After"))),
    rule(
        "/go/add-on/business-continuity/live",
        "*/*",
        Must::Answer(200, "", None),
    ),
    rule(
        "/go/add-on/business-continuity/ready",
        "*/*",
        Must::Answer(503, "", None),
    ),
    rule("/go/pipelines", "text/html", Must::Answer(503, "<", None)),
    rule(
        "/go/api/agents",
        "application/vnd.go.cd+json",
        Must::Answer(503, "{", None),
    ),
];

/// Asks for every path of the table.
///
/// # Errors
/// Names the first path that is answered otherwise.
pub(crate) fn check(port: u16) -> Result<()> {
    for rule in &RULES {
        let answer = http::get(port, rule.path, rule.accept)?;
        check_answer(rule, answer.as_ref()).with_context(|| format!("held node, {}", rule.path))?;
    }
    Ok(())
}

fn check_answer(rule: &Rule, answer: Option<&Answer>) -> Result<()> {
    let (status, text, header) = match rule.must {
        Must::BeSilent => {
            ensure!(
                answer.is_none(),
                "answered {answer:?}, but the connection must be closed without a byte"
            );
            return Ok(());
        }
        Must::Answer(status, text, header) => (status, text, header),
    };
    let answer = answer.context("closed the connection without a byte")?;
    ensure!(answer.status == status, "answered {}, not {status}", answer.status);
    ensure!(answer.body.contains(text), "the body has no `{text}`: {}", answer.body);
    let close = answer.header("Connection").unwrap_or_default();
    ensure!(
        close.eq_ignore_ascii_case("close"),
        "Connection is `{close}`, not close"
    );
    let cache = answer.header("Cache-Control").unwrap_or_default();
    ensure!(cache.contains("no-store"), "Cache-Control is `{cache}`, not no-store");
    for never in ["Content-MD5", "Strict-Transport-Security"] {
        ensure!(answer.header(never).is_none(), "has the header {never}");
    }
    if let Some(name) = header {
        ensure!(answer.header(name).is_some(), "has no header {name}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: &str = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nCache-Control: no-store\r\n\
                           Retry-After: 30\r\n\r\n{\"health\":\"STANDBY\"}";

    fn judged(path: &str, answer: Option<&str>) -> Result<()> {
        let rule = RULES.iter().find(|rule| rule.path == path).expect("in the table");
        let answer = answer.map(|text| Answer::parse(text.as_bytes()).expect("HTTP"));
        check_answer(rule, answer.as_ref())
    }

    #[test]
    fn the_health_route() {
        judged(HEALTH, Some(HEALTHY)).expect("as it should be");
        for (from, to) in [
            ("503", "200"),
            ("STANDBY", "OK"),
            ("Retry-After: 30\r\n", ""),
            ("Connection: close", "Connection: keep-alive"),
            ("no-store", "public"),
            (
                "Retry-After: 30",
                "Retry-After: 30\r\nStrict-Transport-Security: max-age=1",
            ),
        ] {
            let changed = HEALTHY.replace(from, to);
            assert!(judged(HEALTH, Some(&changed)).is_err(), "{changed}");
        }
        assert!(judged(HEALTH, None).is_err());
    }

    #[test]
    fn remoting_is_silent() {
        let path = "/go/remoting/api/agent/ping";
        judged(path, None).expect("silent");
        assert!(judged(path, Some(HEALTHY)).is_err());
    }
}
