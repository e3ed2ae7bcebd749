//! The network face of a node, and the node itself.
//!
//! | module | does |
//! |---|---|
//! | `node` | one running node; its parts are listed there |
//! | `listener` | our own port: accepts, speaks TLS and HTTP, bounds strangers, turns away other protocols |
//! | `accepting` | accepts connections, to ports and to the local socket, where that may fail for a while |
//! | `first_bytes` | tells a protocol by the first bytes that came |
//! | `routes` | answers on our port: map of all paths, probes, metrics, the protocol (v2), the old one (v1) |
//! | `auth`, `credentials` | who has the token; user and password as a request says them |
//! | `session`, `origin` | sessions of people on the dashboard; where a request came from |
//! | `dashboard` | the page for people (`page`), and the original product's JSON (`original`) |
//! | `held` | answers on GoCD's own port while GoCD is held |
//! | `context`, `paths` | what a request handler may see of its node; how our paths begin |
//! | `rejection_log` | counts and tells whom our ports turn away |
//! | `md5s` | MD5s of files, for the old protocol and the original's JSON |
//! | `client` | a standby's connection to its primary: manifest, blobs, deltas, reports |
//! | `client::who` | asks who answers at an address |
//! | `client::answer` | names what answered in the primary's place: a proxy, a load balancer, another server |
//! | `client::failure` | says what went wrong between standby and primary |
//! | `client::not_tls` | says what a port speaks that is not TLS |
//! | `client::own_key` | finds out who else shows this node's own key |
//! | `tls` | checks the signatures of handshakes and reads the keys of certificates, for both sides |
//! | `tls::node_key`, `tls::server` | the key that is shown; TLS of a port |
//! | `tls::client`, `tls::authority` | judges the key that the primary shows; by `bc.tls.ca` where that is set |
//! | `tls::certificate`, `tls::pem`, `tls::public_key` | certificates, PEM files and kinds of keys, in words |
//! | `tls::failure` | what a failed handshake means, in words |
//! | `database` | the connection to GoCD's PostgreSQL, with its TLS (`tls`); what is made of its answers is in `node::database` |
//! | `control` | the local socket: how `gocd-bc` talks to a running node |
//! | `off_worker` | keeps work that may wait for a disk from holding up the runtime |

#![forbid(unsafe_code)]

mod accepting;
mod auth;
pub mod client;
pub mod context;
pub mod control;
mod credentials;
mod dashboard;
pub mod database;
mod first_bytes;
pub mod held;
pub mod listener;
pub mod md5s;
pub mod node;
mod off_worker;
mod origin;
pub mod paths;
pub mod rejection_log;
pub mod routes;
mod session;
pub mod tls;

pub use bc_core::basics::Error;
