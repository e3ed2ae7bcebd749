//! What a running primary claims in the database of real PostgreSQL servers, and who sees it.

use std::time::Duration;

use bc_core::{
    basics::{NodeId, Properties},
    database::{
        configured::{self, Configured, Login},
        refusal::Refusal,
    },
    generation::Epoch,
    role::claim::{Holder, Row, Standing},
};
use bc_server::database::Connection;
use bc_testkit::{
    postgres::{DATABASE, Postgres, USER, for_majors},
    wait::until,
};
use tokio::runtime::Runtime;

const LONG: Duration = Duration::from_secs(60);

fn login(text: &str) -> Login {
    match configured::read(Some(text.as_bytes()), &Properties::default(), None).expect(text) {
        Configured::PostgreSql(login) => *login,
        Configured::NotCovered(what) => panic!("{what}"),
    }
}

fn node(digit: &str) -> NodeId {
    digit.repeat(32).parse().expect("an id")
}

fn epoch(number: u64, promotion: &str) -> Epoch {
    Epoch {
        number,
        promotion: promotion.to_owned(),
    }
}

async fn connect(login: &Login) -> Connection {
    Connection::open(login, &login.url.hosts[0])
        .await
        .expect("it lets us in")
}

#[test]
fn one_node_has_the_lock_and_every_other_one_sees_which() {
    for_majors(&[11, 15, 18], |major| {
        let server = Postgres::primary_of(major);
        let login = login(&server.properties());
        Runtime::new().expect("a runtime").block_on(async {
            let (first, second) = (connect(&login).await, connect(&login).await);
            assert_eq!(second.lock_holder(&node("b")).await, Ok(Holder::Nobody));
            assert_eq!(first.take_lock(&node("a")).await, Ok(true));
            assert_eq!(second.take_lock(&node("b")).await, Ok(false));
            assert_eq!(second.lock_holder(&node("b")).await, Ok(Holder::Other(node("a"))));
            assert_eq!(second.lock_holder(&node("a")).await, Ok(Holder::Own));
            drop(first);
            while second.lock_holder(&node("b")).await != Ok(Holder::Nobody) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(second.take_lock(&node("b")).await, Ok(true));
        });
    });
}

#[test]
fn the_epoch_in_the_database_never_goes_back_and_is_replicated() {
    for_majors(&[11, 18], |major| {
        let server = Postgres::primary_of(major);
        let standby = Postgres::standby_of(&server);
        let login = login(&server.properties());
        let at_standby = self::login(&standby.properties());
        let runtime = Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let connection = connect(&login).await;
            assert_eq!(connection.epoch().await, Ok(None));
            assert_eq!(connection.write_epoch(&epoch(1, ""), &node("a")).await, Ok(true));
            assert_eq!(connection.write_epoch(&epoch(3, "third"), &node("b")).await, Ok(true));
            assert_eq!(connection.write_epoch(&epoch(2, "second"), &node("a")).await, Ok(true));
            let row = connection.epoch().await.expect("it answers").expect("a row");
            assert_eq!((&row.epoch, &row.node_id), (&epoch(3, "third"), &node("b")));
            assert_eq!(row.standing(&epoch(2, "second")), Standing::Higher);
        });
        let row: Row = until("the standby to have it", LONG, || {
            runtime.block_on(async { connect(&at_standby).await.epoch().await.ok().flatten() })
        });
        assert_eq!(row.epoch, epoch(3, "third"));
        // A standby takes no writes, and says so without breaking the connection.
        runtime.block_on(async {
            let connection = connect(&at_standby).await;
            assert_eq!(connection.write_epoch(&epoch(4, "fourth"), &node("a")).await, Ok(false));
            assert!(connection.look().await.is_ok());
        });
    });
}

#[test]
fn who_may_not_make_a_schema_writes_nothing_and_reads_on() {
    let server = Postgres::primary();
    server.sql(&format!("alter database {DATABASE} owner to postgres"));
    server.sql(&format!("revoke create on database {DATABASE} from {USER}, public"));
    let login = login(&server.properties());
    Runtime::new().expect("a runtime").block_on(async {
        let connection = connect(&login).await;
        assert_eq!(connection.write_epoch(&epoch(2, "second"), &node("a")).await, Ok(false));
        assert_eq!(connection.epoch().await, Ok::<_, Refusal>(None));
        assert_eq!(connection.take_lock(&node("a")).await, Ok(true));
    });
    server.sql_in(
        DATABASE,
        "create schema gocd_business_continuity; create table gocd_business_continuity.epoch (number text); \
         insert into gocd_business_continuity.epoch values ('seven')",
    );
    Runtime::new().expect("a runtime").block_on(async {
        let connection = connect(&login).await;
        assert_eq!(
            connection.epoch().await,
            Ok(None),
            "a table of somebody else's is no row of ours"
        );
    });
}
