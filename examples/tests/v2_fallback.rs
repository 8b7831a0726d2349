//! Clients that meet servers of `hookup.v2` and of the formats in turn: what they wait for is not forgotten in between.

#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::time::Duration;

use hookup_client::{Cause, ClientBuilder, Event, Receipt, SendFailure, Text};
use hookup_server::{HookupServer, IntoHandler, Peer};
use proxy::Proxy;
use support::{HOUR, Server, client, close, recorded, recorder, recording, sent, soon};
use tokio::sync::mpsc;

/// A client of `hookup.v2`, or of what else there is.
fn falls_back(proxy: &Proxy) -> ClientBuilder {
    client(proxy.url()).subprotocols(["hookup.v2", "jsonProtocol", "simpleJson"])
}

/// A server that knows nothing but `jsonProtocol`.
fn old<H, K>(factory: impl Fn() -> H + Send + Sync + 'static) -> Server
where
    H: IntoHandler<K>,
{
    Server::start(HookupServer::new(factory).subprotocols(["jsonProtocol"]))
}

/// A handler that tells which text came, and is at work on it for ever.
fn stuck(
    texts: &mpsc::UnboundedSender<String>,
) -> impl Fn(Event, Peer) -> futures_util::future::BoxFuture<'static, ()> + use<> {
    let texts = texts.clone();
    move |event, _| {
        let texts = texts.clone();
        Box::pin(async move {
            if let Event::Text(text) = event {
                texts.send(text.to_string()).expect("the test goes on");
                std::future::pending().await
            }
        })
    }
}

#[actix::test]
async fn a_client_falls_back_to_what_its_server_knows_and_returns_to_what_is_better() {
    let (handler, mut received) = recorder();
    let on_old = handler.clone();
    let old = Server::start(HookupServer::new(move || on_old.clone()).subprotocols(["jsonProtocol"]));
    let new = Server::with(move || handler.clone());
    let proxy = Proxy::open(new.addr);
    let (addr, mut events) = recorded(falls_back(&proxy));
    for (server, format) in [(&new, "hookup.v2"), (&old, "jsonProtocol"), (&new, "hookup.v2")] {
        proxy.lead_to(server.addr);
        while events.connected().await.format != format {}
        // What is on its way when the server changes is not lost either.
        for n in 0..50 {
            addr.do_send(Text(format!("{format} {n}")).needs_ack(HOUR));
        }
        for n in 0..50 {
            assert_eq!(received.text().await, format!("{format} {n}"));
        }
        assert_eq!(sent(addr.send(Text("last").needs_ack(HOUR))).await.expect("acked"), Receipt::Acked);
        assert_eq!(received.text().await, "last");
    }
    assert_eq!(close(&addr, HOUR).await, 0);
}

#[actix::test]
async fn a_message_whose_wait_timed_out_under_v2_leaves_the_outbox_under_a_format() {
    let (texts, _texts) = mpsc::unbounded_channel();
    let new = Server::with(move || stuck(&texts));
    let (handler, mut received) = recorder();
    let old = old(move || handler.clone());
    let proxy = Proxy::open(new.addr);
    let (addr, mut events) = recorded(falls_back(&proxy));
    assert_eq!(events.connected().await.format, "hookup.v2");
    let late = sent(addr.send(Text("late").needs_ack(Duration::from_millis(10)))).await.expect_err("too late");
    assert!(matches!(late.reason, SendFailure::TimedOut { stays: true, .. }), "{late}");
    proxy.lead_to(old.addr);
    assert_eq!(events.connected().await.format, "jsonProtocol");
    assert_eq!(received.text().await, "late");
    assert_eq!(sent(addr.send(Text("next").needs_ack(HOUR))).await.expect("acked"), Receipt::Acked);
    assert_eq!(close(&addr, HOUR).await, 0, "neither is in the outbox any more");
}

#[actix::test]
async fn a_message_that_was_sent_under_a_format_and_acked_under_v2_is_done() {
    let (texts, mut sent_before) = mpsc::unbounded_channel();
    let old = old(move || stuck(&texts));
    let (new, mut received) = recording();
    let proxy = Proxy::open(old.addr);
    let (addr, mut events) = recorded(falls_back(&proxy));
    assert_eq!(events.connected().await.format, "jsonProtocol");
    let acked = addr.send(Text("twice").needs_ack(HOUR));
    assert_eq!(soon("the message", sent_before.recv()).await.as_deref(), Some("twice"));
    proxy.lead_to(new.addr);
    assert_eq!(received.text().await, "twice");
    assert_eq!(sent(acked).await.expect("acked"), Receipt::Acked);
    assert_eq!(close(&addr, HOUR).await, 0, "nothing is waited for any more");
    let closed = |event: &Event| match event {
        Event::AckFailed(error) => panic!("it was acked: {error}"),
        Event::Disconnected(Cause::WeClosed(_)) => Some(()),
        _ => None,
    };
    events.until("the close", closed).await;
}
