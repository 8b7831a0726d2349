//! A server in a process of its own, so that its memory is its own, too.

use std::{
    cell::Cell,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures_util::future::{join, join_all};
use hookup_examples::Memory;
use serde_json::Value;

use crate::raw::{PING, PONG, Raw, TEXT, frame};

pub(crate) const MIB: u64 = 1 << 20;

/// A server to be attacked, with a client that it serves all the while. It sends texts back, but for one that its handler
/// is stuck with: `wait for ever`.
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    child: Child,
}

impl Target {
    /// Starts the server of the `idle` program with these settings.
    pub(crate) fn start(settings: Value) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_idle"))
            .args(["server", &settings.to_string()])
            // It ends with this, and so with the test.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("its output")).read_line(&mut line).expect("a line");
        Self { addr: line.trim().parse().expect("says where it listens"), child }
    }

    /// As [`withstands`](Self::withstands), with so many attackers at once.
    pub(crate) async fn withstands_all<A>(&self, count: usize, bytes: u64, attacker: impl AsyncFn(usize) -> A) {
        self.withstands(bytes, async || all(count, &attacker).await).await;
    }

    /// Attacks it twice. The server's memory may grow by so many bytes at the height of the first attack, and by half of
    /// that at the height of the second: what the first one took has come back, or is used again. Its other client is
    /// served all the while, and when the attackers that an attack has left there have gone.
    pub(crate) async fn withstands<A>(&self, bytes: u64, attack: impl AsyncFn() -> A) {
        let mut bystander = Raw::open(self.addr, "simpleJson").await;
        is_served(&mut bystander).await;
        let before = self.memory().held;
        let mut most = [0; 2];
        for most in &mut most {
            let is_over = Cell::new(false);
            let attack = async {
                let attackers = attack().await;
                is_over.set(true);
                attackers
            };
            let serving = async {
                while !is_over.get() {
                    is_served(&mut bystander).await;
                    // It is a witness, and no attacker.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                is_served(&mut bystander).await;
            };
            // In this order: who is polled first has not been left out when the other had too much to do.
            let ((), attackers) = join(serving, attack).await;
            *most = self.memory().most;
            drop(attackers);
            is_served(&mut bystander).await;
        }
        let [first, second] = most;
        assert!(first - before < bytes, "the server's memory grew from {before} to {first} bytes");
        assert!(second - first < bytes / 2, "a second attack took it from {first} to {second} bytes");
    }

    fn memory(&self) -> Memory {
        Memory::of(self.child.id()).expect("the system says how much memory it has")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().expect("it ends");
    }
}

/// Runs so many attackers at once.
pub(crate) async fn all<A>(count: usize, attacker: impl AsyncFn(usize) -> A) -> Vec<A> {
    join_all((0..count).map(|number| attacker(number))).await
}

/// A message comes back; pings are answered on the way.
async fn is_served(raw: &mut Raw) {
    raw.text("still there?").await;
    loop {
        match raw.next().await.expect("a frame, not the end") {
            (PING, payload) => raw.write(frame(PONG, payload)).await,
            other => break assert_eq!(other, (TEXT, b"still there?".to_vec())),
        }
    }
}
