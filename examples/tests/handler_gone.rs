//! Handlers that are actors: what becomes of a session whose actor stops, and of one whose actor is behind.

#[path = "support/raw.rs"]
mod raw;
#[path = "support/sessions.rs"]
mod sessions;
mod support;
#[path = "support/v2.rs"]
mod v2;

use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler};
use hookup_server::{Cause, CloseCode, Event, HookupServer, SendFailure, Text};
use raw::Raw;
use sessions::{acked, on_one_worker, request};
use support::{HOUR, Server, recorded, sent, soon};
use tokio::sync::{mpsc, oneshot};
use v2::reliable;

/// An actor that is given a session's events, tells the texts, and stops when it is told to.
struct Mortal(mpsc::UnboundedSender<String>);

impl Actor for Mortal {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        // The test may be over.
        let _ = self.0.send("stopped".into());
    }
}

impl Handler<Event> for Mortal {
    type Result = ();

    fn handle(&mut self, event: Event, ctx: &mut Self::Context) {
        let Event::Text(text) = event else { return };
        if &*text == "stop" {
            return ctx.stop();
        }
        let again = if text.redelivered() { " (again)" } else { "" };
        // The test may be over.
        let _ = self.0.send(format!("{text}{again}"));
    }
}

/// What makes an actor for each session, and what they tell.
fn mortals() -> (impl Fn() -> actix::Recipient<Event> + Send + Sync, mpsc::UnboundedReceiver<String>) {
    let (sender, told) = mpsc::unbounded_channel();
    (move || Mortal(sender.clone()).start().recipient(), told)
}

#[actix::test]
async fn a_session_whose_actor_stops_is_closed_and_the_next_connection_has_a_new_one() {
    let (factory, mut told) = mortals();
    let (addr, hookup) = on_one_worker(HookupServer::new(factory));
    let mut beside = Raw::open(addr, "jsonProtocol").await;
    let mut raw = Raw::open(addr, "jsonProtocol").await;
    raw.text("stop").await;
    assert_eq!(soon("its end", told.recv()).await.as_deref(), Some("stopped"));
    request(&mut raw, 2, "too late").await;
    assert_eq!(raw.closed().await, Some(1011), "it was not acked before");
    for session in [&mut beside, &mut Raw::open(addr, "jsonProtocol").await] {
        request(session, 1, "hi").await;
        acked(session, 1).await;
        assert_eq!(soon("a text", told.recv()).await.as_deref(), Some("hi"));
    }
    soon("the end of all sessions", hookup.stop(support::STOP)).await;
}

#[actix::test]
async fn what_a_reliable_client_sends_to_an_actor_that_has_stopped_comes_again_to_the_next() {
    let (factory, mut told) = mortals();
    let server = Server::with(factory);
    let (addr, mut events) = recorded(reliable(server.url()));
    events.connected().await;
    addr.do_send(Text("stop"));
    assert_eq!(soon("its end", told.recv()).await.as_deref(), Some("stopped"));
    let sending = addr.send(Text("hi").needs_ack(HOUR));
    let Cause::PeerClosed(reason) = events.disconnected().await else { panic!("not closed") };
    assert_eq!(reason.code, CloseCode::ERROR);
    assert!(!events.connected().await.resumed);
    sent(sending).await.expect("acked");
    assert_eq!(soon("a text", told.recv()).await.as_deref(), Some("hi (again)"));
}

#[actix::test]
async fn a_session_whose_actor_is_gone_while_its_client_is_away_ends_and_gives_back_what_it_had_queued() {
    let (sender, mut peers) = mpsc::unbounded_channel();
    let (factory, mut told) = mortals();
    let server = Server::with(move || {
        let (sender, recipient) = (sender.clone(), factory());
        Tapped { recipient, sender }
    });
    let (addr, mut events) = recorded(reliable(server.url()));
    let peer = soon("a peer", peers.recv()).await.expect("the server lives");
    addr.do_send(Text("stop"));
    assert_eq!(soon("its end", told.recv()).await.as_deref(), Some("stopped"));
    addr.do_send(hookup_client::Disconnect);
    events.disconnected().await;
    // It is found to be gone when it is told of the end of the connection, or is given this message's failure.
    let lost = soon("a failure", peer.send(Text("hi").needs_ack(HOUR))).await.expect_err("the session has ended");
    assert!(matches!(lost.reason, SendFailure::Lost | SendFailure::Closed), "{lost}");
    soon("the end of all sessions", server.hookup.stop(support::STOP)).await;
}

/// An actor as a handler, that tells the peer.
struct Tapped {
    recipient: actix::Recipient<Event>,
    sender: mpsc::UnboundedSender<hookup_server::Peer>,
}

impl hookup_server::EventHandler for Tapped {
    fn handle(&mut self, event: Event, peer: hookup_server::Peer) -> hookup_server::Handling {
        if let Event::Connected(_) = &event {
            self.sender.send(peer).expect("the test goes on");
        }
        let handled = self.recipient.send(event);
        hookup_server::Handling::later(async { Ok(handled.await?) })
    }

    fn is_gone(&self) -> bool {
        !self.recipient.connected()
    }
}

/// An actor with room for one message, that takes none before it is let go on.
struct Behind {
    told: mpsc::UnboundedSender<String>,
    release: Option<oneshot::Receiver<()>>,
}

impl Actor for Behind {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1);
        if let Some(release) = self.release.take() {
            ctx.wait(actix::fut::wrap_future(async { release.await.expect("is released") }));
        }
    }
}

impl Handler<Event> for Behind {
    type Result = ();

    fn handle(&mut self, event: Event, _: &mut Self::Context) {
        if let Event::Text(text) = event {
            self.told.send(text.to_string()).expect("the test goes on");
        }
    }
}

#[actix::test]
async fn an_actor_whose_mailbox_is_full_is_told_everything_when_it_has_room() {
    let (sender, mut told) = mpsc::unbounded_channel();
    let (release, released) = oneshot::channel();
    let actor = Behind { told: sender, release: Some(released) }.start();
    let server = Server::with(move || actor.clone().recipient::<Event>());
    let mut raws = Vec::new();
    for session in 0..5 {
        let mut raw = Raw::open(server.addr, "jsonProtocol").await;
        for id in 1..=5 {
            request(&mut raw, id, &format!("{session} {id}")).await;
        }
        raw.nothing_came().await;
        raws.push(raw);
    }
    release.send(()).expect("it waits");
    let mut texts = Vec::new();
    for _ in 0..25 {
        texts.push(soon("a text", told.recv()).await.expect("it lives"));
    }
    for (session, raw) in raws.iter_mut().enumerate() {
        for id in 1..=5 {
            acked(raw, id).await;
        }
        let own = texts.iter().filter(|text| text.starts_with(&session.to_string())).cloned().collect::<Vec<_>>();
        assert_eq!(own, (1..=5).map(|id| format!("{session} {id}")).collect::<Vec<_>>(), "all, in order");
    }
}
