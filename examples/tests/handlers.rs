//! What a server's handler may be, and what becomes of messages when it refuses, panics or goes away.

#[path = "support/raw.rs"]
mod raw;
mod support;

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use actix::{Actor, ActorContext as _, Addr, Arbiter, AsyncContext as _, Context, Handler};
use actix_web::{App, HttpServer};
use hookup_server::{
    Cause, CloseCode, CloseReason, Connected, Error, Event, EventHandler, Handling, Hookup, HookupServer, Message,
    Peer, Receipt, Refusal, SendError, SendFailure, SendResult, ServerBuilder, SimpleJson, Text, WireFormat,
    core::{
        wire::{AckId, Inbound, WireError},
        ws::Frame,
    },
};
use raw::{CLOSE, Raw, close_payload, frame};
use support::{Events, Server, recorder, soon};
use tokio::sync::{mpsc, oneshot};

/// Long enough never to pass.
const LONG: Duration = Duration::from_secs(600);

/// Sends a text that asks for an ack.
async fn request(raw: &mut Raw, id: u64, text: &str) {
    raw.text(&format!(r#"{{"type":"ack_request","id":{id},"content":"{text}"}}"#)).await;
}

/// The next frame is the ack of this id: no other came before it.
async fn acked(raw: &mut Raw, id: u64) {
    assert_eq!(raw.next_text().await, format!(r#"{{"type":"ack","id":{id}}}"#));
}

/// The content of the next text frame.
async fn content(raw: &mut Raw) -> String {
    let frame = raw.next_text().await;
    let json = serde_json::from_str::<serde_json::Value>(&frame).expect("json");
    json["content"].as_str().expect("a text").to_owned()
}

/// All sessions on one worker, so that what one does could harm the others.
fn on_one_worker(builder: ServerBuilder) -> (SocketAddr, Hookup) {
    let hookup = builder.start().expect("starts");
    let mounted = hookup.clone();
    let server = HttpServer::new(move || App::new().service(mounted.resource("/")));
    let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).expect("binds");
    let addr = server.addrs()[0];
    actix::spawn(async move { server.run().await.expect("serves") });
    (addr, hookup)
}

/// The ack and the answer come; the format does not say in which order.
async fn answered_and_acked(raw: &mut Raw) {
    let mut frames = [raw.next_text().await, raw.next_text().await];
    frames.sort();
    assert_eq!(frames, [r#"{"type":"ack","id":1}"#, r#"{"type":"text","content":"there back"}"#]);
}

#[actix::test]
async fn a_plain_closure_handles() {
    let server = Server::with(|| {
        |event: Event, peer: Peer| {
            if let Event::Text(text) = event {
                peer.do_send(Text(format!("{text} back")));
            }
        }
    });
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    request(&mut raw, 1, "there").await;
    answered_and_acked(&mut raw).await;
}

#[actix::test]
async fn an_async_closure_handles() {
    let server = Server::with(|| {
        |event: Event, peer: Peer| async move {
            if let Event::Text(text) = event {
                peer.send(Text(format!("{text} back"))).await?;
            }
            Ok::<(), Refusal>(())
        }
    });
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    request(&mut raw, 1, "there").await;
    answered_and_acked(&mut raw).await;
}

#[actix::test]
async fn a_type_has_state_of_its_own_in_each_session() {
    #[derive(Default)]
    struct Count(usize);

    impl EventHandler for Count {
        fn handle(&mut self, event: Event, peer: Peer) -> Handling {
            if let Event::Text(_) = event {
                self.0 += 1;
                peer.do_send(Text(self.0.to_string()));
            }
            Handling::done()
        }
    }

    let (addr, _) = on_one_worker(HookupServer::new(Count::default));
    let mut raws = [Raw::open(addr, "jsonProtocol").await, Raw::open(addr, "jsonProtocol").await];
    for (raw, count) in [(0, "1"), (0, "2"), (1, "1"), (0, "3")] {
        raws[raw].text("count").await;
        assert_eq!(content(&mut raws[raw]).await, count);
    }
}

#[actix::test]
async fn a_closure_has_state_of_its_own_in_each_session() {
    let server = Server::with(|| {
        let mut count = 0;
        move |event: Event, peer: Peer| {
            if let Event::Text(_) = event {
                count += 1;
                peer.do_send(Text(count.to_string()));
            }
        }
    });
    for _ in 0..2 {
        let mut raw = Raw::open(server.addr, "jsonProtocol").await;
        for count in ["1", "2"] {
            raw.text("count").await;
            assert_eq!(content(&mut raw).await, count);
        }
    }
}

/// An actor that is given a session's events, and holds a text until it is let go on.
struct Held {
    begun: mpsc::UnboundedSender<String>,
    release: Option<oneshot::Receiver<()>>,
}

impl Actor for Held {
    type Context = Context<Self>;
}

impl Handler<Event> for Held {
    type Result = actix::ResponseFuture<()>;

    fn handle(&mut self, event: Event, ctx: &mut Self::Context) -> Self::Result {
        match event {
            Event::Text(text) if &*text == "stop" => ctx.stop(),
            Event::Text(text) => {
                let (begun, release) = (self.begun.clone(), self.release.take());
                return Box::pin(async move {
                    begun.send(text.to_string()).expect("the test goes on");
                    if let Some(release) = release {
                        release.await.expect("is released");
                    }
                });
            }
            _ => {}
        }
        Box::pin(async {})
    }
}

#[actix::test]
async fn an_actor_handles_and_the_ack_waits_for_it() {
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let (release, released) = oneshot::channel();
    let actor = Held { begun, release: Some(released) }.start();
    let server = Server::with(move || actor.clone().recipient::<Event>());
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    request(&mut raw, 1, "held").await;
    assert_eq!(soon("the actor", has_begun.recv()).await.as_deref(), Some("held"));
    raw.nothing_came().await;
    release.send(()).expect("the actor waits");
    acked(&mut raw, 1).await;
}

#[actix::test]
async fn an_actor_that_has_stopped_acks_nothing_and_its_sessions_go_on() {
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let actor = Held { begun, release: None }.start();
    let server = Server::with(move || actor.clone().recipient::<Event>());
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    request(&mut raw, 1, "alive").await;
    acked(&mut raw, 1).await;
    assert_eq!(soon("the actor", has_begun.recv()).await.as_deref(), Some("alive"));

    raw.text("stop").await;
    request(&mut raw, 2, "too late").await;
    assert_eq!(soon("the actor's end", has_begun.recv()).await, None);
    raw.nothing_came().await;
    let peers = server.hookup.peers().await;
    peers[0].do_send(Text("still here"));
    assert_eq!(content(&mut raw).await, "still here");

    let mut other = Raw::open(server.addr, "jsonProtocol").await;
    request(&mut other, 1, "too late").await;
    other.nothing_came().await;
    raw.write(frame(CLOSE, close_payload(1000, b""))).await;
    assert_eq!(raw.closed().await, Some(1000), "the end comes though nobody hears of it");
}

/// Answers what an actor was told of its session with the peer that came with it.
struct Echo;

impl Actor for Echo {
    type Context = Context<Self>;
}

impl Handler<Event> for Echo {
    type Result = ();

    fn handle(&mut self, event: Event, ctx: &mut Self::Context) {
        if let Event::Connected(Connected { peer, .. }) = event {
            ctx.spawn(actix::fut::wrap_future(async move {
                let receipt = peer.send(Text("welcome").needs_ack(LONG)).await.expect("acked");
                peer.do_send(Text(format!("{receipt:?}")));
            }));
        }
    }
}

#[actix::test]
async fn an_actor_answers_with_the_peer_that_connected() {
    let actor = Echo.start();
    let server = Server::with(move || actor.clone().recipient::<Event>());
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    assert!(raw.next_text().await.contains("welcome"));
    raw.text(r#"{"type":"ack","id":1}"#).await;
    assert_eq!(content(&mut raw).await, "Acked");
}

#[actix::test]
async fn a_message_that_a_handler_refuses_is_not_acked() {
    let refuses = |event: &Event| matches!(event, Event::Text(text) if text.starts_with("bad"));
    let plain = Server::with(move || {
        move |event: Event, _: Peer| if refuses(&event) { Err(Refusal::new("no")) } else { Ok(()) }
    });
    let later = Server::with(move || {
        move |event: Event, _: Peer| async move {
            if refuses(&event) {
                Err(std::io::Error::other("any error"))?;
            }
            Ok::<(), Refusal>(())
        }
    });
    for server in [plain, later] {
        let mut raw = Raw::open(server.addr, "jsonProtocol").await;
        request(&mut raw, 1, "bad").await;
        request(&mut raw, 2, "good").await;
        acked(&mut raw, 2).await;
    }
}

/// Panics as its messages say, and hands on what else it is told.
struct Panicky(mpsc::UnboundedSender<Event>);

impl EventHandler for Panicky {
    fn handle(&mut self, event: Event, _: Peer) -> Handling {
        let text = if let Event::Text(text) = &event { text.to_string() } else { String::new() };
        match text.as_str() {
            "now" => panic!("I was told to"),
            "later" => return Handling::later(async { std::panic::panic_any(7) }),
            _ => self.0.send(event).expect("the test goes on"),
        }
        Handling::done()
    }
}

#[actix::test]
async fn a_panic_costs_the_ack_and_nothing_else() {
    let (sender, mut told) = mpsc::unbounded_channel();
    let (addr, _) = on_one_worker(HookupServer::new(move || Panicky(sender.clone())));
    let mut beside = Raw::open(addr, "jsonProtocol").await;
    let mut raw = Raw::open(addr, "jsonProtocol").await;
    for _ in 0..2 {
        assert!(matches!(soon("an event", told.recv()).await, Some(Event::Connected(_))));
    }
    for (text, words) in [("now", "I was told to"), ("later", "a value that is not a string")] {
        request(&mut raw, 1, text).await;
        let event = soon("the panic", told.recv()).await;
        let Some(Event::Error(Error::HandlerPanicked { message })) = event else { panic!("{event:?}") };
        assert_eq!(message, words);
        for session in [&mut raw, &mut beside] {
            request(session, 2, "hi").await;
            acked(session, 2).await;
            assert!(matches!(soon("an event", told.recv()).await, Some(Event::Text(_))));
        }
    }
}

#[actix::test]
async fn a_handler_that_panics_at_everything_is_not_told_for_ever() {
    let server = Server::with(|| |_: Event, _: Peer| -> () { panic!("at everything") });
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    request(&mut raw, 1, "hi").await;
    raw.nothing_came().await;
    raw.write(frame(CLOSE, close_payload(1000, b""))).await;
    assert_eq!(raw.closed().await, Some(1000));
    soon("the end of all sessions", server.hookup.stop()).await;
}

#[actix::test]
async fn a_factory_that_panics_costs_its_connection_alone() {
    let calls = AtomicUsize::new(0);
    let (addr, _) = on_one_worker(HookupServer::new(move || {
        assert!(calls.fetch_add(1, Ordering::Relaxed) != 1, "the second one");
        |_: Event, _: Peer| {}
    }));
    let mut beside = Raw::open(addr, "jsonProtocol").await;
    let mut raw = Raw::connect(addr).await;
    raw.write(raw::request("GET", "/", &raw::UPGRADE)).await;
    assert_eq!(raw.next().await, None, "closed without an answer");
    request(&mut beside, 1, "hi").await;
    acked(&mut beside, 1).await;
    Raw::open(addr, "jsonProtocol").await.nothing_came().await;
}

/// A wire format with a mistake in it.
struct Faulty;

impl WireFormat for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }

    fn render(&self, message: &Message, ack: Option<AckId>) -> Result<Frame, Cow<'static, str>> {
        SimpleJson.render(message, ack)
    }

    fn parse(&self, _: Frame) -> Result<Inbound, WireError> {
        panic!("a mistake")
    }
}

#[actix::test]
async fn a_wire_format_that_panics_costs_its_connection_alone() {
    let (addr, hookup) = on_one_worker(HookupServer::new(|| |_: Event, _: Peer| {}).wire_format(Faulty));
    let mut beside = Raw::open(addr, "jsonProtocol").await;
    let mut raw = Raw::open(addr, "faulty").await;
    raw.text("hi").await;
    assert_eq!(raw.closed().await, Some(1011));
    request(&mut beside, 1, "hi").await;
    acked(&mut beside, 1).await;
    soon("the end of all sessions", hookup.stop()).await;
}

#[actix::test]
async fn a_handler_that_answers_its_own_end_is_told_that_it_came() {
    let (sender, mut results) = mpsc::unbounded_channel();
    let server = Server::with(move || {
        let sender = sender.clone();
        move |event: Event, peer: Peer| {
            let sender = sender.clone();
            async move {
                if let Event::Disconnected(_) = event {
                    peer.do_send(Text("nor this"));
                    sender.send(peer.send(Text("too late").needs_ack(LONG)).await).expect("the test goes on");
                }
            }
        }
    });
    drop(Raw::open(server.addr, "jsonProtocol").await);
    let result = soon("the handler's end", results.recv()).await.expect("the handler came so far");
    assert!(matches!(result, Err(SendError { reason: SendFailure::Closed, .. })), "{result:?}");
    soon("the session's end", server.hookup.stop()).await;
}

fn recording() -> (Server, Events) {
    let (handler, events) = recorder();
    (Server::with(move || handler.clone()), events)
}

#[actix::test]
async fn a_peer_s_address_takes_messages_as_any_actor_s_does() {
    let (server, mut events) = recording();
    let mut raw = Raw::open(server.addr, "jsonProtocol").await;
    let peer = events.connected().await.peer;
    peer.addr().do_send(Text("with an ack").needs_ack(LONG));
    assert!(raw.next_text().await.contains(r#""ack_request","id":1"#));
    raw.text(r#"{"type":"ack","id":1}"#).await;

    let sent = peer.addr().send(Text("and a result").needs_ack(LONG));
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
        Box::pin(async move { peer.send(Text(text).needs_ack(LONG)).await })
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
        let event = soon("the end", events.recv()).await;
        let code = CloseCode(code);
        assert!(
            matches!(&event, Some(Event::Disconnected(Cause::WeClosed(reason))) if reason.code == code),
            "{event:?}"
        );
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
    events.disconnected().await;
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
    events.disconnected().await;
    events.disconnected().await;
    soon("nobody left", server.hookup.stop()).await;
    assert!(server.hookup.peers().await.is_empty());
}

#[actix::test]
async fn stop_closes_all_with_1001_and_resolves_when_every_handler_was_told() {
    let (told, mut ends) = mpsc::unbounded_channel();
    let (release, mut released) = tokio::sync::watch::channel(false);
    released.mark_unchanged();
    let server = Server::with(move || {
        let (told, released) = (told.clone(), released.clone());
        move |event: Event, _: Peer| {
            let (told, mut released) = (told.clone(), released.clone());
            async move {
                if let Event::Disconnected(cause) = event {
                    told.send(cause).expect("the test goes on");
                    released.wait_for(|&released| released).await.expect("is released");
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
    let stopping = actix::spawn(async move { hookup.stop().await });
    for raw in &mut raws {
        assert_eq!(raw.next().await, Some((CLOSE, close_payload(1001, b""))));
        let cause = soon("its end", ends.recv()).await.expect("is told");
        assert_eq!(cause, Cause::WeClosed(CloseCode::AWAY.into()));
    }
    assert_eq!(server.hookup.peers().await.len(), 3);
    assert!(!stopping.is_finished(), "the handlers are not done yet");
    release.send(true).expect("the handlers wait");
    soon("the stop", stopping).await.expect("joins");
    assert!(server.hookup.peers().await.is_empty());

    // Whoever comes later is closed likewise, and stopping twice is nothing new.
    let mut late = Raw::open(server.addr, "jsonProtocol").await;
    assert_eq!(late.next().await, Some((CLOSE, close_payload(1001, b""))));
    soon("the second stop", server.hookup.stop()).await;
}
