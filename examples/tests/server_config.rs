//! Settings that cannot work: each is refused by name before anything starts, and none panics.

#[path = "support/formats.rs"]
mod formats;

use std::time::Duration;

use formats::Named;
use hookup_server::{Event, HookupServer, ListenError, Peer, ServerBuilder};

fn server() -> ServerBuilder {
    HookupServer::new(|| |_: Event, _: Peer| {})
}

/// The setting that is refused, and the whole sentence. Settings are looked at before the System is.
fn refused(builder: ServerBuilder) -> (&'static str, String) {
    let error = builder.start().expect_err("cannot work");
    assert!(error.to_string().starts_with(error.setting()), "{error}");
    (error.setting(), error.to_string())
}

#[test]
fn a_heartbeat_without_sense_is_refused() {
    for absurd in [Duration::ZERO, Duration::MAX, Duration::from_secs(400 * 24 * 3600)] {
        assert_eq!(refused(server().heartbeat(absurd)).0, "heartbeat");
    }
    assert_eq!(refused(server().dead_after(0)).0, "dead_after");
    assert_eq!(refused(server().without_heartbeat().dead_after(0)).0, "dead_after");
}

#[test]
fn a_list_of_subprotocols_that_is_empty_unknown_or_doubled_is_refused() {
    let no_names: [&str; 0] = [];
    let cases: [(&[&str], &str); 4] = [
        (&no_names, "name at least one of hookup.v2, jsonProtocol, simpleJson"),
        (&["mqtt"], "\"mqtt\" is not a known wire format; known are hookup.v2, jsonProtocol, simpleJson"),
        (&["simpleJson", "SimpleJson"], "\"SimpleJson\" is not a known wire format"),
        (&["simpleJson", "jsonProtocol", "simpleJson"], "\"simpleJson\" is named twice"),
    ];
    for (names, words) in cases {
        let (setting, sentence) = refused(server().subprotocols(names.iter().copied()));
        assert_eq!(setting, "subprotocols");
        assert!(sentence.contains(words), "{sentence}");
    }
}

#[test]
fn a_default_that_is_not_known_is_refused() {
    for name in ["", "mqtt", "simplejson"] {
        let (setting, sentence) = refused(server().default_subprotocol(name));
        assert_eq!(setting, "default_subprotocol");
        assert!(sentence.contains("known are hookup.v2, jsonProtocol, simpleJson"), "{sentence}");
    }
}

#[test]
fn a_wire_format_whose_name_cannot_stand_in_a_header_is_refused() {
    for name in ["", "two words", "a,b", "jsön", "line\nbreak", "\"quoted\""] {
        assert_eq!(refused(server().wire_format(Named(name))).0, "wire_format", "{name:?}");
    }
}

#[test]
fn bounds_of_zero_are_refused() {
    assert_eq!(refused(server().outbox_bounds(0, 1)).0, "outbox_bounds");
    assert_eq!(refused(server().outbox_bounds(1, 0)).0, "outbox_bounds");
    assert_eq!(refused(server().window(0, 1)).0, "window");
    assert_eq!(refused(server().window(1, 0)).0, "window");
    assert_eq!(refused(server().inbox(0, 1)).0, "inbox");
    assert_eq!(refused(server().inbox(1, 0)).0, "inbox");
    assert_eq!(refused(server().max_message_bytes(0)).0, "max_message_bytes");
}

/// What a frame's header announces is reserved at once, up to this: with such a limit one header ends the process.
#[test]
fn a_message_size_that_no_machine_has_memory_for_is_refused() {
    assert_eq!(refused(server().max_message_bytes(usize::MAX)).0, "max_message_bytes");
}

#[test]
fn outside_of_a_system_start_is_refused() {
    let (setting, sentence) = refused(server());
    assert_eq!(setting, "start");
    assert!(sentence.contains("actix System"), "{sentence}");
    assert!(matches!(server().listen("127.0.0.1:0"), Err(ListenError::Config(error)) if error.setting() == "start"));
}

#[actix::test]
async fn what_can_work_starts() {
    let builder = server()
        .wire_format(Named("mqtt"))
        .subprotocols(["simpleJson", "mqtt"])
        .default_subprotocol("mqtt")
        .heartbeat(Duration::from_millis(1))
        .dead_after(u32::MAX)
        .outbox_bounds(usize::MAX, u64::MAX)
        .window(1, 1)
        .inbox(usize::MAX, usize::MAX)
        .max_message_bytes(1);
    builder.start().expect("starts");
}

#[actix::test]
async fn an_address_that_cannot_be_bound_is_an_error() {
    let first = server().listen("127.0.0.1:0").expect("listens");
    let taken = first.addrs()[0].to_string();
    for addr in [taken.as_str(), "no port", "localhost:100000", "192.0.2.1:0"] {
        let error = server().listen(addr).expect_err("cannot be bound");
        assert!(matches!(error, ListenError::Bind(_)), "{addr}: {error}");
        assert!(error.to_string().starts_with("cannot listen: "), "{error}");
    }
}

#[test]
fn a_handshake_without_time_is_refused() {
    assert_eq!(refused(server().handshake_timeout(Duration::ZERO)).0, "handshake_timeout");
    assert_eq!(refused(server().handshake_timeout(Duration::MAX)).0, "handshake_timeout");
}

#[test]
fn what_is_no_origin_is_refused_by_name() {
    for (bad, words) in [
        ("example.org", "has no scheme"),
        ("https://example.org/", "no path"),
        ("https://*.example.org", "patterns are not known"),
        ("*", "`allow_any_origin` lets every page connect"),
    ] {
        let (setting, sentence) = refused(server().allowed_origins(["https://fine.example", bad]));
        assert_eq!(setting, "allowed_origins");
        assert!(sentence.contains(&format!("{bad:?}")) && sentence.contains(words), "{sentence}");
    }
}
