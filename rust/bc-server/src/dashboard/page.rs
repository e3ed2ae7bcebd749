//! Renders a [`Status`] as HTML; nothing is computed here but ages, moments and sizes in words.

use askama::Template;
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use bc_core::{
    basics::{Digest, Severity, words},
    database::picture::Picture,
    generation::{Name, Role},
    role::{landing::Landing, preflight::Preflight},
    settings::PrimaryUrl,
    status::{FileState, FileStatus, PrimaryStatus, StandbyStatus, Status},
};
use time::{OffsetDateTime, macros::format_description};

use crate::paths::PREFIX;

/// Renders the whole page of the dashboard; `in_session` says whether there is somebody to log out.
pub(super) fn whole(status: &Status, in_session: bool) -> Response {
    rendered(
        &Page {
            in_session,
            fragment: Fragment { status },
        },
        StatusCode::OK,
    )
}

/// Renders the part of the dashboard's page that changes.
pub(super) fn fragment(status: &Status) -> Response {
    rendered(&Fragment { status }, StatusCode::OK)
}

/// Renders the form to log in to the dashboard, with what was wrong the last time.
pub(super) fn login(mistake: Option<&str>, code: StatusCode) -> Response {
    rendered(&Login { mistake }, code)
}

/// The answer that is a page of the dashboard.
fn rendered(page: &impl Template, code: StatusCode) -> Response {
    match page.render() {
        Ok(html) => (code, Html(html)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Template)]
#[template(path = "dashboard.html")]
struct Page<'a> {
    in_session: bool,
    fragment: Fragment<'a>,
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    mistake: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "fragment.html")]
struct Fragment<'a> {
    status: &'a Status,
}

impl Fragment<'_> {
    /// How bad the worst on the dashboard is.
    fn severity(&self) -> Severity {
        self.status.severity()
    }

    /// The style of the dashboard's headline.
    fn class(&self) -> &'static str {
        class(&self.status.severity())
    }

    /// The title of the dashboard, which a browser shows on the page's tab: the worst first.
    fn title(&self) -> String {
        format!("{} {} · GoCD Business Continuity", self.severity(), self.status.role)
    }

    /// What a promotion would do now, for the dashboard of a standby.
    fn preflight(&self) -> Option<&Preflight> {
        let preflight = self.status.preflight.as_ref();
        preflight.filter(|_| self.status.role == Role::Standby)
    }

    /// Whether the dashboard has something to say of the last promotion, or of the next.
    fn has_promotion(&self) -> bool {
        let is_planned = self.status.hands_over_line().is_some();
        is_planned || self.status.promotion.is_some() || self.preflight().is_some()
    }

    /// Whether the dashboard is a primary's.
    fn is_primary(&self) -> bool {
        self.status.role == Role::Primary
    }

    /// When the live files became so, in a sentence on the dashboard.
    fn applied(&self) -> Option<String> {
        let sync = self.status.sync.as_ref()?;
        sync.applied_ms?;
        Some(match sync.applied_age_ms(self.status.now_ms) {
            Some(ms) => format!("Last change applied {} ago.", age(ms)),
            None => {
                "The last change was applied at a time that this server's clock has yet to reach: the clock was set \
                     back."
                    .to_owned()
            }
        })
    }

    /// What this server found when it had been promoted, for the dashboard.
    fn landing_lines(&self, landing: &Landing) -> Vec<String> {
        landing.lines(self.status.now_ms)
    }

    /// How long ago something on the dashboard was.
    fn age(&self, ms: &i64) -> String {
        age(self.status.now_ms.saturating_sub(*ms))
    }
}

/// The link to the dashboard of the node with this address. None where it is not written as this product writes one:
/// what others say never becomes more of a link than scheme, host and port.
fn dashboard(base: &str) -> Option<String> {
    let url: PrimaryUrl = base.parse().ok()?;
    (url.base() == base).then(|| format!("{base}{PREFIX}/admin/dashboard"))
}

/// The link to the dashboard of a standby that reports.
fn dashboard_of_standby(standby: &StandbyStatus) -> Option<String> {
    dashboard(standby.url.as_ref()?)
}

/// The link to the primary's dashboard: where it has answered, else as it is configured.
fn dashboard_of_primary(primary: &PrimaryStatus) -> Option<String> {
    dashboard(primary.address.as_ref().unwrap_or(&primary.url))
}

/// The style of a severity on the dashboard.
fn class(severity: &Severity) -> &'static str {
    match severity {
        Severity::Ok => "ok",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// The style of a file's state on the dashboard.
fn state_class(file: &FileStatus) -> &'static str {
    match file.state {
        FileState::Offered | FileState::InSync => "ok",
        FileState::Withheld | FileState::OnlyHere => "warning",
        FileState::Differs | FileState::Missing => "critical",
    }
}

/// The style of a standby's state on the dashboard.
fn standby_class(standby: &StandbyStatus) -> &'static str {
    match (standby.silent, &standby.problem) {
        (true, _) => "warning",
        (false, Some(problem)) => class(&problem.severity),
        (false, None) if standby.in_sync => "ok",
        (false, None) => "warning",
    }
}

/// The word on the database that stands out on the dashboard.
fn database_state(database: &Picture) -> &'static str {
    match database.findings.iter().map(|finding| finding.severity).max() {
        None | Some(Severity::Ok) => "well",
        Some(Severity::Warning) => "warning",
        Some(Severity::Critical) => "critical",
    }
}

/// The style of what a promotion would do now.
fn preflight_class(preflight: &Preflight) -> &'static str {
    class(&preflight.severity())
}

fn database_class(database: &Picture) -> &'static str {
    let worst = database.findings.iter().map(|finding| finding.severity).max();
    class(&worst.unwrap_or(Severity::Ok))
}

/// Names on the dashboard, one after the other.
fn list<T: std::fmt::Display>(names: &[T]) -> String {
    words::list(names)
}

/// What a file is called on the dashboard.
fn file_name(file: &FileStatus) -> String {
    match &file.name {
        Name::Plugin(jar) => jar.to_string(),
        other => other.to_string(),
    }
}

/// The beginning of a digest, as the dashboard shows it.
fn short(digest: &Digest) -> String {
    format!("{digest:.12}")
}

/// A span of time on the dashboard: two steps of precision are enough for a person.
fn age(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

/// A time on the dashboard: `2026-11-23 01:02:03 UTC`.
fn moment(ms: &i64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000))
        .ok()
        .and_then(|time| time.format(format).ok())
        .unwrap_or_default()
}

/// A size on the dashboard. A reference, since askama hands fields over by reference.
fn size(bytes: &u64) -> String {
    words::size(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_host_and_port_become_a_link() {
        for (base, link) in [
            ("https://standbygo:8155", true),
            ("https://[fd00::1]:8155", true),
            ("http://127.0.0.1:8155", true),
            ("javascript:alert(1)", false),
            ("https://standbygo", false),
            ("https://standbygo:8155/", false),
            ("https://standbygo:8155\"><script>", false),
            ("https://user@standbygo:8155", false),
            ("https://standbygo:8155#x", false),
            ("HTTPS://standbygo:8155", false),
            ("http://standbygo:8155", false),
            ("", false),
        ] {
            let expected = link.then(|| format!("{base}{PREFIX}/admin/dashboard"));
            assert_eq!(dashboard(base), expected, "{base}");
        }
    }

    #[test]
    fn ages_moments_and_sizes_in_words() {
        let ages: Vec<_> = [-5, 900, 61_000, 3_700_000, 200_000_000].into_iter().map(age).collect();
        assert_eq!(ages, ["0 s", "0 s", "1 min 1 s", "1 h 1 min", "2 d 7 h"]);
        let sizes: Vec<_> = [5, 2048, 5 << 20].iter().map(size).collect();
        assert_eq!(moment(&1_795_395_723_999), "2026-11-23 01:02:03 UTC");
        assert_eq!(sizes, ["5 B", "2.0 KiB", "5.0 MiB"]);
    }
}
