//! Networks of their own, and a cable between two of them. Only root makes them.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// A network that nothing is in but its own loopback. It ends when this is dropped.
pub struct Network(Child);

impl Network {
    /// Opens one, and has a shell do this in it.
    pub fn open(script: &str) -> Self {
        let script = format!("ip link set lo up && {script} && echo open && exec sleep 1000");
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare(1) is there");
        let mut said = String::new();
        let stdout = holder.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut said).expect("it says so");
        assert_eq!(said, "open\n", "only root opens a network");
        Self(holder)
    }

    /// The same command in there.
    pub fn inside(&self, command: &Command) -> Command {
        let mut there = self.entered();
        there
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(command.get_current_dir().expect("the place"))
            .env_remove("BC_STATE_DIR")
            .stdin(Stdio::null());
        there
    }

    /// Has `ip` do this in there.
    pub fn ip(&self, words: &str) {
        let done = self
            .entered()
            .arg("ip")
            .args(words.split(' '))
            .output()
            .expect("ip runs");
        assert!(done.status.success(), "ip {words}: {done:?}");
    }

    fn entered(&self) -> Command {
        let mut there = Command::new("nsenter");
        there.arg(format!("--net=/proc/{}/ns/net", self.0.id()));
        there
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Two networks with a cable between them that loses, in each direction alone, whatever is sent.
pub struct Cable(pub [Network; 2]);

impl Cable {
    /// The address at each end.
    pub const ADDRESSES: [&str; 2] = ["10.77.0.1", "10.77.0.2"];

    pub fn lay() -> Self {
        let ends = [Network::open("true"), Network::open("true")];
        let ids = ends.each_ref().map(|end| end.0.id());
        ends[0].ip(&format!("link add cable type veth peer name cable netns {}", ids[1]));
        let cable = Self(ends);
        for (at, end) in cable.0.iter().enumerate() {
            end.ip(&format!("link set cable address 02:00:00:00:00:0{at}"));
            end.ip(&format!("address add {}/24 dev cable", Self::ADDRESSES[at]));
            end.ip("link set cable up");
        }
        cable.heal();
        cable
    }

    /// Loses all that the end `from` sends, without a word: no machine has the hardware address that it is sent to.
    pub fn cut(&self, from: usize) {
        self.send_to(from, "02:00:00:00:00:99");
    }

    pub fn heal(&self) {
        for from in [0, 1] {
            self.send_to(from, &format!("02:00:00:00:00:0{}", 1 - from));
        }
    }

    fn send_to(&self, from: usize, hardware: &str) {
        let to = Self::ADDRESSES[1 - from];
        self.0[from].ip(&format!("neigh replace {to} lladdr {hardware} dev cable nud permanent"));
    }
}
