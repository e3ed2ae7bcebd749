//! `dashboard.json` with the fields of the original product, so that scripts written for it go on working.
//!
//! The primary's side has objects where the standby's side has texts, as it was there. What was called the week year in
//! its dates is the calendar year here, and they are in UTC. Our own fields are all under `status`, but for what is
//! computed from it, `severity` and `headline`, and `unknownMd5s`, which says of each MD5 that is not known why. In the
//! place of such a one there is a word that is none and that the other node never has: whoever compares both finds a
//! difference.

use bc_core::{
    basics::words,
    database::picture::Picture,
    generation::Name,
    node::both::{Both, Side},
    status::{FileStatus, Status, report::MAX_TEXT},
};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, macros::format_description};

/// Makes the JSON document of the original product's dashboard from this status.
pub(super) fn json(status: &Status, both: &Both) -> Value {
    let errors: Vec<String> = match &status.sync {
        Some(sync) => sync
            .errors
            .iter()
            .map(|error| {
                format!(
                    "[{}] Error while syncing files. Reason, {}",
                    date(Some(error.at_ms)),
                    error.message
                )
            })
            .collect(),
        None => Vec::new(),
    };
    let complete = status
        .primary
        .as_ref()
        .is_none_or(|primary| primary.last_exchange_ms.is_some());
    let mut document = json!({
        "userName": status.user,
        "setupStatus": if complete { "success" } else { "incomplete" },
        "syncErrors": errors,
        "severity": status.severity(),
        "headline": status.headline(),
        "status": status,
    });
    if complete {
        let mut unknown = Vec::new();
        document["primaryServerDetails"] = primary_details(status, &mut Md5s::of(both, Side::Primary, &mut unknown));
        if status.primary.is_some() {
            document["standbyServerDetails"] =
                standby_details(status, &mut Md5s::of(both, Side::Standby, &mut unknown));
        }
        if !unknown.is_empty() {
            document["unknownMd5s"] = json!(unknown);
        }
    }
    document
}

const CONFIG: [(Name, &str); 4] = [
    (Name::CruiseConfig, "CRUISE_CONFIG_XML"),
    (Name::CipherAes, "AES_CIPHER"),
    (Name::JettyXml, "JETTY_XML"),
    (Name::FeatureToggles, "USER_FEATURE_TOGGLE"),
];

/// Makes the part of the original's JSON about a primary.
fn primary_details(status: &Status, md5s: &mut Md5s<'_>) -> Value {
    let primary = status.primary.as_ref();
    let mut details = Map::new();
    let own = status
        .external_url
        .clone()
        .or_else(|| Some(format!("https://{}", status.listening.clone()?)));
    details.insert(
        "url".to_owned(),
        json!(primary.map(|primary| primary.url.clone()).or(own)),
    );
    let wal = primary.and_then(|primary| primary.wal_location.clone());
    details.insert(
        "latestDatabaseWalLocation".to_owned(),
        json!(wal.unwrap_or_else(|| NOT_AVAILABLE.to_owned())),
    );
    let interval = primary.and_then(|primary| primary.file_check_interval_ms);
    details.insert(
        "configFilesUpdateInterval".to_owned(),
        json!(interval.unwrap_or(status.file_check_interval_ms)),
    );
    let scanned = primary.map_or(status.scanned_ms, |primary| primary.scanned_ms);
    details.insert("lastConfigUpdateTime".to_owned(), json!(date(scanned)));
    for (name, key) in CONFIG {
        if let Some(md5) = md5s.named(&name) {
            details.insert(key.to_owned(), json!({"md5": md5}));
        }
    }
    details.insert("pluginStatus".to_owned(), json!(md5s.plugins()));
    if let (Some(primary), Some(sync)) = (primary, &status.sync)
        && !primary.connected
        && let Some(error) = sync.errors.last()
    {
        details.insert("error".to_owned(), json!(error.message));
    }
    Value::Object(details)
}

/// Makes the part of the original's JSON about a standby.
fn standby_details(status: &Status, md5s: &mut Md5s<'_>) -> Value {
    let mut details = Map::new();
    details.insert(
        "primaryStatusCheckInterval".to_owned(),
        json!(status.primary_check_interval_ms),
    );
    let last = status.primary.as_ref().and_then(|primary| primary.last_exchange_ms);
    details.insert("lastUpdateTime".to_owned(), json!(date(last)));
    let received = status.database.as_ref().and_then(Picture::received);
    details.insert(
        "latestReceivedDatabaseWalLocation".to_owned(),
        json!(received.map_or_else(|| NOT_AVAILABLE.to_owned(), |position| position.to_string())),
    );
    for (name, key) in CONFIG {
        if let Some(md5) = md5s.named(&name) {
            details.insert(key.to_owned(), json!(md5));
        }
    }
    details.insert("pluginStatus".to_owned(), json!(md5s.plugins()));
    Value::Object(details)
}

/// What the original says where it does not know.
const NOT_AVAILABLE: &str = "Not Available";

/// The MD5s of one node's files, as texts.
struct Md5s<'a> {
    both: &'a Both,
    side: Side,
    /// Which are not known, and why.
    unknown: &'a mut Vec<String>,
}

impl<'a> Md5s<'a> {
    /// The MD5s of one node for the original's JSON; names whose MD5 is unknown are added to `unknown`.
    fn of(both: &'a Both, side: Side, unknown: &'a mut Vec<String>) -> Self {
        Self { both, side, unknown }
    }

    /// The MD5 of a configuration file in the original's JSON; none where it is not there.
    fn named(&mut self, name: &Name) -> Option<String> {
        let both = self.both;
        self.text(both.files.iter().find(|file| file.name == *name)?)
    }

    /// Lists plugins as the original's JSON does: `a.jar=md5, b.jar=md5`.
    fn plugins(&mut self) -> String {
        let both = self.both;
        let plugin = |file: &FileStatus| match &file.name {
            Name::Plugin(jar) => Some(format!("{jar}={}", self.text(file)?)),
            _ => None,
        };
        let plugins: Vec<String> = both.files.iter().filter_map(plugin).collect();
        plugins.join(", ")
    }

    /// The MD5 of a file as the original's JSON has it.
    fn text(&mut self, file: &FileStatus) -> Option<String> {
        let (unknown, place) = match self.side {
            Side::Primary => ("unknown-on-primary", "the primary"),
            Side::Standby => ("unknown-on-standby", "the standby"),
        };
        Some(match self.both.md5(self.side, file)? {
            Ok(md5) => md5.to_string(),
            Err(why) => {
                let why = words::shown(&why, MAX_TEXT);
                self.unknown.push(format!("{} on {place}: {why}", file.name));
                unknown.to_owned()
            }
        })
    }
}

/// A time as the original's JSON has it: `Nov 23, 2026 01:02:03`, UTC; empty for never.
fn date(ms: Option<i64>) -> String {
    let format = format_description!("[month repr:short] [day padding:none], [year] [hour]:[minute]:[second]");
    ms.and_then(|ms| OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).ok())
        .and_then(|time| time.format(format).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_look_as_they_did() {
        assert_eq!(date(Some(1_795_395_723_000)), "Nov 23, 2026 01:02:03");
        assert_eq!(date(None), "");
    }
}
