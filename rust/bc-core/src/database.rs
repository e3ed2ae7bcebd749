//! GoCD's database: where it is, what a look at it means, and how far a replica is behind.
//!
//! Nothing here opens a connection: what is sent and what came back are texts and rows, and what they mean is decided from
//! them alone. Facts are of PostgreSQL 11 to 18 and of pgjdbc 42.2.10 (GoCD 20.6) to 42.7.12 (GoCD 26.1).
//!
//! | for | see |
//! |---|---|
//! | where GoCD's database is, and as whom GoCD logs in | [`configured`], [`url`] |
//! | the `db.properties` of a standby | [`other_host`] |
//! | what is asked of a server, and what its answer means | [`look`] |
//! | what came of asking, and where there was no answer | [`answer`], [`refusal`] |
//! | what a primary tells its standbys | [`position`] |
//! | positions in the write-ahead log, seconds behind, whether it gets on | [`lsn`], [`lag`], [`following`] |
//! | how the database of a standby is promoted | [`promotion`] |
//! | how a former primary comes back, and how its timelines stand to the new one's | [`reseed`], [`way_back`] |
//! | what one server's history file and `pg_controldata` say of it | [`timeline`], [`control_data`] |
//! | what is asked seldom: settings, slots, collations, who runs it for others | [`facts`] |
//! | what a node says of all that, and what it calls what is wrong | [`watch`], [`picture`], [`finding`] |
//! | what GoCD had in its hands, by the rows of its tables | [`in_hand`] |
//! | how a standby is told whom to follow, and with which password | [`conninfo`], [`passfile`], [`setting_file`] |
//! | what a primary needs so that it can be followed, and whom it lets in | [`followed`], [`hba`], [`sql`] |
//! | what makes a copy of a primary its standby, and whether a host can carry one | [`recovery`], [`fit`], [`base_backup`] |
//! | what PostgreSQL's own messages mean | [`messages`] |
//!
//! Stands on [`crate::basics`] and [`crate::gocd`].

pub mod answer;
pub mod base_backup;
pub mod configured;
pub mod conninfo;
pub mod control_data;
pub mod facts;
pub mod finding;
pub mod fit;
pub mod followed;
pub mod following;
pub mod hba;
pub mod in_hand;
pub mod lag;
pub mod look;
pub mod lsn;
pub mod messages;
pub mod other_host;
pub mod passfile;
pub mod picture;
pub mod position;
pub mod promotion;
pub mod recovery;
pub mod refusal;
pub mod reseed;
pub mod setting_file;
pub mod sql;
pub mod timeline;
pub mod url;
pub mod watch;
pub mod way_back;
