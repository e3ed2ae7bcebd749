//! What GoCD has in its hands, as rows of real tables say it, on real PostgreSQL servers.

use bc_core::{
    basics::Properties,
    database::{
        configured::{self, Configured, Login},
        in_hand::InHand,
        refusal::Refusal,
    },
};
use bc_server::database::Connection;
use bc_testkit::postgres::{DATABASE, PASSWORD, Postgres, USER, for_majors};
use tokio::runtime::Runtime;

fn in_hand(text: &str) -> Result<InHand, Refusal> {
    let login: Login = match configured::read(Some(text.as_bytes()), &Properties::default(), None).expect(text) {
        Configured::PostgreSql(login) => *login,
        Configured::NotCovered(what) => panic!("{what}"),
    };
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async { Connection::open(&login, &login.url.hosts[0]).await?.in_hand().await })
}

#[test]
fn jobs_on_agents_locked_pipelines_and_waiting_stages_are_told_apart_on_every_version() {
    for_majors(&[11, 15, 18], |major| {
        let server = Postgres::primary_of(major);
        let properties = server.properties();
        assert_eq!(
            in_hand(&properties),
            Err(Refusal::Other("42P01".to_owned())),
            "no tables"
        );
        server.make_gocd_tables();
        assert_eq!(in_hand(&properties), Ok(InHand::default()));
        server.run_a_pipeline();
        let found = in_hand(&properties).expect("it answers");
        let jobs: Vec<_> = found
            .jobs
            .iter()
            .map(|job| (job.job.as_str(), job.state.as_str(), job.agent.as_deref()))
            .collect();
        assert_eq!(
            jobs,
            [
                ("up/7/build/1/a1", "Assigned", Some("u-gone")),
                ("up/7/build/1/b1", "Building", Some("builder1")),
                ("up/7/build/1/c1", "Completing", Some("builder1")),
                ("up/7/build/1/p1", "Preparing", Some("builder1")),
            ]
        );
        let locked: Vec<_> = found
            .locked
            .iter()
            .map(|locked| (locked.pipeline.as_str(), locked.label.as_deref()))
            .collect();
        assert_eq!(locked, [("old", None), ("up", Some("7-up"))]);
        assert_eq!(found.waiting.len(), 1);
        assert_eq!(
            (found.waiting[0].stage.as_str(), found.waiting[0].jobs),
            ("down/3/test/2", 2)
        );
        assert_eq!((found.job_count, found.locked_count, found.waiting_count), (4, 2, 1));

        // A hundred are named, and all are counted.
        server.sql_in(
            DATABASE,
            "insert into builds (name, state, stageid) select 'n' || i, 'Building', 1 from generate_series(1, 500) i",
        );
        let found = in_hand(&properties).expect("it answers");
        assert_eq!((found.jobs.len(), found.job_count), (100, 504));
    });
}

#[test]
fn who_may_not_read_the_tables_is_told_apart_and_nothing_is_written() {
    let server = Postgres::primary();
    server.make_gocd_tables();
    server.sql(&format!("create role watcher login password '{PASSWORD}'"));
    let watcher = server.properties_as("watcher", PASSWORD);
    assert_eq!(in_hand(&watcher), Err(Refusal::Other("42501".to_owned())));
    server.sql_in(
        DATABASE,
        "grant select on builds, stages, pipelines, agents, pipelinestates to watcher",
    );
    assert_eq!(
        in_hand(&watcher),
        Ok(InHand::default()),
        "what a message says to grant is enough"
    );
    // A standby answers as well, which takes no writes.
    let standby = Postgres::standby_of(&server);
    standby.settle();
    assert_eq!(in_hand(&standby.properties_as(USER, PASSWORD)), Ok(InHand::default()));
}
