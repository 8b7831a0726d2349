//! A server of `hookup.v2` by hand, for a real client.

#![allow(dead_code, reason = "each test uses a part of it")]

use hookup_client::{
    CloseCode, CloseReason,
    core::ws::{Frame, Outgoing},
};
use serde_json::{Value, json};

use crate::proxy::{RawConnection, RawServer};

/// The next connection, and its hello.
pub(crate) async fn hello(server: &RawServer) -> (RawConnection, Value) {
    let request = server.request().await;
    assert_eq!(request.header("sec-websocket-protocol"), Some("hookup.v2"));
    let mut connection = request.upgrade(Some("hookup.v2")).await;
    let hello = heard(&mut connection).await;
    (connection, hello)
}

/// The next connection, with its greetings done.
pub(crate) async fn greeted(server: &RawServer, resumed: bool) -> (RawConnection, Value) {
    let (mut connection, hello) = hello(server).await;
    welcome(&mut connection, &hello, resumed).await;
    (connection, hello)
}

/// Answers a hello.
pub(crate) async fn welcome(connection: &mut RawConnection, hello: &Value, resumed: bool) {
    let run = &hello["runs"][0];
    let recv = json!({ run["run"].as_str().expect("an id"): run["lo"].as_u64().expect("a place") - 1 });
    let run = json!({ "run": "00000000000000bb", "lo": 1, "next": 1, "sent": 0 });
    let window = json!({ "messages": 16, "bytes": 100_000 });
    say(
        connection,
        &json!({
            "type": "welcome", "resumed": resumed, "runs": [run], "recv": recv, "window": window,
            "max_bytes": 1000, "ping_ms": 25_000, "retain_ms": 120_000,
        }),
    )
    .await;
}

pub(crate) fn text_frame(frame: &Value) -> Outgoing {
    Outgoing::Frame(Frame::Text(frame.to_string().into()))
}

pub(crate) async fn say(connection: &mut RawConnection, frame: &Value) {
    connection.send(text_frame(frame)).await;
}

pub(crate) async fn heard(connection: &mut RawConnection) -> Value {
    serde_json::from_str(&connection.text().await).expect("is JSON")
}

pub(crate) fn code(code: u16) -> CloseReason {
    CloseCode(code).into()
}
