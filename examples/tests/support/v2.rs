//! `hookup.v2` by hand: frames as they stand on the wire, for raw peers of a server and of a client.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{net::SocketAddr, time::Duration};

use hookup_client::{Backoff, ClientBuilder, HookupClient};
use serde_json::Value;

use crate::raw::Raw;

pub(crate) const SESSION: &str = "000102030405060708090a0b0c0d0e0f";
pub(crate) const RUN: &str = "00000000000000aa";

/// A client that speaks `hookup.v2` or nothing, and reconnects quickly.
pub(crate) fn reliable(url: impl Into<String>) -> ClientBuilder {
    let backoff = Backoff::default().initial(Duration::from_millis(1)).max(Duration::from_millis(20));
    HookupClient::builder(url).backoff(backoff).require_reliable(true)
}

/// A hello of this session, with one run that has sent nothing and is at `next`.
pub(crate) fn hello(session: &str, next: u64) -> String {
    hello_with(session, next, next, "{}")
}

pub(crate) fn hello_with(session: &str, lo: u64, next: u64, recv: &str) -> String {
    format!(
        r#"{{"type":"hello","session":"{session}","runs":[{{"run":"{RUN}","lo":{lo},"next":{next},"sent":{}}}],"recv":{recv},"window":{{"messages":256,"bytes":1048576}}}}"#,
        next - 1
    )
}

/// The hello of a client that had this welcome, and has one run with `lo` and `next`.
pub(crate) fn again(welcome: &Value, lo: u64, next: u64) -> String {
    let runs = welcome["runs"].as_array().expect("a list").iter();
    let recv = runs.map(|run| (run["run"].as_str().expect("an id").to_owned(), 0.into()));
    hello_with(SESSION, lo, next, &Value::Object(recv.collect()).to_string())
}

pub(crate) fn run() -> String {
    format!(r#"{{"type":"run","run":"{RUN}"}}"#)
}

pub(crate) fn text(seq: u64, text: &str) -> String {
    format!(r#"{{"type":"text","seq":{seq},"content":"{text}"}}"#)
}

pub(crate) fn ack(seq: u64) -> String {
    format!(r#"{{"type":"ack","run":"{RUN}","seq":{seq}}}"#)
}

/// A connection whose greetings are done, and what the server's welcome said.
pub(crate) async fn greeted(addr: SocketAddr, hello: &str) -> (Raw, Value) {
    let mut raw = Raw::open(addr, "hookup.v2").await;
    raw.text(hello).await;
    let welcome = frame(&mut raw).await;
    assert_eq!(welcome["type"], "welcome", "{welcome}");
    (raw, welcome)
}

/// The next frame, which is a text.
pub(crate) async fn frame(raw: &mut Raw) -> Value {
    serde_json::from_str(&raw.next_text().await).expect("is JSON")
}
