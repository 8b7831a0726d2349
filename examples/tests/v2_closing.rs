//! Sessions of `hookup.v2` that their server closes for good, with 1000, while something of theirs is still to be sent.

#[path = "support/raw.rs"]
mod raw;
mod support;
#[path = "support/v2.rs"]
mod v2;

use hookup_server::{CloseCode, Peer, SendFailure, SessionEnd, Text};
use raw::Raw;
use serde_json::{Value, json};
use support::{Events, Server, recording, soon};
use v2::{SESSION, again, frame, greeted, hello};

/// A connection over which one of two messages came, and no more may; its session was closed with 1000 since.
async fn closing(server: &Server, events: &mut Events) -> (Raw, Value, Peer) {
    let small = hello(SESSION, 1).replace(r#""messages":256"#, r#""messages":1"#);
    let (raw, welcome) = greeted(server.addr, &small).await;
    let peer = events.connected().await.peer;
    peer.do_send(Text("one"));
    peer.do_send(Text("two"));
    peer.close(CloseCode::NORMAL.into());
    refused(&peer).await;
    (raw, welcome, peer)
}

/// The session takes no message any more.
async fn refused(peer: &Peer) {
    let refused = soon("an answer", peer.send(Text("three"))).await.expect_err("it is being closed");
    assert!(matches!(refused.reason, SendFailure::Closed), "{refused}");
}

#[actix::test]
async fn a_session_that_was_closed_with_1000_is_over_though_the_connection_broke_first() {
    let (server, mut events) = recording();
    let (raw, welcome, peer) = closing(&server, &mut events).await;
    raw.reset();
    events.disconnected().await;
    let (_raw, welcome) = greeted(server.addr, &again(&welcome, 1, 1)).await;
    assert_eq!(welcome["resumed"], false);
    assert_eq!(events.session_ended().await, SessionEnd::Closed);
    refused(&peer).await;
}

#[actix::test]
async fn a_session_that_is_being_closed_with_1000_is_closed_though_another_connection_takes_over() {
    let (server, mut events) = recording();
    let (mut old, welcome, _) = closing(&server, &mut events).await;
    let (mut new, welcome) = greeted(server.addr, &again(&welcome, 1, 1)).await;
    assert_eq!(welcome["resumed"], true);
    assert_eq!(frame(&mut old).await["type"], "run");
    assert_eq!(frame(&mut old).await["content"], "one");
    assert_eq!(old.closed().await, Some(4409));
    // The new one has room for both messages, and then comes the close.
    assert_eq!(frame(&mut new).await["type"], "run");
    assert_eq!(frame(&mut new).await["content"], "one");
    assert_eq!(frame(&mut new).await["content"], "two");
    new.text(&json!({ "type": "ack", "run": welcome["runs"][0]["run"], "seq": 2 }).to_string()).await;
    assert_eq!(new.closed().await, Some(1000));
    assert_eq!(events.session_ended().await, SessionEnd::Closed);
}
