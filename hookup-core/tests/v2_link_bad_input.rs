//! `hookup.v2`: what a peer must not send. Each closes with 4400, changes nothing, and the session goes on over the next
//! connection.

mod v2_support;

use bytes::Bytes;
use hookup_core::{link::v2::Hello, ws::Frame};
use proptest::prelude::*;
use v2_support::{
    C1, C2, End, S1, S2, acked, announced, hello,
    lasting::{client, close, goes_on_at_the_client, goes_on_at_the_server, server},
    said, skipped, text, welcome,
};

/// Frames that neither end may send.
const MALFORMED: &[&str] = &[
    "",
    "{",
    "null",
    "7",
    "\"text\"",
    "[]",
    "{}",
    "not json",
    r#"{"type":"unknown"}"#,
    r#"{"type":"TEXT","content":"x"}"#,
    r#"{"type":7}"#,
    r#"{"type":null,"content":"x"}"#,
    r#"{"type":"text","type":"text","content":"x"}"#,
    r#"{"type":"text"}"#,
    r#"{"type":"text","content":7}"#,
    r#"{"type":"text","seq":2}"#,
    r#"{"type":"text","seq":0,"content":"x"}"#,
    r#"{"type":"text","seq":-2,"content":"x"}"#,
    r#"{"type":"text","seq":2.0,"content":"x"}"#,
    r#"{"type":"text","seq":2e0,"content":"x"}"#,
    r#"{"type":"text","seq":"2","content":"x"}"#,
    r#"{"type":"text","seq":null,"content":"x"}"#,
    r#"{"type":"text","seq":9007199254740992,"content":"x"}"#,
    r#"{"type":"text","seq":18446744073709551616,"content":"x"}"#,
    r#"{"type":"text","seq":2,"content":"x"} trailing"#,
    r#"{"type":"json"}"#,
    r#"{"type":"json","seq":0,"content":1}"#,
    r#"{"type":"json","seq":2,"content":{]}"#,
    r#"{"type":"run"}"#,
    r#"{"type":"run","run":7}"#,
    r#"{"type":"run","run":"c1"}"#,
    r#"{"type":"run","run":"00000000000000xx"}"#,
    r#"{"type":"skip"}"#,
    r#"{"type":"skip","seq":2}"#,
    r#"{"type":"skip","seq":0,"to":2}"#,
    r#"{"type":"skip","seq":2,"to":1}"#,
    r#"{"type":"skip","seq":2,"to":3,"lost":3}"#,
    r#"{"type":"skip","seq":2,"to":3,"lost":-1}"#,
    r#"{"type":"skip","seq":2,"to":9007199254740992}"#,
    r#"{"type":"ack"}"#,
    r#"{"type":"ack","seq":1}"#,
    r#"{"type":"ack","run":"x","seq":1}"#,
    r#"{"type":"ack","seq":9007199254740992}"#,
    r#"{"type":"nack","seq":1}"#,
    r#"{"type":"nack","seq":1,"reason":7}"#,
    r#"{"type":"nack","seq":0,"reason":"no"}"#,
    r#"{"type":"goaway"}"#,
    r#"{"type":"goaway","retry_ms":500}"#,
    r#"{"type":"goaway","retry_ms":[500]}"#,
    r#"{"type":"goaway","retry_ms":[2,1]}"#,
    r#"{"type":"goaway","retry_ms":[0,99999999999]}"#,
    r#"{"type":"hello"}"#,
    r#"{"type":"welcome"}"#,
];

#[test]
fn malformed_frames_close_with_4400_and_change_nothing() {
    for frame in MALFORMED {
        let mut server = server();
        server.news();
        assert_eq!(close(&server.refuses(frame)), 4400, "{frame}");
        goes_on_at_the_server(server);
        let mut client = client();
        client.news();
        assert_eq!(close(&client.refuses(frame)), 4400, "{frame}");
        goes_on_at_the_client(client);
    }
}

#[test]
fn binary_frames_without_a_whole_seq_or_with_one_too_high_close_with_4400() {
    for bytes in [&b""[..], b"\0\0\0\0\0\0\x02", &(1_u64 << 53).to_be_bytes(), &u64::MAX.to_be_bytes()] {
        let mut server = server();
        server.news();
        let refused = server.link.receive(Frame::Binary(Bytes::copy_from_slice(bytes)));
        assert_eq!(refused.err().as_ref().map(close), Some(4400), "{bytes:?}");
        goes_on_at_the_server(server);
    }
}

#[test]
fn frames_that_come_where_they_must_not_close_with_4400_and_change_nothing() {
    let to_server = [
        (hello(&[(C1, 1, 9, 2)], &[]), "a hello for the second time"),
        (welcome(true, &[(C1, 1, 9, 2)], &[]), "a welcome that was not waited for"),
        (r#"{"type":"goaway","retry_ms":[1,2]}"#.to_owned(), "a goaway from a client"),
        (announced(C2), "a run that was not listed"),
        (said(3, 3), "a seq with a hole before it"),
        (skipped(3, 4), "a skip with a hole before it"),
        (acked(S1, 2), "an ack beyond what was sent"),
        (acked(S2, 0), "an ack of a run that was not listed"),
        (r#"{"type":"ack","seq":1}"#.to_owned(), "an ack without its run"),
    ];
    for (frame, reason) in to_server {
        let mut server = server();
        server.news();
        let refused = server.refuses(&frame);
        assert_eq!((close(&refused), &*refused.reason), (4400, reason), "{frame}");
        goes_on_at_the_server(server);
    }
    let to_client = [
        (hello(&[(S1, 1, 9, 2)], &[]), "a hello for the second time"),
        (welcome(true, &[(S1, 1, 9, 2)], &[]), "a welcome that was not waited for"),
        (acked(C1, 2), "an ack beyond what was sent"),
        (announced(S2), "a run that was not listed"),
    ];
    for (frame, reason) in to_client {
        let mut client = client();
        client.news();
        let refused = client.refuses(&frame);
        assert_eq!((close(&refused), &*refused.reason), (4400, reason), "{frame}");
        goes_on_at_the_client(client);
    }
}

#[test]
fn a_cursor_that_goes_back_closes_with_4400() {
    let mut server = server();
    server.push([2]);
    server.sends();
    server.gets(&acked(S1, 1));
    server.news();
    let refused = server.refuses(&acked(S1, 0));
    assert_eq!((close(&refused), &*refused.reason), (4400, "a cursor that goes back"));
    server.greet(&hello(&[(C1, 1, 9, 2)], &[(S1, 1)]));
    assert_eq!(server.sent_last, [announced(S1), said(2, 2)]);
    assert_eq!(close(&server.refuses(&acked(S1, 0))), 4400, "nor behind what the hello said");
}

#[test]
fn a_message_before_its_run_was_announced_closes_with_4400() {
    let mut server = End::server_with(&hello(&[(C1, 1, 9, 0)], &[]));
    for frame in [said(1, 1), skipped(1, 1)] {
        assert_eq!(&*server.refuses(&frame).reason, "a sequenced message before its run");
    }
}

/// Frames that are nearly right: a real one with something else in one place.
fn nearly_right() -> impl Strategy<Value = String> {
    let number = || prop_oneof![0..5_u64, Just(u64::MAX), Just((1 << 53) - 1), Just(1 << 53)];
    let run = || prop::sample::select(&[C1, C2, S1, S2][..]);
    let offers = prop::collection::vec((run(), number(), number(), number()), 0..3);
    let greeting = (any::<bool>(), offers, prop::collection::vec((run(), number()), 0..3));
    prop_oneof![
        4 => (number(), 0..9_u64).prop_map(|(seq, place)| said(seq, place)),
        4 => (number(), number()).prop_map(|(seq, to)| skipped(seq, to)),
        4 => (run(), number()).prop_map(|(run, seq)| acked(run, seq)),
        4 => run().prop_map(announced),
        2 => (run(), number()).prop_map(|(run, seq)| acked(run, seq).replace("\"ack\"", "\"reason\":\"no\",\"type\":\"nack\"")),
        2 => greeting.clone().prop_map(|(resumed, runs, recv)| welcome(resumed, &runs, &recv)),
        2 => greeting.prop_map(|(_, runs, recv)| hello(&runs, &recv)),
        1 => "\\PC{0,40}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn no_frames_in_any_order_make_it_panic(frames in prop::collection::vec(nearly_right(), 0..30)) {
        let mut ends = [server(), client()];
        for frame in frames {
            for end in &mut ends {
                let greets = Hello::parse(text(&frame)).map(|hello| end.link.greeted(&hello));
                if greets.is_err() && let Err(close) = end.link.receive(text(&frame)) {
                    prop_assert_eq!(close.code.0, 4400);
                }
                end.news();
                if let Some(ticket) = end.tickets.pop() {
                    end.link.handled(ticket, Err("no"));
                }
                end.save();
                end.sends();
            }
        }
    }
}
