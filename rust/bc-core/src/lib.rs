//! Every decision of GoCD Business Continuity: what to sync, how to verify and apply it, who is primary.
//!
//! The crate is a house of fourteen rooms. A room imports only from rooms below it in this table, so that whoever reads
//! from the top down meets nothing that is explained later.
//!
//! | room | what it knows |
//! |---|---|
//! | [`basics`] | errors, digests, texts, the clock, what the operating system says |
//! | [`durable`] | how something survives a power cut |
//! | [`gocd`] | what is in GoCD's own files |
//! | [`database`] | where GoCD's database is, what a look at it means, how far a replica is behind |
//! | [`generation`] | which files are synced, what they are called, and the manifest that lists them |
//! | [`settings`] | what an administrator has set |
//! | [`files`] | which files have changed, and who a plugin's jar is |
//! | [`keys`] | who this node is and whom it trusts |
//! | [`role`] | who holds and who runs, and what a node remembers of that |
//! | [`status`] | the one picture that every face shows |
//! | [`primary`] | reading the files, offering them, listing who follows |
//! | [`standby`] | hearing of them, fetching, judging, making them live |
//! | [`node`] | what a whole node says to the command line and to its process |
//! | [`doctor`] | what can be wrong with an installation, and what mends it |
//!
//! [`primary`] and [`standby`] import nothing of each other: what both need is below them.
//!
//! Whoever comes from another room names a type by the room alone (`basics::Error`, `generation::Name`): its head says
//! which. Functions and constants are named by their module.
//!
//! A change goes this way: [`primary::scan`] finds it on the primary's disk and makes a [`generation::manifest`];
//! [`primary::offer`] gives it a number; [`standby::pull`] hears of it over a [`standby::transport`] and fetches what
//! is missing; [`standby::store`] verifies the set and makes it live; [`status`] shows it.
//!
//! The crate opens no socket and reads no environment: what it needs of the world (the time of day, a connection,
//! settings) is handed in.

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests arrange files, start programs and know what time it is"
    )
)]

pub mod basics;

pub mod durable;

pub mod gocd;

pub mod database;

pub mod generation;

pub mod settings;

pub mod files;

pub mod keys;

pub mod role;

pub mod status;

pub mod primary;

pub mod standby;

pub mod node;

pub mod doctor;
