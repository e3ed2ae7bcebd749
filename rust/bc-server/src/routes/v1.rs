//! The protocol of GoCD 20.6 to 22.3, so that an unmodified standby can follow this primary.
//!
//! Paths, content types and JSON are those of GoCD's `PrimaryStatusProviderController`; the client is GoCD's
//! `StandbyFileSyncService`. Unlike there, every request needs the token, which that client sends anyway
//! (leaving it out was CVE-2021-43287). That client knows no digest beside the four configuration files and,
//! in 20.x, `DES_CIPHER`: any other key breaks it. It puts plugin names into URLs as they are, so a name with
//! a blank, a `%` or another character that does not survive that is left out here. It removes a plugin that is not
//! listed, so that there is no list while one is there and is not offered.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use bc_core::{
    basics::percent,
    generation::{Entry, JarName, Md5, Name},
    node::both::Side,
    primary::Offered,
    status::{FileStatus, Status},
};
use serde::Serialize;

use super::{
    content,
    source::{self, NoSource},
};
use crate::{context::Context, listener::Connection};

/// Answers an old standby that asks whether this primary is there.
pub(super) async fn health_check(State(context): State<Context>) -> Result<&'static str, NoSource> {
    // Not before the first reading: the old standby would ask for the status next, in vain.
    source::offered(&context).map(|_| "OK!")
}

/// Answers an old standby with the position of the database. The original answers with 200 in either case.
pub(super) async fn wal_location(State(context): State<Context>) -> Result<String, NoSource> {
    source::offer(&context)?;
    let position = context.status.look(Status::database_position);
    Ok(position.map_or_else(
        || "Not Available, Reason, no database that takes writes has answered".to_owned(),
        |position| position.written.to_string(),
    ))
}

/// Lists what is on offer for an old standby, when all its MD5s are known: the old protocol compares files by them. A
/// file that cannot be read, or was replaced since, has none, and an old standby would take it for removed: it is to
/// ask again.
async fn with_md5s(context: &Context) -> Result<(Arc<Offered>, BTreeMap<Name, Md5>), NoSource> {
    source::offered(context)?;
    let (offered, both) = context.offered_with_md5s().await.ok_or(NoSource::TooEarly)?;
    let md5 = |file: &FileStatus| {
        let md5 = both.md5(Side::Primary, file)?.ok()?;
        Some((file.name.clone(), md5))
    };
    if !both.is_whole() {
        return Err(NoSource::TooEarly);
    }
    let md5s = both.files.iter().filter_map(md5).collect();
    Ok((offered, md5s))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigFilesStatus {
    config_files_update_interval: u64,
    last_config_files_update_time: i64,
    file_details_map: BTreeMap<&'static str, FileDetails>,
}

#[derive(Serialize)]
struct FileDetails {
    md5: Md5,
}

/// Answers an old standby with the MD5s of the configuration files. Whoever asks for these is noted as one.
pub(super) async fn config_files_status(
    State(context): State<Context>,
    connection: Option<Extension<Connection>>,
) -> Result<Json<ConfigFilesStatus>, NoSource> {
    let (offered, md5s) = with_md5s(&context).await?;
    if let (Some(standbys), Some(Extension(connection))) = (&context.standbys, connection) {
        standbys.asks_in_the_old_way(connection.peer().ip(), context.status.now_ms());
    }
    let details = |(name, md5): (&Name, &Md5)| Some((key(name)?, FileDetails { md5: *md5 }));
    let file_details_map = md5s.iter().filter_map(details).collect();
    Ok(Json(ConfigFilesStatus {
        config_files_update_interval: u64::try_from(context.settings.file_check_interval.as_millis())
            .unwrap_or(u64::MAX),
        last_config_files_update_time: offered.snapshot.scanned_ms,
        file_details_map,
    }))
}

/// The name of a configuration file in GoCD's `ConfigFileType`, for the old protocol.
fn key(name: &Name) -> Option<&'static str> {
    match name {
        Name::CruiseConfig => Some("CRUISE_CONFIG_XML"),
        Name::CipherAes => Some("AES_CIPHER"),
        Name::CipherDes => Some("DES_CIPHER"),
        Name::JettyXml => Some("JETTY_XML"),
        Name::FeatureToggles => Some("USER_FEATURE_TOGGLE"),
        Name::Plugin(_) | Name::Extra(_) => None,
    }
}

#[derive(Serialize)]
pub(super) struct PluginFilesStatus {
    /// Every node has those of its own GoCD.
    bundled: [PluginFile; 0],
    external: Vec<PluginFile>,
}

#[derive(Serialize)]
struct PluginFile {
    name: String,
    md5: Md5,
}

/// Answers an old standby with the MD5s of the external plugins.
pub(super) async fn plugin_files_status(State(context): State<Context>) -> Result<Json<PluginFilesStatus>, NoSource> {
    let (offered, md5s) = with_md5s(&context).await?;
    if offered.snapshot.manifest.withheld.has_plugin() {
        return Err(NoSource::Withheld);
    }
    let plugin = |(name, md5): (&Name, &Md5)| match name {
        Name::Plugin(jar) if survives_a_url(jar) => Some(PluginFile {
            name: jar.to_string(),
            md5: *md5,
        }),
        _ => None,
    };
    let external = md5s.iter().filter_map(plugin).collect();
    Ok(Json(PluginFilesStatus { bundled: [], external }))
}

/// Whether the name of a jar is the same in a URL of the old protocol, whose client encodes nothing.
fn survives_a_url(jar: &JarName) -> bool {
    jar.as_str()
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+!$'()*,;@=".contains(&byte))
}

/// Answers an old standby with the content of `cruise-config.xml`.
pub(super) async fn cruise_config(context: State<Context>, headers: HeaderMap) -> Response {
    config_file(context, Name::CruiseConfig, &headers, "text/xml;charset=UTF-8").await
}

/// Answers an old standby with the content of `jetty.xml`.
pub(super) async fn jetty_config(context: State<Context>, headers: HeaderMap) -> Response {
    config_file(context, Name::JettyXml, &headers, "text/xml;charset=UTF-8").await
}

/// Answers an old standby with the content of `cipher.aes`.
pub(super) async fn cipher_aes(context: State<Context>, headers: HeaderMap) -> Response {
    config_file(context, Name::CipherAes, &headers, "text/plain;charset=UTF-8").await
}

/// Answers an old standby with the content of the file `cipher`, the key of DES.
pub(super) async fn cipher_des(context: State<Context>, headers: HeaderMap) -> Response {
    config_file(context, Name::CipherDes, &headers, "text/plain;charset=UTF-8").await
}

/// Answers an old standby with the content of the file of feature toggles.
pub(super) async fn user_feature_toggle(context: State<Context>, headers: HeaderMap) -> Response {
    config_file(context, Name::FeatureToggles, &headers, "text/json;charset=UTF-8").await
}

/// Answers an old standby with the content of a configuration file.
async fn config_file(
    State(context): State<Context>,
    name: Name,
    headers: &HeaderMap,
    content_type: &'static str,
) -> Response {
    let offered = match source::offered(&context) {
        Ok(offered) => offered,
        Err(nothing) => return nothing.into_response(),
    };
    match offered.snapshot.manifest.files.get(&name).map(|entry| entry.sha256) {
        Some(digest) => content::answer(&context, offered, digest, headers, content_type).await,
        None => content::gone(),
    }
}

/// Answers an old standby with the jar of a plugin: `?folderName=external&pluginName=x.jar`. The original takes a blank
/// folder, or `bundled`, for the bundled plugins, which are not synced, and anything else for the external ones; here
/// it must be `external`.
pub(super) async fn plugin(State(context): State<Context>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let offered = match source::offered(&context) {
        Ok(offered) => offered,
        Err(nothing) => return nothing.into_response(),
    };
    let Some(query) = PluginQuery::parse(query.as_deref().unwrap_or_default()) else {
        return (StatusCode::BAD_REQUEST, "the query is malformed").into_response();
    };
    let wanted: Option<JarName> = query.plugin.parse().ok();
    let entry: Option<&Entry> = wanted
        .filter(|_| query.folder == "external")
        .and_then(|jar| offered.snapshot.manifest.files.get(&Name::Plugin(jar)));
    match entry.map(|entry| entry.sha256) {
        Some(digest) => content::answer(&context, offered, digest, &headers, "application/octet-stream").await,
        None => content::gone(),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct PluginQuery {
    folder: String,
    plugin: String,
}

impl PluginQuery {
    /// Parses the query of an old standby for a plugin; none when a part is repeated or is not UTF-8 behind its percent
    /// signs. A plus is a plus, since that client does not encode names.
    fn parse(query: &str) -> Option<Self> {
        let (mut folder, mut plugin) = (None, None);
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let part = match key {
                "folderName" => &mut folder,
                "pluginName" => &mut plugin,
                _ => continue,
            };
            if part.replace(percent::decoded(value)?).is_some() {
                return None;
            }
        }
        Some(Self {
            folder: folder.unwrap_or_default(),
            plugin: plugin.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_as_old_standbys_write_them() {
        let parsed = |query| PluginQuery::parse(query).map(|query| (query.folder, query.plugin));
        let both = |folder: &str, plugin: &str| Some((folder.to_owned(), plugin.to_owned()));
        assert_eq!(
            parsed("folderName=external&pluginName=a-1.0+7.jar"),
            both("external", "a-1.0+7.jar")
        );
        assert_eq!(parsed("pluginName=%2e%2E/x.jar"), both("", "../x.jar"));
        assert_eq!(parsed(""), both("", ""));
        for malformed in [
            "pluginName=%",
            "pluginName=%2",
            "pluginName=%zz",
            "pluginName=%ff",
            "pluginName=a&pluginName=b",
        ] {
            assert_eq!(parsed(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn names_that_break_the_old_client_are_known() {
        for (name, survives) in [
            ("a-1.2_3+4.jar", true),
            ("a b.jar", false),
            ("a%20b.jar", false),
            ("ä.jar", false),
        ] {
            assert_eq!(survives_a_url(&name.parse().expect("a jar")), survives, "{name}");
        }
    }
}
