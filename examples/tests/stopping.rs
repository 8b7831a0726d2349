//! A server that stops, and those who come later.

#[path = "support/raw.rs"]
mod raw;
mod support;
#[path = "support/v2.rs"]
mod v2;

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpServer, web};
use hookup_client::{Close, Closed, Text};
use hookup_server::{Cause, CloseCode, Error, Event, EventHandler as _, HookupServer, Peer, SessionEnd};
use raw::Raw;
use support::{HOUR, STOP, Server, close, recorded, recorder, recording_with, soon};
use tokio::sync::watch;

#[actix::test]
async fn a_server_that_stops_closes_its_sessions_and_takes_no_more() {
    let (handler, mut received) = recorder();
    let server = Server::with(move || handler.clone());
    let (on_client, mut events) = recorder();
    let addr = server.client().start(on_client).expect("starts");
    events.connected().await;
    received.connected().await;

    soon("the stop", server.hookup.stop(support::STOP)).await;
    assert!(matches!(received.disconnected().await, Cause::WeClosed(reason) if reason.code == CloseCode::AWAY));
    assert!(matches!(received.next().await, Event::SessionEnded(SessionEnd::Stopped)));
    assert!(matches!(events.disconnected().await, Cause::PeerClosed(reason) if reason.code == CloseCode::AWAY));
    let refused = |event: &Event| match event {
        Event::Reconnecting(next) if next.cause.to_string().contains("503") => Some(()),
        _ => None,
    };
    events.until("a refusal", refused).await;

    addr.do_send(Text("kept"));
    let closed = soon("the close", addr.send(Close::within(Duration::ZERO))).await.expect("lives");
    assert_eq!(closed, Closed { unsent: 1 }, "the message was not written to a server that is stopping");
}

#[actix::test]
async fn a_connection_that_has_said_nothing_is_closed_when_the_server_stops() {
    let (server, _events) = recording_with(|builder| builder.hello_timeout(HOUR));
    let mut raw = Raw::open(server.addr, "hookup.v2").await;
    let stopped = soon("the stop", server.hookup.stop(STOP)).await;
    assert_eq!(stopped.abandoned, 0);
    assert_eq!(raw.closed().await, Some(1001));
}

#[actix::test]
async fn a_handler_that_never_ends_is_abandoned_when_the_time_is_over_and_others_end_in_order() {
    let (handler, mut received) = recorder();
    let never = move |event: Event, peer: Peer| {
        let is_stuck = matches!(&event, Event::Text(text) if &**text == "stuck");
        let mut handler = handler.clone();
        handler.handle(event, peer);
        async move {
            if is_stuck {
                pending::<()>().await;
            }
        }
    };
    let server = Server::with(move || never.clone());
    let mut stuck = Raw::open(server.addr, "simpleJson").await;
    stuck.text("stuck").await;
    assert_eq!(received.text().await, "stuck");
    let mut other = Raw::open(server.addr, "simpleJson").await;
    received.connected().await;
    let stopped = soon("the stop", server.hookup.stop(Duration::from_millis(300))).await;
    assert_eq!(stopped.abandoned, 1);
    assert_eq!(other.closed().await, Some(1001));
    assert_eq!(stuck.closed().await, Some(1001), "its socket is closed in order, too: its handler alone is stuck");
    let ends = |event: &Event| matches!(event, Event::SessionEnded(SessionEnd::Stopped)).then_some(());
    received.until("the other's end", ends).await;
}

#[actix::test]
async fn a_peer_that_takes_nothing_leaves_its_handler_the_time_to_hear_of_the_end() {
    const LONG: usize = 256 << 10;
    const MANY: usize = 64;
    let (server, mut events) = recording_with(|builder| builder.outbox_bounds(MANY, 2 * (MANY * LONG) as u64));
    let _raw = Raw::open(server.addr, "simpleJson").await;
    let peer = events.connected().await.peer;
    for _ in 0..MANY {
        peer.do_send(Text("x".repeat(LONG)));
    }
    let stopped = soon("the stop", server.hookup.stop(Duration::from_secs(2))).await;
    assert_eq!(stopped.abandoned, 0);
    let reported = |event: &Event| matches!(event, Event::Error(Error::NotSent(_))).then_some(());
    events.until("a message that was not sent", reported).await;
    assert_eq!(events.session_ended().await, SessionEnd::Stopped);
}

#[actix::test]
async fn a_connection_that_begins_when_its_session_has_ended_is_closed() {
    let hookup = HookupServer::new(|| |_: Event, _: Peer| {}).start().expect("starts");
    let (begins, begun) = (watch::Sender::new(false), watch::Sender::new(false));
    let (mounted, on_session, on_begin) = (hookup.clone(), begun.clone(), begins.clone());
    let server = HttpServer::new(move || {
        let (hookup, begun, begins) = (mounted.clone(), on_session.clone(), on_begin.clone());
        App::new().default_service(web::to(move |request: HttpRequest, payload: web::Payload| {
            let (hookup, begun, mut begins) = (hookup.clone(), begun.clone(), begins.subscribe());
            async move {
                // As a middleware may hold up a response.
                let response = hookup.upgrade(&request, payload).await;
                begun.send_replace(true);
                begins.wait_for(|begins| *begins).await.expect("the test goes on");
                response
            }
        }))
    });
    let server = server.workers(1).disable_signals().bind("127.0.0.1:0").expect("binds");
    let addr = server.addrs()[0];
    actix::spawn(async move { server.run().await.expect("serves") });
    let opening = actix::spawn(Raw::open(addr, "simpleJson"));
    soon("a session", begun.subscribe().wait_for(|begun| *begun)).await.expect("the server lives");
    assert_eq!(soon("the stop", hookup.stop(STOP)).await.abandoned, 0);
    begins.send_replace(true);
    let mut raw = opening.await.expect("opens");
    assert_eq!(raw.closed().await, Some(1001));
}

#[actix::test]
async fn what_a_busy_server_has_begun_it_ends_and_what_it_has_not_its_clients_keep() {
    // Each message takes its handler some turns of the executor, so that some are always under way.
    let (begun, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (on_begin, on_end) = (begun.clone(), ended.clone());
    let server = Server::start(
        HookupServer::new(move || {
            let (begun, ended) = (on_begin.clone(), on_end.clone());
            move |event: Event, _: Peer| {
                let (begun, ended) = (begun.clone(), ended.clone());
                async move {
                    if let Event::Text(text) = event {
                        begun.lock().expect("not poisoned").push(text.to_string());
                        for _ in 0..20 {
                            tokio::task::yield_now().await;
                        }
                        ended.lock().expect("not poisoned").push(text.to_string());
                    }
                }
            }
        })
        .session_ttl(HOUR),
    );
    let (addr, mut events) = recorded(v2::reliable(server.url()));
    events.connected().await;
    let acked = (0..2000).map(|n| addr.send(Text(n.to_string()).needs_ack(HOUR))).collect::<Vec<_>>();
    let some = async {
        while ended.lock().expect("not poisoned").len() < 100 {
            tokio::task::yield_now().await;
        }
    };
    soon("some messages", some).await;
    assert_eq!(soon("the stop", server.hookup.stop(STOP)).await.abandoned, 0);
    events.disconnected().await;
    let unsent = close(&addr, Duration::ZERO).await;
    let results = futures_util::future::join_all(acked).await;
    let acked = results.iter().filter(|result| matches!(result, Ok(Ok(_)))).count();
    let (begun, ended) = (begun.lock().expect("not poisoned"), ended.lock().expect("not poisoned"));
    assert_eq!(*begun, *ended, "what was begun was ended");
    assert!((100..2000).contains(&ended.len()), "{}", ended.len());
    let expected = (0..ended.len()).map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(*ended, expected, "in order");
    assert!(acked <= ended.len(), "{acked} were acked, and {} handled", ended.len());
    assert_eq!(acked + unsent, 2000, "what was not acked the client still has");
}
