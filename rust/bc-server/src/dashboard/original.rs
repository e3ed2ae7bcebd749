//! `dashboard.json` with the fields of the original product, so that scripts written for it go on working.
//!
//! The primary's side has objects where the standby's side has texts, as it was there. What was called the
//! week year in its dates is the calendar year here, and they are in UTC. Our own fields are all under `status`, but
//! for what is computed from it: `severity` and `headline`.

use bc_core::{
    manifest::Name,
    status::{FileStatus, FileVersion, Status},
};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, macros::format_description};

/// The document for this status.
pub(super) fn json(status: &Status) -> Value {
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
        document["primaryServerDetails"] = primary_details(status);
        if status.primary.is_some() {
            document["standbyServerDetails"] = standby_details(status);
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

fn primary_details(status: &Status) -> Value {
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
        if let Some(version) = version(status, &name, |file| file.primary.as_ref()) {
            details.insert(key.to_owned(), json!({"md5": md5(version)}));
        }
    }
    details.insert(
        "pluginStatus".to_owned(),
        json!(plugins(status, |file| file.primary.as_ref())),
    );
    if let (Some(primary), Some(sync)) = (primary, &status.sync)
        && !primary.connected
        && let Some(error) = sync.errors.last()
    {
        details.insert("error".to_owned(), json!(error.message));
    }
    Value::Object(details)
}

fn standby_details(status: &Status) -> Value {
    let mut details = Map::new();
    details.insert(
        "primaryStatusCheckInterval".to_owned(),
        json!(status.primary_check_interval_ms),
    );
    let last = status.primary.as_ref().and_then(|primary| primary.last_exchange_ms);
    details.insert("lastUpdateTime".to_owned(), json!(date(last)));
    details.insert("latestReceivedDatabaseWalLocation".to_owned(), json!(NOT_AVAILABLE));
    for (name, key) in CONFIG {
        if let Some(version) = version(status, &name, |file| file.standby.as_ref()) {
            details.insert(key.to_owned(), json!(md5(version)));
        }
    }
    details.insert(
        "pluginStatus".to_owned(),
        json!(plugins(status, |file| file.standby.as_ref())),
    );
    Value::Object(details)
}

/// This version does not watch the database.
const NOT_AVAILABLE: &str = "Not Available";

fn version<'a>(
    status: &'a Status,
    name: &Name,
    side: impl Fn(&'a FileStatus) -> Option<&'a FileVersion>,
) -> Option<&'a FileVersion> {
    side(status.files.iter().find(|file| file.name == *name)?)
}

/// Empty until it is known.
fn md5(version: &FileVersion) -> String {
    version.md5.get().unwrap_or_default()
}

/// `a.jar=md5, b.jar=md5`.
fn plugins<'a>(status: &'a Status, side: impl Fn(&'a FileStatus) -> Option<&'a FileVersion>) -> String {
    let plugins: Vec<String> = status
        .files
        .iter()
        .filter_map(|file| match &file.name {
            Name::Plugin(jar) => Some(format!("{jar}={}", md5(side(file)?))),
            _ => None,
        })
        .collect();
    plugins.join(", ")
}

/// `Nov 23, 2026 01:02:03`, UTC; empty for never.
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
