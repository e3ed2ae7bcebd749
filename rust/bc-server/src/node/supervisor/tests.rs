//! Parts that panic, end or never get going.

use std::sync::atomic::{AtomicU32, Ordering};

use bc_core::{
    basics::{Severity, SystemClock, lock},
    generation::Role,
    status::{Phase, Status, SyncStatus},
};
use tokio::time::{Instant, advance};

use super::*;

const PART: Part = Part {
    name: "tester",
    does: "is tested",
};

fn supervisor() -> Supervisor {
    let status = Status {
        sync: Some(SyncStatus {
            has_newest: true,
            ..SyncStatus::default()
        }),
        ..Status::new("node", Role::Standby, Phase::Holding, 0)
    };
    let board = Arc::new(StatusBoard::new(status, Arc::new(SystemClock)));
    board.update(|_| ());
    Supervisor {
        runtime: Handle::current(),
        board,
        dispatch: Dispatch::none(),
        stop: CancellationToken::new(),
        restart_waits: RestartWaits::default(),
        touches_files: true,
        threads: Arc::default(),
        provoked: Arc::default(),
    }
}

impl Supervisor {
    fn is_in_sync(&self) -> bool {
        self.board
            .look(|status| status.sync.as_ref().is_some_and(|sync| sync.in_sync))
    }

    fn problem(&self) -> Option<String> {
        self.board.look(|status| {
            let problem = status.problems.first()?;
            assert_eq!(
                (problem.topic.to_string(), problem.severity),
                ("part tester".to_owned(), Severity::Critical)
            );
            Some(problem.message.clone())
        })
    }
}

async fn let_tasks_run() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_panics_is_named_started_again_and_forgiven_once_it_runs() {
    let supervisor = supervisor();
    let starts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&starts);
    let supervised = supervisor.supervise(PART, move || {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert!(number > 0, "the first time\nit fails");
            std::future::pending::<()>().await;
        }
    });
    let_tasks_run().await;
    let said = supervisor.problem().expect("it is said");
    assert!(
        said.starts_with("the part of this node that is tested has failed: the first time it fails."),
        "{said}"
    );
    assert!(!supervisor.is_in_sync());
    assert_eq!(starts.load(Ordering::SeqCst), 1);
    advance(Duration::from_millis(1_100)).await;
    let_tasks_run().await;
    assert_eq!(starts.load(Ordering::SeqCst), 2);
    assert!(
        supervisor.problem().is_some() && !supervisor.is_in_sync(),
        "not proven yet"
    );
    sleep(Duration::from_secs(61)).await;
    let_tasks_run().await;
    assert_eq!(supervisor.problem(), None);
    assert!(supervisor.is_in_sync());
    supervisor.stop.cancel();
    assert!(
        timeout(Duration::from_secs(1), supervised).await.is_err(),
        "the part does not hear of the end"
    );
}

#[tokio::test(start_paused = true)]
async fn waits_double_up_to_a_minute_and_nothing_spins() {
    let supervisor = supervisor();
    let starts = Arc::new(std::sync::Mutex::new(Vec::new()));
    let counted = Arc::clone(&starts);
    // It ends by itself, which is as bad; sometimes it cannot even be made.
    let supervised = supervisor.supervise(PART, move || {
        let mut starts = lock(&counted);
        starts.push(Instant::now());
        assert!(starts.len() % 2 == 1, "it cannot be made");
        async {}
    });
    sleep(Duration::from_secs(600)).await;
    supervisor.stop.cancel();
    supervised.await.expect("it ends with the node");
    let starts = lock(&starts);
    let waits: Vec<u64> = starts.windows(2).map(|two| (two[1] - two[0]).as_secs()).collect();
    assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
    let said = supervisor.problem().expect("it is said");
    assert!(said.contains("has failed") && said.contains(" times: "), "{said}");
}

#[tokio::test(start_paused = true)]
async fn what_runs_meanwhile_stands_in_and_may_start_the_part_at_once() {
    let supervisor = supervisor();
    let (wake, woken) = (Arc::new(tokio::sync::Notify::new()), Arc::new(AtomicU32::new(0)));
    let (waits, starts) = (Arc::clone(&wake), Arc::clone(&woken));
    let supervised = supervisor.supervise_with(
        PART,
        move || {
            starts.fetch_add(1, Ordering::SeqCst);
            async { panic!("always") as () }
        },
        move || {
            let waits = Arc::clone(&waits);
            async move { waits.notified().await }
        },
    );
    let_tasks_run().await;
    assert_eq!(woken.load(Ordering::SeqCst), 1);
    wake.notify_one();
    let_tasks_run().await;
    assert_eq!(woken.load(Ordering::SeqCst), 2, "without any wait");
    supervisor.stop.cancel();
    supervised.await.expect("it ends with the node");
}

#[tokio::test(start_paused = true)]
async fn what_may_end_is_not_started_again_unless_it_fails() {
    let supervisor = supervisor();
    let starts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&starts);
    let supervised = supervisor.supervise_until_done(PART, move || {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        async move { assert!(number > 0, "the first time it fails") }
    });
    sleep(Duration::from_secs(300)).await;
    assert_eq!(starts.load(Ordering::SeqCst), 2);
    assert_eq!(supervisor.problem(), None);
    supervisor.stop.cancel();
    supervised.await.expect("it ends with the node");
}

#[tokio::test]
async fn a_thread_that_panics_is_started_again_and_ends_with_the_node() {
    let supervisor = Supervisor {
        restart_waits: RestartWaits {
            first: Duration::from_millis(1),
            ..RestartWaits::default()
        },
        ..supervisor()
    };
    let starts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&starts);
    let supervised = supervisor.supervise_thread(PART, "bc-tester", move || {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        let (end, until) = std::sync::mpsc::channel();
        let work = move || {
            assert!(number > 0, "the first time it fails");
            // It ends when somebody says so.
            until.recv().expect("told to end");
        };
        (work, move || end.send(()).expect("it waits"))
    });
    while starts.load(Ordering::SeqCst) < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    let said = supervisor.problem().expect("it is said");
    assert!(said.contains("the first time it fails"), "{said}");
    supervisor.stop.cancel();
    supervised.await.expect("it ends with the node");
}
