//! What is in GoCD's own files: its configuration and how its XML is read, what in it is secret, the key of its
//! secrets, its version, its log; and what it answers on its own port.
//!
//! | module | knows |
//! |---|---|
//! | `cruise_config` | what a standby wants to know of a `cruise-config.xml` before it becomes live |
//! | `secret` | what in it is secret, by name or by value |
//! | `cipher` | whether the key `cipher.aes` fits its secrets |
//! | `artifacts` | where a `cruise-config.xml` says that artifacts are kept |
//! | `version` | which GoCD is beside us |
//! | `health` | whether it runs, by its own word |
//! | `old_product` | whether it gives its secrets to anybody, by what it answers |
//! | `agents` | which agents it hears |
//! | `log` | why it ended, by the end of its log |
//! | `xml` | reads an XML text through, for its outline or for a visitor |
//! | `xml::skim` | reads head and end alone, for the outline at each scan |
//! | `xml::sweep` | reads every character of a usual text, fast |
//! | `xml::strict` | refuses what the JDK's parser would refuse, and has the last word on what is unusual |
//!
//! Stands on [`crate::basics`].

pub mod agents;
pub(crate) mod artifacts;
pub(crate) mod cipher;
pub(crate) mod cruise_config;
pub mod health;
pub mod log;
pub mod old_product;
pub(crate) mod secret;
pub mod version;
pub mod xml;
