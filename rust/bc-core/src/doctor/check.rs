//! The table of checks. Numbers and names are a contract: one that is gone stays unused.

use std::{fmt, str::FromStr};

use super::level::Level;
use crate::basics::words;

/// Makes the enum, the list of all its values and their rows from one table, so that none can lack the others.
macro_rules! checks {
    ($($check:ident = $number:literal $name:literal $level:ident, $title:literal;
        means: $means:literal; matters: $matters:literal; type: $type:literal;)+) => {
        /// One thing that is checked. What decides it is in `doctor::judge`, which does not compile without.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Check {
            $(#[doc = $title] $check,)+
        }

        impl Check {
            /// Every one, by its number.
            pub const ALL: &'static [Check] = &[$(Check::$check),+];

            fn row(self) -> Row {
                match self {
                    $(Check::$check => Row {
                        number: $number,
                        name: $name,
                        level: Level::$level,
                        title: $title,
                        means: $means,
                        matters: $matters,
                        commands: $type,
                    },)+
                }
            }
        }
    };
}

/// One row of the table.
struct Row {
    number: u16,
    name: &'static str,
    level: Level,
    title: &'static str,
    means: &'static str,
    matters: &'static str,
    commands: &'static str,
}

checks! {
    NodeAnswers = 101 "node-answers" Critical, "A node runs here, and answers on its local socket";
    means: "GoCD is installed here with our jar, and no node answers: GoCD is stopped, the plugin or the agent did not \
            load, or this user may not reach the socket in the state folder.";
    matters: "Nothing is synced while no node runs, and a primary without one offers nothing to its standby.";
    type: "sudo gocd-bc status\n\
           systemctl status go-server\n\
           less /var/log/go-server/go-server-wrapper.log";

    NodeSays = 102 "node-says" Critical, "The node here says that all is well";
    means: "The node watches itself all the time, and says what is wrong in its status, its dashboard, its metrics and \
            GoCD's health messages. What it says and no other check is about is repeated here, with its own severity.";
    matters: "It is the node that syncs: what it complains of ends the protection, or will.";
    type: "gocd-bc status";

    OtherNode = 110 "other-node" Critical, "The other node answers this one";
    means: "The port of the other node (8155) was tried from here. On a primary that is each standby's, at the address \
            that it reports (bc.external.url there), on a standby the primary's. Run doctor on both: each tries its way.";
    matters: "A standby that cannot reach its primary gets nothing. A primary that cannot reach its standby cannot follow \
              it after a promotion, nor ask it whether it was promoted.";
    type: "curl --insecure https://standbygo:8155/go/add-on/business-continuity/live    # on the host that cannot reach it\n\
           ss --listening --tcp --numeric --processes | grep 8155                       # on the other one";

    OtherNodeSays = 111 "other-node-says" Warning, "The other node says that all is well";
    means: "The other node's own status has problems. They are repeated here with their own severity.";
    matters: "A pair protects only where both are well.";
    type: "gocd-bc doctor    # on the other host";

    Trust = 112 "trust" Critical, "Both nodes trust each other's keys";
    means: "Each node has a key of its own, and the peers file (business-continuity-peers) lists the keys of the pair. \
            The key that the other node shows is not in the list here, or this node's key is not in the list there.";
    matters: "A standby takes nothing from a primary that it does not trust, and sends it no token. A primary that does \
              not trust its standby cannot follow it once that is promoted.";
    type: "gocd-bc identity show        # on the node that is not trusted: compare\n\
           gocd-bc trust FINGERPRINT    # on the node that does not trust it";

    Token = 113 "token" Critical, "Both nodes have the same token";
    means: "The file business-continuity-token holds one user and password, and the other node refuses those of this one, \
            or the file here is missing or wrong. The token itself proves this: it is sent as with every sync, over TLS and \
            only to a key that is trusted.";
    matters: "Every request but two probes needs it: with two different tokens nothing is synced.";
    type: "gocd-bc token check\n\
           scp primarygo:/etc/go/business-continuity-token /etc/go/    # on the standby";

    GocdVersion = 120 "gocd-version" Critical, "Both nodes have the same version of GoCD";
    means: "The versions of GoCD differ, by the jars that hold its launcher.";
    matters: "A configuration or a database of another version may not be readable, or be migrated without a way back. A \
              standby applies nothing of a newer GoCD. One that is newer itself follows, which is how a pair is upgraded: a \
              WARNING until both are the same.";
    type: "apt-get install go-server=VERSION    # on the older one";

    PluginVersion = 121 "plugin-version" Warning, "Both nodes have the same version of this plugin";
    means: "The plugin's jar is never synced, so it is upgraded on each server. The nodes run different versions of it.";
    matters: "The version before is understood, but what the newer one adds is not there, and an older one is not tested \
              with any newer one.";
    type: "install -o go -g go -m 0644 gocd-business-continuity.jar /var/lib/go-server/plugins/external/\n\
           systemctl restart go-server";

    JavaVersion = 122 "java-version" Warning, "Both nodes run GoCD on the same major version of Java";
    means: "GoCD runs on another major version of Java on each server.";
    matters: "A plugin that was built for the newer one does not load on the older one, so the promoted server may come up \
              without it; and what was never tried is tried for the first time in an emergency.";
    type: "grep wrapper.java.command /usr/share/go-server/wrapper-config/*.conf    # on both hosts";

    OneJar = 130 "one-jar" Critical, "Exactly one jar of this plugin is in the plugin folder";
    means: "GoCD drops all but one of several jars with the same plugin id, and which one it keeps is not determined. \
            Without any it loads no plugin. Our own jar is never synced or removed, so nobody else mends this.";
    matters: "An older version may be the one that runs, or none.";
    type: "ls -l /var/lib/go-server/plugins/external/\n\
           rm /var/lib/go-server/plugins/external/OLD.jar\n\
           systemctl restart go-server";

    Agent = 131 "agent" Critical, "The Java agent is in the JVM of both nodes";
    means: "The jar must also be named as a Java agent in the JVM's arguments, on both nodes: it is the agent that holds a \
            GoCD before it starts. The line is missing, or names a jar that is not there, with which the JVM does not start.";
    matters: "GoCD since 23.1 ignores go.server.mode=standby: without the agent a standby starts as a second active server. \
              On a primary the line is needed on the day when it is to become the standby.";
    type: "wrapper.java.additional.102=-javaagent:plugins/external/gocd-business-continuity.jar    # in wrapper-properties.conf\n\
           systemctl restart go-server";

    Flag = 132 "flag" Critical, "What the settings ask for is what each node is, and one of both is the primary";
    means: "A standby whose settings no longer ask for a standby, two primaries, or none.";
    matters: "A standby whose flag is gone takes that as the order to be promoted: at its next start it asks the primary, and \
              promotes itself where that does not answer. Two primaries write two histories.";
    type: "gocd-bc status    # on both hosts\n\
           gocd-bc demote    # on the one that is not to be the primary\n\
           wrapper.java.additional.100=-Dgo.server.mode=standby    # in wrapper-properties.conf of a standby";

    Restart = 133 "restart" Warning, "GoCD runs with the settings and the jar that are on the disk";
    means: "The JVM was started with other arguments than the wrapper's files have now, or our jar was replaced since.";
    matters: "What was changed does nothing until GoCD is restarted, and then comes as a surprise.";
    type: "systemctl restart go-server";

    SyncedFiles = 140 "synced-files" Critical, "GoCD may read and write what is synced";
    means: "The user that runs GoCD may not read a file that is synced, may not write one that it has to write, or may not \
            make files in a folder. It mostly happens where root has copied or edited something.";
    matters: "GoCD does not start, or starts with a default configuration, and nothing can be made live on a standby.";
    type: "chown go:go /etc/go/cruise-config.xml\n\
           chmod 0640 /etc/go/cruise-config.xml";

    SecretFiles = 141 "secret-files" Warning, "Nobody but GoCD reads the files that hold secrets";
    means: "Every user of this machine can read the token, cipher.aes or db.properties.";
    matters: "cipher.aes decrypts all secrets of cruise-config.xml, and whoever has the token gets both from the primary.";
    type: "chmod o= /etc/go/business-continuity-token /etc/go/cipher.aes /etc/go/db.properties";

    NamedFiles = 142 "named-files" Warning, "The files that the configuration names are on both nodes, and the same";
    means: "cruise-config.xml names a file outside of what is synced, such as the password file of a plugin, and that file \
            is not on both nodes, or not the same. Each node looks up what its own configuration names, and they compare \
            digests that are keyed with the token: neither a path nor the content of such a file is sent. A node of the \
            version before does not tell, and is not compared.";
    matters: "After a promotion nobody may be able to log in, or only with the passwords of last year.";
    type: "-Dbc.sync.extra=password.properties    # on both nodes, for a file beside cruise-config.xml\n\
           scp primarygo:/etc/go/password.properties /etc/go/    # on the standby";

    ConfigGit = 143 "config-git" Critical, "GoCD can read the history of its configuration";
    means: "db/config.git holds every configuration that GoCD has accepted. It is damaged, or the user that runs GoCD may not \
            read it.";
    matters: "GoCD does not start with a history that it cannot read. Without any, an invalid cruise-config.xml ends it at \
              once, since there is nothing to fall back to.";
    type: "git -C /var/lib/go-server/db/config.git fsck\n\
           cd /var/lib/go-server/db && mv config.git config.git.broken    # GoCD makes it anew; the history is lost";

    Artifacts = 144 "artifacts" Warning, "Artifacts of earlier runs will be there after a promotion";
    means: "artifactsDir in cruise-config.xml is a relative path, or leads to the disk of a server's own files. Or it was \
            edited since GoCD started, which reads it at its start alone. Nothing copies artifacts: they belong on a share \
            that both servers mount at the same place.";
    matters: "After a promotion every artifact and every console log of earlier runs is missing, and jobs that fetch one \
              fail.";
    type: "mount nfsserver:/artifacts /mnt/artifacts    # on both hosts, and in /etc/fstab; GoCD's user can write there\n\
           systemctl stop go-server                     # on the primary, from here on\n\
           cp -a /var/lib/go-server/artifacts/. /mnt/artifacts/\n\
           editor /etc/go/cruise-config.xml             # <artifactsDir>/mnt/artifacts</artifactsDir>\n\
           systemctl start go-server\n\
           -Dbc.artifacts.shared=yes    # on both nodes, if it is a share already; no: artifacts need not outlive a server";

    FreeSpace = 150 "free-space" Warning, "The disks have room";
    means: "Less than 1 GiB is free on a disk that GoCD or the node writes to; below 100 MB it is CRITICAL.";
    matters: "A standby refuses what does not fit, and GoCD stops scheduling with less than 100 MB on the disk of db/.";
    type: "df -h /var/lib/go-server\n\
           gocd-bc generations drop --all    # on a promoted server that keeps what it had as a standby";

    Clocks = 151 "clocks" Warning, "The clocks of both nodes agree";
    means: "They differ by 30 s or more.";
    matters: "Nothing that is decided rests on it, but every time that one node shows of the other one is wrong, and so are \
              logs that are compared.";
    type: "timedatectl set-ntp true";

    AgentUser = 152 "agent-user" Warning, "GoCD's agents on this host run as another user than the server";
    means: "An agent runs on this host as the user of the server. GoCD's packages do that.";
    matters: "Whatever a build runs may then read cipher.aes and the token, and change the node's state: every pipeline is an \
              administrator of both servers.";
    type: "useradd --system --create-home go-agent\n\
           systemctl edit go-agent    # [Service] User=go-agent";

    StateVolume = 153 "state-volume" Critical, "In a container the state folder is on a volume that survives";
    means: "The state folder lies on the file system of the container itself, which goes with it.";
    matters: "A node that forgets its state is another node, with another key that nobody trusts; a promoted server that \
              forgets that it was promoted starts as what its flag says.";
    type: "docker run -v /srv/godata:/godata ...    # or point -Dbc.state.dir at a volume";

    PluginInstalls = 154 "plugin-installs" Warning, "Both containers install the same plugins";
    means: "GoCD's Docker image fetches a plugin for each variable GOCD_PLUGIN_INSTALL_... at every start. The variables of \
            both nodes differ.";
    matters: "The image overwrites what was synced by what it fetched: after a promotion other plugins run than before. It \
              also does not start where the download fails.";
    type: "env | grep GOCD_PLUGIN_INSTALL_    # in both containers";

    HelmScript = 155 "helm-script" Warning, "Helm's script does not wait for a held GoCD";
    means: "GoCD's Helm chart runs a script after each start that waits until GoCD answers with health 200, and then \
            configures it, unless /godata/logs/preconfigure_complete.log is there. On a held standby that never comes.";
    matters: "Kubernetes takes the pod for not started and kills it, again and again.";
    type: "touch /godata/logs/preconfigure_complete.log";

    OldGocd = 156 "old-gocd" Critical, "No GoCD of the pair gives its secrets away (CVE-2021-43287)";
    means: "GoCD 20.6 to 21.2 answers anybody who asks its own port for cruise-config.xml, cipher.aes, and any file that the \
            server may read. One of the pair is of such a version.";
    matters: "Whoever reaches that port has every secret of this server, and of what it deploys to.";
    type: "iptables -I INPUT -p tcp --dport 8153 ! -s 10.0.0.0/8 -j REJECT    # until it is upgraded\n\
           apt-get install go-server    # 21.3 or later, on both hosts";

    DatabaseSettings = 201 "database-settings" Critical, "The settings of GoCD's database can be used";
    means: "db.properties, or a setting of ours beside it, cannot be used: it is malformed, names no host of db.url, or has a \
            password that the cipher.aes of this node does not open.";
    matters: "GoCD will not start with it, or nobody can tell whether the database could take over. The first sync of a \
              standby replaces its cipher.aes, and a password that was encrypted with the former one is lost.";
    type: "cat /etc/go/db.properties\n\
           gocd-bc status";

    DatabaseCovered = 202 "database-covered" Warning, "GoCD's database is a PostgreSQL";
    means: "GoCD uses H2 or MySQL here, which this plugin does not cover.";
    matters: "Nothing copies that database: a promoted server begins with whatever is in its own, usually nothing.";
    type: "-Dbc.db.watch=off    # in the JVM's arguments, if somebody else looks after it";

    DatabaseHost = 203 "database-host" Critical, "The host in db.url leads to one machine";
    means: "Its name leads nowhere, or to several machines, of which only one can be meant.";
    matters: "GoCD does not find its database, or finds another one at each connection.";
    type: "getent ahosts primarydb\n\
           cat /etc/go/db.properties";

    DatabaseAnswers = 204 "database-answers" Critical, "GoCD's database answers";
    means: "The server does not answer, or refuses GoCD's user: it is stopped, frozen, starting, full, or its pg_hba.conf or \
            certificate stands in the way.";
    matters: "On a primary GoCD does not work; of a standby nobody knows whether it could take over.";
    type: "psql -h primarydb -U gocd -d gocd -c 'select 1'\n\
           systemctl status postgresql";

    DatabaseRole = 205 "database-role" Critical, "A primary's database takes writes, and a standby's is a standby";
    means: "The database of a standby takes writes, the one of a primary does not, or both nodes use the same server.";
    matters: "A standby with the primary's database has none of its own, and one that was promoted has gone another way: what \
              is in it does not come back together.";
    type: "psql -c 'select pg_is_in_recovery()'    # on both hosts\n\
           cat /etc/go/db.properties               # on both GoCD hosts";

    DatabaseMajor = 206 "database-major" Critical, "Both databases are of one major version";
    means: "The standby's server is of another major version than the primary's.";
    matters: "PostgreSQL replicates between servers of one major version only.";
    type: "psql -c 'show server_version'    # on both hosts";

    DatabaseCopy = 207 "database-copy" Critical, "The standby's database is a copy of the primary's";
    means: "It is a copy of another database, follows another timeline, or has more than the primary has written.";
    matters: "A promotion would go on with somebody else's data, or with a history that the primary does not have.";
    type: "gocd-bc setup database-standby --reseed --primary primarydb    # on the host of the standby's database";

    Replication = 208 "replication" Critical, "The standby's database follows";
    means: "It receives nothing, does not get on, is paused, begins again and again, or has a setting that is lower than on \
            the primary.";
    matters: "What it has not received is lost when the primary is.";
    type: "psql -c 'select * from pg_stat_wal_receiver'    # there, as superuser; and read its log\n\
           psql -c 'select pg_wal_replay_resume()'         # where it is paused";

    SlotLost = 209 "slot-lost" Critical, "No slot has lost what its standby needs";
    means: "The primary has thrown away a part of its log that the standby behind a slot has not received \
            (max_slot_wal_keep_size).";
    matters: "That standby never catches up again.";
    type: "psql -c \"select pg_drop_replication_slot('gocd_bc')\"                           # on the primary's host\n\
           gocd-bc setup database-standby --primary primarydb --anew --write    # on the standby's: makes it anew";

    SlotFills = 210 "slot-fills" Warning, "No slot fills a disk";
    means: "Nobody receives through a slot, or it keeps so much of the log that a disk fills or the slot is lost soon.";
    matters: "A slot without a limit keeps everything until the disk of the primary is full, and then GoCD stops.";
    type: "psql -c 'select slot_name, active, restart_lsn from pg_replication_slots'\n\
           psql -c \"select pg_drop_replication_slot('NAME')\"    # one that nobody needs any more";

    Archiver = 211 "archiver" Warning, "The archiver of the primary's database succeeds";
    means: "The newest try of archive_command failed. PostgreSQL tries again for ever, and keeps all that is not archived.";
    matters: "A standby that lives on the share gets nothing, and the disk of the primary fills.";
    type: "psql -c 'select last_failed_wal, last_failed_time from pg_stat_archiver'\n\
           df -h /share";

    Synchronous = 212 "synchronous" Warning, "No commit waits for a standby that is not there";
    means: "synchronous_standby_names asks for a standby that is not connected, or is set on the standby, where a promotion \
            brings it into effect.";
    matters: "The first commit after that waits for ever: GoCD seems to hang.";
    type: "psql -c \"alter system set synchronous_standby_names = ''\" -c 'select pg_reload_conf()'";

    Collations = 213 "collations" Warning, "Both hosts sort text alike";
    means: "The host of a database has another version of the C library or of ICU than the one where its indexes were made.";
    matters: "Indexes over text then find the wrong rows, without any message.";
    type: "psql -d gocd -c 'reindex database gocd' -c 'alter database gocd refresh collation version'    # once it takes writes";

    Extensions = 214 "extensions" Warning, "The host of the standby's database has all extensions";
    means: "GoCD's database uses an extension, such as citext or pgcrypto, of which this host has no files.";
    matters: "After a promotion every statement that uses it fails.";
    type: "apt-get install postgresql-contrib    # of the same major version";

    MigrationLock = 215 "migration-lock" Warning, "The lock of GoCD's migrations is free";
    means: "The table databasechangeloglock says for minutes that somebody migrates: a GoCD that was killed meanwhile left it.";
    matters: "The next GoCD that starts waits for it and then gives up. The lock is copied to the standby.";
    type: "systemctl status go-server    # on both hosts: it must not be starting\n\
           psql -d gocd -c 'update databasechangeloglock set locked = false, lockedby = null where id = 1'";

    Pooler = 216 "pooler" Warning, "No pooler stands between GoCD and its database";
    means: "PgBouncer answers in the place of PostgreSQL.";
    matters: "That it lets somebody in proves nothing of the database behind it, and after a promotion it may still lead to \
              the former one.";
    type: "cat /etc/go/db.properties    # name PostgreSQL's own port";

    DamagedPages = 217 "damaged-pages" Critical, "No page of a database is damaged";
    means: "The server has read pages whose checksum is wrong. It tells that since version 12, and where data_checksums is on.";
    matters: "What is in such a page is lost, and every statement that needs it fails: at the promotion, where nobody looks \
              before.";
    type: "psql -c 'select datname, checksum_failures from pg_stat_database'\n\
           gocd-bc setup database-standby --primary primarydb --anew --write    # on the host of a standby's";

    ClusterRuns = 301 "cluster-runs" Critical, "The PostgreSQL cluster on this host runs and answers";
    means: "This host has the files of a PostgreSQL server that does not run, or one that runs and says nothing.";
    matters: "If it is GoCD's, GoCD does not run without it, and a standby's falls behind.";
    type: "pg_lsclusters\n\
           systemctl start postgresql@15-main";

    ClusterRules = 302 "cluster-rules" Critical, "PostgreSQL goes by its pg_hba.conf";
    means: "A line of pg_hba.conf is wrong. PostgreSQL then takes nothing of the file, goes on with the rules of before, and \
            says to whoever asked for the reload that all is well.";
    matters: "What was written for the standby does not count, and after its next restart PostgreSQL lets nobody in.";
    type: "psql -c 'select line_number, error from pg_hba_file_rules where error is not null'\n\
           psql -c 'select pg_reload_conf()'";

    ClusterSettings = 303 "cluster-settings" Warning, "PostgreSQL runs with the settings in its files";
    means: "A setting was changed that only a restart brings into effect, or one is wrong, with which it will not start \
            again.";
    matters: "It comes into effect, or stops the server, on the day when it is restarted for another reason.";
    type: "psql -c 'select name, setting from pg_settings where pending_restart'\n\
           systemctl restart postgresql@15-main";

    Followable = 304 "followable" Warning, "PostgreSQL has what a pair needs to follow and to change places";
    means: "A setting, the role for replication or pg_hba.conf is not as a pair needs it. Both servers should be alike, since \
            after a promotion they change places.";
    matters: "The standby cannot be set up or set right: pg_rewind of a former primary fails with default settings, a base \
              backup fails with the connection limit of the original instructions, and a slot without a limit fills the disk.";
    type: "gocd-bc setup database-primary --standby 10.0.0.6            # says what would change\n\
           gocd-bc setup database-primary --standby 10.0.0.6 --write    # does it";

    PromoteGrant = 305 "promote-grant" Warning, "GoCD's role may promote its database";
    means: "pg_promote() is for superusers unless it is granted, and a grant counts only in the database where it was given. \
            GoCD's role lacks it in GoCD's database.";
    matters: "A promotion then needs somebody who is superuser of the standby's PostgreSQL.";
    type: "psql -d gocd -c 'grant execute on function pg_promote(boolean,integer) to gocd'    # on the primary";

    DataFolder = 306 "data-folder" Critical, "PostgreSQL's data folder has the mode that it wants";
    means: "Others than its user may go into the data folder.";
    matters: "The server does not start again: its data folder \"has invalid permissions\".";
    type: "chmod 0700 /var/lib/postgresql/15/main";

    DataSpace = 307 "data-space" Warning, "The disk of PostgreSQL's data has room";
    means: "Less than 1 GiB is free on the disk of the data folder; below 100 MB it is CRITICAL.";
    matters: "With a full disk PostgreSQL stops, and a standby's stops following. A slot that nobody receives through, or an \
              archive that fails, keeps the log for ever.";
    type: "psql -c 'select slot_name, active, restart_lsn from pg_replication_slots'\n\
           psql -c 'select failed_count, last_failed_wal from pg_stat_archiver'";

    ClusterAccess = 308 "cluster-access" Warning, "PostgreSQL lets its own user in as superuser";
    means: "Over the local socket PostgreSQL does not let the user of the operating system that it runs as in as superuser \
            without a password (peer).";
    matters: "Neither the doctor nor gocd-bc setup sees rules, settings and slots, and nobody promotes with psql in an \
              emergency without knowing a password.";
    type: "editor /etc/postgresql/15/main/pg_hba.conf    # first line: local all postgres peer\n\
           systemctl reload postgresql@15-main";
}

impl Check {
    /// Its number, `BC101`.
    pub fn number(self) -> String {
        format!("BC{}", self.row().number)
    }

    /// Its name in kebab case.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// How bad it is where it fails, unless the finding says otherwise.
    pub fn level(self) -> Level {
        self.row().level
    }

    /// What holds where nothing is found, in one line.
    pub fn title(self) -> &'static str {
        self.row().title
    }

    /// The page of one check: what it means, why it matters, what to type.
    pub fn page(self) -> String {
        let row = self.row();
        let commands: String = row.commands.lines().map(|line| format!("    {line}\n")).collect();
        format!(
            "{} {} ({})\n{}\n\nWhat it means\n\n{}\n\nWhy it matters\n\n{}\n\nWhat to type\n\n{commands}",
            self.number(),
            row.name,
            row.level,
            row.title,
            wrapped(row.means),
            wrapped(row.matters),
        )
    }
}

/// A check by its name or its number, in either case.
impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase();
        let is_meant = |check: &&Check| check.name() == text || check.number().to_ascii_lowercase() == text;
        let found = Check::ALL.iter().find(is_meant);
        found.copied().ok_or_else(|| {
            format!(
                "there is no check `{}`; `gocd-bc explain` lists them",
                words::shown(&text, 40)
            )
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number(), self.name())
    }
}

/// A text in lines of 80 characters.
fn wrapped(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= 80 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_found_by_its_number_and_its_name_alone() {
        let mut numbers: Vec<_> = Check::ALL.iter().map(|check| check.row().number).collect();
        numbers.dedup();
        assert!(numbers.is_sorted() && numbers.len() == Check::ALL.len(), "{numbers:?}");
        for check in Check::ALL {
            for text in [check.number(), check.name().to_owned(), check.name().to_uppercase()] {
                assert_eq!(text.parse(), Ok(*check), "{text}");
            }
            let is_kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(check.name().chars().all(is_kebab), "{check}");
            assert!(!check.title().ends_with('.') && check.title().len() <= 100, "{check}");
            let page = check.page();
            assert!(page.lines().all(|line| line.chars().count() <= 120), "{page}");
            assert!(page.contains("What to type\n\n    "), "{page}");
        }
        assert!("all".parse::<Check>().is_err());
    }
}
