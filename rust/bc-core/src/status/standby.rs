//! What a primary knows of its standbys.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{
    basics::{Fingerprint, NodeId},
    generation::{Run, run},
    gocd::version,
    keys::Standing,
    status::report::{ReportedGeneration, ReportedProblem},
};

/// What a primary knows of one standby that it trusts, from its reports. Times are by the primary's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandbyStatus {
    /// Its node id.
    pub node_id: NodeId,
    /// The key that it has proven to hold; there is always one.
    pub fingerprint: Option<Fingerprint>,
    /// Always [`Standing::Trusted`].
    pub standing: Standing,
    /// How it is reached: scheme, host and port.
    pub url: Option<String>,
    /// Version of its plugin.
    pub product_version: String,
    /// Version of its GoCD.
    pub gocd_version: Option<String>,
    /// The generation that is live there.
    pub generation: Option<ReportedGeneration>,
    /// When that was made live there; none where it is not known.
    pub applied_ms: Option<i64>,
    /// Whether it says itself that it is in sync; none where its version does not say.
    #[serde(default)]
    pub says_in_sync: Option<bool>,
    /// Whether it is in sync as far as this primary knows: it is heard, has the newest generation, and says itself that
    /// its live files are those.
    #[serde(default)]
    pub in_sync: bool,
    /// When the first generation that it lacks came to be; none while it has the newest.
    pub behind_since_ms: Option<i64>,
    /// When it last reported.
    pub reported_ms: i64,
    /// Whether that is longer ago than `bc.standby.silence`.
    pub silent: bool,
    /// Its newest error; none once a sync succeeded.
    pub error: Option<String>,
    /// Why the newest generation is not live there.
    pub problem: Option<ReportedProblem>,
    /// Which of this primary's keys it accepts.
    pub confirms: Vec<Fingerprint>,
    /// Which run of it reported this, and from where.
    #[serde(default, deserialize_with = "run::if_run", skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// Whether another server reports under the same node id and key at the same time.
    #[serde(default)]
    pub doubled: bool,
}

impl StandbyStatus {
    /// What people call a standby on the status: its address, else the beginning of its node id. Where another server
    /// has the same identity, also where it is.
    pub fn name(&self) -> String {
        let name = match &self.url {
            Some(url) => url.trim_start_matches("https://").to_owned(),
            None => format!("node {:.8}", self.node_id),
        };
        match self.run.as_ref().filter(|_| self.doubled) {
            Some(run) => format!("{name} ({})", run.in_short()),
            None => name,
        }
    }

    /// How far a standby follows, in a word or two.
    pub fn state(&self) -> &'static str {
        match (self.silent, self.behind_since_ms, self.says_in_sync) {
            (true, _, _) => "silent",
            (false, Some(_), _) => "behind",
            (false, None, _) if self.in_sync => "in sync",
            (false, None, Some(_)) => "not in sync",
            (false, None, None) => "not known",
        }
    }
}

/// One standby, whatever number of servers reports as it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandbyNode<'a> {
    /// Its node id.
    pub node_id: &'a str,
    /// Servers that report as it: one, but where it was copied.
    pub servers: usize,
    /// When the last of them reported, by the primary's clock.
    pub reported_ms: i64,
    /// Whether all of them are in sync.
    pub in_sync: bool,
}

/// The standby nodes in the order of their node ids, each once.
pub fn standby_nodes(standbys: &[StandbyStatus]) -> Vec<StandbyNode<'_>> {
    let mut nodes = BTreeMap::new();
    for standby in standbys {
        let node = nodes.entry(&*standby.node_id).or_insert(StandbyNode {
            node_id: &standby.node_id,
            servers: 0,
            reported_ms: standby.reported_ms,
            in_sync: true,
        });
        node.servers += 1;
        node.reported_ms = node.reported_ms.max(standby.reported_ms);
        node.in_sync &= standby.in_sync;
    }
    nodes.into_values().collect()
}

/// What a primary with this GoCD says of a pair that is upgraded by way of its standby; none where no standby that is heard
/// is known to have a newer one.
pub fn upgrade(own_gocd: Option<&str>, standbys: &[StandbyStatus]) -> Option<String> {
    let own = own_gocd?;
    let mut heard = standbys.iter().filter(|standby| !standby.silent);
    let (theirs, migrates) = heard.find_map(|standby| {
        let theirs = standby.gocd_version.as_deref()?;
        Some((theirs, version::migrates_at(&standby.name(), theirs, own)?))
    })?;
    Some(format!(
        "an upgrade is under way: {migrates}. It follows all the same. Hand over when it is in sync (`gocd-bc demote \
         --handover` here, `gocd-bc promote` there), then install GoCD {theirs} on this server."
    ))
}

/// What to say of each standby of which several servers report, by node id: who they are and what to do.
pub fn doubled(standbys: &[StandbyStatus]) -> BTreeMap<&str, String> {
    let mut by_node: BTreeMap<&str, Vec<&StandbyStatus>> = BTreeMap::new();
    for standby in standbys.iter().filter(|standby| standby.doubled) {
        by_node.entry(&standby.node_id).or_default().push(standby);
    }
    let said = by_node.into_iter().map(|(node_id, several)| {
        let runs: Vec<_> = several.iter().filter_map(|standby| standby.run.clone()).collect();
        let key = several.iter().find_map(|standby| standby.fingerprint);
        let key = key.map(|key| key.to_string()).unwrap_or_default();
        let message = format!(
            "{} servers report as one standby, with the same node id {node_id:.8} and key: {}. One is a copy of the other, \
             or its key was stolen; each is listed by its own reports. Stop GoCD on the copy, run `gocd-bc identity new` \
             there, and start it again; its new key then waits for `gocd-bc trust` here. If none of them is to be \
             trusted: gocd-bc trust --remove {key}",
            several.len(),
            run::named(&runs)
        );
        (node_id, message)
    });
    said.collect()
}

/// Somebody who has reported with the token and is not trusted. Nothing of what he says of himself is kept but the node
/// id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// The node that he says he is.
    pub node_id: NodeId,
    /// The key that he has proven to hold.
    pub fingerprint: Option<Fingerprint>,
    /// Never [`Standing::Trusted`].
    pub standing: Standing,
    /// Where the connection came from.
    pub address: Option<IpAddr>,
    /// When he last reported, by the primary's clock.
    pub reported_ms: i64,
}

impl Stranger {
    /// Who a stranger is and why he is not trusted, in one line without a word of his own.
    pub fn description(&self) -> String {
        let address = self.address.map(|address| format!(" at {address}")).unwrap_or_default();
        let who = format!("node {:.8}{address}", self.node_id);
        match (self.standing, self.fingerprint) {
            (Standing::Removed, Some(key)) => format!("{who} with the key {key}, which was removed here"),
            (Standing::Foreign, Some(key)) => format!(
                "{who} with the key {key}, of which the peers file says otherwise: that node has another key, or that key \
                 another node"
            ),
            (_, Some(key)) => format!("{who} with the key {key}"),
            (_, None) => format!("{who} without a key"),
        }
    }
}

/// All strangers in one line: how many, the first few of them, and what to do. None where there are none.
pub(super) fn strangers_line(strangers: &[Stranger]) -> Option<String> {
    const NAMED: usize = 3;
    let (verb, them) = match strangers.len() {
        0 => return None,
        1 => ("other has", "it is"),
        _ => ("others have", "they are"),
    };
    let names: Vec<_> = strangers.iter().take(NAMED).map(Stranger::description).collect();
    let more = match strangers.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Some(format!(
        "{} {verb} reported with the token, but {them} not trusted: {}{more}. Where one is a standby of yours, compare its \
         key with `gocd-bc identity show` there and run `gocd-bc trust` with that key here.",
        strangers.len(),
        names.join("; ")
    ))
}

/// Somebody with the token who asks a primary for its files in the way of the original product, as a GoCD 20.6 to 22.3 does that
/// is passive by its own means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldStandby {
    /// Where the connection came from.
    pub address: IpAddr,
    /// When he last asked, by the primary's clock.
    pub asked_ms: i64,
}

/// All of them in one line: the first few, and what to do. None where there are none.
pub(super) fn old_standbys_line(old: &[OldStandby]) -> Option<String> {
    const NAMED: usize = 3;
    let (servers, no_standby) = match old.len() {
        0 => return None,
        1 => ("1 server follows".to_owned(), "it is no standby"),
        more => (format!("{more} servers follow"), "they are no standbys"),
    };
    let names: Vec<_> = old.iter().take(NAMED).map(|one| one.address.to_string()).collect();
    let more = match old.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "{servers} by the means of GoCD 20.6 to 22.3 itself, with the token: {}{more}. There GoCD runs, passive at best, and \
         verifies nothing of what it takes; {no_standby} of this plugin. `gocd-bc setup standby` there makes one.",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(node_id: &str, reported_ms: i64, in_sync: bool) -> StandbyStatus {
        StandbyStatus {
            node_id: node_id.parse().expect("id"),
            fingerprint: None,
            standing: Standing::Trusted,
            url: None,
            product_version: "1".to_owned(),
            gocd_version: None,
            generation: None,
            applied_ms: None,
            says_in_sync: Some(in_sync),
            in_sync,
            behind_since_ms: None,
            reported_ms,
            silent: false,
            error: None,
            problem: None,
            confirms: Vec::new(),
            run: None,
            doubled: false,
        }
    }

    #[test]
    fn a_primary_says_that_a_standby_that_it_hears_has_a_newer_gocd() {
        let with = |gocd: Option<&str>, silent| StandbyStatus {
            url: Some("https://standbygo:8155".to_owned()),
            gocd_version: gocd.map(str::to_owned),
            silent,
            ..reports(&"a".repeat(32), 1, true)
        };
        let newer = [with(Some("25.4.0-1"), false), with(Some("26.1.0-1"), false)];
        let said = upgrade(Some("25.4.0-1"), &newer).expect("newer");
        for part in [
            "an upgrade is under way",
            "standbygo",
            "26.1.0-1",
            "25.4.0-1",
            "no way back",
            "demote --handover",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        for (own, standby) in [
            (Some("26.1.0-1"), with(Some("26.1.0-1"), false)),
            (Some("26.1.0-1"), with(Some("25.4.0-1"), false)),
            (Some("25.4.0-1"), with(Some("26.1.0-1"), true)),
            (Some("25.4.0-1"), with(None, false)),
            (Some("nightly"), with(Some("26.1.0-1"), false)),
            (None, with(Some("26.1.0-1"), false)),
        ] {
            assert_eq!(
                upgrade(own, std::slice::from_ref(&standby)),
                None,
                "{own:?}, {standby:?}"
            );
        }
    }

    #[test]
    fn a_standby_that_was_copied_is_one_and_as_well_as_the_worse_of_both() {
        let [a, b] = ["a", "b"].map(|digit| digit.repeat(32));
        let listed = [reports(&b, 5, true), reports(&a, 1, true), reports(&b, 3, false)];
        let node = |node_id, servers, reported_ms, in_sync| StandbyNode {
            node_id,
            servers,
            reported_ms,
            in_sync,
        };
        assert_eq!(standby_nodes(&listed), [node(&a, 1, 1, true), node(&b, 2, 5, false)]);
    }

    #[test]
    fn who_follows_in_the_old_way_is_one_bounded_line() {
        let old = |number: u8| OldStandby {
            address: IpAddr::from([10, 0, 0, number]),
            asked_ms: 0,
        };
        assert_eq!(old_standbys_line(&[]), None);
        let one = old_standbys_line(&[old(7)]).expect("one");
        assert!(
            one.starts_with("1 server follows") && one.contains("token: 10.0.0.7. "),
            "{one}"
        );
        let many: Vec<_> = (0..32).map(old).collect();
        let line = old_standbys_line(&many).expect("many");
        assert!(
            line.starts_with("32 servers follow") && line.contains("10.0.0.2 and 29 more."),
            "{line}"
        );
    }

    #[test]
    fn strangers_are_one_bounded_line() {
        let stranger = |number: u32| Stranger {
            node_id: format!("{number:032x}").parse().expect("id"),
            fingerprint: Some(Fingerprint::of_public_key(&number.to_be_bytes())),
            standing: Standing::Seen,
            address: Some(IpAddr::from([10, 0, 0, 7])),
            reported_ms: 0,
        };
        assert_eq!(strangers_line(&[]), None);
        let one = strangers_line(&[stranger(1)]).expect("one");
        let key = Fingerprint::of_public_key(&1_u32.to_be_bytes());
        let begins = format!(
            "1 other has reported with the token, but it is not trusted: node 00000000 at 10.0.0.7 with the key {key}. "
        );
        assert!(one.starts_with(&begins), "{one}");
        let many: Vec<_> = (0..40).map(stranger).collect();
        let line = strangers_line(&many).expect("many");
        assert!(
            line.starts_with("40 others have") && line.contains("; and 37 more."),
            "{line}"
        );
        assert!(line.len() < 1000 && !line.contains('\n'), "{line}");
    }
}
