//! The handshake as a client makes it: its headers, its credentials, and the answers that it takes.

#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::{cell::Cell, rc::Rc, time::Duration};

use hookup_client::Text;
use hookup_server::Cause;
use proxy::{RawServer, envelope};
use support::{Events, Server, client, recorded, recorder};

/// The words of the next failed attempt.
async fn failure(events: &mut Events) -> String {
    match events.reconnecting().await.cause {
        Cause::Failed(words) => words,
        other => panic!("not a failed attempt: {other:?}"),
    }
}

#[actix::test]
async fn every_attempt_carries_the_headers_and_asks_for_credentials_anew() {
    let server = RawServer::start().await;
    let asked = Rc::new(Cell::new(0));
    let (_addr, mut events) = recorded(client(server.url()).header("X-Device", "pump 7").credentials(move || {
        asked.set(asked.get() + 1);
        let token = format!("Bearer {}", asked.get());
        async move { Ok::<_, String>([("Authorization", token)]) }
    }));
    for attempt in 1..=3 {
        let request = server.request().await;
        assert_eq!(request.header("x-device"), Some("pump 7"));
        assert_eq!(request.header("authorization"), Some(&*format!("Bearer {attempt}")));
        assert_eq!(request.header("sec-websocket-protocol"), Some("jsonProtocol,simpleJson"));
        request.answer("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(events.reconnecting().await.attempt, attempt);
    }
}

#[actix::test]
async fn credentials_that_fail_are_asked_for_again() {
    let server = RawServer::start().await;
    let asked = Cell::new(0);
    let (_addr, mut events) = recorded(client(server.url()).credentials(move || {
        asked.set(asked.get() + 1);
        let answer = match asked.get() {
            1 => Err("the vault is shut".to_owned()),
            2 => Ok([("Authorization", "two\nlines")]),
            3 => Ok([("Upgrade", "h2c")]),
            _ => Ok([("Authorization", "Bearer x")]),
        };
        async move { answer }
    }));
    assert_eq!(failure(&mut events).await, "no credentials: the vault is shut");
    let words = failure(&mut events).await;
    assert!(words.starts_with("bad credentials: the value of header \"Authorization\""), "{words}");
    let words = failure(&mut events).await;
    assert!(words.starts_with("bad credentials: header \"Upgrade\""), "{words}");
    let request = server.request().await;
    assert_eq!(request.header("authorization"), Some("Bearer x"));
    let _connection = request.upgrade(Some("jsonProtocol")).await;
    events.connected().await;
}

#[actix::test]
async fn credentials_that_panic_are_asked_for_again() {
    let server = RawServer::start().await;
    let asked = Cell::new(false);
    let (_addr, mut events) = recorded(client(server.url()).credentials(move || {
        assert!(asked.replace(true), "this panic is the test's");
        async { Ok::<_, String>([("Authorization", "Bearer x")]) }
    }));
    failure(&mut events).await;
    let _connection = server.connection().await;
    events.connected().await;
}

#[actix::test]
async fn an_answer_that_is_no_upgrade_is_a_failed_attempt_that_says_so() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()));
    for status in ["401 Unauthorized", "404 Not Found", "200 OK", "426 Upgrade Required", "503 Service Unavailable"] {
        server.request().await.answer(&format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
        let words = failure(&mut events).await;
        assert!(words.contains(status), "{words}");
    }
    for garbage in ["", "SSH-2.0-OpenSSH_9.9\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n"] {
        server.request().await.answer(garbage).await;
        assert!(!failure(&mut events).await.is_empty());
    }
}

#[actix::test]
async fn hookups_own_refusal_of_unknown_subprotocols_reaches_the_client() {
    let server = Server::start(hookup_server::HookupServer::new(|| recorder().0).subprotocols(["simpleJson"]));
    let (_addr, mut events) = recorded(server.client().subprotocols(["jsonProtocol"]));
    let words = failure(&mut events).await;
    assert!(words.contains("426"), "{words}");
}

#[actix::test]
async fn a_subprotocol_that_was_not_offered_is_a_failed_attempt() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()).subprotocols(["jsonProtocol"]));
    for name in ["simpleJson", "jsonprotocol", "jsonProtocol, simpleJson"] {
        let _connection = server.request().await.upgrade(Some(name)).await;
        let words = failure(&mut events).await;
        assert!(words.contains(name) && words.contains("not offered"), "{words}");
    }
    let _connection = server.request().await.upgrade(Some("jsonProtocol")).await;
    assert_eq!(events.connected().await.format, "jsonProtocol");
}

#[actix::test]
async fn a_server_that_names_no_subprotocol_gets_the_default() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()));
    let mut connection = server.request().await.upgrade(None).await;
    assert_eq!(events.connected().await.format, "simpleJson");
    addr.do_send(Text("bare"));
    assert_eq!(connection.text().await, "bare");

    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()).default_subprotocol("jsonProtocol"));
    let mut connection = server.request().await.upgrade(None).await;
    assert_eq!(events.connected().await.format, "jsonProtocol");
    addr.do_send(Text("wrapped"));
    assert_eq!(connection.text().await, envelope("wrapped"));
}

#[actix::test]
async fn an_attempt_that_is_not_answered_in_time_has_failed() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()).connect_timeout(Duration::from_millis(50)));
    for attempt in 1..=2 {
        // The system accepts the connection; nobody answers the handshake.
        let event = events.reconnecting().await;
        assert_eq!(event.attempt, attempt);
        assert_eq!(event.cause, Cause::Failed("no answer within 50ms".into()));
    }
}
