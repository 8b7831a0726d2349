//! From an HTTP request to a session: the choice of a wire format, and everything that is not a handshake.

#[path = "support/raw.rs"]
mod raw;
mod support;

use std::net::SocketAddr;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use hookup_server::{Cause, Event, Hookup, HookupServer};
use raw::{Raw, UPGRADE};
use support::{Events, Server, recorder};

const OFFER: &str = "Sec-WebSocket-Protocol";
const VERSION: &str = "Sec-WebSocket-Version";

fn server() -> (Server, Events) {
    let (handler, events) = recorder();
    (Server::with(move || handler.clone()), events)
}

/// A server in an application that has other routes.
fn application() -> (SocketAddr, Hookup, Events) {
    let (handler, events) = recorder();
    let hookup = HookupServer::new(move || handler.clone()).start().expect("starts");
    let mounted = hookup.clone();
    let server = HttpServer::new(move || {
        let hookup = mounted.clone();
        App::new().service(mounted.resource("/ws")).route("/health", web::get().to(|| async { "fine" })).route(
            "/changed-its-mind",
            web::get().to(move |request: HttpRequest, payload: web::Payload| {
                let hookup = hookup.clone();
                async move {
                    drop(hookup.upgrade(&request, payload).await);
                    HttpResponse::Forbidden().finish()
                }
            }),
        )
    });
    let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).expect("binds");
    let addr = server.addrs()[0];
    actix::spawn(async move { server.run().await.expect("serves") });
    (addr, hookup, events)
}

#[actix::test]
async fn the_first_offered_name_that_is_known_is_chosen() {
    let (server, mut events) = server();
    let cases: [(&[&str], &str); 6] = [
        (&["simpleJson, jsonProtocol"], "simpleJson"),
        (&["jsonProtocol,simpleJson"], "jsonProtocol"),
        (&["other, simpleJson"], "simpleJson"),
        (&["other", "jsonProtocol", "simpleJson"], "jsonProtocol"),
        (&["", " , simpleJson"], "simpleJson"),
        (&["SIMPLEJSON, jsonProtocol"], "jsonProtocol"),
    ];
    for (lines, chosen) in cases {
        let headers = lines.iter().map(|line| (OFFER, *line)).collect::<Vec<_>>();
        let response = Raw::connect(server.addr).await.handshake("/", &headers).await;
        assert_eq!((response.status, response.subprotocol()), (101, Some(chosen)), "{lines:?}");
        assert_eq!(events.connected().await.format, chosen);
        events.ended().await;
    }
}

#[actix::test]
async fn nothing_offered_gives_simple_json_and_no_header() {
    let (server, mut events) = server();
    for headers in [&[][..], &[(OFFER, " , ")]] {
        let mut raw = Raw::connect(server.addr).await;
        let response = raw.handshake("/", headers).await;
        assert_eq!((response.status, response.subprotocol()), (101, None));
        assert_eq!(events.connected().await.format, "simpleJson");
        raw.text(r#"{"type":"text","content":"an object"}"#).await;
        assert!(matches!(events.next().await, Event::Json(_)), "nothing is unwrapped");
        drop(raw);
        events.ended().await;
    }
}

#[actix::test]
async fn nothing_offered_gives_the_default_that_was_set() {
    let (handler, mut events) = recorder();
    let server = Server::start(HookupServer::new(move || handler.clone()).default_subprotocol("jsonProtocol"));
    let mut raw = Raw::connect(server.addr).await;
    let response = raw.handshake("/", &[]).await;
    assert_eq!((response.status, response.subprotocol()), (101, None));
    assert_eq!(events.connected().await.format, "jsonProtocol");
    raw.text(r#"{"type":"text","content":"unwrapped"}"#).await;
    assert_eq!(events.text().await, "unwrapped");
}

#[actix::test]
async fn a_default_need_not_be_among_those_that_may_be_chosen() {
    let (handler, mut events) = recorder();
    let server = Server::start(HookupServer::new(move || handler.clone()).subprotocols(["jsonProtocol"]));
    let response = Raw::connect(server.addr).await.handshake("/", &[(OFFER, "simpleJson")]).await;
    assert_eq!((response.status, response.subprotocol()), (426, Some("jsonProtocol")));
    assert_eq!(Raw::connect(server.addr).await.handshake("/", &[]).await.status, 101);
    assert_eq!(events.connected().await.format, "simpleJson");
}

#[actix::test]
async fn only_unknown_names_are_answered_with_426_and_the_known_ones() {
    let (server, mut events) = server();
    let mut raw = Raw::connect(server.addr).await;
    let response = raw.handshake("/", &[(OFFER, "mqtt"), (OFFER, "simplejson")]).await;
    assert_eq!((response.status, response.subprotocol()), (426, Some("hookup.v2, jsonProtocol, simpleJson")));
    assert_eq!(response.header("Upgrade"), Some("websocket"));
    assert!(response.body.contains("hookup.v2, jsonProtocol, simpleJson"), "{}", response.body);
    assert!(server.hookup.peers().await.is_empty());

    // The first event that anybody hears of is that of a session which came to be.
    let mut raw = Raw::connect(server.addr).await;
    assert_eq!(raw.handshake("/", &[(OFFER, "simpleJson")]).await.status, 101);
    let (event, peer) = events.next_from().await;
    assert!(matches!(event, Event::Connected(_)));
    assert_eq!(server.hookup.peers().await.iter().map(|peer| peer.id()).collect::<Vec<_>>(), [peer.id()]);
}

#[actix::test]
async fn a_name_that_is_not_ascii_is_an_unknown_one() {
    let (server, _events) = server();
    let response = Raw::connect(server.addr).await.handshake("/", &[(OFFER, "jsönProtocol")]).await;
    assert_eq!((response.status, response.subprotocol()), (426, Some("hookup.v2, jsonProtocol, simpleJson")));
}

#[actix::test]
async fn what_is_no_handshake_is_refused_and_makes_no_session() {
    let (server, _events) = server();
    assert_eq!(Raw::connect(server.addr).await.request("GET", "/", &[]).await.status, 400);
    assert_eq!(Raw::connect(server.addr).await.request("POST", "/", &UPGRADE).await.status, 405);
    for missing in 0..UPGRADE.len() {
        let mut headers = UPGRADE.to_vec();
        let (name, _) = headers.remove(missing);
        let response = Raw::connect(server.addr).await.request("GET", "/", &headers).await;
        assert_eq!(response.status, if name == VERSION { 426 } else { 400 }, "without {name}");
        assert!(response.body.contains(name), "{}", response.body);
    }
    assert!(server.hookup.peers().await.is_empty());
}

/// The headers of a handshake, with these in place of one of them.
fn with(name: &str, values: &[&'static str]) -> Vec<(&'static str, &'static str)> {
    let (replaced, mut headers) = UPGRADE.into_iter().partition::<Vec<_>, _>(|(other, _)| *other == name);
    headers.extend(values.iter().map(|value| (replaced[0].0, *value)));
    headers
}

#[actix::test]
async fn other_versions_are_refused_with_426_and_the_one_that_is_known() {
    let (server, _events) = server();
    for versions in [&["7"][..], &["8"], &["14"], &["013"], &["13, 8"], &[""], &["13", "8"], &["13", "13"]] {
        let response = Raw::connect(server.addr).await.request("GET", "/", &with(VERSION, versions)).await;
        let answer = (response.status, response.header(VERSION), response.header("Upgrade"));
        assert_eq!(answer, (426, Some("13"), Some("websocket")), "{versions:?}");
        assert!(response.body.contains("13"), "{}", response.body);
    }
}

#[actix::test]
async fn a_key_that_is_none_is_refused() {
    let (server, _events) = server();
    const GOOD: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    for keys in [&["short"][..], &["AAAAAAAAAAAAAAAAAAAAAAAA"], &["dGhlIHNhbXBsZSBub25j!Q=="], &[GOOD, GOOD]] {
        let response = Raw::connect(server.addr).await.request("GET", "/", &with("Sec-WebSocket-Key", keys)).await;
        assert_eq!(response.status, 400, "{keys:?}");
        assert!(response.body.contains("Sec-WebSocket-Key"), "{}", response.body);
    }
}

#[actix::test]
async fn the_tokens_of_a_handshake_are_found_in_any_case_and_place() {
    let (server, mut events) = server();
    for (name, values) in [
        ("Connection", &["keep-alive, Upgrade"][..]),
        ("Connection", &["keep-alive", "uPGRADE"]),
        ("Upgrade", &["WebSocket"]),
        ("Upgrade", &["h2c", "WEBSOCKET"]),
    ] {
        let mut raw = Raw::connect(server.addr).await;
        assert_eq!(raw.request("GET", "/", &with(name, values)).await.status, 101, "{name}: {values:?}");
        events.connected().await;
        raw.text("works").await;
        assert_eq!(events.text().await, "works", "{name}: {values:?}");
        drop(raw);
        events.ended().await;
    }
    for (name, values) in [
        ("Connection", &["close"][..]),
        ("Connection", &["Upgrade, close"]),
        ("Connection", &["Upgraded"]),
        ("Upgrade", &["h2c"]),
        ("Upgrade", &["websockets"]),
        // Of such a list, actix-http would not read what follows the request.
        ("Upgrade", &["h2c, websocket"]),
    ] {
        let response = Raw::connect(server.addr).await.request("GET", "/", &with(name, values)).await;
        assert_eq!(response.status, 400, "{name}: {values:?}");
        assert!(response.body.contains(name), "{}", response.body);
    }
}

#[actix::test]
async fn a_handshake_over_http_1_0_or_with_a_body_in_chunks_is_refused() {
    let (server, _events) = server();
    let request = raw::request("GET", "/", &UPGRADE);
    let mut raw = Raw::connect(server.addr).await;
    raw.write(request.replace("HTTP/1.1", "HTTP/1.0")).await;
    let response = raw.response().await;
    assert_eq!(response.status, 400);
    assert!(response.body.contains("HTTP/1.1"), "{}", response.body);
    let headers = [&UPGRADE[..], &[("Transfer-Encoding", "chunked")]].concat();
    let response = Raw::connect(server.addr).await.request("GET", "/", &headers).await;
    assert_eq!(response.status, 400);
    assert!(response.body.contains("Transfer-Encoding"), "{}", response.body);
}

#[actix::test]
async fn listening_takes_every_path() {
    let (server, mut events) = server();
    assert_eq!(Raw::connect(server.addr).await.handshake("/any/path?query", &[]).await.status, 101);
    events.connected().await;
}

#[actix::test]
async fn mounted_in_an_application_both_it_and_the_other_routes_answer() {
    let (addr, _, mut events) = application();
    let mut raw = Raw::connect(addr).await;
    assert_eq!(raw.handshake("/ws", &[(OFFER, "jsonProtocol")]).await.status, 101);
    events.connected().await;

    let mut other = Raw::connect(addr).await;
    assert_eq!(other.request("GET", "/health", &[]).await.body, "fine");
    assert_eq!(other.request("GET", "/elsewhere", &[]).await.status, 404);
    assert_eq!(other.request("GET", "/ws", &[]).await.status, 400);
    let post = other.request("POST", "/ws", &[]).await;
    assert_eq!(post.status, 405);
    assert!(post.body.contains("a GET request"), "{}", post.body);
    assert_eq!(other.request("GET", "/health", &[]).await.body, "fine", "on the same connection");

    raw.text(r#"{"type":"ack_request","id":1,"content":"still there"}"#).await;
    assert_eq!(raw.next_text().await, r#"{"type":"ack","id":1}"#);
}

#[actix::test]
async fn a_session_whose_response_is_thrown_away_ends() {
    let (addr, hookup, mut events) = application();
    assert_eq!(Raw::connect(addr).await.handshake("/changed-its-mind", &[]).await.status, 403);
    assert_eq!(events.ended().await, Cause::EndOfStream);
    hookup.stop(support::STOP).await;
}
