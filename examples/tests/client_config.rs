//! Settings that cannot work: each is an error that names it, and nothing is started.

#[path = "support/formats.rs"]
mod formats;
mod support;

use std::time::Duration;

use formats::Named;
use hookup_client::{Backoff, ClientBuilder, Close, Closed, ConfigError, Event, HookupClient, Peer, Text, Tls};

const URL: &str = "ws://127.0.0.1:9/";

fn client() -> ClientBuilder {
    HookupClient::builder(URL)
}

/// The error that starting gives; it is of this setting, and has these words.
#[track_caller]
fn refused(builder: ClientBuilder, setting: &str, words: &str) {
    let error = builder.start(|_: Event, _: Peer| {}).map(drop).expect_err(words);
    assert_eq!(error.setting(), setting, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[actix::test]
async fn a_url_that_cannot_be_connected_to_is_refused() {
    for (url, words) in [
        ("", "is not a URL"),
        ("not a url", "is not a URL"),
        ("ws://", "is not a URL"),
        ("ws://:80/", "has no host"),
        ("localhost:8125/ws", "is not a URL"),
        ("localhost", "no scheme"),
        ("//localhost/ws", "no scheme"),
        ("http://localhost/", "must be ws or wss"),
        ("https://localhost/", "must be ws or wss"),
        ("gopher://localhost/", "must be ws or wss"),
        ("ws://localhost:0/", "port 0"),
        ("ws://localhost:65536/", "not a number"),
        ("ws://localhost:/", "not a number"),
        ("ws://user:secret@localhost/", "use `header` or `credentials`"),
        ("ws://[::1/", "is not a URL"),
    ] {
        refused(HookupClient::builder(url), "url", words);
    }
}

#[actix::test]
async fn a_header_that_cannot_be_sent_is_refused() {
    refused(client().header("", "x"), "header", "the name");
    refused(client().header("two words", "x"), "header", "the name");
    refused(client().header("x-line", "one\r\ntwo: 2"), "header", "the value");
    refused(client().header("x-nul", "\0"), "header", "the value");
    for reserved in ["Host", "Connection", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Protocol"] {
        refused(client().header(reserved, "x"), "header", "belongs to the WebSocket handshake");
    }
}

#[actix::test]
async fn a_subprotocol_that_is_not_known_is_refused() {
    let known = "hookup.v2, jsonProtocol, simpleJson";
    refused(client().subprotocols(Vec::<String>::new()), "subprotocols", &format!("at least one of {known}"));
    refused(client().subprotocols(["xmlProtocol"]), "subprotocols", "\"xmlProtocol\" is not a known wire format");
    refused(client().subprotocols(["jsonProtocol", "jsonProtocol"]), "subprotocols", "named twice");
    refused(client().subprotocols([""]), "subprotocols", "not a known wire format");
    refused(client().default_subprotocol("simplejson"), "default_subprotocol", &format!("known are {known}"));
    refused(client().wire_format(Named("two words")), "wire_format", "\"two words\"");
}

#[actix::test]
async fn a_time_that_makes_no_sense_is_refused() {
    let above_a_year = Duration::from_secs(400 * 24 * 3600);
    for (time, words) in [(Duration::ZERO, "above zero"), (above_a_year, "a year"), (Duration::MAX, "a year")] {
        refused(client().heartbeat(time), "heartbeat", words);
        refused(client().connect_timeout(time), "connect_timeout", words);
        refused(client().backoff(Backoff::default().initial(time)), "backoff", words);
        refused(client().backoff(Backoff::default().max(time)), "backoff", words);
        refused(client().backoff(Backoff::default().stable_after(time)), "backoff", words);
    }
    refused(client().backoff(Backoff::default().max(Duration::from_millis(1))), "backoff", "initial");
    for multiplier in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused(client().backoff(Backoff::default().multiplier(multiplier)), "backoff", "multiplier");
    }
    refused(client().backoff(Backoff::default().max_attempts(0)), "backoff", "max_attempts");
}

#[actix::test]
async fn a_bound_of_zero_is_refused() {
    refused(client().outbox_bounds(0, 1), "outbox_bounds", "above zero");
    refused(client().outbox_bounds(1, 0), "outbox_bounds", "above zero");
    refused(client().window(0, 1), "window", "above zero");
    refused(client().window(1, 0), "window", "above zero");
    refused(client().inbox(0, 1), "inbox", "above zero");
    refused(client().inbox(1, 0), "inbox", "above zero");
    refused(client().max_message_bytes(0), "max_message_bytes", "above zero");
    refused(client().max_message_bytes((1 << 30) + 1), "max_message_bytes", "1 GiB");
    refused(client().dead_after(0), "dead_after", "at least 2");
    refused(client().dead_after(1), "dead_after", "at least 2");
}

#[actix::test]
async fn roots_that_are_no_certificates_are_refused() {
    let wss = |pem: &str| HookupClient::builder("wss://localhost/").tls(Tls::roots_pem(pem));
    refused(wss(""), "tls", "no certificate");
    refused(wss("nonsense"), "tls", "no certificate");
    refused(wss("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"), "tls", "");
    refused(wss("-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n"), "tls", "");
    refused(wss("-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n"), "tls", "");
}

#[test]
fn a_client_outside_of_a_system_is_refused() {
    refused(client(), "start", "inside an actix System");
}

#[test]
fn a_client_in_a_plain_tokio_runtime_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("builds");
    runtime.block_on(async { refused(client(), "start", "inside an actix System") });
}

#[test]
fn a_client_before_its_system_runs_is_refused() {
    let _system = actix::System::new();
    refused(client(), "start", "inside an actix System");
}

#[actix::test]
async fn a_client_in_a_task_of_tokio_spawn_is_refused() {
    // Such a task may run on another thread, and cannot start actors.
    let task = tokio::spawn(async { refused(client(), "start", "inside an actix System") });
    support::soon("the task", task).await.expect("does not panic");
}

#[actix::test]
async fn settings_without_bounds_work() {
    let (handler, mut events) = support::recorder();
    let server = support::Server::with(move || handler.clone());
    let builder = server.client().outbox_bounds(usize::MAX, u64::MAX).window(usize::MAX, u64::MAX);
    let builder = builder.inbox(usize::MAX, usize::MAX).max_message_bytes(1 << 30).dead_after(u32::MAX);
    let (on_client, mut client_events) = support::recorder();
    let addr = builder.start(on_client).expect("starts");
    client_events.connected().await;
    addr.do_send(Text("hi").needs_ack(Duration::MAX));
    assert_eq!(events.text().await, "hi");
    let closing = addr.send(Close::within(Duration::MAX));
    let closed = support::soon("closed", closing).await.expect("lives");
    assert_eq!(closed, Closed { unsent: 0 });
}

#[test]
fn an_error_reads_as_a_sentence() {
    let error = ConfigError::new("heartbeat", "must be above zero");
    assert_eq!(error.to_string(), "heartbeat: must be above zero");
}

#[actix::test]
async fn tls_for_an_address_that_is_plain_is_refused() {
    let builder = HookupClient::builder("ws://localhost/").tls(Tls::platform());
    let error = builder.start(|_: Event, _: Peer| {}).expect_err("it would not be used");
    assert_eq!(error.setting(), "tls");
    assert!(error.to_string().contains("wss://"), "{error}");
}
