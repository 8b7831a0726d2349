//! Peers, as a server holds them: who sends to them, who closes them, and what is left of them at the end.

#[path = "support/raw.rs"]
mod raw;
#[path = "support/sessions.rs"]
mod sessions;
mod support;

use actix::{Actor, Addr, Arbiter, Context, Handler};
use hookup_server::{
    Cause, CloseCode, CloseReason, Error, Event, Peer, Receipt, SendError, SendFailure, SendResult, SessionEnd, Text,
};
use raw::{CLOSE, Raw, close_payload, frame};
use sessions::{acked, content, request};
use support::{HOUR, Server, recording, soon};
use tokio::sync::mpsc;

#[actix::test]
async fn a_handler_that_answers_its_own_end_is_told_that_it_came() {
    let (sender, mut results) = mpsc::unbounded_channel();
    let server = Server::with(move || {
        let sender = sender.clone();
        move |event: Event, peer: Peer| {
            let sender = sender.clone();
            async move {
                let end = match event {
                    Event::Disconnected(_) => "the connection's",
                    Event::SessionEnded(SessionEnd::Closed) => "the session's",
                    _ => return,
                };
                peer.do_send(Text("nor this"));
                let result = peer.send(Text("too late").needs_ack(HOUR)).await;
                sender.send((end, result)).expect("the test goes on");
            }
        }
    });
    drop(Raw::open(server.addr, "jsonProtocol").await);
    for expected in ["the connection's", "the session's"] {
        let (end, result) = soon("the handler's end", results.recv()).await.expect("the handler came so far");
        assert_eq!(end, expected);
        assert!(matches!(result, Err(SendError { reason: SendFailure::Closed, .. })), "{result:?}");
    }
    soon("the session's end", server.hookup.stop(support::STOP)).await;
}

#[actix::test]
async fn a_peer_s_address_takes_messages_as_any_actor_s_does() {
    let (server, mut events) = recording();
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    let peer = events.connected().await.peer;
    peer.addr().do_send(Text("with an ack").needs_ack(HOUR));
    assert!(raw.next_text().await.contains(r#""ack_request","id":1"#));
    raw.text(r#"{"type":"ack","id":1}"#).await;

    let sent = peer.addr().send(Text("and a result").needs_ack(HOUR));
    let sent = actix::spawn(sent);
    assert!(raw.next_text().await.contains("and a result"));
    raw.text(r#"{"type":"ack","id":2}"#).await;
    let result: SendResult = soon("the ack", sent).await.expect("joins").expect("the session lives");
    assert_eq!(result.expect("acked"), Receipt::Acked);
}

#[derive(actix::Message)]
#[rtype(result = "SendResult")]
struct Relay(Peer, &'static str);

/// An actor of the application's, that sends to peers.
struct Sender;

impl Actor for Sender {
    type Context = Context<Self>;
}

impl Handler<Relay> for Sender {
    type Result = actix::ResponseFuture<SendResult>;

    fn handle(&mut self, Relay(peer, text): Relay, _: &mut Self::Context) -> Self::Result {
        Box::pin(async move { peer.send(Text(text).needs_ack(HOUR)).await })
    }
}

#[actix::test]
async fn other_actors_and_threads_send() {
    let (server, mut events) = recording();
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    let peer = events.connected().await.peer;

    let arbiter = Arbiter::new();
    let senders: [Addr<Sender>; 2] = [Sender.start(), Sender::start_in_arbiter(&arbiter.handle(), |_| Sender)];
    for (id, sender) in (1..).zip(&senders) {
        let sent = actix::spawn(sender.send(Relay(peer.clone(), "from an actor")));
        assert!(raw.next_text().await.contains("from an actor"));
        raw.text(&format!(r#"{{"type":"ack","id":{id}}}"#)).await;
        let receipt = soon("the ack", sent).await.expect("joins").expect("lives").expect("acked");
        assert_eq!(receipt, Receipt::Acked);
    }
    arbiter.stop();
    arbiter.join().expect("ends");

    let thread = std::thread::spawn(move || peer.do_send(Text("from a thread")));
    assert_eq!(content(&mut raw).await, "from a thread");
    thread.join().expect("ends");
}

#[actix::test]
async fn a_close_reaches_the_peer_with_its_code_after_what_was_sent_before() {
    let (told, mut events) = mpsc::unbounded_channel();
    let server = Server::with(move || {
        let told = told.clone();
        move |event: Event, peer: Peer| match event {
            Event::Text(code) => {
                peer.do_send(Text("before"));
                peer.close(CloseReason::new(CloseCode(code.parse().expect("a code")), "enough"));
                peer.do_send(Text("after"));
            }
            Event::Connected(_) => {}
            other => told.send(other).expect("the test goes on"),
        }
    });
    for (code, sent) in [(1000, Some(1000)), (1011, Some(1011)), (4711, Some(4711)), (1005, None), (99, None)] {
        let mut raw = Raw::open(server.addr, "jsonProtocol").await;
        raw.text(&code.to_string()).await;
        assert_eq!(content(&mut raw).await, "before");
        let expected = sent.map(|code| close_payload(code, b"enough")).unwrap_or_default();
        assert_eq!(raw.next().await, Some((CLOSE, expected.clone())));
        raw.write(frame(CLOSE, expected)).await;
        raw.finish().await;
        assert_eq!(raw.next().await, None);

        let event = soon("what was not sent", events.recv()).await;
        let Some(Event::Error(Error::NotSent(error))) = event else { panic!("{event:?}") };
        assert_eq!(error.message, Text("after").into(), "what was sent before the close was sent");
        let event = soon("the connection's end", events.recv()).await;
        let code = CloseCode(code);
        assert!(
            matches!(&event, Some(Event::Disconnected(Cause::WeClosed(reason))) if reason.code == code),
            "{event:?}"
        );
        let event = soon("the session's end", events.recv()).await;
        assert!(matches!(event, Some(Event::SessionEnded(SessionEnd::Closed))), "{event:?}");
    }
}

#[actix::test]
async fn the_first_of_two_closes_counts() {
    let (server, mut events) = recording();
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    let peer = events.connected().await.peer;
    peer.close(CloseReason::new(CloseCode(4001), "first"));
    peer.close(CloseReason::new(CloseCode(4002), "second"));
    assert_eq!(raw.next().await, Some((CLOSE, close_payload(4001, b"first"))));
    raw.finish().await;
    assert_eq!(raw.next().await, None);
    events.ended().await;
    // And one more when it is over does no harm.
    peer.close(CloseCode::NORMAL.into());
}

#[actix::test]
async fn peers_are_those_who_are_connected() {
    let (server, mut events) = recording();
    assert!(server.hookup.peers().await.is_empty());
    let first = Raw::open(server.addr, "jsonProtocol").await;
    let id = events.connected().await.peer.id();
    let mut second = Raw::open(server.addr, "simpleJson").await;
    events.connected().await;

    let peers = server.hookup.peers().await;
    assert_eq!(peers.len(), 2);
    assert!(peers.iter().all(|peer| peer.remote_addr().is_some_and(|addr| addr.ip().is_loopback())));
    for peer in peers.iter().filter(|peer| peer.id() != id) {
        peer.do_send(Text("to one"));
    }
    assert_eq!(second.next_text().await, "to one");

    drop((first, second));
    for _ in 0..2 {
        assert_eq!(events.session_ended().await, SessionEnd::Closed);
    }
    soon("nobody left", server.hookup.stop(support::STOP)).await;
    assert!(server.hookup.peers().await.is_empty());
}

#[actix::test]
async fn stop_closes_all_with_1001_and_resolves_when_every_handler_was_told() {
    let (told, mut causes) = mpsc::unbounded_channel();
    let (told_last, mut ends) = mpsc::unbounded_channel();
    let (release, mut released) = tokio::sync::watch::channel(false);
    released.mark_unchanged();
    let server = Server::with(move || {
        let (told, told_last, released) = (told.clone(), told_last.clone(), released.clone());
        move |event: Event, _: Peer| {
            let (told, told_last, mut released) = (told.clone(), told_last.clone(), released.clone());
            async move {
                match event {
                    Event::Disconnected(cause) => told.send(cause).expect("the test goes on"),
                    Event::SessionEnded(end) => {
                        told_last.send(end).expect("the test goes on");
                        released.wait_for(|&released| released).await.expect("is released");
                    }
                    _ => {}
                }
            }
        }
    });
    let mut raws = Vec::new();
    for _ in 0..3 {
        raws.push(Raw::open(server.addr, "jsonProtocol").await);
    }
    // Each has been handled something, so each is known.
    for raw in &mut raws {
        request(raw, 1, "hi").await;
        acked(raw, 1).await;
    }
    let hookup = server.hookup.clone();
    let stopping = actix::spawn(async move { hookup.stop(support::STOP).await });
    for raw in &mut raws {
        assert_eq!(raw.next().await, Some((CLOSE, close_payload(1001, b""))));
        let cause = soon("its connection's end", causes.recv()).await.expect("is told");
        assert_eq!(cause, Cause::WeClosed(CloseCode::AWAY.into()));
        let end = soon("its end", ends.recv()).await.expect("is told");
        assert_eq!(end, SessionEnd::Stopped);
    }
    assert_eq!(server.hookup.peers().await.len(), 3);
    assert!(!stopping.is_finished(), "the handlers are not done yet");
    release.send(true).expect("the handlers wait");
    soon("the stop", stopping).await.expect("joins");
    assert!(server.hookup.peers().await.is_empty());

    // Whoever comes later is refused, and stopping twice is nothing new.
    let late = Raw::connect(server.addr).await.handshake("/", &[]).await;
    assert_eq!(late.status, 503);
    soon("the second stop", server.hookup.stop(support::STOP)).await;
}
