//! From which pages a browser may connect.

#[path = "support/raw.rs"]
mod raw;
mod support;

use std::net::SocketAddr;

use hookup_server::{Event, HookupServer, Peer, ServerBuilder};
use raw::{Raw, Response, UPGRADE};
use support::Server;

fn server() -> ServerBuilder {
    HookupServer::new(|| |_: Event, _: Peer| {})
}

/// A browser's handshake, from a page of this origin, to what it takes for this host.
async fn from_page(addr: SocketAddr, origin: Option<&str>, host: &str) -> Response {
    let mut raw = Raw::connect(addr).await;
    let headers = UPGRADE.iter().copied().chain(origin.map(|origin| ("Origin", origin)));
    let headers = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect::<String>();
    raw.write(format!("GET /ws HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n")).await;
    raw.response().await
}

async fn statuses(builder: ServerBuilder, cases: &[(Option<&str>, &str, u16)]) {
    let server = Server::start(builder);
    for &(origin, host, status) in cases {
        let response = from_page(server.addr, origin, host).await;
        assert_eq!(response.status, status, "{origin:?} at {host:?}: {}", response.body);
    }
}

#[actix::test]
async fn by_default_pages_of_the_host_may_connect_and_what_is_no_browser() {
    let cases = [
        (None, "localhost:8125", 101),
        (Some("http://localhost:8125"), "localhost:8125", 101),
        (Some("https://localhost:8125"), "localhost:8125", 101),
        (Some("https://example.org"), "example.org", 101),
        (Some("HTTPS://EXAMPLE.org"), "example.org:443", 101),
        (Some("http://[::1]:8125"), "[::1]:8125", 101),
        (Some("http://localhost:3000"), "localhost:8125", 403),
        (Some("http://127.0.0.1:8125"), "localhost:8125", 403),
        (Some("https://evil.example"), "example.org", 403),
        (Some("https://example.org.evil.example"), "example.org", 403),
        (Some("null"), "example.org", 403),
        (Some("nonsense"), "nonsense", 403),
        (Some(""), "example.org", 403),
    ];
    statuses(server(), &cases).await;
}

#[actix::test]
async fn a_list_lets_pages_of_other_hosts_connect_and_no_page_that_is_not_on_it() {
    let cases = [
        (None, "localhost:8125", 101),
        (Some("https://example.org"), "localhost:8125", 101),
        (Some("https://example.org:443"), "localhost:8125", 101),
        (Some("http://localhost:3000"), "localhost:8125", 101),
        (Some("http://example.org"), "localhost:8125", 403),
        (Some("http://localhost:8125"), "localhost:8125", 403),
        (Some("null"), "localhost:8125", 403),
    ];
    statuses(server().allowed_origins(["https://example.org", "http://localhost:3000"]), &cases).await;
}

#[actix::test]
async fn where_any_origin_is_allowed_every_page_may_connect() {
    let cases = [(Some("https://evil.example"), "localhost", 101), (Some("null"), "localhost", 101)];
    statuses(server().allow_any_origin(), &cases).await;
    statuses(server().allowed_origins(["https://example.org"]).allow_any_origin(), &cases).await;
}

#[actix::test]
async fn a_refusal_says_which_origin_it_was_and_which_setting_lets_it_in() {
    let server = Server::start(server());
    let response = from_page(server.addr, Some("https://evil.example"), "example.org").await;
    assert_eq!(
        (response.status, response.body.as_str()),
        (
            403,
            "origin \"https://evil.example\" is not this host; the server's allowed_origins can let other origins connect\n"
        )
    );
    assert!(server.hookup.peers().await.is_empty());
}
