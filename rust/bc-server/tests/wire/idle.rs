//! Strangers who connect and say nothing do not slow the standby down.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use bc_testkit::wait;
use tokio::{net::TcpStream, runtime::Runtime};

use crate::{
    common,
    whole::{SOON, Whole},
};

const CONFIG: &str = "config/cruise-config.xml";
/// Half of them plain, half after a TLS handshake.
const STRANGERS: usize = 300;
/// Longest time from an edit to its bytes on the standby, in a build without optimisation on a busy machine.
const LATENCY: Duration = Duration::from_secs(2);

#[test]
fn three_hundred_idle_connections() {
    let primary = Whole::primary();
    let key = primary.key();
    let standby = Whole::standby(primary.address(), key, Duration::from_secs(30));
    standby.until_equal(&primary.dir, CONFIG);
    let runtime = Runtime::new().expect("a runtime");
    let (plain, encrypted) = runtime.block_on(async {
        let (mut plain, mut encrypted) = (Vec::new(), Vec::new());
        for _ in 0..STRANGERS / 2 {
            plain.push(TcpStream::connect(primary.address()).await.expect("accepted"));
            encrypted.push(common::connect(primary.address(), key).await.expect("TLS"));
        }
        (plain, encrypted)
    });

    let first = fs::read_to_string(primary.dir.path().join(CONFIG)).expect("read");
    for number in 0..8 {
        let text = first.replace("up42", &format!("up{number}"));
        let saved = Instant::now();
        primary.dir.rewrite_config(&text);
        wait::until("the edit is on the standby", SOON, || {
            let live = fs::read(standby.dir.path().join(CONFIG)).ok()?;
            (live == text.as_bytes()).then_some(())
        });
        assert!(saved.elapsed() < LATENCY, "edit {number} took {:?}", saved.elapsed());
    }

    let strangers = plain.iter().chain(encrypted.iter().map(|stream| stream.get_ref().0));
    let open = strangers.filter(|stream| {
        let looked = stream.try_read(&mut [0; 4096]);
        !matches!(looked, Ok(0)) && !matches!(looked, Err(error) if error.kind() != io::ErrorKind::WouldBlock)
    });
    assert_eq!(open.count(), STRANGERS, "some were closed, so this showed nothing");
}
