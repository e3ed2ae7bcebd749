//! `gocd-bc`, the companion command of GoCD Business Continuity.
//!
//! | module | does |
//! |---|---|
//! | `args` | every command and option, once: help, completions and parsing come from it |
//! | `find` | which node on this machine is meant |
//! | `client` | talks to a running node on its local socket |
//! | `owner` | as root, writes files as the user whose they are |
//! | `commands` | one module per command |
//! | `console` | the terminal, as what a set-up speaks to |
//! | `output`, `failure`, `exit_code` | what a person or a script sees of it |
//!
//! What is asked for goes to stdout, what is told on the way to stderr. The command decides nothing that a node
//! decides: it asks the node.

#![forbid(unsafe_code)]

mod args;
mod client;
mod commands;
mod console;
mod exit_code;
mod failure;
mod find;
mod output;
mod owner;
mod stop;

fn main() -> std::process::ExitCode {
    let exit = match args::parse() {
        Ok(arguments) => commands::run(arguments).unwrap_or_else(|failure| output::tell(&failure)),
        Err(exit) => exit,
    };
    exit.into()
}
