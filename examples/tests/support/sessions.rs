//! What tests of a server's sessions with raw peers share.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::net::SocketAddr;

use actix_web::{App, HttpServer};
use hookup_server::{Event, Hookup, Message, Peer, SendError, ServerBuilder};

use crate::{
    raw::Raw,
    support::{Events, Server},
};

/// A connection, and its peer as the server knows it.
pub(crate) async fn open(server: &Server, events: &mut Events, subprotocol: &str) -> (Raw, Peer) {
    let raw = Raw::open(server.addr, subprotocol).await;
    (raw, events.connected().await.peer)
}

/// A message goes in, is handled, and is acked: the connection works, and nothing came over it or was told before.
pub(crate) async fn works(raw: &mut Raw, events: &mut Events) {
    raw.text(r#"{"type":"ack_request","id":77,"content":"still there"}"#).await;
    assert_eq!(raw.next_text().await, r#"{"type":"ack","id":77}"#);
    let event = events.next().await;
    assert!(matches!(&event, Event::Text(text) if &**text == "still there"), "{event:?}");
}

/// A message that was not acked, and why.
pub(crate) async fn ack_failed(events: &mut Events) -> SendError {
    match events.next().await {
        Event::AckFailed(error) => error,
        other => panic!("not a failed ack: {other:?}"),
    }
}

pub(crate) fn text_of(error: &SendError) -> &str {
    match error.message.message() {
        Message::Text(text) => text.as_str(),
        other => panic!("not a text: {other:?}"),
    }
}

/// Sends a text that asks for an ack.
pub(crate) async fn request(raw: &mut Raw, id: u64, text: &str) {
    raw.text(&format!(r#"{{"type":"ack_request","id":{id},"content":"{text}"}}"#)).await;
}

/// The next frame is the ack of this id: no other came before it.
pub(crate) async fn acked(raw: &mut Raw, id: u64) {
    assert_eq!(raw.next_text().await, format!(r#"{{"type":"ack","id":{id}}}"#));
}

/// The content of the next text frame.
pub(crate) async fn content(raw: &mut Raw) -> String {
    let frame = raw.next_text().await;
    let json = serde_json::from_str::<serde_json::Value>(&frame).expect("json");
    json["content"].as_str().expect("a text").to_owned()
}

/// All sessions on one worker, so that what one does could harm the others.
pub(crate) fn on_one_worker(builder: ServerBuilder) -> (SocketAddr, Hookup) {
    let hookup = builder.start().expect("starts");
    let mounted = hookup.clone();
    let server = HttpServer::new(move || App::new().service(mounted.resource("/")));
    let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).expect("binds");
    let addr = server.addrs()[0];
    actix::spawn(async move { server.run().await.expect("serves") });
    (addr, hookup)
}
