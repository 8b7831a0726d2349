//! What a server's handler may be, and what becomes of messages when it refuses.

#[path = "support/raw.rs"]
mod raw;
#[path = "support/sessions.rs"]
mod sessions;
mod support;

use actix::{Actor, AsyncContext as _, Context, Handler};
use hookup_server::{Connected, Event, EventHandler, Handling, HookupServer, Peer, Refusal, Text};
use raw::Raw;
use sessions::{acked, content, on_one_worker, request};
use support::{HOUR, Server, soon};
use tokio::sync::{mpsc, oneshot};

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

    fn handle(&mut self, event: Event, _: &mut Self::Context) -> Self::Result {
        let Event::Text(text) = event else { return Box::pin(async {}) };
        let (begun, release) = (self.begun.clone(), self.release.take());
        Box::pin(async move {
            begun.send(text.to_string()).expect("the test goes on");
            if let Some(release) = release {
                release.await.expect("is released");
            }
        })
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
                let receipt = peer.send(Text("welcome").needs_ack(HOUR)).await.expect("acked");
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
