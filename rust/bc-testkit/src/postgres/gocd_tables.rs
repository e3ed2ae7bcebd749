//! The tables of GoCD in which its jobs are, as its migrations make them on PostgreSQL.

use super::{DATABASE, Postgres, USER};

/// Those tables and columns that are read, with types, keys and defaults of GoCD's `create-schema.xml`, the same from
/// 20.6 to 26.1. Names of pipelines, stages and jobs are `citext`, as there.
const TABLES: &str = "\
create table agents (id bigserial primary key, uuid varchar(255) not null unique, cookie varchar(40) not null, \
hostname varchar(255), ipaddress varchar(50), disabled boolean default true, deleted boolean default true); \
create table pipelines (id bigserial primary key, name citext, label varchar(255), counter bigint, \
naturalorder double precision default 0.0 not null); \
create table stages (id bigserial primary key, name citext, pipelineid bigint references pipelines, \
orderid int not null, result varchar(50) default 'Unknown' not null, counter int not null, \
state varchar(50) default 'Unknown' not null, latestrun boolean default false not null); \
create table builds (id bigserial primary key, name citext, state varchar(50), result varchar(50), \
agentuuid varchar(255), scheduleddate timestamp, stageid bigint references stages, ignored boolean default false, \
rerun boolean default false not null); \
create table pipelinestates (id bigserial primary key, pipelinename citext not null unique, locked boolean, \
lockedbypipelineid bigint)";

impl Postgres {
    /// Makes the tables of GoCD in its database that are read, as GoCD's user.
    ///
    /// # Panics
    /// They cannot be made, or are there.
    pub fn make_gocd_tables(&self) {
        self.sql_in(DATABASE, "create extension if not exists citext");
        self.sql_in(DATABASE, &format!("set role {USER}; {TABLES}"));
    }

    /// Puts one run of a pipeline `up` into GoCD's tables, whose stage has a job in each state that GoCD has, and locks
    /// two pipelines. The agent of the job that is assigned is not known.
    ///
    /// # Panics
    /// There are no such tables.
    pub fn run_a_pipeline(&self) {
        self.sql_in(
            DATABASE,
            &format!(
                "set role {USER}; \
                 insert into agents (uuid, cookie, hostname, deleted) values ('u-1', 'c', 'builder1', false); \
                 insert into pipelines (id, name, label, counter) values (1, 'up', '7-up', 7), (2, 'down', '3', 3); \
                 insert into stages (id, name, pipelineid, orderid, counter, state, latestrun) \
                 values (1, 'build', 1, 1, 1, 'Building', true), (2, 'test', 2, 1, 2, 'Building', true); \
                 insert into builds (name, state, result, agentuuid, stageid) values \
                 ('a1', 'Assigned', 'Unknown', 'u-gone', 1), ('p1', 'Preparing', 'Unknown', 'u-1', 1), \
                 ('b1', 'Building', 'Unknown', 'u-1', 1), ('c1', 'Completing', 'Passed', 'u-1', 1), \
                 ('d1', 'Completed', 'Passed', 'u-1', 1), ('r1', 'Rescheduled', 'Unknown', 'u-1', 1), \
                 ('s1', 'Scheduled', 'Unknown', null, 2), ('s2', 'Scheduled', 'Unknown', null, 2); \
                 insert into pipelinestates (pipelinename, locked, lockedbypipelineid) \
                 values ('up', true, 1), ('old', true, 99), ('free', false, 0), ('never', null, null)"
            ),
        );
    }
}
