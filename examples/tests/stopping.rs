//! A server that stops, and those who come later.

mod support;

use std::time::Duration;

use hookup_client::{Close, Closed, Text};
use hookup_server::{Cause, CloseCode, Event, SessionEnd};
use support::{Server, recorder, soon};

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
