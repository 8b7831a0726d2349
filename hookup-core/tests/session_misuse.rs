//! A session's handler that does not end, ends badly, or is given less than comes, on a clock that only moves when nothing
//! else is left to do.

mod session_support;

use std::{
    future::{Future, pending},
    pin::Pin,
    task::{self, Poll},
    time::Duration,
};

use hookup_core::{
    Event, EventHandler, Handling, JsonProtocol, Limits, MemoryOutbox, Peer, Rate, Refusal, Text, driver::now,
};
use session_support::{Session, ack, done, limits, request};

const MINUTE: Duration = Duration::from_secs(60);
const TIMED_OUT: &str = "the handler did not end within 60s";

/// A session whose handler has a minute, and is at some events for ever.
async fn with_a_minute(is_endless: impl Fn(&str) -> bool + 'static) -> Session {
    let limits = Limits { handler_timeout: Some(MINUTE), ..limits() };
    let mut session = Session::start(limits, MemoryOutbox::default(), move |event, _| match is_endless(event) {
        true => Handling::later(pending()),
        false => Handling::done(),
    });
    session.connect(JsonProtocol).await;
    session
}

#[actix::test]
async fn a_handler_that_does_not_end_in_time_is_told_so_its_message_is_not_acked_and_the_next_has_its_turn() {
    let mut session = with_a_minute(|event| event == "endless").await;
    for id in [1, 11] {
        let start = now();
        session.receive(&[&request(id, "endless"), &request(id + 1, "good")]);
        for event in ["endless", "good", TIMED_OUT] {
            assert_eq!(session.event().await, event);
        }
        assert_eq!(session.written().await, ack(id + 1));
        let took = now() - start;
        assert!((MINUTE..MINUTE + Duration::from_secs(1)).contains(&took), "{took:?}");
    }
    assert_eq!(session.written_until_quiet().await, [""; 0]);
}

#[actix::test]
async fn an_event_that_is_no_message_has_no_more_time() {
    let mut session = with_a_minute(|event| event.starts_with("a frame was not understood")).await;
    session.receive(&[r#"{"type":"text"}"#, &request(1, "good")]);
    assert!(session.event().await.starts_with("a frame was not understood"));
    assert_eq!([session.event().await, session.event().await], ["good", TIMED_OUT]);
    assert_eq!(session.written().await, ack(1));
}

#[actix::test]
async fn a_handler_that_never_ends_anything_is_not_told_for_ever() {
    let mut session = with_a_minute(|event| event != "connected jsonProtocol").await;
    session.receive(&["endless"]);
    assert_eq!([session.event().await, session.event().await], ["endless", TIMED_OUT]);
    tokio::time::sleep(3 * MINUTE).await;
    assert_eq!(session.events_until_quiet().await, [""; 0]);
}

#[actix::test]
async fn a_handler_that_never_ends_does_not_keep_a_session_from_ending() {
    let mut session = with_a_minute(|event| event == "endless" || event == "the end").await;
    session.receive(&["endless", "last"]);
    assert_eq!(session.event().await, "endless");
    session.end();
    for event in ["last", TIMED_OUT, "the end"] {
        assert_eq!(session.event().await, event);
    }
    let gone = async {
        while session.addr.connected() {
            tokio::time::sleep(MINUTE).await;
        }
    };
    tokio::time::timeout(5 * MINUTE, gone).await.expect("its actor has ended");
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("boom");
    }
}

/// A future that has ended, or never does; what is in it is dropped when it is dropped itself.
struct Ends {
    is_endless: bool,
    _bomb: Option<Bomb>,
}

impl Future for Ends {
    type Output = Result<(), Refusal>;

    fn poll(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<Self::Output> {
        if self.is_endless { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

#[actix::test]
async fn a_future_that_panics_when_it_is_dropped_is_told_of_and_has_ended_as_it_has() {
    let limits = Limits { handler_timeout: Some(MINUTE), ..limits() };
    let mut session = Session::start(limits, MemoryOutbox::default(), |event, _| {
        let bomb = event.starts_with("bomb").then(|| Bomb);
        let is_endless = event == "bomb that does not end";
        Handling::later(Ends { is_endless, _bomb: bomb })
    });
    session.connect(JsonProtocol).await;
    session.receive(&[&request(1, "bomb that does not end"), &request(2, "good")]);
    for event in ["bomb that does not end", "good", TIMED_OUT, "the handler panicked: boom"] {
        assert_eq!(session.event().await, event);
    }
    assert_eq!(session.written_until_quiet().await, [ack(2)]);
    session.receive(&[&request(3, "bomb")]);
    assert_eq!([session.event().await, session.event().await], ["bomb", "the handler panicked: boom"]);
    assert_eq!(session.written().await, ack(3), "it was handled");
}

#[actix::test]
async fn a_handler_that_panics_when_it_is_dropped_does_not_end_the_process() {
    let bomb = Bomb;
    let mut session = Session::start(limits(), MemoryOutbox::default(), move |_, _| {
        let _ = &bomb;
        Handling::done()
    });
    session.connect(JsonProtocol).await;
    // The actor, and the handler with it, is dropped while a panic unwinds.
    session.with(|_| panic!("this panic is the test's"));
    while session.addr.connected() {
        tokio::task::yield_now().await;
    }
}

/// A session that is given three messages a minute.
async fn rated(policy: Limits) -> Session {
    let limits = Limits { rate: Some(Rate { messages: 3, per: MINUTE }), ..policy };
    let mut session = Session::start(limits, MemoryOutbox::default(), done);
    session.connect(JsonProtocol).await;
    session
}

#[actix::test]
async fn messages_above_the_rate_wait_and_none_is_lost() {
    let mut session = rated(limits()).await;
    let start = now();
    session.receive(&["1", "2", "3", "4", "5", &request(1, "6")]);
    for n in 1..=3 {
        assert_eq!(session.event().await, n.to_string());
    }
    assert_eq!(session.events_until_quiet().await, [""; 0], "the rate is used up");
    for n in 4..=6_u32 {
        assert_eq!(session.event().await, n.to_string());
        let took = now() - start;
        let due = MINUTE / 3 * (n - 3);
        assert!((due..due + Duration::from_secs(1)).contains(&took), "{n} after {took:?}");
    }
    assert_eq!(session.written().await, ack(1));
    tokio::time::sleep(MINUTE).await;
    session.receive(&["7", "8", "9", "10"]);
    assert_eq!(session.events_until_quiet().await, ["7", "8", "9"], "after a pause, as many may come at once");
}

#[actix::test]
async fn acks_and_what_is_no_message_do_not_wait_for_the_rate() {
    let mut session = rated(limits()).await;
    session.receive(&["1", "2", "3", "4", "5"]);
    assert_eq!(session.events_until_quiet().await, ["1", "2", "3"]);
    let sending = session.send(Text("hi").needs_ack(MINUTE));
    session.written().await;
    session.receive(&[&ack(1)]);
    assert_eq!(sending.await, "Acked");
    session.peer.do_send(Text("not heard").needs_ack(Duration::from_secs(1)));
    assert!(session.event().await.starts_with("ack failed, not heard"));
}

#[actix::test]
async fn while_messages_wait_for_the_rate_no_more_than_the_inbox_are_read() {
    let few = hookup_core::transport::Credit { frames: 5, bytes: 1000 };
    let mut session = rated(Limits { inbox: few, ..limits() }).await;
    session.receive(&["1", "2", "3", "4", "5", "6", "7", "8"]);
    assert_eq!(session.events_until_quiet().await, ["1", "2", "3"]);
    session.with(|session| assert!(!session.core.is_reading(), "five wait"));
    assert_eq!(session.event().await, "4");
    session.with(|session| assert!(session.core.is_reading(), "four wait"));
    assert_eq!(session.event().await, "5");
}

#[actix::test]
async fn a_rate_outlives_a_connection_and_ends_with_the_session() {
    let mut session = rated(limits()).await;
    session.receive(&["1", "2", "3"]);
    assert_eq!(session.events_until_quiet().await, ["1", "2", "3"]);
    session.with(|session| session.core.disconnected());
    session.connect(JsonProtocol).await;
    session.receive(&["4", "5", "6", "7"]);
    assert_eq!(session.events_until_quiet().await, [""; 0]);
    let start = now();
    session.end();
    assert_eq!(session.events_until_quiet().await, ["4", "5", "6", "7", "the end"]);
    assert!(now() - start < Duration::from_secs(1), "what has come in does not keep a session");
}

/// A handler that has gone after its first text.
struct Going(tokio::sync::mpsc::UnboundedSender<String>, bool);

impl EventHandler for Going {
    fn handle(&mut self, event: Event, _: Peer) -> Handling {
        let Event::Text(text) = event else { return Handling::done() };
        self.0.send(text.to_string()).expect("the test listens");
        self.1 = true;
        Handling::refused("gone")
    }

    fn is_gone(&self) -> bool {
        self.1
    }
}

#[actix::test]
async fn a_handler_that_has_gone_is_given_nothing_more() {
    let (told, mut events) = tokio::sync::mpsc::unbounded_channel();
    let mut session = Session::start_with(limits(), MemoryOutbox::default(), |_| Box::new(Going(told, false)));
    session.with(|session| session.core.connected(std::sync::Arc::new(JsonProtocol)));
    session.receive(&[&request(1, "a"), &request(2, "b")]);
    assert_eq!(events.recv().await.as_deref(), Some("a"));
    session.with(|session| assert!(session.core.has_lost_handler()));
    assert_eq!(session.written_until_quiet().await, [""; 0], "neither is acked");
    let sending = session.send(Text("hi").needs_ack(MINUTE));
    session.written().await;
    session.receive(&[&ack(1)]);
    assert_eq!(sending.await, "Acked", "what is sent still arrives");
    assert!(events.try_recv().is_err());
}
