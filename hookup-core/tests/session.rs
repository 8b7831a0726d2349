//! A session's handler: when a message counts as handled, and what a handler's panic costs.

mod session_support;

use std::time::Duration;

use hookup_core::{Handling, Text};
use session_support::{Session, ack, done, request};
use tokio::sync::oneshot;

const PANICKED: &str = "the handler panicked: boom";

#[actix::test]
async fn a_message_is_acked_when_the_handler_returned() {
    let mut session = Session::open(done).await;
    session.receive(&[&request(1, "a"), "plain", &request(2, "b")]);
    assert_eq!(session.events_until_quiet().await, ["a", "plain", "b"]);
    assert_eq!(session.written_until_quiet().await, [ack(1), ack(2)]);
}

#[actix::test]
async fn a_message_is_acked_when_the_handlers_future_is_done_and_the_next_waits_for_it() {
    let (release, released) = oneshot::channel::<()>();
    let mut released = Some(released);
    let mut session = Session::open(move |event, _| match (event, released.take()) {
        ("slow", Some(released)) => Handling::later(async { Ok(released.await?) }),
        (_, unused) => {
            released = unused;
            Handling::done()
        }
    })
    .await;
    session.receive(&[&request(1, "slow"), &request(2, "quick")]);
    assert_eq!(session.events_until_quiet().await, ["slow"]);
    assert_eq!(session.written_until_quiet().await, [""; 0]);
    release.send(()).expect("the handler waits for it");
    assert_eq!(session.event().await, "quick");
    assert_eq!(session.written_until_quiet().await, [ack(1), ack(2)]);
}

#[actix::test]
async fn a_refused_message_is_not_acked_under_json_protocol() {
    let mut session = Session::open(|event, _| match event {
        "bad" => Handling::refused("no"),
        "bad later" => Handling::later(async { Err(hookup_core::Refusal::new("no")) }),
        _ => Handling::done(),
    })
    .await;
    session.receive(&[&request(1, "bad"), &request(2, "bad later"), &request(3, "good")]);
    assert_eq!(session.events_until_quiet().await, ["bad", "bad later", "good"]);
    assert_eq!(session.written_until_quiet().await, [ack(3)]);
}

#[actix::test]
async fn a_handler_that_panics_is_told_so_its_message_is_not_acked_and_the_session_goes_on() {
    let mut session = Session::open(|event, _| match event {
        "now" => panic!("boom"),
        "later" => Handling::later(async { panic!("{}", "boom") }),
        _ => Handling::done(),
    })
    .await;
    for (id, when) in [(1, "now"), (2, "later")] {
        session.receive(&[&request(id, when), &request(id + 10, "good")]);
        assert_eq!(session.events_until_quiet().await, [when, "good", PANICKED]);
        assert_eq!(session.written_until_quiet().await, [ack(id + 10)]);
    }
}

#[actix::test]
async fn a_handler_that_panics_when_it_is_told_of_a_panic_is_not_told_again() {
    let mut session = Session::open(|event, _| match event {
        "good" | "connected jsonProtocol" => Handling::done(),
        _ => panic!("boom"),
    })
    .await;
    session.receive(&["bad"]);
    assert_eq!(session.events_until_quiet().await, ["bad", PANICKED]);
    session.receive(&[&request(1, "good")]);
    assert_eq!((session.event().await, session.written().await), ("good".into(), ack(1)));
}

#[actix::test]
async fn a_panic_with_something_that_is_no_text_is_told_all_the_same() {
    let mut session = Session::open(|event, _| match event {
        "bad" => std::panic::panic_any(7),
        _ => Handling::done(),
    })
    .await;
    session.receive(&["bad"]);
    assert_eq!(session.events_until_quiet().await, ["bad", "the handler panicked: a value that is not a string"]);
}

#[actix::test]
async fn a_message_that_was_handled_after_its_connection_ended_is_not_acked_on_the_next() {
    let (release, released) = oneshot::channel::<()>();
    let mut released = Some(released);
    let mut session = Session::open(move |event, _| match released.take_if(|_| event == "slow") {
        Some(released) => Handling::later(async { Ok(released.await?) }),
        None => Handling::done(),
    })
    .await;
    session.receive(&[&request(1, "slow")]);
    assert_eq!(session.event().await, "slow");
    session.with(|session| {
        session.core.disconnected();
        session.core.connected(std::sync::Arc::new(hookup_core::JsonProtocol));
    });
    release.send(()).expect("the handler waits for it");
    assert_eq!(session.event().await, "connected jsonProtocol");
    assert_eq!(session.written_until_quiet().await, [""; 0]);
}

#[actix::test]
async fn a_frame_that_is_not_understood_is_an_event_and_the_session_goes_on() {
    let mut session = Session::open(done).await;
    session.receive(&[r#"{"type":"text"}"#, &request(1, "good")]);
    let problem = "a frame was not understood: an envelope without content";
    assert_eq!(session.events_until_quiet().await, [problem, "good"]);
    assert_eq!(session.written().await, ack(1));
}

#[actix::test]
async fn a_handler_may_answer_and_wait_for_the_ack_of_its_answer() {
    let mut session = Session::open(|event, peer| match event {
        "question" => Handling::later(async move {
            peer.send(Text("answer").needs_ack(Duration::from_secs(5))).await?;
            Ok(())
        }),
        _ => Handling::done(),
    })
    .await;
    session.receive(&[&request(7, "question")]);
    let answer = r#"{"type":"ack_request","id":1,"content":{"type":"text","content":"answer"}}"#;
    assert_eq!(session.written_until_quiet().await, [answer]);
    session.receive(&[&ack(1)]);
    assert_eq!(session.written_until_quiet().await, [ack(7)]);
}
