//! What the database of a server that was replaced needs before the server is a standby again.

use super::{look::Role, picture::Picture, promotion};

/// What the database needs, by one look at it before its server is a standby again; a sentence for people, with the command
/// to type.
pub fn way_back(picture: &Picture) -> String {
    if let Some(what) = &picture.not_covered {
        return format!(
            "Its database is {what}, which Business Continuity does not cover: give it what the new primary's has."
        );
    }
    let only = picture.servers.first().filter(|_| picture.servers.len() == 1);
    let Some(own) = promotion::own(picture).or(only) else {
        return format!(
            "Which database is its own is not to be told: name it with bc.db.local.host. {}",
            reseed(None)
        );
    };
    let leader = picture
        .servers
        .iter()
        .find(|server| server.address != own.address && server.role == Some(Role::Primary));
    let name = &own.address;
    match (own.role, leader) {
        (Some(Role::Standby), Some(leader)) if leader.system == own.system && own.system.is_some() => {
            format!(
                "Its database at {name} is a replica of the one at {} already.",
                leader.address
            )
        }
        (Some(Role::Standby), _) => format!(
            "Its database at {name} is a standby already: `gocd-bc doctor` says whether it follows the new primary's."
        ),
        (Some(Role::Primary | Role::ReadOnly), leader) => format!(
            "Its database at {name} is none yet. {}",
            reseed(leader.map(|leader| leader.address.as_str()))
        ),
        (None, leader) => format!(
            "Its database at {name} does not answer, so what it is is not known. {}",
            reseed(leader.map(|leader| leader.address.as_str()))
        ),
    }
}

/// How to make it a replica of the one at `leader`.
fn reseed(leader: Option<&str>) -> String {
    let (address, which) = match leader {
        Some(leader) => (leader, ""),
        None => ("HOST:PORT", ", where HOST:PORT is the new primary's database"),
    };
    format!(
        "It must be a replica of the new primary's before this server starts: `gocd-bc setup database-standby --reseed \
         --primary {address} --write` on its host makes it one{which}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(servers: serde_json::Value) -> String {
        let picture = serde_json::from_value(serde_json::json!({ "servers": servers })).expect("a picture");
        way_back(&picture)
    }

    #[test]
    fn the_way_back_is_the_command_with_the_address_where_that_is_known() {
        let own = |role| serde_json::json!({"address": "db:5432", "is_own": true, "role": role, "system": "7"});
        let leader = serde_json::json!({"address": "other:5432", "role": "primary", "system": "7"});
        for (servers, part) in [
            (
                serde_json::json!([own("primary")]),
                "--reseed --primary HOST:PORT --write`",
            ),
            (
                serde_json::json!([own("primary"), leader]),
                "--reseed --primary other:5432 --write`",
            ),
            (
                serde_json::json!([own("standby"), leader]),
                "is a replica of the one at other:5432 already",
            ),
            (
                serde_json::json!([own("standby")]),
                "is a standby already: `gocd-bc doctor`",
            ),
            (
                serde_json::json!([{"address": "db:5432", "error": "refused"}]),
                "does not answer",
            ),
            (
                serde_json::json!([{"address": "a:1"}, {"address": "b:1"}]),
                "bc.db.local.host",
            ),
        ] {
            let said = of(servers);
            assert!(said.contains(part), "{part}: {said}");
        }
        let of_h2 = Picture {
            not_covered: Some("H2".to_owned()),
            ..Picture::default()
        };
        assert!(way_back(&of_h2).contains("is H2, which"));
    }
}
