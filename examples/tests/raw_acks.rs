//! A server and a peer that writes and reads the bytes itself: acks of what the server sent, and those that do not come.

#[path = "support/raw.rs"]
mod raw;
#[path = "support/sessions.rs"]
mod sessions;
mod support;

use std::time::Duration;

use hookup_server::{Binary, Error, Event, OutboxPolicy, Receipt, SendError, SendFailure, SessionEnd, Text};
use sessions::{ack_failed, open, text_of, works};
use support::{HOUR, recording, recording_with, soon};

/// Short enough to pass at once.
const SHORT: Duration = Duration::from_millis(1);

#[actix::test]
async fn a_peer_that_never_acks_fails_the_message() {
    let (server, mut events) = recording();
    let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    peer.do_send(Text("in vain").needs_ack(SHORT));
    let error = ack_failed(&mut events).await;
    assert!(matches!(error.reason, SendFailure::TimedOut { within: SHORT, stays: false }), "{error}");
    assert_eq!(text_of(&error), "in vain");

    let error = soon("the timeout", peer.send(Text("in vain, too").needs_ack(SHORT))).await.expect_err("no ack");
    assert!(matches!(error.reason, SendFailure::TimedOut { within: SHORT, stays: false }), "{error}");
    assert_eq!(text_of(&error), "in vain, too");

    // Who waited was told; the handler was not.
    for _ in 0..2 {
        assert!(raw.next_text().await.contains("in vain"), "both were sent");
    }
    works(&mut raw, &mut events).await;
}

#[actix::test]
async fn an_ack_that_is_late_is_ignored() {
    let (server, mut events) = recording();
    let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    peer.do_send(Text("slow").needs_ack(SHORT));
    assert!(raw.next_text().await.contains(r#""id":1"#));
    assert_eq!(text_of(&ack_failed(&mut events).await), "slow");
    raw.text(r#"{"type":"ack","id":1}"#).await;
    works(&mut raw, &mut events).await;

    // It does not stand for the next one either.
    let sent = actix::spawn(async move { peer.send(Text("next").needs_ack(HOUR)).await });
    assert!(raw.next_text().await.contains(r#""id":2"#));
    raw.text(r#"{"type":"ack","id":1}"#).await;
    works(&mut raw, &mut events).await;
    assert!(!sent.is_finished());
    raw.text(r#"{"type":"ack","id":2}"#).await;
    let receipt = soon("the ack", sent).await.expect("joins").expect("acked");
    assert_eq!(receipt, Receipt::Acked);
}

#[actix::test]
async fn an_ack_of_nothing_is_ignored_and_a_second_one_counts_once() {
    let (server, mut events) = recording();
    let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    for id in [1, 2, 1_u64 << 50] {
        raw.text(&format!(r#"{{"type":"ack","id":{id}}}"#)).await;
    }
    works(&mut raw, &mut events).await;

    peer.do_send(Text("one").needs_ack(HOUR));
    let sent = actix::spawn(async move { peer.send(Text("two").needs_ack(HOUR)).await });
    assert!(raw.next_text().await.contains(r#""id":1"#));
    assert!(raw.next_text().await.contains(r#""id":2"#));
    for id in [1, 1, 2, 2, 1] {
        raw.text(&format!(r#"{{"type":"ack","id":{id}}}"#)).await;
    }
    assert_eq!(soon("the ack", sent).await.expect("joins").expect("acked"), Receipt::Acked);
    works(&mut raw, &mut events).await;
    drop(raw);
    // Not lost: it was acked. The end is all that the handler is told.
    assert!(matches!(events.next().await, Event::Disconnected(_)));
    assert!(matches!(events.next().await, Event::SessionEnded(SessionEnd::Closed)));
}

#[actix::test]
async fn a_time_that_makes_no_sense_is_no_harm() {
    let (server, mut events) = recording();
    let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    let error = soon("the timeout", peer.send(Text("none").needs_ack(Duration::ZERO))).await.expect_err("no ack");
    assert!(matches!(error.reason, SendFailure::TimedOut { within: Duration::ZERO, stays: false }), "{error}");
    assert!(raw.next_text().await.contains("none"));

    let sent = actix::spawn(async move { peer.send(Text("for ever").needs_ack(Duration::MAX)).await });
    assert!(raw.next_text().await.contains("for ever"));
    raw.text(r#"{"type":"ack","id":2}"#).await;
    assert_eq!(soon("the ack", sent).await.expect("joins").expect("acked"), Receipt::Acked);
    works(&mut raw, &mut events).await;
}

#[actix::test]
async fn no_more_is_sent_unacked_than_the_window() {
    let (server, mut events) = recording_with(|builder| builder.window(2, 1));
    let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    // In bytes one of these is more than the window: then it goes alone.
    for text in ["one", "two", "three"] {
        peer.do_send(Text(text).needs_ack(HOUR));
    }
    for (id, text) in [(1, "one"), (2, "two"), (3, "three")] {
        assert!(raw.next_text().await.contains(text));
        raw.nothing_came().await;
        raw.text(&format!(r#"{{"type":"ack","id":{id}}}"#)).await;
    }
    works(&mut raw, &mut events).await;
}

#[actix::test]
async fn an_ack_on_another_connection_counts_for_nothing() {
    let (server, mut events) = recording();
    let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    let (mut other, _) = open(&server, &mut events, "jsonProtocol").await;
    peer.do_send(Text("mine").needs_ack(HOUR));
    assert!(raw.next_text().await.contains(r#""id":1"#));
    other.text(r#"{"type":"ack","id":1}"#).await;
    works(&mut other, &mut events).await;
    drop(raw);
    assert!(matches!(events.next().await, Event::Disconnected(_)));
    assert!(matches!(ack_failed(&mut events).await.reason, SendFailure::Lost));
    assert!(matches!(events.next().await, Event::SessionEnded(SessionEnd::Closed)));
}

#[actix::test]
async fn needs_ack_where_the_format_has_no_ack_is_refused_at_once_and_not_sent() {
    let (server, mut events) = recording();
    let text = || Text("acked?").needs_ack(HOUR);
    let binary = || Binary(vec![1]).needs_ack(HOUR);
    for (subprotocol, message) in [("simpleJson", text()), ("simpleJson", binary()), ("jsonProtocol", binary())] {
        let (mut raw, peer) = open(&server, &mut events, subprotocol).await;
        let is_refusal = |error: &SendError| {
            let named = matches!(&error.reason, SendFailure::Unsupported { format } if format == subprotocol);
            named && error.message == message
        };
        let error = soon("a refusal", peer.send(message.clone())).await.expect_err("refused");
        assert!(is_refusal(&error), "{error}");
        peer.do_send(message.clone());
        let error = ack_failed(&mut events).await;
        assert!(is_refusal(&error), "{error}");
        raw.nothing_came().await;
        drop(raw);
        events.ended().await;
    }
}

#[actix::test]
async fn a_session_that_ends_tells_of_every_message_once() {
    let (server, mut events) = recording_with(|builder| builder.window(2, 1000));
    let (mut raw, peer) = open(&server, &mut events, "jsonProtocol").await;
    for text in ["sent 1", "sent 2", "queued 1", "queued 2"] {
        peer.do_send(Text(text).needs_ack(HOUR));
    }
    peer.do_send(Text("queued 3"));
    let waiting = peer.clone();
    let waiting = actix::spawn(async move { waiting.send(Text("waiting").needs_ack(HOUR)).await });
    assert!(raw.next_text().await.contains("sent 1"));
    assert!(raw.next_text().await.contains("sent 2"));
    // Whoever is answered was taken in after all the others.
    assert_eq!(soon("its acceptance", peer.send(Text("queued 4"))).await.expect("accepted"), Receipt::Accepted);
    raw.nothing_came().await;
    drop(raw);

    assert!(matches!(events.next().await, Event::Disconnected(_)));
    let mut told = Vec::new();
    loop {
        match events.next().await {
            Event::AckFailed(error) => told.push(format!("{} {}", text_of(&error), error.reason)),
            Event::Error(Error::NotSent(error)) => told.push(format!("{} {}, no ack", text_of(&error), error.reason)),
            Event::SessionEnded(SessionEnd::Closed) => break,
            other => panic!("{other:?}"),
        }
    }
    told.sort();
    let expected = [
        "queued 1 the session is closed",
        "queued 2 the session is closed",
        "queued 3 the session is closed, no ack",
        "queued 4 the session is closed, no ack",
        "sent 1 the session ended before the ack came",
        "sent 2 the session ended before the ack came",
    ];
    assert_eq!(told, expected);
    let error = soon("its end", waiting).await.expect("joins").expect_err("not acked");
    assert_eq!((text_of(&error), error.reason.to_string().as_str()), ("waiting", "the session is closed"));
    assert!(matches!(peer.send(Text("too late")).await, Err(SendError { reason: SendFailure::Closed, .. })));
}

#[actix::test]
async fn a_peer_that_stops_reading_fills_its_own_outbox_and_nothing_else() {
    const LEN: usize = 64 * 1024;
    let (server, mut events) =
        recording_with(|builder| builder.outbox_bounds(100_000, 4 * LEN as u64).policy(OutboxPolicy::DropNewest));
    let (mut stalled, peer) = open(&server, &mut events, "jsonProtocol").await;
    let mut accepted = 0;
    let error = loop {
        let mut text = format!("{accepted} ");
        text.extend(std::iter::repeat_n('x', LEN - text.len()));
        match soon("an answer", peer.send(Text(text))).await {
            Ok(receipt) => assert_eq!(receipt, Receipt::Accepted),
            Err(error) => break error,
        }
        accepted += 1;
        assert!(accepted < 4096, "256 MiB, and the outbox is not full");
    };
    assert!(matches!(error.reason, SendFailure::Full { messages: 4, bytes: 262_144 }), "{error}");
    assert!(text_of(&error).starts_with(&format!("{accepted} ")));

    // Whom nobody waits for is told as an event.
    peer.do_send(Text("x".repeat(LEN)));
    let event = events.next().await;
    assert!(matches!(&event, Event::Error(Error::NotSent(error)) if text_of(error).len() == LEN));
    for _ in 0..4 {
        let (mut beside, peer) = open(&server, &mut events, "jsonProtocol").await;
        works(&mut beside, &mut events).await;
        peer.do_send(Text("hi"));
        assert!(beside.next_text().await.contains("hi"));
        drop(beside);
        events.ended().await;
    }

    // When it reads again, all that was accepted is there, in order, and there is room again.
    for n in 0..accepted {
        assert!(stalled.next_text().await.starts_with(&format!(r#"{{"type":"text","content":"{n} "#)));
    }
    works(&mut stalled, &mut events).await;
    assert_eq!(soon("room", peer.send(Text("room again"))).await.expect("accepted"), Receipt::Accepted);
    assert!(stalled.next_text().await.contains("room again"));
}
