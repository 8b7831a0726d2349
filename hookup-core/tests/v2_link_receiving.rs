//! `hookup.v2`, step by step: sequence and repeats, acks and nacks, skips, gaps, flags, volatile messages.

mod v2_support;

use bytes::Bytes;
use hookup_core::ws::Frame;
use v2_support::{C1, C2, End, S1, acked, announced, dropped, hello, said, skipped};

/// A server that its client has announced the first run to.
fn receiving() -> End {
    let mut server = End::server_with(&hello(&[(C1, 1, 9, 0)], &[]));
    server.gets(&announced(C1));
    server.news();
    server
}

fn nacked(run: &str, seq: u64, reason: &str) -> String {
    format!("{{\"type\":\"nack\",\"run\":\"{run}\",\"seq\":{seq},\"reason\":\"{reason}\"}}")
}

#[test]
fn a_message_is_handed_over_with_its_identity_and_acked_when_it_was_handled_and_that_is_saved() {
    let mut server = receiving();
    server.gets(&said(1, 1));
    let Some(hookup_core::link::News::Message { message: hookup_core::Message::Text(text), ticket }) =
        server.link.poll_news()
    else {
        unreachable!()
    };
    let key = text.key().map(|key| key.to_string());
    assert_eq!(key.as_deref(), Some("00000000000000000000000000000abc-00000000000000c1-1"));
    server.save();
    assert_eq!(server.sends(), [""; 0], "not handled");
    server.link.handled(ticket, Ok(()));
    assert_eq!(server.sends(), [""; 0], "not saved");
    let state = server.link.poll_save().expect("the cursor moved");
    assert_eq!(state.cursors[0].seq, 1);
    assert_eq!(server.sends(), [""; 0], "being saved");
    server.link.saved(true);
    assert_eq!(server.sends(), [acked(C1, 1)]);
}

#[test]
fn nothing_is_acked_of_a_save_that_failed_and_it_is_tried_again() {
    let mut server = receiving();
    server.gets(&said(1, 1));
    server.handles(Ok(()));
    assert!(server.link.poll_save().is_some());
    assert!(server.link.poll_save().is_none(), "one at a time");
    server.link.saved(false);
    assert_eq!((server.sends(), server.link.is_saving()), (vec![], true));
    assert_eq!(server.link.poll_save().map(|state| state.cursors[0].seq), Some(1));
    server.link.saved(true);
    assert_eq!((server.sends(), server.link.is_saving()), (vec![acked(C1, 1)], false));
}

#[test]
fn what_is_handled_during_a_save_is_acked_after_the_next() {
    let mut server = receiving();
    server.gets(&said(1, 1));
    server.gets(&said(2, 2));
    server.handles(Ok(()));
    assert!(server.link.poll_save().is_some());
    server.handles(Ok(()));
    server.link.saved(true);
    assert_eq!(server.sends(), [acked(C1, 1)]);
    server.save();
    assert_eq!(server.sends(), [r#"{"type":"ack","seq":2}"#], "the run is that of the last ack");
}

#[test]
fn acks_are_cumulative() {
    let mut server = receiving();
    (1..=3).for_each(|seq| server.gets(&said(seq, seq)));
    server.handles_all();
    assert_eq!(server.sends(), [acked(C1, 3)]);
}

#[test]
fn a_repeat_is_dropped_and_acked_again_once_it_was_handled() {
    let mut server = receiving();
    server.gets(&said(1, 1));
    server.gets(&said(1, 1));
    assert_eq!(server.news(), ["m1", "nothing"]);
    server.save();
    assert_eq!(server.sends(), [""; 0], "it was not handled");
    server.handles_all();
    server.sends();
    server.gets(&said(1, 1));
    assert_eq!(server.news(), ["nothing"]);
    assert_eq!(server.sends(), [r#"{"type":"ack","seq":1}"#]);
}

#[test]
fn what_waits_for_the_handler_is_not_handed_over_again_on_the_next_connection() {
    let mut server = receiving();
    server.gets(&said(1, 1));
    server.news();
    server.greet(&hello(&[(C1, 1, 9, 1)], &[(S1, 0)]));
    server.gets(&announced(C1));
    server.gets(&said(1, 1));
    server.gets(&said(2, 2));
    assert_eq!(server.news()[1..], ["nothing", "m2"]);
    server.handles_all();
    assert_eq!(server.sends(), [acked(C1, 2)], "the ticket is good over any connection");
}

#[test]
fn a_refusal_is_a_nack_in_its_place_among_the_acks() {
    let mut server = receiving();
    (1..=3).for_each(|seq| server.gets(&said(seq, seq)));
    for outcome in [Ok(()), Err("no \"2\""), Ok(())] {
        server.handles(outcome);
    }
    assert_eq!(server.sends(), [""; 0], "it is not saved");
    server.save();
    assert_eq!(server.sends(), [&nacked(C1, 2, "no \\\"2\\\""), r#"{"type":"ack","seq":3}"#]);
}

#[test]
fn a_refusal_that_may_not_have_arrived_is_sent_again_on_the_next_connection() {
    let mut server = receiving();
    (1..=3).for_each(|seq| server.gets(&said(seq, seq)));
    for outcome in [Ok(()), Err("no"), Ok(())] {
        server.handles(outcome);
    }
    server.save();
    server.sends();
    let greeting = server.greet(&hello(&[(C1, 1, 9, 3)], &[(S1, 0)]));
    assert!(greeting.contains(&format!("\"recv\":{{\"{C1}\":1}}")), "{greeting}");
    assert_eq!(server.sent_last, [&nacked(C1, 2, "no"), r#"{"type":"ack","seq":3}"#]);
    let greeting = server.greet(&hello(&[(C1, 4, 9, 3)], &[(S1, 0)]));
    assert!(greeting.contains(&format!("\"recv\":{{\"{C1}\":3}}")), "it has arrived: {greeting}");
    assert_eq!(server.sent_last, [""; 0]);
}

#[test]
fn a_newer_run_does_not_cover_a_refusal_that_may_not_have_arrived() {
    let mut server = End::server_with(&hello(&[(C1, 1, 2, 0), (C2, 1, 2, 0)], &[]));
    for frame in [announced(C1), said(1, 1), announced(C2), said(1, 2)] {
        server.gets(&frame);
    }
    server.handles(Err("no"));
    server.handles_all();
    let greeting = server.greet(&hello(&[(C1, 1, 2, 1), (C2, 1, 2, 1)], &[(S1, 0)]));
    assert!(greeting.contains(&format!("\"recv\":{{\"{C1}\":0,\"{C2}\":0}}")), "{greeting}");
    assert_eq!(server.sent_last, [nacked(C1, 1, "no"), acked(C2, 1)]);
}

#[test]
fn a_skip_moves_the_cursor_at_once_or_when_all_before_it_was_handled() {
    let mut server = receiving();
    server.gets(&skipped(1, 2));
    server.save();
    assert_eq!(server.sends(), [acked(C1, 2)]);
    server.gets(&said(3, 3));
    server.gets(&skipped(4, 5));
    server.gets(&skipped(6, 6));
    server.save();
    assert_eq!(server.sends(), [""; 0]);
    server.handles_all();
    assert_eq!(server.sends(), [r#"{"type":"ack","seq":6}"#]);
    server.gets(&said(7, 7));
    assert_eq!(server.news(), ["m7"]);
}

#[test]
fn a_skip_of_what_is_known_is_acked_again_and_one_in_part_known_moves_on() {
    let mut server = receiving();
    server.gets(&said(1, 1));
    server.handles_all();
    server.sends();
    server.gets(&skipped(1, 1));
    assert_eq!(server.sends(), [r#"{"type":"ack","seq":1}"#]);
    server.gets(&skipped(1, 3));
    server.save();
    assert_eq!(server.sends(), [r#"{"type":"ack","seq":3}"#]);
}

#[test]
fn a_skip_of_what_was_dropped_is_a_gap_and_acked_when_the_handler_was_told() {
    let mut server = receiving();
    server.gets(&said(1, 1));
    server.gets(&dropped(2, 5, 3));
    server.gets(&said(6, 6));
    assert_eq!(server.news(), ["m1", "gap of 3", "m6"]);
    server.handles(Ok(()));
    server.save();
    assert_eq!(server.sends(), [acked(C1, 1)]);
    server.handles(Ok(()));
    server.save();
    assert_eq!(server.sends(), [r#"{"type":"ack","seq":5}"#]);
    // The connection breaks before that is heard: nothing is told twice, and of a longer skip only what is new.
    server.greet(&hello(&[(C1, 2, 9, 8)], &[(S1, 0)]));
    server.news();
    server.gets(&announced(C1));
    server.gets(&dropped(2, 5, 3));
    server.gets(&dropped(2, 8, 6));
    assert_eq!(server.news(), ["gap of 2"], "of 7 and 8; 6 was a message");
}

#[test]
fn a_skip_in_a_newer_run_waits_for_the_older_runs_messages() {
    let mut server = End::server_with(&hello(&[(C1, 1, 2, 0), (C2, 1, 3, 0)], &[]));
    for frame in [announced(C1), said(1, 1), announced(C2), skipped(1, 2)] {
        server.gets(&frame);
    }
    server.save();
    assert_eq!(server.sends(), [""; 0], "an ack of the newer run would say that the older one is done");
    server.handles_all();
    assert_eq!(server.sends(), [acked(C1, 1), acked(C2, 2)]);
}

#[test]
fn where_lo_is_above_the_cursor_a_gap_is_raised_and_acked_when_the_handler_was_told() {
    let mut server = receiving();
    server.gets(&said(1, 1));
    server.news();
    server.greet(&hello(&[(C1, 5, 9, 8)], &[(S1, 0)]));
    assert_eq!(server.news(), ["gap of 3", "opened, resumed: true"], "2, 3 and 4; 1 waits for the handler");
    server.handles(Ok(()));
    server.save();
    assert_eq!(server.sends(), [acked(C1, 1)]);
    server.handles(Ok(()));
    server.save();
    assert_eq!(server.sends(), [r#"{"type":"ack","seq":4}"#]);
    server.gets(&announced(C1));
    server.gets(&said(5, 5));
    assert_eq!(server.news(), ["m5"]);
}

#[test]
fn a_gap_that_the_handler_was_not_told_of_is_raised_again_by_the_next_process() {
    let mut server = receiving();
    server.greet(&hello(&[(C1, 5, 9, 8)], &[(S1, 0)]));
    assert_eq!(server.news()[0], "gap of 4");
    let mut server = server.restart("00000000000000d2", 0);
    server.greet(&hello(&[(C1, 5, 9, 8)], &[(S1, 0)]));
    assert_eq!(server.news()[0], "gap of 4");
}

#[test]
fn messages_that_a_process_before_may_have_handled_are_flagged_and_no_others() {
    let mut server = receiving();
    (1..=3).for_each(|seq| server.gets(&said(seq, seq)));
    assert_eq!(server.news(), ["m1", "m2", "m3"]);
    server.handles(Ok(()));
    server.save();
    // It crashes when 2 had its effect.
    let mut server = server.restart("00000000000000d2", 0);
    server.greet(&hello(&[(C1, 2, 9, 3)], &[(S1, 0)]));
    server.gets(&announced(C1));
    (2..=4).for_each(|seq| server.gets(&said(seq, seq)));
    assert_eq!(server.news()[1..], ["m2, redelivered", "m3, redelivered", "m4"]);
}

#[test]
fn what_a_process_has_seen_of_a_run_before_is_not_flagged_on_a_later_connection() {
    let mut server = receiving();
    server.greet(&hello(&[(C1, 1, 9, 3)], &[(S1, 0)]));
    server.gets(&announced(C1));
    server.gets(&said(1, 1));
    assert_eq!(server.news()[1..], ["m1"], "it was sent before, to this process, and did not arrive");
}

#[test]
fn a_server_that_lost_its_store_gets_what_is_not_acked_flagged_and_in_order() {
    let mut server = End::server_with(&hello(&[(C1, 18, 21, 20), (C2, 1, 2, 0)], &[("00000000000000dd", 7)]));
    for frame in [announced(C1), said(18, 18), said(19, 19), said(20, 20), announced(C2), said(1, 21)] {
        server.gets(&frame);
    }
    let flagged = ["m18, redelivered", "m19, redelivered", "m20, redelivered", "m21"];
    assert_eq!(server.news()[1..], flagged);
}

#[test]
fn a_volatile_message_has_no_identity_and_is_never_acked() {
    let mut server = receiving();
    server.gets(r#"{"type":"text","content":"now"}"#);
    server.gets(r#"{"type":"json","content":null}"#);
    server.link.receive(Frame::Binary(Bytes::from_static(b"\0\0\0\0\0\0\0\0bin"))).expect("it is volatile");
    assert_eq!(server.news(), ["now", "null", "bin"]);
    server.handles_all();
    assert_eq!((server.sends(), server.link.is_saving()), (vec![], false));
}

#[test]
fn all_three_kinds_arrive_as_they_were_sent() {
    let mut server = receiving();
    server.gets(r#"{"seq":1,"content":"q\"\u00e4","more":[],"run":5,"reason":{},"type":"text"}"#);
    server.gets(r#"{"type":"json","seq":2,"content":{"a": [1]}}"#);
    server.link.receive(Frame::Binary(Bytes::from_static(b"\0\0\0\0\0\0\0\x03bin"))).expect("it is next");
    assert_eq!(server.news(), ["q\"ä", r#"{"a": [1]}"#, "bin"], "unknown fields are ignored");
}
