//! Decisions about the PostgreSQL clusters on this host.

use super::{
    cluster::{Closed, Cluster, Inside},
    facts::Facts,
    finding::{Seen, Verdict},
    level::Level,
};
use crate::{
    basics::words::size,
    database::{
        followed::{self, Goal},
        look::Role,
        sql,
    },
};

/// With less on its disk a server will stop soon.
const TOO_LITTLE: u64 = 100_000_000;
/// With less somebody should look.
const LITTLE: u64 = 1 << 30;

/// Whether each cluster runs.
pub(super) fn runs(facts: &Facts) -> Verdict {
    each(facts, |cluster, seen| {
        if !cluster.is_running {
            seen.push(
                Seen::new(format!("the cluster {} in {} does not run", cluster.name, cluster.data))
                    .mend(&cluster.start),
            );
        }
        match &cluster.inside {
            Err(Closed::Silent(seconds)) => seen.push(
                Seen::new(format!(
                    "the cluster {} runs, and its superuser hears nothing from it within {seconds} s: it is stopped by a signal, \
                     or its disk does not answer",
                    cluster.name
                ))
                .mend(format!("ps -o pid,stat,wchan:20,args -p \"$(head -1 '{}/postmaster.pid')\"    # T: stopped; D: waits for a disk", cluster.data))
                .mend("pkill -CONT -u postgres -x postgres    # where it is stopped by a signal"),
            ),
            Err(Closed::NotReady(why)) => seen.push(
                Seen::new(format!("the cluster {} runs, and takes no connections: {why}", cluster.name))
                    .level(Level::Warning)
                    .mend("gocd-bc doctor    # again, once it has started; its log says what it waits for"),
            ),
            _ => {}
        }
        Ok(())
    })
}

/// Whether its superuser is let in.
pub(super) fn access(facts: &Facts) -> Verdict {
    let mut is_matter = false;
    let verdict = each(facts, |cluster, seen| {
        match &cluster.inside {
            Ok(_) => is_matter = true,
            Err(Closed::Refused { why, commands }) => {
                is_matter = true;
                let refused = Seen::new(format!("{}: {why}", cluster.name));
                seen.push(commands.iter().fold(refused, Seen::mend));
            }
            // That is said once, by `cluster-runs` or by what looks into it.
            Err(_) => {}
        }
        Ok(())
    });
    match verdict {
        Verdict::Well if !is_matter => Verdict::Elsewhere,
        verdict => verdict,
    }
}

/// Whether its data folder is as PostgreSQL wants it.
pub(super) fn data_folder(facts: &Facts) -> Verdict {
    each(facts, |cluster, seen| {
        if !matches!(cluster.mode & 0o777, 0o700 | 0o750) {
            seen.push(
                Seen::new(format!(
                    "the data folder {} has the mode {:04o}, with which PostgreSQL does not start",
                    cluster.data,
                    cluster.mode & 0o7777
                ))
                .mend(format!("chmod 0700 '{}'", cluster.data)),
            );
        }
        Ok(())
    })
}

/// Whether its disk has room.
pub(super) fn data_space(facts: &Facts) -> Verdict {
    each(facts, |cluster, seen| {
        let free = cluster.free.ok_or("the disk of the data folder cannot be looked at")?;
        if free < LITTLE {
            let level = if free < TOO_LITTLE {
                Level::Critical
            } else {
                Level::Warning
            };
            seen.push(
                Seen::new(format!("only {} are free on the disk of {}", size(free), cluster.data))
                    .level(level)
                    .mend(format!("du -xh --max-depth=1 '{}' | sort -h", cluster.data)),
            );
        }
        Ok(())
    })
}

/// Whether the rules in the file are those that count.
pub(super) fn rules(facts: &Facts) -> Verdict {
    each_inside(facts, |cluster, inside, seen| {
        for error in inside.rule_errors.iter().flatten() {
            seen.push(
                Seen::new(format!(
                    "line {} of pg_hba.conf of {} is wrong, so a reload takes none of it: {}",
                    error.line, cluster.name, error.error
                ))
                .mend(format!("editor +{} \"$(psql -XAtc 'show hba_file')\"", error.line))
                .mend("psql -c 'select pg_reload_conf()'"),
            );
        }
    })
}

/// Whether the settings in the files are those that count.
pub(super) fn settings(facts: &Facts) -> Verdict {
    each_inside(facts, |cluster, inside, seen| {
        for error in inside.setting_errors.iter().flatten() {
            seen.push(
                Seen::new(format!(
                    "the setting {} of {} is wrong: {}",
                    error.name, cluster.name, error.error
                ))
                .level(Level::Critical)
                .mend("psql -c 'select * from pg_file_settings where error is not null'"),
            );
        }
        let pending: Vec<&str> = inside.pending.iter().flatten().map(String::as_str).collect();
        if !pending.is_empty() {
            seen.push(
                Seen::new(format!(
                    "{} of {} was changed and waits for a restart",
                    pending.join(", "),
                    cluster.name
                ))
                .mend(&cluster.restart),
            );
        }
    })
}

/// Whether it has what a pair needs to follow and to change places.
pub(super) fn followable(facts: &Facts) -> Verdict {
    each_inside(facts, |cluster, inside, seen| {
        let goal = Goal {
            own: Vec::new(),
            free_bytes: cluster.free.unwrap_or_default(),
            share: None,
        };
        for change in followed::changes(cluster.major, &inside.settings, &goal) {
            seen.push(
                Seen::new(format!(
                    "{} of {} should be {}: {}",
                    change.name, cluster.name, change.value, change.why
                ))
                .mend(set(cluster, change.name, &change.value)),
            );
        }
        let roles = inside.roles.iter().flatten();
        for role in roles.filter(|role| (0..=2).contains(&role.limit)) {
            seen.push(
                Seen::new(format!(
                    "the role {} of {} may have {} connections, and a base backup takes two beside the standby's own",
                    role.name, cluster.name, role.limit
                ))
                .mend(format!(
                    "psql -c 'alter role {} connection limit 4'",
                    sql::identifier(&role.name)
                )),
            );
        }
        if inside
            .settings
            .get("listen_addresses")
            .is_some_and(|value| is_of_host(value))
            && !has_other_here(inside)
        {
            let what = format!("{} listens on this host alone: no standby reaches it", cluster.name);
            let restart = cluster.restart.as_str();
            seen.push(match cluster.is_standby {
                true => Seen::new(what)
                    .mend(set(cluster, "listen_addresses", "*"))
                    .mend(restart),
                false => Seen::new(what).mend("gocd-bc setup database-primary --standby ADDRESS --write --restart"),
            });
        }
        let has_role = inside.roles.as_ref().is_some_and(|roles| !roles.is_empty());
        if !cluster.is_standby && !has_role {
            seen.push(
                Seen::new(format!("no role of {} but a superuser may replicate", cluster.name))
                    .mend("gocd-bc setup database-primary --standby ADDRESS --write"),
            );
        }
        if !cluster.is_standby && has_role && !inside.admits_replication {
            seen.push(
                Seen::new(format!("no line in pg_hba.conf of {} lets a standby in", cluster.name))
                    .level(Level::Critical)
                    .mend("gocd-bc setup database-primary --standby ADDRESS --write"),
            );
        }
    })
}

/// What to type so that a cluster has a setting: the command that sets up a primary refuses a standby.
fn set(cluster: &Cluster, name: &str, value: &str) -> String {
    match cluster.is_standby {
        true => format!(
            "psql -p {} -c \"alter system set {name} = '{value}'\" -c 'select pg_reload_conf()'",
            cluster.port
        ),
        false => "gocd-bc setup database-primary --standby ADDRESS --write".to_owned(),
    }
}

/// Whether a server with these `listen_addresses` hears nobody from elsewhere.
fn is_of_host(listen_addresses: &str) -> bool {
    let mut addresses = listen_addresses.split(',').map(str::trim);
    addresses.all(|address| ["", "localhost", "127.0.0.1", "::1"].contains(&address))
}

/// Whether the other server of the pair is on this host too, as in a trial: a standby receives from this one, or it follows
/// one here. Loopback is all that both need.
fn has_other_here(inside: &Inside) -> bool {
    let has_senders = inside.facts.as_ref().is_some_and(|facts| facts.senders > 0);
    has_senders || inside.upstream.as_ref().is_some_and(|upstream| upstream.is_here)
}

/// Whether GoCD's role may promote.
pub(super) fn promote_grant(facts: &Facts) -> Verdict {
    let verdict = each_inside(facts, |cluster, inside, seen| {
        if let Some(gocd) = inside.gocd.as_ref().filter(|gocd| gocd.may_promote == Some(false)) {
            let on = if cluster.is_standby {
                "    # on the primary: it is copied"
            } else {
                ""
            };
            seen.push(
                Seen::new(format!(
                    "GoCD's role {} may not run pg_promote in its database {}",
                    gocd.owner, gocd.name
                ))
                .mend(format!(
                    "psql -d {} -c 'grant execute on function pg_promote(boolean,integer) to {}'{on}",
                    gocd.name,
                    sql::identifier(&gocd.owner)
                )),
            );
        }
    });
    let clusters = facts.clusters.as_ref().and_then(|clusters| clusters.as_ref().ok());
    let is_matter = |cluster: &Cluster| {
        let gocd = cluster.inside.as_ref().ok().and_then(|inside| inside.gocd.as_ref());
        gocd.is_some_and(|gocd| gocd.may_promote.is_some())
    };
    match verdict {
        Verdict::Well | Verdict::Elsewhere if !clusters.is_some_and(|clusters| clusters.iter().any(is_matter)) => {
            promote_grant_of_node(facts)
        }
        verdict => verdict,
    }
}

/// Whether the user with which the node here watches a database elsewhere may promote it.
fn promote_grant_of_node(facts: &Facts) -> Verdict {
    let database = facts.database();
    let servers = database.map_or(&[][..], |database| &database.servers);
    // Whoever runs it for others promotes it in another way, and version 11 has a file for that.
    let is_old = |version: &str| version.starts_with("11.");
    let matter = servers.iter().filter(|server| {
        let version = server.version.as_deref();
        server.role == Some(Role::Standby)
            && server.platform.is_none()
            && version.is_some_and(|version| !is_old(version))
    });
    let mut known = matter
        .filter_map(|server| Some((server, server.may_promote?)))
        .peekable();
    if known.peek().is_none() {
        return Verdict::Elsewhere;
    }
    let seen = known.filter(|(_, may_promote)| !may_promote).map(|(server, _)| {
        Seen::new(format!("the user of this node may not run pg_promote in GoCD's database at {}", server.address))
            .mend("gocd-bc setup database-primary --standby ADDRESS --write    # on the host of the primary's database")
            .mend(
                "psql -d gocd -c 'grant execute on function pg_promote(boolean,integer) to gocd'    # the same there, with the \
                 database and the user of db.properties",
            )
    });
    Verdict::of(seen.collect())
}

/// Looks at each cluster of this host.
fn each(facts: &Facts, mut look: impl FnMut(&Cluster, &mut Vec<Seen>) -> Result<(), &'static str>) -> Verdict {
    let clusters = match &facts.clusters {
        None => return Verdict::Elsewhere,
        Some(Err(why)) => return Verdict::Unknown(why.clone()),
        Some(Ok(clusters)) if clusters.is_empty() => return Verdict::Elsewhere,
        Some(Ok(clusters)) => clusters,
    };
    let mut seen = Vec::new();
    let mut unknown = None;
    for cluster in clusters {
        unknown = look(cluster, &mut seen).err().or(unknown);
    }
    match (seen.is_empty(), unknown) {
        (true, Some(why)) => Verdict::Unknown(why.to_owned()),
        _ => Verdict::of(seen),
    }
}

/// Looks into each cluster that runs.
fn each_inside(facts: &Facts, mut look: impl FnMut(&Cluster, &Inside, &mut Vec<Seen>)) -> Verdict {
    let mut closed = None;
    let mut is_matter = false;
    let verdict = each(facts, |cluster, seen| {
        // That it does not run was said.
        if cluster.is_running {
            is_matter = true;
            match &cluster.inside {
                Ok(inside) => look(cluster, inside, seen),
                Err(why) => closed = Some(why.to_string()),
            }
        }
        Ok(())
    });
    match (verdict, closed) {
        (Verdict::Well, Some(why)) => Verdict::Unknown(why),
        (Verdict::Well, None) if !is_matter => Verdict::Elsewhere,
        (verdict, _) => verdict,
    }
}
