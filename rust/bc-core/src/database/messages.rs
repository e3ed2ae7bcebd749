//! What PostgreSQL says when a standby cannot be made or does not follow, and what is to be typed then.
//!
//! Its programs and its server's log speak in sentences, and the part that is the same from 11 to 18 is in a table here,
//! with holes for names. A text that none of them fits is shown as it is. With `lc_messages` other than English only the
//! names of files are left to know it by.

use std::collections::BTreeMap;

/// What a text of PostgreSQL means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// The row of the table, for whoever asks for it by name.
    pub name: &'static str,
    /// Why, as a sentence part.
    pub cause: String,
    /// What to type, and where, as a sentence.
    pub mend: String,
}

/// What fills the holes that the text itself does not fill.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(BTreeMap<&'static str, String>);

impl Names {
    /// These names for a message with one more: of `primary`, `port`, `user`, `slot`, `address` (of the standby's
    /// host), `data` (its folder), `passfile`, `major`.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.insert(name, value.into());
        self
    }
}

/// What the first row of the table that fits a text of PostgreSQL says of it; `names` fill what the text leaves open.
pub fn meaning(text: &str, names: &Names) -> Option<Meaning> {
    TABLE.iter().find_map(|row| {
        let line = |pattern: &&'static str| text.lines().find_map(|line| holes(line, pattern));
        let found = row.patterns.iter().find_map(line)?;
        let filled = |template: &str| filled(template, &found, names);
        Some(Meaning {
            name: row.name,
            cause: filled(row.cause),
            mend: filled(row.mend),
        })
    })
}

/// One row.
struct Row {
    name: &'static str,
    /// Each of them is the whole of it; `{name}` stands for any text of a line.
    patterns: &'static [&'static str],
    cause: &'static str,
    mend: &'static str,
}

const BASE_BACKUP_AGAIN: &str =
    "Take a new copy on this host: `gocd-bc setup database-standby --primary {primary} --anew --write`.";
const HBA: &str = "On {primary}: `gocd-bc setup database-primary --standby {address} --write`, or add the line `host \
                   replication {user} {address}/32 scram-sha-256` to pg_hba.conf above those that it would come after, and \
                   `select pg_reload_conf()`.";

/// From the particular to the general, since the first one that fits is taken.
const TABLE: &[Row] = &[
    Row {
        name: "hba-missing",
        patterns: &[
            "no pg_hba.conf entry for replication connection from host \"{address}\", user \"{user}\"",
            "no pg_hba.conf entry for host \"{address}\", user \"{user}\"",
        ],
        cause: "pg_hba.conf of {primary} has no line that lets {user} replicate from {address}; `all` in there does not \
                include replication",
        mend: HBA,
    },
    Row {
        name: "hba-rejects",
        patterns: &[
            "pg_hba.conf rejects replication connection for host \"{address}\", user \"{user}\"",
            "pg_hba.conf rejects connection for host \"{address}\", user \"{user}\"",
        ],
        cause: "a line of pg_hba.conf on {primary} rejects {user} from {address}, and the first line that fits counts",
        mend: "If that line is `hostnossl ... reject`, use TLS: `--tls require`. Otherwise, on {primary}: `gocd-bc setup \
               database-primary --standby {address} --write` puts ours above it.",
    },
    Row {
        name: "password-md5",
        patterns: &[
            "does not have a valid SCRAM verifier",
            "does not have a valid SCRAM secret",
        ],
        cause: "the password of {user} was set while password_encryption was md5, and pg_hba.conf asks for scram-sha-256",
        mend: "On {primary}, as superuser: `set password_encryption = 'scram-sha-256'` and `\\password {user}`.",
    },
    Row {
        name: "password-wrong",
        patterns: &[
            "password authentication failed for user \"{user}\"",
            "Passwort-Authentifizierung für Benutzer »{user}« fehlgeschlagen",
        ],
        cause: "{primary} does not take this password of {user}; a role without the attribute LOGIN or whose password has \
                ended is refused in the same words",
        mend: "Bring the password file that `gocd-bc setup database-primary` made on {primary} here and name it by \
               `--password-file`. On {primary}, as superuser, `\\password {user}` sets another one. The DETAIL in the log of \
               {primary} says which line of pg_hba.conf it was.",
    },
    Row {
        name: "password-missing",
        patterns: &["no password supplied"],
        cause: "{primary} asks for a password of {user}, and the passfile has none for it, or others may read it",
        mend: "Name the file with the password by `--password-file`. In a passfile the line is \
               `*:*:replication:{user}:PASSWORD`, and its mode is 0600.",
    },
    Row {
        name: "passfile-mode",
        patterns: &["password file \"{file}\" has group or world access"],
        cause: "libpq ignores the passfile {file}, since others may read it",
        mend: "`chmod 0600 {file}`.",
    },
    Row {
        name: "role-not-replication",
        patterns: &[
            "must be superuser or replication role to start walsender",
            "permission denied to start WAL sender",
        ],
        cause: "{user} lacks the attribute REPLICATION on {primary}",
        mend: "On {primary}, as superuser: `alter role {user} replication`.",
    },
    Row {
        name: "slot-missing",
        patterns: &["replication slot \"{slot}\" does not exist"],
        cause: "the slot {slot} is not there: slots are not copied, and are gone after a failover",
        mend: "On {primary}: `select pg_create_physical_replication_slot('{slot}', true)`.",
    },
    Row {
        name: "slot-active",
        patterns: &["replication slot \"{slot}\" is active for PID {pid}"],
        cause: "another standby uses the slot {slot} (process {pid} on {primary})",
        mend: "Give each standby one of its own: `--slot NAME`.",
    },
    Row {
        name: "slots-used-up",
        patterns: &["all replication slots are in use"],
        cause: "{primary} has as many slots as max_replication_slots allows",
        mend: "On {primary}: drop one that nobody uses, `select pg_drop_replication_slot(slot_name) from \
               pg_replication_slots where not active and slot_name = 'NAME'`, or raise max_replication_slots and restart it.",
    },
    Row {
        name: "slot-name",
        patterns: &[
            "replication slot name \"{slot}\" contains invalid character",
            "replication slot name \"{slot}\" is too short",
            "replication slot name \"{slot}\" is too long",
        ],
        cause: "`{slot}` is no name of a slot",
        mend: "Take lower case letters, digits and underscores, 63 at most: `--slot gocd_bc`.",
    },
    Row {
        name: "slot-lost",
        patterns: &[
            "can no longer access replication slot \"{slot}\"",
            "invalidated due to \"wal_removed\"",
        ],
        cause: "{primary} gave up the slot {slot}, since the standby was gone for longer than max_slot_wal_keep_size allows",
        mend: "On {primary}: `select pg_drop_replication_slot('{slot}')`. Then take a new copy on this host: `gocd-bc setup \
               database-standby --primary {primary} --anew --write`.",
    },
    Row {
        name: "wal-removed",
        patterns: &["requested WAL segment {segment} has already been removed"],
        cause: "{primary} no longer has the file {segment} of its log, which the standby needs next",
        mend: BASE_BACKUP_AGAIN,
    },
    Row {
        name: "wal-level",
        patterns: &[
            "replication slot \"{slot}\" exists, but",
            "WAL streaming (\"max_wal_senders\" > 0) requires",
            "WAL streaming (max_wal_senders > 0) requires",
        ],
        cause: "wal_level on {primary} is minimal, and it does not start with slots or senders then",
        mend: "On {primary}: write `wal_level = replica` into the file of its configuration that says minimal, and start it.",
    },
    Row {
        name: "senders-used-up",
        patterns: &[
            "number of requested standby connections exceeds \"max_wal_senders\"",
            "number of requested standby connections exceeds max_wal_senders",
        ],
        cause: "max_wal_senders on {primary} is too low: a standby takes one, and a base backup two more",
        mend: "On {primary}: `alter system set max_wal_senders = 10`, and restart it.",
    },
    Row {
        name: "connection-limit",
        patterns: &["too many connections for role \"{user}\""],
        cause: "{user} has a CONNECTION LIMIT on {primary} that a standby and a base backup exceed",
        mend: "On {primary}, as superuser: `alter role {user} connection limit 4`.",
    },
    Row {
        name: "server-full",
        patterns: &[
            "sorry, too many clients already",
            "remaining connection slots are reserved",
        ],
        cause: "{primary} has no connection left",
        mend: "Raise max_connections on {primary}, and restart it.",
    },
    Row {
        name: "conninfo-keyword",
        patterns: &[
            "invalid connection option \"{keyword}\"",
            "invalid connection string syntax",
        ],
        cause: "primary_conninfo was written by a newer pg_basebackup than this server is",
        mend: "`gocd-bc setup database-standby --primary {primary} --write` writes it anew.",
    },
    Row {
        name: "another-system",
        patterns: &["database system identifier differs between the primary and standby"],
        cause: "the data here is no copy of {primary}",
        mend: BASE_BACKUP_AGAIN,
    },
    Row {
        name: "diverged",
        patterns: &[
            "new timeline {timeline} forked off current database system timeline {old} before current recovery point",
        ],
        cause: "this server went on writing after {primary} was promoted, so it has what that one has not",
        mend: "`gocd-bc setup database-standby --reseed --primary {primary}` says what is lost, and brings it back.",
    },
    Row {
        name: "timeline-not-reached",
        patterns: &[
            "requested timeline {timeline} does not contain minimum recovery point",
            "requested timeline {timeline} is not a child of this server's history",
            "highest timeline {timeline} of the primary is behind recovery timeline {own}",
        ],
        cause: "the data here is of another line of history than {primary}",
        mend: BASE_BACKUP_AGAIN,
    },
    Row {
        name: "setting-lower",
        patterns: &[
            "hot standby is not possible because {setting} = {own} is a lower setting than on the",
            "{setting} = {own} is a lower setting than on the primary server, where its value was {value}.",
        ],
        cause: "{setting} is lower here than on the primary",
        mend: "Raise {setting} in the standby's configuration to what it is on {primary}, and restart it; do not resume the \
               replay, which would end the server.",
    },
    Row {
        name: "setting-lower",
        patterns: &[
            "hot standby is not possible because of insufficient parameter settings",
            "recovery aborted because of insufficient parameter settings",
        ],
        cause: "a setting that must be at least as high as on the primary is lower here",
        mend: "`gocd-bc setup database-standby --primary {primary} --write` raises it, and restarts the standby.",
    },
    Row {
        name: "receiver-timeout",
        patterns: &["terminating walreceiver due to timeout"],
        cause: "nothing came from {primary} for a minute: it is frozen, or the network drops what it sends",
        mend: "Look at {primary}: `systemctl status postgresql`, and the disks and the network of that host.",
    },
    Row {
        name: "folder-not-empty",
        patterns: &["directory \"{folder}\" exists but is not empty"],
        cause: "{folder} has files in it, and a base backup goes only into an empty folder",
        mend: "Move it aside: `mv {folder} {folder}.aside`. A tablespace goes elsewhere with `--tablespace OLD=NEW`.",
    },
    Row {
        name: "folder-permissions",
        patterns: &[
            "data directory \"{folder}\" has invalid permissions",
            "data directory \"{folder}\" has wrong ownership",
        ],
        cause: "PostgreSQL does not use {folder} while others may read it, or it is not its user's",
        mend: "`chown -R postgres: {folder}` and `chmod 0700 {folder}`, with the name of PostgreSQL's user.",
    },
    Row {
        name: "address-not-here",
        patterns: &["could not bind {family} address \"{bound}\": Cannot assign requested address"],
        cause: "listen_addresses names {bound}, which is no address of this host",
        mend: "Set listen_addresses in this server's configuration to an address of this host, or to '*'.",
    },
    Row {
        name: "port-in-use",
        patterns: &[
            "could not bind {family} address \"{bound}\": Address already in use",
            "could not create any TCP/IP sockets",
            "Is another postmaster already running on port {port}?",
        ],
        cause: "another server listens on this host's port already",
        mend: "See which: `pg_lsclusters`, `ss -ltnp`. Then set another `port` for this one.",
    },
    Row {
        name: "incompatible-files",
        patterns: &[
            "database files are incompatible with server",
            "which is not compatible with this version {major}",
        ],
        cause: "the data is of another major version than the program",
        mend: "Use the programs of the version in the file PG_VERSION of the data folder.",
    },
    Row {
        name: "incompatible-server",
        patterns: &["incompatible server version {version}"],
        cause: "the program is older than the PostgreSQL at {primary}, which is {version}",
        mend: "Install the same major version here: `apt-get install postgresql-MAJOR`, or of PGDG \
               `dnf install postgresqlMAJOR-server`.",
    },
    Row {
        name: "recovery-conf",
        patterns: &["using recovery command file \"recovery.conf\" is not supported"],
        cause: "since version 12 PostgreSQL does not start where there is a recovery.conf",
        mend: "Take it away: `mv {data}/recovery.conf {data}/recovery.conf.old`; standby.signal and postgresql.auto.conf \
               say what it said.",
    },
    Row {
        name: "setting-unknown",
        patterns: &["unrecognized configuration parameter \"{setting}\""],
        cause: "this version has no setting {setting}",
        mend: "Take {setting} out of this server's configuration (promote_trigger_file is gone since 16, wal_keep_segments \
               is wal_keep_size since 13).",
    },
    Row {
        name: "archive-fails",
        patterns: &[
            "archive command failed with exit code {code}",
            "failed too many times, will try again later",
        ],
        cause: "{primary} cannot write into the share: it is full, not mounted, read-only, or has another file of that name",
        mend: "On {primary}: `df -h` and `mount` say how the share is, and the server's log what `cp` said. A file of that \
               name that another server left there: move it away. PostgreSQL keeps its log until it can be shipped, so mind \
               the disk of pg_wal; it tries again by itself each minute.",
    },
    Row {
        name: "no-tls",
        patterns: &["server does not support SSL, but SSL was required"],
        cause: "{primary} offers no TLS, and this side asks for it",
        mend: "On {primary}: `alter system set ssl = on` with server.crt and server.key in place, and `select \
               pg_reload_conf()`; or use `--tls prefer`.",
    },
    Row {
        name: "certificate",
        patterns: &[
            "certificate verify failed",
            "root certificate file \"{file}\" does not exist",
            "server certificate for \"{name}\"{others} does not match host name",
        ],
        cause: "the certificate of {primary} is not one that the given authority issued for that name",
        mend: "Compare it: `openssl s_client -starttls postgres -connect {primary}:{port} -showcerts`. `--tls require` \
               encrypts without a check.",
    },
    Row {
        name: "name-unknown",
        patterns: &["could not translate host name \"{host}\" to address"],
        cause: "the name {host} resolves to nothing on this host",
        mend: "Check it with `getent hosts {host}`, or name the address by `--primary`.",
    },
    Row {
        name: "refused",
        patterns: &["Connection refused"],
        cause: "nothing listens at {primary} on port {port}",
        mend: "On {primary}: `pg_lsclusters` or `systemctl status postgresql` says whether it runs and on which port. If it \
               does, its listen_addresses names no address that is reached from here: `gocd-bc setup database-primary \
               --standby {address}` says what to set. If it is another host or port: here `gocd-bc setup database-standby \
               --primary HOST:PORT --write`.",
    },
    Row {
        name: "unreachable",
        patterns: &[
            "No route to host",
            "Network is unreachable",
            "timeout expired",
            "Connection timed out",
        ],
        cause: "nothing comes back from {primary}",
        mend: "Look at the firewalls between both hosts: TCP to port {port} of {primary} must pass. If it does, its PostgreSQL \
               is frozen: `systemctl status postgresql` there, and its disks.",
    },
    Row {
        name: "disk-full",
        patterns: &["No space left on device", "Disk quota exceeded"],
        cause: "the disk is full",
        mend: "Free some space where the data folder is (`df -h {data}`), and run the command again: it begins anew, and \
               what was there before is untouched.",
    },
    Row {
        name: "starting",
        patterns: &[
            "the database system is starting up",
            "the database system is not yet accepting connections",
            "the database system is in recovery mode",
        ],
        cause: "the server is starting, and has not replayed enough yet to be asked",
        mend: "Wait, and look into its log if that lasts: a restore_command that hangs keeps it from starting.",
    },
    Row {
        name: "broke",
        patterns: &[
            "server closed the connection unexpectedly",
            "could not receive data from WAL stream",
            "terminating connection due to administrator command",
            "SSL connection has been closed unexpectedly",
        ],
        cause: "the connection to {primary} broke, or somebody ended it there",
        mend: "See in the log of {primary} whether it was stopped, and run the command again.",
    },
    // In any language.
    Row {
        name: "hba-missing",
        patterns: &["FATAL:{words}pg_hba.conf"],
        cause: "pg_hba.conf of {primary} does not let {user} replicate from here",
        mend: HBA,
    },
];

/// What stands in the holes of a pattern, where that is somewhere in the text. A hole reaches to what the pattern has
/// behind it; one at the beginning or at the end of the pattern is one word.
fn holes<'a>(text: &'a str, pattern: &'static str) -> Option<BTreeMap<&'static str, &'a str>> {
    let mut found = BTreeMap::new();
    let mut parts = pattern.split('{');
    let first = parts.next()?;
    let at = text.find(first)?;
    let mut rest = &text[at + first.len()..];
    for (index, part) in parts.enumerate() {
        let (name, literal) = part.split_once('}')?;
        let end = match literal {
            "" => rest.find(char::is_whitespace).unwrap_or(rest.len()),
            literal => rest.find(literal)?,
        };
        let mut held = &rest[..end];
        if index == 0 && first.is_empty() {
            held = held.rsplit(char::is_whitespace).next()?;
        }
        found.insert(name, held);
        rest = &rest[end + literal.len()..];
    }
    Some(found)
}

/// A template with its holes filled: by what the text of PostgreSQL has, then by what the caller knows.
fn filled(template: &str, found: &BTreeMap<&'static str, &str>, names: &Names) -> String {
    let mut parts = template.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let Some((name, literal)) = part.split_once('}') else {
            continue;
        };
        let known = found
            .get(name)
            .copied()
            .or_else(|| names.0.get(name).map(String::as_str));
        match known {
            Some(value) => text.push_str(value),
            None => text.push_str(&unknown(name)),
        }
        text.push_str(literal);
    }
    text
}

/// What stands for a name that nobody knows.
fn unknown(name: &str) -> String {
    match name {
        "primary" => "the primary".to_owned(),
        "user" => "the replication role".to_owned(),
        other => other.to_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::default()
            .with("primary", "primarydb")
            .with("port", "5432")
            .with("user", "rep")
            .with("slot", "gocd_bc")
            .with("address", "10.0.0.6")
            .with("data", "/var/lib/postgresql/15/main")
    }

    /// As the servers and programs of 11 to 18 say it, and the row that it is.
    const SEEN: &[(&str, &str)] = &[
        (
            "FATAL:  no pg_hba.conf entry for replication connection from host \"10.0.0.6\", user \"rep\", no encryption",
            "hba-missing",
        ),
        (
            "FATAL:  no pg_hba.conf entry for replication connection from host \"10.0.0.6\", user \"rep\", SSL off",
            "hba-missing",
        ),
        (
            "FATAL:  kein pg_hba.conf-Eintrag für Replikationsverbindung von Host »10.0.0.6«, Benutzer »rep«",
            "hba-missing",
        ),
        (
            "FATAL:  pg_hba.conf rejects replication connection for host \"10.0.0.6\", user \"rep\", no encryption",
            "hba-rejects",
        ),
        (
            "psql: error: FATAL:  password authentication failed for user \"rep\"",
            "password-wrong",
        ),
        (
            "FATAL:  Passwort-Authentifizierung für Benutzer »rep« fehlgeschlagen",
            "password-wrong",
        ),
        (
            "DETAIL:  User \"rep\" does not have a valid SCRAM verifier.",
            "password-md5",
        ),
        (
            "DETAIL:  User \"rep\" does not have a valid SCRAM secret.",
            "password-md5",
        ),
        ("psql: fe_sendauth: no password supplied", "password-missing"),
        (
            "WARNING: password file \"/x/.pgpass\" has group or world access; permissions should be u=rw (0600) or less",
            "passfile-mode",
        ),
        (
            "FATAL:  must be superuser or replication role to start walsender",
            "role-not-replication",
        ),
        ("FATAL:  permission denied to start WAL sender", "role-not-replication"),
        ("ERROR:  replication slot \"gocd_bc\" does not exist", "slot-missing"),
        (
            "ERROR:  replication slot \"gocd_bc\" is active for PID 4711",
            "slot-active",
        ),
        ("ERROR:  all replication slots are in use", "slots-used-up"),
        (
            "ERROR:  replication slot name \"bc-standby\" contains invalid character",
            "slot-name",
        ),
        ("ERROR:  replication slot name \"\" is too short", "slot-name"),
        ("ERROR:  can no longer access replication slot \"gocd_bc\"", "slot-lost"),
        (
            "ERROR:  requested WAL segment 000000010000000000000003 has already been removed",
            "wal-removed",
        ),
        (
            "FATAL:  physical replication slot \"gocd_bc\" exists, but wal_level < replica",
            "wal-level",
        ),
        (
            "FATAL:  number of requested standby connections exceeds max_wal_senders (currently 1)",
            "senders-used-up",
        ),
        ("FATAL:  too many connections for role \"rep\"", "connection-limit"),
        ("FATAL:  sorry, too many clients already", "server-full"),
        (
            "FATAL:  could not connect to the primary server: invalid connection option \"sslnegotiation\"",
            "conninfo-keyword",
        ),
        (
            "FATAL:  invalid connection string syntax: invalid connection option \"sslnegotiation\"",
            "conninfo-keyword",
        ),
        (
            "FATAL:  database system identifier differs between the primary and standby",
            "another-system",
        ),
        (
            "LOG:  new timeline 2 forked off current database system timeline 1 before current recovery point 0/5000060",
            "diverged",
        ),
        (
            "FATAL:  requested timeline 3 does not contain minimum recovery point 0/4000000 on timeline 2",
            "timeline-not-reached",
        ),
        (
            "WARNING:  hot standby is not possible because of insufficient parameter settings",
            "setting-lower",
        ),
        (
            "DETAIL:  max_connections = 100 is a lower setting than on the primary server, where its value was 150.",
            "setting-lower",
        ),
        (
            "FATAL:  hot standby is not possible because max_connections = 100 is a lower setting than on the master server \
             (its value was 150)",
            "setting-lower",
        ),
        (
            "FATAL:  recovery aborted because of insufficient parameter settings",
            "setting-lower",
        ),
        (
            "FATAL:  highest timeline 1 of the primary is behind recovery timeline 2",
            "timeline-not-reached",
        ),
        ("FATAL:  terminating walreceiver due to timeout", "receiver-timeout"),
        (
            "pg_basebackup: error: directory \"/var/lib/postgresql/15/main\" exists but is not empty",
            "folder-not-empty",
        ),
        (
            "FATAL:  data directory \"/var/lib/postgresql/15/main\" has invalid permissions",
            "folder-permissions",
        ),
        (
            "LOG:  could not bind IPv4 address \"127.0.0.1\": Address already in use",
            "port-in-use",
        ),
        (
            "LOG:  could not bind IPv4 address \"10.9.9.9\": Cannot assign requested address",
            "address-not-here",
        ),
        (
            "FATAL:  database files are incompatible with server",
            "incompatible-files",
        ),
        (
            "pg_basebackup: error: incompatible server version 18.1",
            "incompatible-server",
        ),
        (
            "FATAL:  using recovery command file \"recovery.conf\" is not supported",
            "recovery-conf",
        ),
        (
            "FATAL:  unrecognized configuration parameter \"promote_trigger_file\" in file \"/x\" line 3",
            "setting-unknown",
        ),
        ("LOG:  archive command failed with exit code 1", "archive-fails"),
        ("server does not support SSL, but SSL was required", "no-tls"),
        ("root certificate file \"/root.crt\" does not exist", "certificate"),
        (
            "server certificate for \"db.example.com\" (and 1 other name) does not match host name \"primarydb\"",
            "certificate",
        ),
        (
            "psql: error: could not translate host name \"nowhere.invalid\" to address: Name or service not known",
            "name-unknown",
        ),
        (
            "psql: error: connection to server at \"10.0.0.5\", port 5432 failed: Connection refused",
            "refused",
        ),
        ("could not connect: No route to host", "unreachable"),
        (
            "pg_basebackup: error: could not write to file \"/x/base/1/2\": No space left on device",
            "disk-full",
        ),
        ("FATAL:  the database system is starting up", "starting"),
        (
            "pg_basebackup: error: could not read COPY data: server closed the connection unexpectedly",
            "broke",
        ),
    ];

    #[test]
    fn each_message_that_was_seen_has_its_row() {
        for (text, name) in SEEN {
            let text = format!("2026-11-26 10:00:00.000 UTC [12] {text}\nsomething else");
            let meaning = meaning(&text, &names()).expect(&text);
            assert_eq!(meaning.name, *name, "{text}");
            for words in [&meaning.cause, &meaning.mend] {
                assert!(!words.contains(['{', '}']), "{words}");
            }
            assert!(meaning.mend.ends_with('.'), "{}", meaning.mend);
        }
        for text in [
            "",
            "LOG:  End of WAL reached on timeline 1 at 0/4000000",
            "LOG:  checkpoint starting",
        ] {
            assert_eq!(meaning(text, &names()), None, "{text}");
        }
    }

    #[test]
    fn each_row_was_seen() {
        for row in TABLE {
            assert!(SEEN.iter().any(|(_, name)| *name == row.name), "{}", row.name);
        }
    }

    #[test]
    fn what_the_message_names_is_in_the_command() {
        let said = |text: &str| meaning(text, &names()).expect(text);
        let hba = said("no pg_hba.conf entry for replication connection from host \"10.1.1.1\", user \"u\", SSL off");
        assert!(
            hba.mend.contains("`host replication u 10.1.1.1/32 scram-sha-256`"),
            "{hba:?}"
        );
        let slot = said("ERROR:  replication slot \"mine\" is active for PID 4711");
        assert!(slot.cause.contains("slot mine (process 4711 on primarydb)"), "{slot:?}");
        let lower = said(
            "DETAIL:  max_connections = 100 is a lower setting than on the primary server, where its value was 150.",
        );
        assert!(lower.mend.starts_with("Raise max_connections in"), "{lower:?}");
        let nobody = meaning("Connection refused", &Names::default()).expect("known");
        assert_eq!(nobody.cause, "nothing listens at the primary on port PORT");
    }
}
