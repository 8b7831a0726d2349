//! Settings as text: `docs/settings.md` is complete and true, bad ones are refused by name, and what is read works.

#[path = "support/raw.rs"]
mod raw;
mod support;
#[path = "support/v2.rs"]
mod v2;

use std::{collections::BTreeMap, future::IntoFuture as _, time::Duration};

use hookup_client::{Backoff, ClientConfig, Durability, HookupClient, OutboxPolicy};
use hookup_server::{Event, HookupServer, Peer, Rate, RetryAfter, ServerConfig, SledStore, Usage};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use support::{recorder, soon};

const DOCUMENT: &str = include_str!("../../docs/settings.md");

/// A file of settings, with the table that Hookup reads.
#[derive(serde::Deserialize)]
struct File<T> {
    hookup: T,
}

#[track_caller]
fn from_toml<T: DeserializeOwned>(text: &str) -> T {
    toml::from_str::<File<T>>(text).map(|file| file.hookup).unwrap_or_else(|error| panic!("{error}"))
}

fn value(settings: &impl Serialize) -> Value {
    serde_json::to_value(settings).expect("settings are data")
}

/// What reading these lines of a `[hookup]` table says.
#[track_caller]
fn refused<T: DeserializeOwned>(lines: &str) -> String {
    let read = toml::from_str::<File<T>>(&format!("[hookup]\n{lines}"));
    read.err().unwrap_or_else(|| panic!("{lines} was taken")).to_string()
}

/// The block of TOML after this heading of the document.
fn block(heading: &str) -> &'static str {
    let (_, section) = DOCUMENT.split_once(&format!("\n## {heading}\n")).expect("the section is there");
    let (_, block) = section.split_once("```toml\n").expect("it has a block");
    block.split_once("```").expect("which ends").0
}

/// The block with its examples, `# key = …`, in force; other comments begin with a word and go on with another.
fn with_examples(block: &str) -> String {
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    block.lines().map(line).collect()
}

/// What stands at each dotted key; a table that is empty is nothing.
fn leaves(value: &Value) -> BTreeMap<String, Option<Value>> {
    match value {
        Value::Object(table) if !table.is_empty() => table
            .iter()
            .flat_map(|(key, value)| {
                leaves(value).into_iter().map(move |(rest, leaf)| match rest.as_str() {
                    "" => (key.clone(), leaf),
                    rest => (format!("{key}.{rest}"), leaf),
                })
            })
            .collect(),
        Value::Null | Value::Object(_) => [(String::new(), None)].into(),
        leaf => [(String::new(), Some(leaf.clone()))].into(),
    }
}

#[track_caller]
fn is_documented<T: DeserializeOwned + Serialize>(block: &str, defaults: &T) {
    assert_eq!(value(&from_toml::<T>(block)), value(defaults), "what is in the document is the default");

    let stated = leaves(&from_toml::<Value>(block));
    let examples = with_examples(block);
    let shown = leaves(&from_toml::<Value>(&examples));
    let taken = leaves(&value(&from_toml::<T>(&examples)));
    for (key, default) in leaves(&value(defaults)) {
        if default.is_some() {
            assert!(stated.contains_key(&key), "{key} is not in the document");
        } else {
            let is_it = |name: &String| *name == key || name.starts_with(&format!("{key}."));
            assert!(shown.keys().any(is_it), "{key} is not in the document; nor is a comment like # {key} = example");
            let has_value = |(name, value): (&String, &Option<Value>)| is_it(name) && value.is_some();
            assert!(taken.iter().any(has_value), "the example of {key} says nothing");
        }
    }
}

#[test]
fn the_document_has_every_setting_of_a_server_with_its_default() {
    is_documented(block("A server"), &ServerConfig::default());
}

#[test]
fn the_document_has_every_setting_of_a_client_with_its_default() {
    let mut defaults = ClientConfig::default();
    defaults.url = "wss://example.org/ws".into();
    is_documented(block("A client"), &defaults);
}

#[test]
fn what_is_written_is_read_as_the_same_from_toml_and_from_json() {
    let mut server = ServerConfig::default();
    server.heartbeat = None;
    server.handler_timeout = Some(Duration::from_millis(5400));
    server.subprotocols = Some(vec!["hookup.v2".into()]);
    server.policy = OutboxPolicy::DropOldest;
    server.rate_limit = Some(Rate { messages: 100, per: Duration::from_secs(1) });
    server.retry_after = RetryAfter { from: Duration::from_secs(1), to: Duration::from_secs(2) };
    server.inbox = Usage { messages: 1, bytes: 1_500 };
    let text = toml::to_string(&server).expect("writes");
    assert_eq!(value(&toml::from_str::<ServerConfig>(&text).expect("reads")), value(&server), "{text}");
    let json = value(&server);
    assert_eq!(value(&serde_json::from_value::<ServerConfig>(json.clone()).expect("reads")), json);

    let mut client = ClientConfig::default();
    client.url = "ws://localhost/".into();
    client.header = vec![("X-Device".into(), "17".into())];
    client.durability = Durability::PowerLoss;
    client.outbox = Some("work/outbox".into());
    client.backoff = Backoff::default().max_attempts(3).without_jitter();
    let text = toml::to_string(&client).expect("writes");
    assert_eq!(value(&toml::from_str::<ClientConfig>(&text).expect("reads")), value(&client), "{text}");
    let json = serde_json::to_string(&client).expect("writes");
    assert_eq!(value(&serde_json::from_str::<ClientConfig>(&json).expect("reads")), value(&client), "{json}");
}

#[test]
fn a_key_that_is_not_known_is_refused_and_the_known_ones_are_listed() {
    for (lines, key) in [
        ("heart_beat = \"25s\"", "heart_beat"),
        ("url = \"ws://localhost/\"", "url"),
        ("window = { messages = 1, bytes = 1, frames = 1 }", "frames"),
        ("rate_limit = { messages = 1, each = \"1s\" }", "each"),
        ("retry_after = { from = \"1s\", to = \"2s\", at = \"3s\" }", "at"),
    ] {
        let error = refused::<ServerConfig>(lines);
        assert!(error.contains(&format!("unknown field `{key}`")) && error.contains("expected"), "{error}");
    }
    assert!(refused::<ServerConfig>("heart_beat = 1").contains("`heartbeat`"));
    assert!(refused::<ClientConfig>("max_sessions = 1").contains("unknown field `max_sessions`"));
    assert!(refused::<ClientConfig>("backoff = { forever = true }").contains("unknown field `forever`"));
}

#[test]
fn a_value_that_cannot_be_read_is_refused_with_its_name_and_what_would_be_right() {
    for (lines, words) in [
        ("heartbeat = 25", "heartbeat: the number 25 has no unit; write \"25s\""),
        ("heartbeat = \"25\"", "heartbeat: the number 25 has no unit"),
        ("heartbeat = \"soon\"", "heartbeat: \"soon\" is no duration"),
        ("heartbeat = true", "heartbeat: invalid type: boolean `true`, expected a duration: a text such as \"25s\""),
        ("stall_timeout = \"off\"", "stall_timeout: \"off\" is no duration"),
        ("session_ttl = 1.5", "session_ttl: the number 1.5 has no unit"),
        ("max_message_bytes = \"1Mb\"", "max_message_bytes: \"1Mb\" is no number of bytes"),
        ("max_message_bytes = -1", "max_message_bytes: invalid value: integer `-1`, expected a number of bytes"),
        ("max_message_bytes = []", "max_message_bytes: invalid type: sequence, expected a number of bytes"),
        ("max_sessions = -1", "max_sessions: invalid value: integer `-1`"),
        ("dead_after = \"2\"", "dead_after: invalid type: string \"2\", expected u32"),
        ("policy = \"drop\"", "policy: unknown variant `drop`, expected"),
        ("window = { messages = 1 }", "window: missing field `bytes`"),
        ("window = 5", "window: invalid type: integer `5`, expected a table of messages and bytes"),
        ("window = [5, 5]", "window: invalid type: sequence, expected a table of messages and bytes"),
        ("inbox = { messages = 1, bytes = \"much\" }", "inbox: bytes: \"much\" is no number of bytes"),
        ("rate_limit = { messages = 1, per = 1 }", "rate_limit: per: the number 1 has no unit"),
        ("retry_after = { from = \"1s\" }", "retry_after: missing field `to`"),
        ("subprotocols = \"hookup.v2\"", "subprotocols: invalid type: string \"hookup.v2\""),
    ] {
        let error = refused::<ServerConfig>(lines);
        assert!(error.contains(words), "{error}");
        assert!(error.contains("line 2"), "the format still says where: {error}");
    }
    for (lines, words) in [
        ("durability = \"ram\"", "durability: unknown variant `ram`, expected one of `buffered`, `process-crash`"),
        ("backoff = { max = 30 }", "backoff: max: the number 30 has no unit"),
        ("backoff = { jitter = \"custom\" }", "backoff: jitter: unknown variant `custom`, expected `full` or `none`"),
        ("header = { X-Device = 17 }", "header: invalid type: integer `17`, expected a string"),
        ("outbox = 5", "outbox: invalid type: integer `5`"),
    ] {
        let error = refused::<ClientConfig>(lines);
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn in_json_too_a_bad_value_is_named() {
    let error = serde_json::from_value::<ServerConfig>(json!({ "heartbeat": 25 })).expect_err("refused").to_string();
    assert!(error.starts_with("heartbeat: the number 25 has no unit"), "{error}");
    let error = serde_json::from_str::<ServerConfig>("[10, 20]").expect_err("refused").to_string();
    assert!(error.contains("expected a table of settings"), "{error}");
    let twice = r#"{ "dead_after": 2, "dead_after": 3 }"#;
    let error = serde_json::from_str::<ServerConfig>(twice).expect_err("refused").to_string();
    assert!(error.contains("duplicate field `dead_after`"), "{error}");
}

#[test]
fn what_can_be_off_is_off() {
    let config: ServerConfig = from_toml("[hookup]\nheartbeat = \"off\"\nhandler_timeout = \"off\"\n");
    assert_eq!((config.heartbeat, config.handler_timeout), (None, None));
    let config: ClientConfig = from_toml("[hookup]\nheartbeat = \"off\"\nhandler_timeout = \"off\"\n");
    assert_eq!((config.heartbeat, config.handler_timeout), (None, None));
}

#[test]
fn a_setting_of_a_server_that_cannot_work_is_named_by_start() {
    for (lines, setting) in [
        ("max_sessions = 0", "max_sessions"),
        ("max_connections = 0", "max_connections"),
        ("handshake_timeout = \"0s\"", "handshake_timeout"),
        ("hello_timeout = \"0s\"", "hello_timeout"),
        ("session_ttl = \"2years\"", "session_ttl"),
        ("cursor_ttl = \"2years\"", "cursor_ttl"),
        ("stop_timeout = \"0s\"", "stop_timeout"),
        ("retry_after = { from = \"2s\", to = \"1s\" }", "retry_after"),
        ("retry_after = { from = \"2s\", to = \"2days\" }", "retry_after"),
        ("heartbeat = \"1us\"", "heartbeat"),
        ("dead_after = 1", "dead_after"),
        ("subprotocols = [\"mqtt\"]", "subprotocols"),
        ("default_subprotocol = \"mqtt\"", "default_subprotocol"),
        ("outbox_bounds = { messages = 0, bytes = 1 }", "outbox_bounds"),
        ("window = { messages = 1, bytes = 0 }", "window"),
        ("inbox = { messages = 1, bytes = 0 }", "inbox"),
        ("max_message_bytes = \"2GiB\"", "max_message_bytes"),
        ("max_fragments = 0", "max_fragments"),
        ("rate_limit = { messages = 0, per = \"1s\" }", "rate_limit"),
        ("rate_limit = { messages = 1, per = \"0s\" }", "rate_limit"),
        ("handler_timeout = \"0s\"", "handler_timeout"),
        ("stall_timeout = \"0s\"", "stall_timeout"),
    ] {
        let config: ServerConfig = from_toml(&format!("[hookup]\n{lines}"));
        let error = HookupServer::new(|| |_: Event, _: Peer| {}).config(config).start().expect_err(lines);
        assert_eq!(error.setting(), setting, "{error}");
    }
}

#[actix::test]
async fn a_setting_of_a_client_that_cannot_work_is_named_by_start() {
    for (lines, setting) in [
        ("", "url"),
        ("url = \"http://localhost/\"", "url"),
        ("url = \"ws://localhost/\"\nheader = { Host = \"x\" }", "header"),
        ("url = \"ws://localhost/\"\nconnect_timeout = \"0s\"", "connect_timeout"),
        ("url = \"ws://localhost/\"\nbackoff = { max_attempts = 0 }", "backoff"),
        ("url = \"ws://localhost/\"\nrequire_reliable = true\nsubprotocols = [\"simpleJson\"]", "require_reliable"),
        ("url = \"ws://localhost/\"\noutbox_bounds = { messages = 1, bytes = 0 }", "outbox_bounds"),
        ("url = \"ws://localhost/\"\ndead_after = 0", "dead_after"),
    ] {
        let config: ClientConfig = from_toml(&format!("[hookup]\n{lines}"));
        let started = HookupClient::from_config(config).start(|_: Event, _: Peer| {});
        let error = started.map(drop).expect_err(lines);
        assert_eq!(error.setting(), setting, "{error}");
    }
}

#[test]
fn what_is_set_after_a_configuration_changes_it() {
    let config: ServerConfig = from_toml("[hookup]\nmax_sessions = 0\nhello_timeout = \"0s\"");
    let builder = HookupServer::new(|| |_: Event, _: Peer| {}).dead_after(0).config(config);
    let error = builder.max_sessions(1).start().expect_err("hello_timeout is left");
    assert_eq!(error.setting(), "hello_timeout");
}

#[test]
fn headers_do_not_show_in_logs() {
    let config: ClientConfig = from_toml("[hookup]\nheader = { Authorization = \"Bearer secret\" }");
    let shown = format!("{config:?} {:?}", HookupClient::from_config(config.clone()));
    assert!(!shown.contains("secret"), "{shown}");
}

#[actix::test]
async fn a_server_and_a_client_that_were_read_talk_to_each_other() {
    let config: ServerConfig = from_toml(
        "[hookup]\nmax_connections = 1\nsubprotocols = [\"jsonProtocol\"]\nmax_message_bytes = \"4KiB\"\nheartbeat = \"off\"",
    );
    let (handler, mut on_server) = recorder();
    let builder = HookupServer::new(move || handler.clone()).config(config).subprotocols(["hookup.v2"]);
    let listening = builder.listen("127.0.0.1:0").expect("listens");
    let (addr, handle) = (listening.addrs()[0], listening.handle());
    actix::spawn(async move { listening.await });

    let directory = tempfile::tempdir().expect("a directory");
    let client: ClientConfig = serde_json::from_value(json!({
        "url": format!("ws://{addr}/"),
        "outbox": directory.path().join("outbox"),
        "require_reliable": true,
        "header": { "X-Device": "17" },
    }))
    .expect("reads");
    let (handler, mut on_client) = recorder();
    let client = HookupClient::from_config(client).start(handler).expect("starts");
    on_client.connected().await;
    client.do_send(hookup_client::Text("read"));
    assert_eq!(on_server.text().await, "read");
    assert!(directory.path().join("outbox").is_dir());

    let mut another = raw::Raw::connect(addr).await;
    let refused = another.handshake("/", &[("Sec-WebSocket-Protocol", "hookup.v2")]).await;
    assert_eq!((refused.status, refused.body.contains("as many connections")), (503, true));
    soon("the end", client.send(hookup_client::Close::within(Duration::from_secs(5)))).await.expect("lives");
    handle.stop(false).await;
}

#[actix::test]
async fn sessions_are_kept_in_the_directory_that_the_settings_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = ServerConfig::default();
    config.session_store = Some(directory.path().join("sessions"));
    for resumed in [false, true] {
        let server = HookupServer::new(|| |_: Event, _: Peer| {}).config(config.clone());
        let server = server.listen("127.0.0.1:0").expect("listens");
        let (addr, hookup, handle) = (server.addrs()[0], server.hookup().clone(), server.handle());
        let serving = actix::spawn(server.into_future());
        let hello = if resumed { v2::hello(v2::SESSION, 2) } else { v2::hello(v2::SESSION, 1) };
        let (mut raw, welcome) = v2::greeted(addr, &hello).await;
        assert_eq!(welcome["recv"][v2::RUN], u64::from(resumed), "what was handled is known");
        if !resumed {
            raw.text(&v2::run()).await;
            raw.text(&v2::text(1, "hi")).await;
            assert_eq!(raw.next_text().await, v2::ack(1));
        }
        soon("the stop", hookup.stop(support::STOP)).await;
        soon("the HTTP server's end", handle.stop(true)).await;
        serving.await.expect("its task ended").expect("served");
        drop((raw, hookup, handle));
        // Its actor is on this thread, so this one must not wait for it.
        let path = config.session_store.clone().expect("is set");
        let free = actix::spawn(actix_web::web::block(move || SledStore::open(path).map(drop)));
        soon("the store", free).await.expect("its task ended").expect("its thread ended").expect("is free");
    }
    // A file is no directory.
    let file = directory.path().join("file");
    std::fs::write(&file, "no store").expect("writes");
    config.session_store = Some(file);
    let error = HookupServer::new(|| |_: Event, _: Peer| {}).config(config).start().expect_err("cannot work");
    assert_eq!(error.setting(), "session_store");
}
