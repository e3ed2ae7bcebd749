//! Every decision of GoCD Business Continuity: what to sync, how to verify and apply it, who is primary.
//!
//! Follows the way of a change: [`scan`] finds it on the primary's disk and makes a [`manifest`]; [`pull`] on
//! the standby hears of it over a [`transport`], plans and fetches; [`store`] verifies the set and makes it
//! live; [`status`] is the one picture that every face shows. [`role`] decides who holds and who runs.
//!
//! This crate opens no socket and reads no environment: what it needs of the world (the time of day, a
//! connection, settings) is handed in.

mod attributes;
pub mod burst;
mod characters;
pub mod cipher;
pub mod clock;
pub mod concern;
pub mod control;
pub mod counters;
pub mod cruise_config;
pub mod delta;
pub mod digest;
pub mod error;
pub mod event;
pub mod extra_name;
pub mod fingerprint;
pub mod gocd_version;
pub mod host;
pub mod identity;
pub mod jar_name;
pub mod layout;
pub mod ledger;
mod lenient;
pub mod lineage;
pub mod lock_holder;
pub mod manifest;
pub mod md5;
mod mount;
pub mod network;
pub mod offer;
pub mod own_keys;
pub mod peers;
pub mod percent;
pub mod primary_url;
pub mod properties;
pub mod pull;
pub mod random;
pub mod regular_file;
pub mod report;
pub mod role;
pub mod run;
pub mod scan;
pub mod settings;
pub mod short_path;
pub mod shortage;
mod spelling;
pub mod standbys;
pub mod state_dir;
pub mod status;
pub mod store;
pub mod stray_ends;
pub mod token;
pub mod transport;
pub mod trust;
pub mod withheld;
pub mod words;
