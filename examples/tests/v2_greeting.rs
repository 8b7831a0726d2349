//! How a server of `hookup.v2` takes its clients: the greetings, and what it closes with which code.

#[path = "support/raw.rs"]
mod raw;
mod support;
#[path = "support/v2.rs"]
mod v2;

use std::time::Duration;

use actix_web::{HttpRequest, error::ErrorUnauthorized};
use hookup_server::{Event, HookupServer, SessionEnd, Text};
use raw::{BINARY, Raw, frame as bytes};
use support::{HOUR, Server, recorder, recording, recording_with, soon};
use v2::{RUN, SESSION, ack, again, frame, greeted, hello, hello_with, run, text};

#[actix::test]
async fn a_hello_is_answered_with_a_welcome_and_messages_flow() {
    let (server, mut events) = recording();
    let (mut raw, welcome) = greeted(server.addr, &hello(SESSION, 1)).await;
    assert_eq!(welcome["resumed"], false);
    assert_eq!(welcome["recv"], serde_json::json!({ RUN: 0 }));
    assert_eq!(welcome["window"], serde_json::json!({ "messages": 256, "bytes": 1_048_576 }));
    assert_eq!((&welcome["max_bytes"], &welcome["ping_ms"]), (&1_048_576.into(), &25_000.into()));
    assert_eq!(welcome["retain_ms"], 120_000);
    let runs = welcome["runs"].as_array().expect("a list");
    assert_eq!((runs.len(), &runs[0]["lo"], &runs[0]["next"], &runs[0]["sent"]), (1, &1.into(), &1.into(), &0.into()));

    let connected = events.connected().await;
    assert_eq!((connected.format.as_str(), connected.resumed), ("hookup.v2", false));
    raw.text(&run()).await;
    raw.text(&text(1, "one")).await;
    raw.text(r#"{"type":"json","seq":2,"content":null}"#).await;
    raw.write(bytes(BINARY, [&3_u64.to_be_bytes()[..], b"three"].concat())).await;
    assert_eq!(events.text().await, "one");
    assert!(matches!(events.next().await, Event::Json(json) if json.as_str() == "null"));
    assert!(matches!(events.next().await, Event::Binary(binary) if *binary == *b"three"));
    let mut cursor = 0;
    while cursor < 3 {
        let frame = frame(&mut raw).await;
        assert_eq!(frame["type"], "ack");
        cursor = frame["seq"].as_u64().expect("a number");
    }

    connected.peer.do_send(Text("back").needs_ack(HOUR));
    let announced = frame(&mut raw).await;
    assert_eq!((&announced["type"], &announced["run"]), (&"run".into(), &runs[0]["run"]));
    assert_eq!(frame(&mut raw).await, serde_json::json!({ "type": "text", "seq": 1, "content": "back" }));
}

#[actix::test]
async fn what_a_client_sends_again_is_acked_again_and_not_handled() {
    let (server, mut events) = recording();
    let (mut raw, welcome) = greeted(server.addr, &hello(SESSION, 1)).await;
    raw.text(&run()).await;
    raw.text(&text(1, "one")).await;
    assert_eq!(raw.next_text().await, ack(1));
    raw.reset();

    let (mut raw, welcome) = greeted(server.addr, &again(&welcome, 1, 2)).await;
    assert_eq!(welcome["resumed"], true);
    assert_eq!(welcome["recv"][RUN], 1);
    raw.text(&run()).await;
    raw.text(&text(1, "one")).await;
    assert_eq!(raw.next_text().await, ack(1));
    raw.text(&text(2, "two")).await;
    assert_eq!(raw.next_text().await, r#"{"type":"ack","seq":2}"#, "its run is that of the last ack");
    assert_eq!([events.text().await, events.text().await], ["one", "two"]);
}

#[actix::test]
async fn a_bad_frame_closes_with_4400_and_the_session_goes_on() {
    let (server, mut events) = recording();
    let (_raw, welcome) = greeted(server.addr, &hello(SESSION, 1)).await;
    events.connected().await;
    let hello = &again(&welcome, 1, 1);
    for bad in [
        "not JSON",
        "[]",
        "{}",
        r#"{"type":"other"}"#,
        r#"{"type":"text","seq":1}"#,
        r#"{"type":"text","seq":1,"content":5}"#,
        r#"{"type":"text","seq":0,"content":""}"#,
        r#"{"type":"text","seq":9007199254740992,"content":""}"#,
        r#"{"type":"text","seq":1,"content":"before its run"}"#,
        r#"{"type":"run","run":"00000000000000bb"}"#,
        r#"{"type":"skip","seq":2,"to":1}"#,
        r#"{"type":"ack","seq":1}"#,
        r#"{"type":"ack","run":"00000000000000bb","seq":1}"#,
        r#"{"type":"goaway","retry_ms":[1,2]}"#,
        hello,
    ] {
        let (mut raw, _) = greeted(server.addr, hello).await;
        raw.text(bad).await;
        assert_eq!(raw.closed().await, Some(4400), "{bad}");
    }
    let (mut raw, _) = greeted(server.addr, hello).await;
    raw.write(bytes(BINARY, b"short")).await;
    assert_eq!(raw.closed().await, Some(4400));

    let (mut raw, welcome) = greeted(server.addr, hello).await;
    assert_eq!((&welcome["resumed"], &welcome["recv"][RUN]), (&true.into(), &0.into()));
    raw.text(&run()).await;
    raw.text(&text(1, "fine")).await;
    assert_eq!(events.text().await, "fine");
}

#[actix::test]
async fn what_is_no_hello_closes_with_4400_and_makes_no_session() {
    let (server, mut events) = recording();
    for bad in [
        text(1, "data before hello"),
        "{".into(),
        hello("0001", 1),
        hello("g00102030405060708090a0b0c0d0e0f", 1),
        hello(SESSION, 1).replace("[{", "[").replace("}],", "],"),
        hello(SESSION, 1).replace(r#""lo":1"#, r#""lo":0"#),
        hello(SESSION, 1).replace(r#""lo":1"#, r#""lo":2"#),
        hello(SESSION, 1).replace(r#""sent":0"#, r#""sent":1"#),
        hello(SESSION, 1).replace(r#""messages":256"#, r#""messages":0"#),
        hello(SESSION, 1).replace(r#""bytes":1048576"#, r#""bytes":18446744073709551615"#),
        hello(SESSION, 1).replace(r#""recv":{}"#, r#""recv":{"x":1}"#),
        hello(SESSION, 1).replace(r#""recv":{},"#, ""),
    ] {
        let mut raw = Raw::open(server.addr, "hookup.v2").await;
        raw.text(&bad).await;
        assert_eq!(raw.closed().await, Some(4400), "{bad}");
    }
    let (_raw, welcome) = greeted(server.addr, &hello(SESSION, 1)).await;
    assert_eq!(welcome["resumed"], false);
    events.connected().await;
}

#[actix::test]
async fn what_comes_between_the_hello_and_the_welcome_closes_with_4400() {
    let (server, _events) = recording();
    let mut raw = Raw::open(server.addr, "hookup.v2").await;
    let together = [hello(SESSION, 1), run()].map(|text| bytes(raw::TEXT, text)).concat();
    raw.write(together).await;
    assert_eq!(raw.closed().await, Some(4400));
}

#[actix::test]
async fn a_hello_that_never_comes_closes_with_4408() {
    let (server, _events) = recording_with(|builder| builder.hello_timeout(Duration::from_millis(20)));
    let mut raw = Raw::open(server.addr, "hookup.v2").await;
    assert_eq!(raw.closed().await, Some(4408));
}

#[actix::test]
async fn another_connection_takes_the_session_over_and_the_old_one_is_closed_with_4409() {
    let (server, mut events) = recording();
    let (mut old, welcome) = greeted(server.addr, &hello(SESSION, 1)).await;
    events.connected().await;
    let (mut new, welcome) = greeted(server.addr, &again(&welcome, 1, 1)).await;
    assert_eq!(welcome["resumed"], true);
    // What the old one still delivers is not heard.
    old.text(&run()).await;
    old.text(&text(1, "late")).await;
    assert_eq!(old.closed().await, Some(4409));
    assert!(matches!(events.next().await, Event::Disconnected(_)));
    assert!(events.connected().await.resumed);
    new.text(&run()).await;
    new.text(&text(1, "new")).await;
    assert_eq!(events.text().await, "new");
}

#[actix::test]
async fn a_hello_that_the_network_held_up_does_not_take_the_session_back() {
    let (server, mut events) = recording();
    let mut old = Raw::open(server.addr, "hookup.v2").await;
    let (mut new, _) = greeted(server.addr, &hello(SESSION, 1)).await;
    old.text(&hello(SESSION, 1)).await;
    assert_eq!(old.closed().await, Some(4409));
    new.text(&run()).await;
    new.text(&text(1, "still here")).await;
    assert_eq!(events.text().await, "still here");
}

#[actix::test]
async fn a_session_of_someone_else_closes_with_4401_and_goes_on() {
    let (handler, mut events) = recorder();
    let builder = HookupServer::new(move || handler.clone()).authenticate(|request: HttpRequest| async move {
        let name = request.headers().get("X-Name").and_then(|name| name.to_str().ok());
        name.map(str::to_owned).ok_or_else(|| ErrorUnauthorized("who are you?"))
    });
    let server = Server::start(builder);
    let open = async |name: &str, hello: &str| {
        let mut raw = Raw::connect(server.addr).await;
        let response = raw.handshake("/", &[("Sec-WebSocket-Protocol", "hookup.v2"), ("X-Name", name)]).await;
        assert_eq!(response.status, 101);
        raw.text(hello).await;
        raw
    };
    let first = hello(SESSION, 1);
    let mut nobody = Raw::connect(server.addr).await;
    let refused = nobody.handshake("/", &[("Sec-WebSocket-Protocol", "hookup.v2")]).await;
    assert_eq!((refused.status, refused.body.as_str()), (401, "who are you?"));

    let mut alice = open("alice", &first).await;
    let welcome = frame(&mut alice).await;
    assert_eq!(welcome["resumed"], false);
    assert_eq!(events.connected().await.peer.principal(), Some("alice"));
    assert_eq!(open("bob", &first).await.closed().await, Some(4401));
    alice.text(&run()).await;
    alice.text(&text(1, "still here")).await;
    assert_eq!(events.text().await, "still here");
    alice.reset();
    events.disconnected().await;
    assert_eq!(open("bob", &first).await.closed().await, Some(4401), "nor while she is away");
    assert_eq!(frame(&mut open("alice", &again(&welcome, 1, 2)).await).await["resumed"], true);
}

#[actix::test]
async fn when_there_are_as_many_sessions_as_there_may_be_the_one_away_for_longest_goes_first() {
    let (server, mut events) = recording_with(|builder| builder.max_sessions(2).max_connections(3));
    let session = |n: u32| format!("{n:032x}");
    let (mut ids, mut welcomes) = (Vec::new(), Vec::new());
    for n in 1..=2 {
        let (raw, welcome) = greeted(server.addr, &hello(&session(n), 1)).await;
        welcomes.push(welcome);
        ids.push(events.connected().await.peer.id());
        raw.reset();
        events.disconnected().await;
    }
    let (_third, _) = greeted(server.addr, &hello(&session(3), 1)).await;
    let evicted = async {
        loop {
            if let (Event::SessionEnded(why), peer) = events.next_from().await {
                return (why, peer.id());
            }
        }
    };
    assert_eq!(soon("an end", evicted).await, (SessionEnd::Evicted, ids[0]));
    let (_second, welcome) = greeted(server.addr, &again(&welcomes[1], 1, 1).replace(SESSION, &session(2))).await;
    assert_eq!(welcome["resumed"], true, "the other one stayed");

    let mut fourth = Raw::open(server.addr, "hookup.v2").await;
    fourth.text(&hello(&session(4), 1)).await;
    assert_eq!(fourth.closed().await, Some(1001), "nobody is away");
}

#[actix::test]
async fn connections_without_a_session_count_against_their_bound() {
    let (server, _events) = recording_with(|builder| builder.max_sessions(1).max_connections(2));
    let _silent = [Raw::open(server.addr, "hookup.v2").await, Raw::open(server.addr, "hookup.v2").await];
    let refused = Raw::connect(server.addr).await.handshake("/", &[("Sec-WebSocket-Protocol", "hookup.v2")]).await;
    assert_eq!((refused.status, refused.body.contains("as many connections")), (503, true));
}

#[actix::test]
async fn a_session_is_over_when_its_client_was_away_for_too_long() {
    // The server's threads have clocks of their own, so the time is short.
    let (server, mut events) = recording_with(|builder| builder.session_ttl(Duration::from_millis(500)));
    let (mut raw, _) = greeted(server.addr, &hello(SESSION, 1)).await;
    raw.text(&run()).await;
    raw.text(&text(1, "one")).await;
    assert_eq!(raw.next_text().await, ack(1));
    let peer = events.connected().await.peer;
    raw.reset();
    events.disconnected().await;
    peer.do_send(Text("for nobody"));
    let failed = events.next().await;
    assert!(matches!(&failed, Event::Error(hookup_server::Error::NotSent(_))), "{failed:?}");
    assert!(matches!(events.next().await, Event::SessionEnded(SessionEnd::Expired)));

    let (mut raw, welcome) = greeted(server.addr, &hello_with(SESSION, 1, 3, "{}")).await;
    assert_eq!(welcome["resumed"], false);
    assert_eq!(welcome["recv"][RUN], 1, "what was handled is remembered");
    raw.text(&run()).await;
    raw.text(&text(2, "two")).await;
    assert_eq!(events.text().await, "two");
}
