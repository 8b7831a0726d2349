//! Directories that cannot be an outbox: the client says so, and leaves them alone.

mod support;

use std::{path::Path, time::Duration};

use hookup_client::{Cause, ClientBuilder, Close, Closed, Error, Event, HookupClient, Peer, Text};
use support::{HOUR, recorded, recording};

fn client() -> ClientBuilder {
    HookupClient::builder("ws://127.0.0.1:9/")
}

/// A client with this outbox ends with an error that has these words.
async fn refused(path: impl AsRef<Path>, words: &str) {
    let (_addr, mut events) = recorded(client().outbox(path));
    let Event::Error(Error::Outbox(error)) = events.next().await else { panic!("another event: {words}") };
    assert!(error.to_string().contains(words), "{error}");
    let last = events.next().await;
    assert!(matches!(&last, Event::Disconnected(Cause::Failed(said)) if *said == error.to_string()), "{last:?}");
}

#[actix::test]
async fn an_outbox_that_cannot_be_used_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let letter = directory.path().join("letter.txt");
    std::fs::write(&letter, "dear").expect("writes");
    refused(directory.path(), "has other files in it").await;
    refused(&letter, "letter.txt").await;
    refused(letter.join("below"), "letter.txt").await;
    refused("", "empty").await;
    refused("nul\0nul", "failed").await;
    assert_eq!(std::fs::read(&letter).expect("reads"), b"dear");
    assert_eq!(std::fs::read_dir(directory.path()).expect("reads").count(), 1, "nothing was added");
}

#[actix::test]
async fn a_directory_whose_files_are_named_like_an_outbox_is_refused_and_left_alone() {
    for names in [&["conf"][..], &["db"], &["conf", "letter.txt"], &["db", "letter.txt"]] {
        let directory = tempfile::tempdir().expect("a directory");
        for name in names {
            std::fs::write(directory.path().join(name), "theirs").expect("writes");
        }
        refused(directory.path(), "move the directory away").await;
        for name in names {
            assert_eq!(std::fs::read(directory.path().join(name)).expect("reads"), b"theirs", "{names:?}");
        }
        let count = std::fs::read_dir(directory.path()).expect("reads").count();
        assert_eq!(count, names.len(), "nothing was added to {names:?}");
    }
}

#[actix::test]
async fn an_outbox_that_was_damaged_is_refused() {
    for (file, contents) in
        [("catalog/db", "nonsense"), ("log/0000000000000001.log", ""), ("hookup-outbox", "nonsense")]
    {
        let directory = tempfile::tempdir().expect("a directory");
        let addr = client().outbox(directory.path()).start(|_: Event, _: Peer| {}).expect("starts");
        addr.do_send(Text("kept"));
        let closed = support::soon("closed", addr.send(Close::within(Duration::ZERO))).await.expect("lives");
        assert_eq!(closed, Closed { unsent: 1 });
        std::fs::write(directory.path().join(file), contents).expect("writes");
        refused(directory.path(), "move the directory away").await;
    }
}

#[actix::test]
async fn a_damaged_outbox_is_moved_aside_if_that_is_asked_for_and_what_can_be_read_is_sent() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("outbox");
    let addr = client().outbox(&path).start(|_: Event, _: Peer| {}).expect("starts");
    for text in ["first", "second", "third"] {
        // One after the other, so that each is a record of its own.
        support::sent(addr.send(Text(text))).await.expect("kept");
    }
    support::soon("closed", addr.send(Close::within(Duration::ZERO))).await.expect("lives");
    let file = path.join("log/0000000000000001.log");
    let mut log = std::fs::read(&file).expect("reads");
    let at = log.windows(6).position(|window| window == b"second").expect("it is there");
    log[at] ^= 1;
    std::fs::write(&file, log).expect("writes");
    refused(&path, "a record is not what it was").await;

    let (server, mut received) = recording();
    let (addr, mut events) = recorded(server.client().outbox(&path).quarantine(true));
    let Event::Quarantined(quarantined) = events.next().await else { panic!("another event") };
    assert_eq!((&quarantined.path, quarantined.saved), (&path, 2));
    assert_eq!(quarantined.moved_to, directory.path().join("outbox.damaged-1"));
    assert!(quarantined.moved_to.join("hookup-outbox").exists());
    assert_eq!([received.text().await, received.text().await], ["first", "third"]);
    addr.do_send(Text("fourth"));
    assert_eq!(received.text().await, "fourth");
    assert_eq!(support::close(&addr, HOUR).await, 0);
}
