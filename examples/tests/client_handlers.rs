//! The kinds of handlers that a client takes, and handlers that fail.

mod support;

use std::time::Duration;

use actix::{Actor, Context, Handler};
use hookup_client::{
    Close, CloseCode, Closed, Error, Event, EventHandler, Handling, HookupClient, Peer, Refusal, SendFailure, Text,
};
use hookup_server::Cause;
use support::{Server, recorder, soon};
use tokio::sync::{mpsc, oneshot};

const HOUR: Duration = Duration::from_secs(3600);

/// A server that says what it is told to, asks for acks, and says what came of them.
fn echo() -> Server {
    Server::with(|| {
        |event: Event, peer: Peer| async move {
            if let Event::Text(text) = event {
                let acked = peer.send(text.needs_ack(HOUR)).await;
                peer.do_send(Text(acked.map_or_else(|error| error.to_string(), |receipt| format!("{receipt:?}"))));
            }
        }
    })
}

/// The texts that a handler was given.
fn texts() -> (mpsc::UnboundedSender<String>, mpsc::UnboundedReceiver<String>) {
    mpsc::unbounded_channel()
}

async fn assert_echo(addr: actix::Addr<HookupClient>, mut texts: mpsc::UnboundedReceiver<String>) {
    addr.do_send(Text("hi"));
    for expected in ["hi", "Acked"] {
        assert_eq!(soon("a text", texts.recv()).await.expect("lives"), expected);
    }
    let closed = soon("closed", addr.send(Close::within(HOUR))).await.expect("lives");
    assert_eq!(closed, Closed { unsent: 0 });
    assert_eq!(soon("the handler's end", texts.recv()).await, None, "the handler goes with its client");
}

#[actix::test]
async fn a_closure_is_a_handler() {
    let (sender, received) = texts();
    let handler = move |event: Event, _: Peer| {
        if let Event::Text(text) = event {
            sender.send(text.to_string()).expect("is heard");
        }
    };
    assert_echo(echo().client().start(handler).expect("starts"), received).await;
}

#[actix::test]
async fn a_closure_that_returns_a_result_is_a_handler() {
    let (sender, received) = texts();
    let handler = move |event: Event, _: Peer| -> Result<(), Refusal> {
        if let Event::Text(text) = event {
            sender.send(text.to_string())?;
        }
        Ok(())
    };
    assert_echo(echo().client().start(handler).expect("starts"), received).await;
}

#[actix::test]
async fn an_async_closure_is_a_handler() {
    let (sender, received) = texts();
    let handler = move |event: Event, _: Peer| {
        let sender = sender.clone();
        async move {
            tokio::task::yield_now().await;
            if let Event::Text(text) = event {
                sender.send(text.to_string())?;
            }
            Ok::<(), Refusal>(())
        }
    };
    assert_echo(echo().client().start(handler).expect("starts"), received).await;
}

struct Typed(mpsc::UnboundedSender<String>);

impl EventHandler for Typed {
    fn handle(&mut self, event: Event, _: Peer) -> Handling {
        if let Event::Text(text) = event {
            self.0.send(text.to_string()).expect("is heard");
        }
        Handling::done()
    }
}

#[actix::test]
async fn a_type_of_ones_own_is_a_handler() {
    let (sender, received) = texts();
    assert_echo(echo().client().start(Typed(sender)).expect("starts"), received).await;
}

struct Listener(mpsc::UnboundedSender<String>);

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<Event> for Listener {
    type Result = ();

    fn handle(&mut self, event: Event, _: &mut Self::Context) {
        if let Event::Text(text) = event {
            self.0.send(text.to_string()).expect("is heard");
        }
    }
}

#[actix::test]
async fn an_actor_is_a_handler() {
    let (sender, received) = texts();
    let listener = Listener(sender).start().recipient::<Event>();
    assert_echo(echo().client().start(listener).expect("starts"), received).await;
}

#[actix::test]
async fn a_handler_that_panics_costs_its_message_the_ack_and_nothing_else() {
    let (handler, mut received) = recorder();
    let server = Server::with(move || handler.clone());
    let (sender, mut told) = mpsc::unbounded_channel();
    let addr = server.client().start(move |event: Event, _: Peer| {
        if let Event::Text(text) = &event {
            assert_ne!(&**text, "boom", "this panic is the test's");
        }
        sender.send(event).expect("is heard");
    });
    let _addr = addr.expect("starts");
    let peer = received.connected().await.peer;
    assert!(matches!(soon("an event", told.recv()).await, Some(Event::Connected(_))));

    let refused = soon("a failure", peer.send(Text("boom").needs_ack(Duration::from_millis(100)))).await;
    assert!(matches!(refused.expect_err("not acked").reason, SendFailure::TimedOut { .. }));
    let Some(Event::Error(Error::HandlerPanicked { message })) = soon("an event", told.recv()).await else {
        panic!("another event")
    };
    assert!(message.contains("this panic is the test's"), "{message}");
    soon("an ack", peer.send(Text("hi").needs_ack(HOUR))).await.expect("acked");
    assert!(matches!(soon("an event", told.recv()).await, Some(Event::Text(text)) if &*text == "hi"));
}

#[actix::test]
async fn an_async_handler_that_panics_does_no_more_harm() {
    let (handler, mut received) = recorder();
    let server = Server::with(move || handler.clone());
    let (sender, mut told) = mpsc::unbounded_channel();
    let addr = server.client().start(move |event: Event, _: Peer| {
        let sender = sender.clone();
        async move {
            tokio::task::yield_now().await;
            if let Event::Text(text) = &event {
                assert_ne!(&**text, "boom", "this panic is the test's");
            }
            sender.send(event).expect("is heard");
        }
    });
    let _addr = addr.expect("starts");
    let peer = received.connected().await.peer;
    assert!(matches!(soon("an event", told.recv()).await, Some(Event::Connected(_))));
    peer.do_send(Text("boom"));
    assert!(matches!(soon("an event", told.recv()).await, Some(Event::Error(Error::HandlerPanicked { .. }))));
    soon("an ack", peer.send(Text("hi").needs_ack(HOUR))).await.expect("acked");
    assert!(matches!(soon("an event", told.recv()).await, Some(Event::Text(text)) if &*text == "hi"));
}

#[actix::test]
async fn a_handler_that_is_gone_refuses_messages_and_the_client_goes_on() {
    struct Gone;

    impl Actor for Gone {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Self::Context) {
            actix::ActorContext::stop(ctx);
        }
    }

    impl Handler<Event> for Gone {
        type Result = ();

        fn handle(&mut self, _: Event, _: &mut Self::Context) {}
    }

    let (handler, mut received) = recorder();
    let server = Server::with(move || handler.clone());
    let addr = server.client().start(Gone.start().recipient::<Event>()).expect("starts");
    let peer = received.connected().await.peer;
    let refused = soon("a failure", peer.send(Text("hi").needs_ack(Duration::from_millis(100)))).await;
    assert!(matches!(refused.expect_err("not acked").reason, SendFailure::TimedOut { .. }));
    soon("an ack", addr.send(Text("hi").needs_ack(HOUR))).await.expect("lives").expect("acked");
    assert_eq!(received.text().await, "hi");
}

#[actix::test]
async fn a_handler_may_send_and_close_from_an_event() {
    let (handler, mut received) = recorder();
    let server = Server::with(move || handler.clone());
    let (sender, ended) = oneshot::channel();
    let mut sender = Some(sender);
    let _addr = server
        .client()
        .start(move |event: Event, peer: Peer| match event {
            Event::Connected(_) => {
                peer.do_send(Text("hi"));
                peer.do_send(Text("bye"));
                peer.close(CloseCode::NORMAL.into());
            }
            Event::Disconnected(cause) => {
                // The test waits for the first alone.
                sender.take().map(|sender| sender.send(cause));
            }
            _ => {}
        })
        .expect("starts");
    assert_eq!([received.text().await, received.text().await], ["hi", "bye"]);
    assert_eq!(received.ended().await, Cause::PeerClosed(CloseCode::NORMAL.into()));
    let cause = soon("disconnected", ended).await.expect("is told");
    assert_eq!(cause, Cause::WeClosed(CloseCode::NORMAL.into()));
}
