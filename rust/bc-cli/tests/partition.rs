//! Two whole nodes on two machines, and a network between them that loses what is sent, in both directions or in one: two
//! networks of their own, which needs root.
#![cfg(target_os = "linux")]
#![expect(
    unreachable_pub,
    reason = "a test binary's support module has no other crate to be public to"
)]

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use network::Cable;
use pair::{
    Foreground, folders, key_of_primary, listening, pair_with, primary_command, primary_in, standby_command, status,
    wait_for, wait_until_in_sync,
};
use serde_json::Value;
use support::{Answer, Place};

#[path = "support/network.rs"]
mod network;
#[expect(dead_code, reason = "each test binary uses its own part")]
#[path = "support/pair.rs"]
mod pair;
#[expect(dead_code, reason = "each test binary uses its own part")]
mod support;

/// How long after the line has healed a replaced server may run.
const FENCED_WITHIN: Duration = Duration::from_secs(15);
/// The folder at each end.
const NODES: [&str; 2] = ["primary", "standby"];

struct Site {
    place: Place,
    cable: Cable,
    running: [Option<Foreground>; 2],
}

impl Site {
    /// The first node is the primary, and the second one follows it.
    fn open() -> Self {
        let place = Place::new();
        folders(&place);
        let mut site = Self {
            place,
            cable: Cable::lay(),
            running: [None, None],
        };
        site.boot(0);
        listening(&site.place);
        let trusted = site
            .place
            .run(&["trust", &key_of_primary(&site.place), "--config", "standby/config"]);
        assert_eq!(trusted.code, 0, "{trusted:?}");
        let [url, own] = [0, 1].map(|at| format!("https://{}", address(at)));
        let (listen, shown) = (format!("bc.listen={}", address(1)), format!("bc.external.url={own}"));
        let settings = ["--property", &*listen, "--property", &*shown];
        let command = standby_command(&site.place, NODES[1], &url, &settings);
        site.running[1] = Some(Foreground::start(site.cable.0[1].inside(&command)));
        wait_until_in_sync(&site.place);
        site
    }

    /// Starts a node without a flag, as its machine does.
    fn boot(&mut self, at: usize) {
        let shown = format!("bc.external.url=https://{}", address(at));
        let command = primary_command(&self.place, NODES[at], &address(at), &["--property", &shown]);
        self.running[at] = Some(Foreground::start(self.cable.0[at].inside(&command)));
    }

    /// The power of both machines fails.
    fn power_fails(&mut self) {
        self.running = [None, None];
    }

    fn on(&self, at: usize, arguments: &[&str]) -> Answer {
        let state = format!("{}/db/business-continuity", NODES[at]);
        self.place.run(&[arguments, &["--state-dir", &state]].concat())
    }

    fn status(&self, at: usize) -> Value {
        status(&self.place, NODES[at])
    }

    fn is(&self, at: usize, role: &str, phase: &str) -> Option<Value> {
        let status = self.status(at);
        (status["role"] == role && status["phase"] == phase).then_some(status)
    }

    /// Waits until a primary has heard of the other node.
    fn is_heard(&self, at: usize) {
        wait_for("the primary hears its standby", || {
            (self.status(at)["peers"][0]["said"] == "agrees").then_some(())
        });
    }

    /// Cuts the line, promotes the other node meanwhile, and mends it; the former primary becomes the standby then.
    fn promote_while_cut(&mut self, old: usize, lost_from: &[usize], epoch: u64) {
        let new = 1 - old;
        self.is_heard(old);
        lost_from.iter().for_each(|from| self.cable.cut(*from));
        let begun = Instant::now();
        let promoted = self.on(new, &["promote", "--without-database", "--wait", "60"]);
        assert_eq!(promoted.code, 0, "{promoted:?}");
        let promote_ms = begun.elapsed().as_millis();
        wait_for("it runs", || self.is(new, "primary", "running"));
        let unaware = self.is(old, "primary", "running").expect("nothing tells it yet");
        assert_eq!(unaware["epoch"]["number"], epoch - 1, "{unaware}");

        self.cable.heal();
        let healed = Instant::now();
        let shown = wait_for("the former primary to be fenced", || self.is(old, "fenced", "holding"));
        let fenced = healed.elapsed();
        println!(
            "lost from {lost_from:?}: promote_ms {promote_ms}, fenced_ms {}",
            fenced.as_millis()
        );
        assert!(fenced < FENCED_WITHIN, "{fenced:?}");
        assert_eq!(shown["fenced_by"]["epoch"]["number"], epoch, "{shown}");
        assert_eq!(
            self.is(new, "primary", "running").expect("it leads")["epoch"]["number"],
            epoch
        );
    }

    fn becomes_the_standby(&mut self, at: usize) {
        assert_eq!(self.on(at, &["demote"]).code, 0);
        let (_, log) = self.running[at].take().expect("it runs").end();
        assert!(log.contains("GoCD ends here now (bc.fence=exit)"), "{log}");
        self.boot(at);
        wait_for("it follows", || {
            let status = self.status(at);
            (status["role"] == "standby" && status["sync"]["in_sync"] == true).then_some(())
        });
    }
}

fn address(at: usize) -> String {
    format!("{}:8155", Cable::ADDRESSES[at])
}

#[test]
fn whichever_direction_is_cut_the_replaced_primary_is_fenced_once_the_line_heals_and_after_power_failures() {
    let mut site = Site::open();
    for (round, lost_from) in [&[0, 1][..], &[0], &[1]].into_iter().enumerate() {
        let (old, epoch) = (round % 2, round as u64 + 2);
        site.promote_while_cut(old, lost_from, epoch);
        if round < 2 {
            site.becomes_the_standby(old);
        }
    }
    let (old, new) = (0, 1);
    for order in [&[old, new][..], &[new, old]] {
        site.power_fails();
        for at in order {
            site.boot(*at);
        }
        wait_for("the one with the higher epoch runs", || {
            site.is(new, "primary", "running")
        });
        wait_for("the other one is held", || site.is(old, "fenced", "holding"));
    }
}

#[test]
fn a_peer_that_takes_connections_and_says_nothing_is_waited_for_and_no_longer() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let of_standby = listener.local_addr().expect("bound");
    drop(listener);
    let listen = format!("bc.listen={of_standby}");
    let (first, following, address) = pair_with(&place, &["--property", &listen]);
    wait_for("the primary hears its standby", || {
        (status(&place, NODES[0])["peers"][0]["said"] == "agrees").then_some(())
    });
    first.end();
    following.end();
    let _mute = TcpListener::bind(of_standby).expect("free");
    let begun = Instant::now();
    let again = primary_in(&place, NODES[0], &address, &[]);
    wait_for("it runs", || {
        (status(&place, NODES[0])["phase"] == "running").then_some(())
    });
    assert!(begun.elapsed() >= Duration::from_millis(2400), "{:?}", begun.elapsed());
    let (_, log) = again.end();
    assert!(
        log.contains("GoCD starts although not all peers could be asked"),
        "{log}"
    );
}
