//! A client process that is killed with SIGKILL, and what it had accepted.

mod support;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use hookup_client::{HookupClient, Text};
use hookup_server::{Event, Peer};
use support::{Server, recorder};

/// Tells the child process where its outbox is.
const OUTBOX: &str = "HOOKUP_TEST_OUTBOX";

/// The child process: it accepts messages for a server that nobody runs, and prints each one that was accepted.
/// Without its variable, as in a plain test run, it has nothing to do.
#[actix::test]
async fn child_that_accepts_messages() {
    let Ok(outbox) = std::env::var(OUTBOX) else { return };
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let addr =
        HookupClient::builder(format!("ws://{nowhere}/")).outbox(outbox).start(|_: Event, _: Peer| {}).expect("starts");
    for n in 1_u64.. {
        // The one that wants an ack resolves only when it is acked; but it was accepted before the next one was.
        addr.do_send(Text(format!("{n} acked")).needs_ack(Duration::from_secs(60)));
        addr.send(Text(format!("{n} plain"))).await.expect("lives").expect("accepted");
        println!("accepted {n}");
    }
}

/// Lets a child accept messages, kills it once it has said so of this many, and returns how many it said it of.
fn accept_and_kill(outbox: &Path, at_least: usize) -> usize {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child_that_accepts_messages", "--nocapture"])
        .env(OUTBOX, outbox)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let mut accepted = lines.filter(|line| line.contains("accepted "));
    let seen = accepted.by_ref().take(at_least).count();
    assert_eq!(seen, at_least, "the child ended by itself");
    child.kill().expect("SIGKILL");
    child.wait().expect("it is dead");
    seen + accepted.count()
}

#[actix::test]
async fn what_a_killed_client_had_accepted_is_sent_by_the_next_one() {
    let outbox = tempfile::tempdir().expect("a directory");
    let accepted = accept_and_kill(outbox.path(), 100);

    let (handler, mut events) = recorder();
    let server = Server::with(move || handler.clone());
    let (on_client, _events) = recorder();
    let addr = server.client().outbox(outbox.path()).start(on_client).expect("starts");
    let last = "the end of it";
    addr.do_send(Text(last));

    let mut texts = Vec::new();
    loop {
        let text = events.text().await;
        if text == last {
            break;
        }
        texts.push(text);
    }
    assert!(texts.len() >= 2 * accepted, "{} arrived, and {accepted} pairs were accepted", texts.len());
    let expected = (1..).flat_map(|n| [format!("{n} acked"), format!("{n} plain")]).take(texts.len());
    assert_eq!(texts, expected.collect::<Vec<_>>(), "all of them, in order, each once");
}
