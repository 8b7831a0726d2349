//! What a peer may make a session keep in memory: frames that make no sense, and acks that it does not read.

mod session_support;

use hookup_core::{CloseCode, CloseReason, Handling, JsonProtocol, Limits, MemoryOutbox, transport::Credit, ws::Frame};
use session_support::{Driven, Session, done, limits, request};
use tokio::sync::oneshot;

/// Asks the session's actor something.
async fn ask<T: Send + 'static>(session: &Session, question: impl FnOnce(&mut Driven) -> T + Send + 'static) -> T {
    let (sender, answer) = oneshot::channel();
    session.with(move |session| assert!(sender.send(question(session)).is_ok(), "the test waits"));
    answer.await.expect("the actor lives")
}

async fn is_reading(session: &Session) -> bool {
    ask(session, |session| session.core.is_reading()).await
}

const MALFORMED: &str = r#"{"type":"ack"}"#;

/// An inbox with room for "hold" and fewer than four malformed frames.
async fn fills_up(inbox: Credit) {
    let (release, released) = oneshot::channel::<()>();
    let mut released = Some(released);
    let limits = Limits { inbox, ..limits() };
    let mut session =
        Session::start(limits, MemoryOutbox::default(), move |event, _| match released.take_if(|_| event == "hold") {
            Some(released) => Handling::later(async { Ok(released.await?) }),
            None => Handling::done(),
        });
    session.connect(JsonProtocol).await;
    session.receive(&["hold"]);
    assert_eq!(session.event().await, "hold");
    session.receive(&[MALFORMED]);
    session.receive(&[MALFORMED]);
    assert!(is_reading(&session).await);
    session.receive(&[MALFORMED, MALFORMED]);
    assert_eq!(session.events_until_quiet().await, [""; 0], "the handler is busy");
    assert!(!is_reading(&session).await);
    release.send(()).expect("the handler waits for it");
    assert_eq!(session.events_until_quiet().await.len(), 4);
    assert!(is_reading(&session).await);
}

#[actix::test]
async fn malformed_frames_are_bounded_by_the_inbox() {
    fills_up(Credit { frames: 4, bytes: usize::MAX }).await;
}

#[actix::test]
async fn malformed_frames_are_bounded_by_the_bytes_of_the_inbox() {
    fills_up(Credit { frames: usize::MAX, bytes: 4 * MALFORMED.len() }).await;
}

/// Sends this many requests, by the hundred, until the session wants to close.
async fn requested(session: &mut Session, hundreds: usize) -> Result<(), CloseReason> {
    let frames = vec![Frame::Text(request(1, "x").into()); 100];
    for _ in 0..hundreds {
        let frames = frames.clone();
        ask(session, move |session| session.core.receive(frames)).await?;
        assert_eq!(session.events_until_quiet().await.len(), 100);
    }
    Ok(())
}

#[actix::test]
async fn acks_that_nobody_reads_are_bounded() {
    let mut session = Session::open(done).await;
    requested(&mut session, 10).await.expect("they are read");
    assert_eq!(session.written_until_quiet().await.len(), 1000);
    session.with(|session| session.confirms = false);
    let reason = requested(&mut session, 1000).await.expect_err("a session keeps 100,000 acks");
    assert_eq!(reason.code, CloseCode::ERROR);
}

#[actix::test]
async fn acks_that_are_read_are_not_bounded() {
    let mut session = Session::open(done).await;
    requested(&mut session, 1000).await.expect("they are read");
    assert_eq!(session.written_until_quiet().await.len(), 100_000);
}
