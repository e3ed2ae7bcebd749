//! Every command and option. Help, completions and parsing come from here.

use std::path::PathBuf;

use bc_core::basics::Fingerprint;
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use self::setup::SetupCommand;
use crate::exit_code::ExitCode;

pub(crate) mod setup;

/// Looks after the GoCD Business Continuity node on this machine
///
/// The node is found by --state-dir, by the environment variable BC_STATE_DIR, by the wrapper.conf of the GoCD
/// installations in /usr/share/go-server, /go-server and --gocd, and at last in ./db/business-continuity.
#[derive(Debug, Parser)]
#[command(
    name = "gocd-bc",
    version,
    after_help = "\
Examples:
  gocd-bc status                       is all well? 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
  gocd-bc doctor                       what is wrong with this installation, and what to type
  gocd-bc token generate               on the primary, once
  gocd-bc identity show                on the primary, to compare with what the standby saw
  gocd-bc trust FINGERPRINT            on the standby
  gocd-bc sync --allow-deletions       on the standby, when plugins were removed on purpose
  gocd-bc promote --dry-run            on the standby, any day: what a promotion would do
  gocd-bc promote                      on the standby, when the primary is lost
  gocd-bc history                      who promoted what, and when

Wrong use of the command ends with 64."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which node is meant.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Which node")]
pub(crate) struct Place {
    /// State folder of the node [environment: BC_STATE_DIR]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) state_dir: Option<PathBuf>,
    /// Folder of a GoCD installation, besides those of the packages and the Docker image
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) gocd: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what the node is, whether it is in sync, and what is wrong
    ///
    /// Ends with 0 when all is well, 1 for WARNING, 2 for CRITICAL, and 3 when no node answers: what is in the
    /// files of the node is shown then.
    Status {
        /// Print JSON: {"source":"node","status":{…}}, or {"source":"files","files":{…}} when no node answers
        #[arg(long)]
        json: bool,
    },
    /// Look for everything that can be wrong with this installation, and say what to type
    ///
    /// Works on either GoCD server and on either host of the database, and says what kind of host it found. Prints a
    /// line for each finding, and below it what mends it. Nothing is changed. Ends with 0 when nothing is wrong, 1 for
    /// WARNING, 2 for CRITICAL, and 3 when something could not be found out; after 10 seconds at the latest.
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// The data folder of a PostgreSQL that the packages of this host do not know
        #[arg(long, value_name = "DIR")]
        pgdata: Option<PathBuf>,
    },
    /// Explain a check of the doctor: what it means, why it matters, what to type
    Explain {
        /// Its name or its number, such as token or BC113; without one all checks are listed
        check: Option<String>,
    },
    /// Make or check the user and password that both nodes share
    #[command(subcommand)]
    Token(TokenCommand),
    /// Show or change the key by which other nodes know this one
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// Trust the key of another node, or list the keys that are trusted
    ///
    /// Compare the fingerprint with what `gocd-bc identity show` prints on the other node before you trust it.
    /// A running node takes it up at once. A key that is removed stays out, whoever names it, until it is trusted
    /// again on this node; where a primary removes one, its standbys do so with their next report.
    Trust {
        /// The key's SHA-256 fingerprint, hex or base64; without one the trusted keys are listed
        fingerprint: Option<Fingerprint>,
        /// Do not trust it any more, and never again by itself
        #[arg(long, requires = "fingerprint")]
        remove: bool,
        /// List as JSON
        #[arg(long, conflicts_with = "fingerprint")]
        json: bool,
        #[command(flatten)]
        config: ConfigFolder,
    },
    /// Pull from the primary now, and wait until its newest files are live here
    ///
    /// The standby does so by itself at every change; this is for the impatient, and for saying yes to what it has
    /// refused. Each yes holds for this one pull.
    Sync(SyncArguments),
    /// Read all live files and kept generations of this standby now, and compare them with what they should be
    ///
    /// A standby does so by itself within bc.rehash.interval, a day. What is wrong is mended, and named. Ends with 0
    /// when all is right, 1 when kept bytes are damaged, 2 when a live file is not right, and 3 when it could not be
    /// found out.
    Verify {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Look at the generations that this standby keeps, or go back to one
    ///
    /// A generation is one whole set of synced files. A standby keeps the last ones that were live
    /// (bc.generations.keep, 10), and as generation 0 the files that were there before it first synced.
    #[command(subcommand)]
    Generations(GenerationsCommand),
    /// Set up one of the four machines of a pair: two databases, two GoCD servers
    ///
    /// Each shows what is and what would change.
    #[command(subcommand)]
    Setup(SetupCommand),
    /// Make this standby the primary: promote its database and let GoCD run
    ///
    /// Shows what was looked at and what would be lost, and asks for the name of this server; a script says --yes. Then
    /// pulls once more from the primary if it can, reads every live file, mends what is not what was verified, waits until
    /// the database has replayed what it received, promotes it (bc.db.promote) and lets the held GoCD go on. Each step is
    /// written down: after a crash the same command goes on from there. Ends with 0 when GoCD runs, with 1 when it was
    /// refused or the node cannot be asked, with 2 when GoCD was released but ended, or was not seen running in time, with 3
    /// when it runs, but not with all that it was promoted with.
    ///
    /// Where another server still answers as the primary it is refused. --force orders that one to stop through its own
    /// fence, and goes on only once it has been seen to; nothing else is overridden, and its last edits may be lost.
    ///
    /// Where the primary hands over (`gocd-bc demote --handover` there), nothing is asked and nothing may be lost. On that
    /// primary itself it takes the hand-over back, while every other node answers and none was promoted.
    Promote {
        /// Show what was looked at and change nothing; ends as the promotion would
        #[arg(long)]
        dry_run: bool,
        /// Do not ask
        #[arg(long, short = 'y')]
        yes: bool,
        /// Also where more of the database would be lost than bc.promote.max.lag allows; with --take-over, also what
        /// the other server did meanwhile
        #[arg(long)]
        accept_loss: bool,
        /// Also where another server answers as the primary: it is ordered to stop first, and must be seen to
        #[arg(long, conflicts_with_all = ["take_over", "without_database", "abort"])]
        force: bool,
        /// Make a server the primary again that is fenced, or held since another one claims to be the primary
        #[arg(long, conflicts_with_all = ["dry_run", "without_database", "as_it_is", "abort", "json"])]
        take_over: bool,
        /// Leave the database alone: it is promoted already, and no other primary runs; nothing is asked
        #[arg(long, conflicts_with_all = ["dry_run", "accept_loss"])]
        without_database: bool,
        /// Also on files that are not what was verified and cannot be mended, or where nothing was ever synced
        #[arg(long)]
        as_it_is: bool,
        /// End a promotion that came to no end before it touched the database, and follow the primary again
        #[arg(long, conflicts_with_all = ["dry_run", "yes", "accept_loss", "without_database", "as_it_is"])]
        abort: bool,
        /// Start GoCD in its maintenance mode: it schedules nothing until you end that (GoCD 20.9 and later)
        #[arg(long, conflicts_with_all = ["take_over", "abort"])]
        maintenance: bool,
        /// How long the database may take to replay what it received [default: 30]
        #[arg(long, value_name = "SECONDS")]
        replay_wait: Option<u64>,
        /// How long to wait until GoCD says that it runs; 0 does not wait
        #[arg(long, value_name = "SECONDS", default_value_t = 300)]
        wait: u64,
        /// Print JSON: what was looked at, and what the promotion came to
        #[arg(long)]
        json: bool,
    },
    /// Make this server a standby from its next start on
    ///
    /// It is held at its next start, with or without a flag, and follows the primary that bc.primary.url names. What
    /// runs now is not touched. With --forget the record of what it was is removed instead: go.server.mode and
    /// start.in.standby alone decide at its next start, and without either GoCD starts as a primary, unless another node
    /// that this one knows is one.
    ///
    /// --handover is the planned switch, on the primary: GoCD ends and its next start is held, files and database are final,
    /// and the node says exactly what they are. Then `gocd-bc promote` on the standby loses nothing, or is refused; `gocd-bc
    /// promote` here takes it back.
    Demote {
        /// Remove the record of what this server was, for a machine that is to be something else; also where no node
        /// answers
        #[arg(long)]
        forget: bool,
        /// Hand over: end GoCD here, keep it held, and say what whoever is promoted must have
        #[arg(long, conflicts_with = "forget")]
        handover: bool,
        /// With --handover: how long to wait until it says so; 0 does not wait
        #[arg(long, value_name = "SECONDS", default_value_t = 300)]
        wait: u64,
    },
    /// Say that you have seen that this server promoted itself
    ///
    /// A standby whose flag is gone promotes itself where the primary that it followed does not answer. It says so as
    /// CRITICAL until this command, or the next promotion or demotion.
    Acknowledge,
    /// Show what this server found when it had been promoted
    ///
    /// What GoCD had in its hands, from its database: jobs on agents, locked pipelines, stages that wait; until when agents
    /// must be back; whether the artifacts are there. Shown in the status and on the dashboard too, until
    /// `gocd-bc landing done`.
    Landing {
        #[command(subcommand)]
        command: Option<LandingCommand>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List promotions, demotions, restored generations and changed keys, with who ordered them
    ///
    /// Newest first, in the time of UTC. Also lists what was refused, with the reason. What else was ordered of the node
    /// is in audit.jsonl in its state folder. Ends with 1 where a part of it cannot be read.
    History {
        /// As many of the newest
        #[arg(short, long, value_name = "NUMBER", default_value_t = 20)]
        number: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a server start that waits for another node
    ///
    /// A server that is to be the primary asks the other nodes first whether one of them was promoted. It stays held where
    /// somebody answers in the place of one who does not prove who that is.
    #[command(subcommand)]
    Guard(GuardCommand),
    /// Run a primary without GoCD's JVM, in the foreground
    ///
    /// Offers the files of a GoCD folder as the plugin does. For a sidecar container, or a machine where GoCD is
    /// not started. In the folder of a standby it holds and asks the primary that was followed first, for
    /// bc.guard.wait, and promotes itself where that is silent. Ends on SIGTERM or Ctrl-C.
    Primary {
        #[command(flatten)]
        node: NodeArguments,
    },
    /// Run a standby without GoCD's JVM, in the foreground
    ///
    /// Follows the primary as a held GoCD does, without taking GoCD's port. Once it is promoted it goes on as a
    /// primary: start GoCD then. Ends on SIGTERM or Ctrl-C.
    Standby {
        /// Where the primary is, such as https://primarygo:8155
        #[arg(long, value_name = "URL")]
        primary_url: Option<String>,
        #[command(flatten)]
        node: NodeArguments,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum GuardCommand {
    /// Start without one of the other nodes, this time
    ///
    /// Make sure first that no other server of the pair runs as a primary. Against a node that has proven itself and has
    /// a higher epoch it does nothing. It is logged, and valid for this start.
    Ignore {
        /// The other node, as `gocd-bc status` names it
        #[arg(value_name = "PEER")]
        peer: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and write it to business-continuity-token in the configuration folder
    ///
    /// The file gets mode 0600 and, when root makes it, the owner of cruise-config.xml. The password is not shown.
    /// Copy the file to the other server: both need the same one.
    Generate {
        /// Replace the token that is there
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        place: TokenPlace,
    },
    /// Check the token file
    ///
    /// Ends with 0 when it is fine, 1 when everybody can read it, 2 when it is missing or wrong, 3 when it cannot be
    /// read.
    Check {
        #[command(flatten)]
        place: TokenPlace,
    },
}

/// Which token file is meant.
#[derive(Debug, Args)]
pub(crate) struct TokenPlace {
    /// The token file, if it is not business-continuity-token in the configuration folder
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) config: ConfigFolder,
}

/// Which configuration folder is meant.
#[derive(Debug, Args)]
pub(crate) struct ConfigFolder {
    /// The folder of cruise-config.xml, if GoCD's wrapper.conf does not tell
    #[arg(long, value_name = "DIR")]
    pub(crate) config: Option<PathBuf>,
}

/// What a pull may do.
#[derive(Debug, Args)]
pub(crate) struct SyncArguments {
    /// Pull at once; so does the command without any option
    #[arg(long)]
    now: bool,
    /// Remove the plugins that the primary no longer has, however many they are
    #[arg(long)]
    pub(crate) allow_deletions: bool,
    /// Take over the primary's serverId, though this server has another one
    #[arg(long)]
    pub(crate) adopt_server_id: bool,
    /// Take over files of a primary that went back in time, was set up anew, or is not the last one promoted
    #[arg(long)]
    pub(crate) accept_rollback: bool,
    /// Follow the primary again after `gocd-bc generations restore`
    #[arg(long)]
    pub(crate) resume: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GenerationsCommand {
    /// List them, newest first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the files of one
    Show {
        /// Its id or the beginning of it, its sequence as #12, or 0
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what differs between two, without showing a secret
    ///
    /// Prints a unified difference of cruise-config.xml, one tag a line, and a table of the files that differ. In the
    /// place of every secret stands `[secret]`, and whether it changed. Passwords in places that GoCD itself keeps in
    /// plain text, such as the arguments of a task, are shown.
    Diff {
        /// Its id or the beginning of it, its sequence as #12, or 0, or live for the files that are live now
        /// [default: the one before TO]
        from: Option<String>,
        /// The same [default: the one that was applied last]
        to: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let go of what a server still keeps of its time as a standby
    ///
    /// After a promotion its generations stay for bc.generations.keep.after.promotion, 7 days, or until this command.
    Drop {
        /// Its id or the beginning of it, its sequence as #12, or 0
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// All of them
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
    /// Make one live again on this standby, and stop following the primary
    ///
    /// The standby stays on it, over restarts and into a promotion, until `gocd-bc sync --resume`.
    Restore {
        /// Its id or the beginning of it, its sequence as #12, or 0
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LandingCommand {
    /// Say that you have seen it: it is not shown any more
    Done,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Show fingerprint and node id
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Give this primary another key
    ///
    /// The next key is published to the standbys first; the primary shows it once every standby that is not silent
    /// has confirmed that it trusts it. If that takes longer than the command waits, it happens by itself later. The
    /// former key is removed then, here and on each standby.
    Rotate {
        /// Wait only a moment for the standbys that have not confirmed it; they are named
        #[arg(long)]
        now: bool,
    },
    /// Give a copied server an identity of its own: another node id and another key
    ///
    /// For the copy where a server or its state folder was cloned, while GoCD is stopped there. All else stays as it
    /// is. The other servers know the new key by `gocd-bc trust` alone.
    New,
}

/// What a node without a JVM is told. With --gocd, the wrapper.conf there is read first.
#[derive(Debug, Args)]
pub(crate) struct NodeArguments {
    /// GoCD's working directory; the folders below are in it unless named [default: the current folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) working_dir: Option<PathBuf>,
    /// The folder of cruise-config.xml [default: config]
    #[arg(long, value_name = "DIR")]
    pub(crate) config_dir: Option<PathBuf>,
    /// The folder of user plugins [default: plugins/external]
    #[arg(long, value_name = "DIR")]
    pub(crate) plugins_dir: Option<PathBuf>,
    /// Where the TLS port listens [default: 0.0.0.0:8155]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Any other setting, as the JVM would get it with -D; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    pub(crate) property: Vec<(String, String)>,
}

/// Parses the command line of `gocd-bc`. Help and version are printed here, and so is what is wrong with it.
///
/// # Errors
/// What the process ends with at once.
pub(crate) fn parse() -> Result<Arguments, ExitCode> {
    Arguments::try_parse().map_err(|error| {
        // Nobody reads it: nothing to do about that.
        drop(error.print());
        if error.use_stderr() {
            ExitCode::Usage
        } else {
            ExitCode::Ok
        }
    })
}

/// Makes the completion script of a shell for `gocd-bc`.
pub(crate) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "gocd-bc", &mut script);
    String::from_utf8(script).expect("names and help are UTF-8")
}

/// Parses the `NAME=VALUE` of the option `--property`.
fn property(text: &str) -> Result<(String, String), String> {
    match text.trim_start_matches("-D").split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it has the form NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }

    /// A command that is copied from a document, or named in one, is one that there is.
    #[test]
    fn every_command_in_the_documents_is_understood() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut documents: Vec<_> = ["README.md", "CHANGELOG.md", "rust/CONTRIBUTING.md", "rust/SECURITY.md"]
            .map(|name| top.join(name))
            .into();
        let docs = fs::read_dir(top.join("rust/docs")).expect("a folder");
        documents.extend(docs.map(|entry| entry.expect("an entry").path()));
        assert!(documents.len() > 8, "{documents:?}");
        for document in documents {
            let text = fs::read_to_string(&document).expect("a document");
            for command in commands(&text) {
                if let Err(error) = Arguments::try_parse_from(&command) {
                    // Such as `gocd-bc trust` beside the fingerprint, or all of `gocd-bc identity`.
                    let is_a_part = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                        || error.kind() == ErrorKind::MissingRequiredArgument;
                    assert!(is_a_part, "{}: {command:?}: {error}", document.display());
                }
            }
        }
    }

    /// What a document says to type, in backticks or on a line of its own.
    fn commands(text: &str) -> Vec<Vec<String>> {
        let named = text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|words| words.starts_with("gocd-bc "));
        let lines = text.lines().filter(|line| line.starts_with("    "));
        let typed = lines.filter_map(|line| Some(&line[line.find("gocd-bc ")?..]));
        let words = |command: &str| {
            let words = command
                .split_whitespace()
                .take_while(|word| !["#", "|", "&"].contains(word));
            words
                .map(|word| match word.trim_matches('\'') {
                    "FINGERPRINT" => "ab".repeat(32),
                    word => word.to_owned(),
                })
                .collect()
        };
        named.chain(typed).map(words).collect()
    }

    #[test]
    fn places_may_follow_the_command() {
        let arguments = Arguments::try_parse_from(["gocd-bc", "status", "--state-dir", "/x"]).expect("valid");
        assert_eq!(arguments.place.state_dir, Some(PathBuf::from("/x")));
    }

    #[test]
    fn a_property_has_a_name() {
        assert_eq!(property("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(property("-Dx.y="), Ok(("x.y".to_owned(), String::new())));
        property("=b").expect_err("no name");
        property("a").expect_err("no value");
    }

    #[test]
    fn completions_know_every_command() {
        let script = completions(Shell::Bash);
        for word in ["status", "promote", "--without-database", "--state-dir"] {
            assert!(script.contains(word), "{word}");
        }
    }
}
