//! Whatever a disk does, a node answers, and takes orders.

use std::{path::Path, sync::mpsc, thread, time::Instant};

use bc_testkit::{gocd_dir::TOKEN, http};
use nix::{sys::stat::Mode, unistd::mkfifo};

use super::*;

/// How long an answer may take; the machine may be busy with other tests.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A standby that holds GoCD, whose primary is not there.
fn held(dir: GocdDir, settings: &[(&str, &str)]) -> Scene {
    let url = format!("https://127.0.0.1:{}", free_port());
    let key = Fingerprint::of_public_key(b"the primary").to_string();
    let mut all = vec![
        ("bc.face", "agent"),
        ("go.server.mode", "standby"),
        ("bc.primary.url", url.as_str()),
        ("bc.primary.fingerprint", key.as_str()),
    ];
    all.extend(settings);
    let scene = Scene::open(dir, &all, RestartWaits::default(), watch::watch);
    scene.until("it holds", |status| status.holding.is_some());
    scene
}

fn promote() -> Order {
    serde_json::from_value(serde_json::json!({"order": "promote", "without_database": true})).expect("an order")
}

/// The first line of the answer.
fn first_word(scene: &Scene, order: &Order) -> Reply {
    let asked = Instant::now();
    let mut stream = UnixStream::connect(scene.dir.state().join(SOCKET)).expect("it listens");
    stream.set_read_timeout(Some(AT_ONCE)).expect("set");
    let order = serde_json::to_string(order).expect("an order is plain");
    stream.write_all(format!("{order}\n").as_bytes()).expect("sent");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("an answer in time");
    assert!(asked.elapsed() < AT_ONCE, "{order}: {:?}", asked.elapsed());
    serde_json::from_str(&line).expect("a reply")
}

fn get(port: u16, path: &str) -> u16 {
    let asked = Instant::now();
    let credentials = bc_core::keys::Token::parse(format!("{} = {}", TOKEN.0, TOKEN.1).as_bytes(), Path::new("token"))
        .expect("valid")
        .basic_credentials();
    let answer = http::plain(port, "GET", path, &[("Authorization", &credentials)], "").expect("an answer");
    assert!(asked.elapsed() < AT_ONCE, "{path}: {:?}", asked.elapsed());
    answer.status
}

fn answers(scene: &Scene) {
    assert!(matches!(first_word(scene, &Order::Status), Reply::Status { .. }));
    assert_eq!(get(scene.dir.gocd_port, "/go/api/v1/health"), 503);
}

#[test]
fn a_node_whose_threads_all_wait_for_a_disk_answers_and_takes_orders() {
    let plain = free_port();
    let scene = held(GocdDir::new(), &[("bc.listen.plain", &format!("127.0.0.1:{plain}"))]);
    scene.until("it listens", |status| status.listening.is_some());
    let mut stuck = Vec::new();
    {
        let life = scene.node.life.lock().expect("no panic");
        let Life::Open(parts) = &*life else { panic!("it runs") };
        let runtime = parts.runtime.as_ref().expect("it runs").handle();
        for number in 0..THREADS_OF_FILES + 20 {
            let (release, wait) = mpsc::channel::<()>();
            stuck.push(release);
            // As a file on a disk that hangs would, on each worker and each thread beside them.
            if number < 8 {
                runtime.spawn(async move { wait.recv().is_ok() });
            } else {
                runtime.spawn_blocking(move || wait.recv().is_ok());
            }
        }
    }
    thread::sleep(Duration::from_secs(1));
    answers(&scene);
    let prefix = crate::paths::PREFIX;
    assert_eq!(get(plain, &format!("{prefix}/live")), 200);
    assert_eq!(get(plain, &format!("{prefix}/admin/dashboard.json")), 200);
    let trust = Order::Trust {
        fingerprint: Fingerprint::of_public_key(b"another"),
        remove: false,
    };
    assert!(matches!(first_word(&scene, &trust), Reply::Done { .. }));
    // The puller does not answer, and that is what it waits for.
    let Reply::Progress { message } = first_word(&scene, &promote()) else {
        panic!("the order is taken")
    };
    assert!(!message.is_empty());
    answers(&scene);
    drop(stuck);
}

#[test]
fn pipes_in_the_place_of_files_stop_nothing() {
    let scene = held(GocdDir::new(), &[]);
    let pipe = |path: &Path| {
        drop(fs::remove_file(path));
        mkfifo(path, Mode::S_IRWXU).expect("a pipe");
    };
    let config = scene.dir.config();
    for name in [
        "business-continuity-peers",
        "start.in.standby",
        "cruise-config.xml",
        "cipher.aes",
        "jetty.xml",
        "go.feature.toggles",
        "db.properties",
        "business-continuity-token",
    ] {
        pipe(&config.join(name));
    }
    pipe(&scene.dir.plugins().join("some.jar"));
    scene.until("the token is missed", |status| {
        status
            .problems
            .iter()
            .any(|problem| problem.message.contains("business-continuity-token"))
    });
    answers(&scene);
    let trust = Order::Trust {
        fingerprint: Fingerprint::of_public_key(b"another"),
        remove: false,
    };
    let Reply::Refused { message, .. } = first_word(&scene, &trust) else {
        panic!("there is nothing to write into")
    };
    assert!(message.contains("no regular file"), "{message}");
    for name in [
        "ledger.json",
        "applied.json",
        "digests.json",
        "mounts.json",
        "live-cache.json",
    ] {
        pipe(&scene.dir.state().join(name));
    }
    answers(&scene);
    let Reply::Progress { .. } = first_word(&scene, &promote()) else {
        panic!("the order is taken")
    };
    answers(&scene);
}

#[test]
fn a_node_opens_beside_pipes() {
    let dir = GocdDir::new();
    for name in [
        "cruise-config.xml",
        "cipher.aes",
        "jetty.xml",
        "business-continuity-peers",
    ] {
        let path = dir.config().join(name);
        drop(fs::remove_file(&path));
        mkfifo(&path, Mode::S_IRWXU).expect("a pipe");
    }
    for name in ["node.pem", "node.key", "some.jar"] {
        mkfifo(&dir.plugins().join(name), Mode::S_IRWXU).expect("a pipe");
    }
    let file = |name: &str| dir.plugins().join(name).display().to_string();
    let (certificate, key) = (file("node.pem"), file("node.key"));
    let opened = Instant::now();
    let scene = held(
        dir,
        &[("bc.tls.certificate", &certificate), ("bc.tls.private.key", &key)],
    );
    assert!(opened.elapsed() < Duration::from_secs(20), "{:?}", opened.elapsed());
    answers(&scene);
    let problems = scene.board.look(|status| status.problems.clone());
    for name in ["node.pem", "business-continuity-peers"] {
        assert!(
            problems.iter().any(|problem| problem.message.contains(name)),
            "{name}: {problems:?}"
        );
    }
}

#[test]
fn a_local_socket_that_is_missing_is_critical_where_gocd_is_held() {
    let severity = |open: fn(GocdDir) -> Scene| {
        let dir = GocdDir::new();
        fs::create_dir_all(dir.state()).expect("folder");
        fs::write(dir.state().join(SOCKET), "in the way").expect("write");
        let scene = open(dir);
        scene.until("it is said", |status| {
            status
                .problems
                .iter()
                .any(|problem| problem.topic == Topic::LocalSocket)
        });
        let problems = scene.board.look(|status| status.problems.clone());
        fs::remove_file(scene.dir.state().join(SOCKET)).expect("there");
        scene.until("it is made again", |status| {
            status
                .problems
                .iter()
                .all(|problem| problem.topic != Topic::LocalSocket)
        });
        assert!(matches!(first_word(&scene, &Order::Status), Reply::Status { .. }));
        let problem = problems.into_iter().find(|problem| problem.topic == Topic::LocalSocket);
        problem.expect("seen just now").severity
    };
    assert_eq!(severity(|dir| held(dir, &[])), Severity::Critical);
    let primary = |dir| Scene::open(dir, &[], RestartWaits::default(), watch::watch);
    assert_eq!(severity(primary), Severity::Warning);
}
