//! What becomes of a message that is sent: accepted, acked, or given back, exactly once.

mod session_support;

use std::time::Duration;

use hookup_core::{JsonProtocol, Limits, MemoryOutbox, Outbound, SimpleJson, Text, Usage};
use session_support::{Session, ack, done, limits};

fn wanting_ack(text: &'static str) -> Outbound {
    Text(text).needs_ack(Duration::from_secs(5))
}

fn frame(id: u64, text: &str) -> String {
    format!(r#"{{"type":"ack_request","id":{id},"content":{{"type":"text","content":"{text}"}}}}"#)
}

#[actix::test]
async fn a_plain_message_is_accepted_and_one_that_wants_an_ack_is_acked() {
    let mut session = Session::open(done).await;
    assert_eq!(session.send(Text("a")).await, "Accepted");
    assert_eq!(session.written().await, r#"{"type":"text","content":"a"}"#);

    let sending = session.send(wanting_ack("b"));
    assert_eq!(session.written().await, frame(1, "b"));
    session.receive(&[&ack(1)]);
    assert_eq!(sending.await, "Acked");
    assert_eq!(session.events_until_quiet().await, [""; 0]);
}

#[actix::test]
async fn a_message_that_an_outbox_has_no_room_for_comes_back() {
    let limits = Limits { outbox: Usage { messages: 1, bytes: 100 }, ..limits() };
    let mut session = Session::start(limits, MemoryOutbox::default(), done);
    assert_eq!(session.send(Text("a")).await, "Accepted");
    let full = "b: the outbox is full (1 messages, 1 bytes); send again when it has drained";
    assert_eq!(session.send(Text("b")).await, full);
    session.peer.do_send(Text("b"));
    session.peer.do_send(wanting_ack("b"));
    let events = [format!("not sent, {full}"), format!("ack failed, {full}")];
    assert_eq!(session.events_until_quiet().await, events);

    session.connect(JsonProtocol).await;
    assert_eq!(session.written().await, r#"{"type":"text","content":"a"}"#);
    assert_eq!(session.send(Text("b")).await, "Accepted", "there is room again");
}

#[actix::test]
async fn a_message_that_is_too_big_comes_back() {
    let mut session = Session::start(limits(), MemoryOutbox::default(), done);
    let big = "x".repeat(101);
    let too_big = format!("{big}: the message takes 101 bytes; max_message_bytes, or the bound of the outbox, is 100");
    assert_eq!(session.send(Text(big.clone())).await, too_big);
    session.peer.do_send(Text(big.clone()));
    assert_eq!(session.event().await, format!("not sent, {too_big}"));
    assert_eq!(session.send(Text(big[1..].to_owned())).await, "Accepted");
}

#[actix::test]
async fn a_message_whose_frame_is_too_big_comes_back_when_its_format_is_known() {
    let mut session = Session::open(done).await;
    let nearly = "x".repeat(100);
    session.peer.do_send(Text(nearly.clone()));
    session.peer.do_send(Text("a"));
    let frame = nearly.len() + r#"{"type":"text","content":""}"#.len();
    let too_big = format!(
        "not sent, {nearly}: the message takes {frame} bytes; max_message_bytes, or the bound of the outbox, is 100"
    );
    assert_eq!(session.event().await, too_big);
    assert_eq!(session.written_until_quiet().await, [r#"{"type":"text","content":"a"}"#]);
}

#[actix::test]
async fn a_message_for_a_session_that_is_closing_comes_back() {
    let mut session = Session::open(done).await;
    session.with(|session| session.core.stop_accepting());
    assert_eq!(session.send(Text("a")).await, "a: the session is closed");
    session.peer.do_send(wanting_ack("a"));
    assert_eq!(session.event().await, "ack failed, a: the session is closed");
}

#[actix::test]
async fn a_wish_for_an_ack_that_the_format_cannot_grant_fails_at_once() {
    let mut session = Session::start(limits(), MemoryOutbox::default(), done);
    session.connect(SimpleJson).await;
    let unsupported = "a: needs_ack is not supported by simpleJson";
    assert_eq!(session.send(wanting_ack("a")).await, unsupported);
    session.peer.do_send(wanting_ack("a"));
    assert_eq!(session.events_until_quiet().await, [format!("ack failed, {unsupported}")]);
    assert_eq!(session.written_until_quiet().await, [""; 0]);
}

#[actix::test]
async fn when_nobody_waits_for_a_send_any_more_its_failure_is_an_event() {
    let mut session = Session::open(done).await;
    let sending = session.send(wanting_ack("a"));
    assert_eq!(session.written().await, frame(1, "a"));
    drop(sending);
    assert_eq!(session.event().await, "ack failed, a: no ack within 5s");
    session.receive(&[&ack(1)]);
    assert_eq!(session.events_until_quiet().await, [""; 0], "the ack is late");
}

#[actix::test]
async fn an_ack_that_a_reconnect_delays_still_counts() {
    let mut session = Session::open(done).await;
    session.peer.do_send(Text("before"));
    let sending = session.send(wanting_ack("a"));
    assert_eq!(session.written_until_quiet().await, [r#"{"type":"text","content":"before"}"#, &frame(1, "a")]);
    session.with(|session| session.core.disconnected());
    session.connect(JsonProtocol).await;
    assert_eq!(session.written_until_quiet().await, [frame(1, "a")], "what was written is not sent again");
    session.receive(&[&ack(1)]);
    assert_eq!(sending.await, "Acked");
}

#[actix::test]
async fn a_lost_connection_does_not_stop_the_clock() {
    let mut session = Session::open(done).await;
    session.peer.do_send(wanting_ack("a"));
    session.written().await;
    session.with(|session| session.core.disconnected());
    assert_eq!(session.event().await, "ack failed, a: no ack within 5s");
    session.connect(JsonProtocol).await;
    assert_eq!(session.written_until_quiet().await, [""; 0], "it is not sent again");
}

#[actix::test]
async fn a_message_that_the_next_connections_format_cannot_ack_fails_once() {
    let mut session = Session::open(done).await;
    session.peer.do_send(wanting_ack("a"));
    session.written().await;
    session.with(|session| session.core.disconnected());
    session.connect(SimpleJson).await;
    assert_eq!(session.event().await, "ack failed, a: needs_ack is not supported by simpleJson");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(session.events_until_quiet().await, [""; 0], "its time is up, and it has failed already");
}

#[actix::test]
async fn at_the_end_each_message_that_was_not_delivered_is_reported_once() {
    let mut session = Session::open(done).await;
    session.peer.do_send(Text("written"));
    session.peer.do_send(wanting_ack("acked"));
    session.written_until_quiet().await;
    session.receive(&[&ack(1)]);
    session.events_until_quiet().await;

    session.with(|session| session.confirms = false);
    session.peer.do_send(wanting_ack("unacked"));
    session.peer.do_send(Text("not written"));
    let sending = session.send(wanting_ack("waited for"));
    session.written_until_quiet().await;
    session.with(|session| session.core.disconnected());
    session.peer.do_send(Text("not sent"));
    session.end();
    session.peer.do_send(Text("late"));
    assert_eq!(
        session.events_until_quiet().await,
        [
            "ack failed, unacked: the session ended before the ack came",
            "not sent, not written: the session is closed",
            "not sent, not sent: the session is closed",
            "not sent, late: the session is closed",
            "the end",
        ]
    );
    assert_eq!(sending.await, "waited for: the session ended before the ack came");
    assert!(!session.addr.connected(), "the session is over");
}

#[actix::test]
async fn an_ack_that_came_before_the_end_counts() {
    let mut session = Session::open(done).await;
    let sending = session.send(wanting_ack("a"));
    session.written().await;
    session.receive(&[&ack(1)]);
    session.end();
    assert_eq!(sending.await, "Acked");
    assert_eq!(session.events_until_quiet().await, ["the end"]);
}

#[actix::test]
async fn failures_that_are_too_many_for_the_handler_are_counted_before_the_last_event() {
    let mut session = Session::start(limits(), MemoryOutbox::default(), done);
    (0..1100).for_each(|_| session.peer.do_send(Text("a")));
    session.end();
    let events = session.events_until_quiet().await;
    assert_eq!(events.iter().filter(|event| *event == "not sent, a: the session is closed").count(), 1024);
    assert_eq!(events[1024..], ["76 more undelivered messages could not be kept for the handler", "the end"]);
}

#[actix::test]
async fn a_handler_that_answers_every_event_comes_to_an_end() {
    let mut session = Session::open(|_, peer| {
        peer.do_send(Text("answer"));
        hookup_core::Handling::done()
    })
    .await;
    session.receive(&["a"]);
    session.events_until_quiet().await;
    session.end();
    let events = session.events_until_quiet().await;
    assert_eq!(events.last().map(String::as_str), Some("the end"));
    assert!(!session.addr.connected(), "the session is over");
}
