//! Who is let in, and as whom: the application's hook, and what becomes of those whom it refuses, or keeps waiting.

#[path = "support/raw.rs"]
mod raw;
#[path = "support/sessions.rs"]
mod sessions;
mod support;
#[path = "support/v2.rs"]
mod v2;

use std::{
    cell::Cell,
    fmt,
    future::{Future, pending},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    error::{ErrorForbidden, ErrorImATeapot, ErrorInternalServerError, ErrorServiceUnavailable, ErrorUnauthorized},
    http::StatusCode,
};
use futures_util::future::LocalBoxFuture;
use hookup_server::{Event, Hookup, HookupServer, Principal, ServerBuilder};
use raw::{Raw, TEXT, UPGRADE, frame as bytes};
use sessions::on_one_worker;
use support::{Events, HOUR, Server, recorded, recorder, recording_with, soon};
use tokio::sync::{Semaphore, mpsc};
use v2::{SESSION, again, frame, hello};

/// A server whose hook this is, and whose sessions are all on one thread.
fn server<F, Fut>(hook: F, set: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (SocketAddr, Hookup, Events)
where
    F: Fn(HttpRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = actix_web::Result<Principal>> + 'static,
{
    let (handler, events) = recorder();
    let (addr, hookup) = on_one_worker(set(HookupServer::new(move || handler.clone()).authenticate(hook)));
    (addr, hookup, events)
}

/// An error that fails itself.
#[derive(Debug)]
struct Panics;

impl fmt::Display for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("this panic is the test's")
    }
}

impl ResponseError for Panics {}

type Answer = LocalBoxFuture<'static, actix_web::Result<Principal>>;

/// What the tests' hook does is the request's query: it refuses, waits for the gate, or names the client.
struct Door {
    gate: Arc<Semaphore>,
    /// The query of each request that the hook is asked about, and what of it is dropped.
    asked: mpsc::UnboundedReceiver<String>,
    dropped: mpsc::UnboundedReceiver<String>,
}

impl Door {
    fn new() -> (Self, impl Fn(HttpRequest) -> Answer) {
        let gate = Arc::new(Semaphore::new(0));
        let ((to_asked, asked), (to_dropped, dropped)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let door = Self { gate: gate.clone(), asked, dropped };
        let hook = move |request: HttpRequest| -> Answer {
            let (query, gate) = (request.query_string().to_owned(), gate.clone());
            let dropped = Dropped(query.clone(), to_dropped.clone());
            // The test may be over already.
            let _ = to_asked.send(query.clone());
            assert_ne!(query, "panic-at-once", "this panic is the test's");
            Box::pin(async move {
                let _dropped = dropped;
                tokio::task::yield_now().await;
                match query.as_str() {
                    "refuse" => Err(ErrorForbidden("not you")),
                    "panic" => panic!("this panic is the test's"),
                    "panic-later" => Err(Panics.into()),
                    "never" => pending().await,
                    "gate" => {
                        gate.acquire().await.expect("is open").forget();
                        Ok("late".into())
                    }
                    "anonymous" => Ok(Principal::Anonymous),
                    name => Ok(name.into()),
                }
            })
        };
        (door, hook)
    }

    async fn asked(&mut self) -> String {
        soon("a question", self.asked.recv()).await.expect("the hook lives")
    }

    async fn dropped(&mut self) -> String {
        soon("an end of a question", self.dropped.recv()).await.expect("the hook lives")
    }
}

struct Dropped(String, mpsc::UnboundedSender<String>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.1.send(std::mem::take(&mut self.0));
    }
}

/// Asks for an upgrade, and waits for no answer.
async fn ask(addr: SocketAddr, query: &str) -> Raw {
    let mut raw = Raw::connect(addr).await;
    raw.write(raw::request("GET", &format!("/?{query}"), &UPGRADE)).await;
    raw
}

/// Asks for an upgrade; the status, and the words.
async fn answer(addr: SocketAddr, query: &str) -> (u16, String) {
    let response = ask(addr, query).await.response().await;
    (response.status, response.body)
}

/// A connection of `hookup.v2` as somebody, that has said hello.
async fn greet(addr: SocketAddr, who: &str, hello: &str) -> Raw {
    let mut raw = Raw::connect(addr).await;
    let response = raw.handshake(&format!("/?{who}"), &[("Sec-WebSocket-Protocol", "hookup.v2")]).await;
    assert_eq!(response.status, 101, "{}", response.body);
    raw.text(hello).await;
    raw
}

#[actix::test]
async fn the_hook_sees_headers_query_and_peer_address_and_names_the_peer() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let hook = move |request: HttpRequest| {
        let seen = seen.clone();
        async move {
            let token = request.headers().get("X-Token").map(|value| value.as_bytes().to_vec());
            let facts = (token, request.query_string().to_owned(), request.path().to_owned(), request.peer_addr());
            seen.send(facts).expect("the test goes on");
            Ok("pump 7".into())
        }
    };
    let (addr, _, mut events) = server(hook, |builder| builder);
    let mut raw = Raw::connect(addr).await;
    assert_eq!(raw.handshake("/?a=b&c", &[("X-Token", "secret")]).await.status, 101);
    let facts = soon("what the hook sees", sees.recv()).await.expect("sees");
    assert_eq!(facts, (Some(b"secret".to_vec()), "a=b&c".into(), "/".into(), Some(raw.local_addr())));
    assert_eq!(events.connected().await.peer.principal(), Some("pump 7"));
}

#[derive(Debug)]
struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("come back in a minute")
    }
}

impl ResponseError for Busy {
    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(StatusCode::TOO_MANY_REQUESTS).insert_header(("Retry-After", "60")).body(self.to_string())
    }
}

#[actix::test]
async fn a_refusal_has_the_status_the_headers_and_the_words_that_the_hook_gives_it() {
    let hook = |request: HttpRequest| async move {
        tokio::task::yield_now().await;
        Err(match request.query_string() {
            "401" => ErrorUnauthorized("a token is needed"),
            "403" => ErrorForbidden("not you"),
            "418" => ErrorImATeapot("short and stout"),
            "429" => Busy.into(),
            "404" => io::Error::from(io::ErrorKind::NotFound).into(),
            "503" => ErrorServiceUnavailable("the directory is away"),
            _ => ErrorInternalServerError("?"),
        })
    };
    let (addr, hookup, _events) = server(hook, |builder| builder);
    for (status, words) in [
        (401, "a token is needed"),
        (403, "not you"),
        (404, "entity not found"),
        (418, "short and stout"),
        (429, "come back in a minute"),
        (500, "?"),
        (503, "the directory is away"),
    ] {
        assert_eq!(answer(addr, &status.to_string()).await, (status, words.to_owned()));
    }
    assert_eq!(ask(addr, "429").await.response().await.header("Retry-After"), Some("60"));
    assert!(hookup.peers().await.is_empty());
}

#[actix::test]
async fn what_is_no_handshake_or_in_no_known_subprotocol_is_refused_before_the_hook_is_asked() {
    let (mut door, hook) = Door::new();
    let (addr, _, _events) = server(hook, |builder| builder);
    assert_eq!(Raw::connect(addr).await.request("GET", "/?refuse", &[]).await.status, 400);
    let mqtt = [("Sec-WebSocket-Protocol", "mqtt")];
    assert_eq!(Raw::connect(addr).await.handshake("/?refuse", &mqtt).await.status, 426);
    let evil = [("Origin", "http://evil.example")];
    assert_eq!(Raw::connect(addr).await.handshake("/?refuse", &evil).await.status, 403);
    assert_eq!(answer(addr, "refuse").await, (403, "not you".into()));
    assert_eq!(door.asked().await, "refuse");
    assert!(door.asked.try_recv().is_err(), "it was asked once");
}

#[actix::test]
async fn a_hook_that_never_answers_holds_nobody_up_but_the_one_it_was_asked_about() {
    let (mut door, hook) = Door::new();
    let (addr, _, mut events) = server(hook, |builder| builder);
    let _slow = ask(addr, "never").await;
    assert_eq!(door.asked().await, "never");
    assert_eq!(answer(addr, "alice").await.0, 101);
    assert_eq!(events.connected().await.peer.principal(), Some("alice"));
}

#[actix::test]
async fn a_hook_that_does_not_answer_in_time_is_answered_for_with_503_and_its_future_is_dropped() {
    let (mut door, hook) = Door::new();
    let (addr, hookup, _events) = server(hook, |builder| builder.handshake_timeout(Duration::from_millis(20)));
    let (status, words) = answer(addr, "never").await;
    assert_eq!((status, words.as_str()), (503, "the server did not find out within 20ms who the client is\n"));
    assert_eq!(door.dropped().await, "never");
    assert!(hookup.peers().await.is_empty());
}

#[actix::test]
async fn a_hook_that_panics_is_answered_for_with_500_and_its_thread_goes_on() {
    let (_door, hook) = Door::new();
    let (addr, _, mut events) = server(hook, |builder| builder.max_connections(1));
    for query in ["panic", "panic-at-once", "panic-later", "panic"] {
        let (status, words) = answer(addr, query).await;
        assert_eq!(status, 500);
        assert_eq!(words, "the server failed when it was to find out who the client is\n", "and not the panic's words");
    }
    let _raw = greet(addr, "alice", &hello(SESSION, 1)).await;
    events.connected().await;
}

#[actix::test]
async fn who_waits_for_the_hook_has_a_place_and_who_is_refused_gives_it_back() {
    let (mut door, hook) = Door::new();
    let (addr, _, mut events) = server(hook, |builder| builder.max_connections(1));
    for _ in 0..2 {
        assert_eq!(answer(addr, "refuse").await.0, 403);
        assert_eq!(door.asked().await, "refuse");
    }
    let mut waiting = ask(addr, "gate").await;
    assert_eq!(door.asked().await, "gate");
    let (status, words) = answer(addr, "alice").await;
    assert_eq!(status, 503);
    assert!(words.contains("as many connections"), "{words}");
    assert!(door.asked.try_recv().is_err(), "above the bound the hook is not asked");

    door.gate.add_permits(1);
    assert_eq!(waiting.response().await.status, 101);
    assert_eq!(events.connected().await.peer.principal(), Some("late"));
}

#[actix::test]
async fn who_goes_while_the_hook_is_asked_gives_the_place_back() {
    let (mut door, hook) = Door::new();
    let (addr, _, mut events) = server(hook, |builder| builder.max_connections(1).handshake_timeout(HOUR));
    for is_reset in [true, false, true, false] {
        let mut raw = ask(addr, "never").await;
        assert_eq!(door.asked().await, "never");
        match is_reset {
            true => raw.reset(),
            // As a page does that is left.
            false => raw.finish().await,
        }
        while door.dropped().await != "never" {}
    }
    assert_eq!(answer(addr, "alice").await.0, 101);
    events.connected().await;
}

#[actix::test]
async fn what_a_client_sends_before_it_is_let_in_is_not_lost() {
    let (mut door, hook) = Door::new();
    let (addr, _, mut events) = server(hook, |builder| builder);
    let mut raw = Raw::connect(addr).await;
    let request = raw::request("GET", "/?gate", &UPGRADE);
    raw.write([request.as_bytes(), &bytes(TEXT, "one"), &bytes(TEXT, "two")[..4]].concat()).await;
    assert_eq!(door.asked().await, "gate");
    raw.write(&bytes(TEXT, "two")[4..]).await;
    door.gate.add_permits(1);
    assert_eq!(raw.response().await.status, 101);
    raw.text("three").await;
    assert_eq!([events.text().await, events.text().await, events.text().await], ["one", "two", "three"]);
}

#[actix::test]
async fn a_server_that_stops_while_the_hook_is_asked_lets_nobody_in_and_then_asks_no_more() {
    let (mut door, hook) = Door::new();
    let (addr, hookup, events) = server(hook, |builder| builder);
    let mut raw = ask(addr, "gate").await;
    assert_eq!(door.asked().await, "gate");
    soon("the stop", hookup.stop(support::STOP)).await;
    door.gate.add_permits(1);
    let response = raw.response().await;
    assert_eq!((response.status, response.body.as_str()), (503, "the server is stopping\n"));
    assert_eq!(answer(addr, "alice").await, (503, "the server is stopping\n".into()));
    assert!(door.asked.try_recv().is_err());
    assert!(events.is_empty(), "no session began");
}

#[actix::test]
async fn a_request_that_does_not_arrive_in_time_is_answered_with_408() {
    let (server, _events) = recording_with(|builder| builder.handshake_timeout(Duration::from_millis(20)));
    let mut raw = Raw::connect(server.addr).await;
    raw.write("GET / HTTP/1.1\r\nHost: local").await;
    assert_eq!(raw.response().await.status, 408);
}

#[actix::test]
async fn a_session_belongs_to_its_principal_whatever_connection_comes_for_it() {
    let (_door, hook) = Door::new();
    let (addr, _, mut events) = server(hook, |builder| builder);
    let mut alice = greet(addr, "alice", &hello(SESSION, 1)).await;
    let welcome = frame(&mut alice).await;
    assert_eq!(events.connected().await.peer.principal(), Some("alice"));
    alice.reset();
    events.disconnected().await;
    let hello = again(&welcome, 1, 1);
    for other in ["bob", "anonymous", "Alice"] {
        assert_eq!(greet(addr, other, &hello).await.closed().await, Some(4401), "{other}");
    }
    assert_eq!(frame(&mut greet(addr, "alice", &hello).await).await["resumed"], true);
}

#[actix::test]
async fn a_session_without_a_name_is_resumed_by_its_id_until_somebody_with_a_name_does() {
    let (_door, hook) = Door::new();
    let (addr, _, mut events) = server(hook, |builder| builder);
    let mut nobody = greet(addr, "anonymous", &hello(SESSION, 1)).await;
    let hello = again(&frame(&mut nobody).await, 1, 1);
    assert_eq!(events.connected().await.peer.principal(), None);
    for who in ["anonymous", "alice"] {
        let mut raw = greet(addr, who, &hello).await;
        assert_eq!(frame(&mut raw).await["resumed"], true, "{who}");
    }
    assert_eq!(greet(addr, "anonymous", &hello).await.closed().await, Some(4401));
    assert_eq!(greet(addr, "bob", &hello).await.closed().await, Some(4401));
}

#[actix::test]
async fn a_client_that_is_refused_says_so_and_comes_again_with_fresh_credentials() {
    let (handler, mut received) = recorder();
    let builder = HookupServer::new(move || handler.clone()).authenticate(|request: HttpRequest| async move {
        match request.headers().get("Authorization").map(|value| value.as_bytes()) {
            Some(b"Bearer 3") => Ok("pump 7"),
            _ => Err(ErrorForbidden("an old token")),
        }
    });
    let server = Server::start(builder);
    let asked = Cell::new(0);
    let (_addr, mut events) = recorded(server.client().subprotocols(["hookup.v2"]).credentials(move || {
        asked.set(asked.get() + 1);
        let token = format!("Bearer {}", asked.get());
        async move { Ok::<_, String>([("Authorization", token)]) }
    }));
    for _ in 1..=2 {
        let Event::Reconnecting(event) = events.next().await else { panic!("another event") };
        assert_eq!(event.cause.to_string(), "the server answered with HTTP 403 Forbidden");
    }
    events.connected().await;
    assert_eq!(received.connected().await.peer.principal(), Some("pump 7"));
}
