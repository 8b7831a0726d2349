//! `hookup.v2`, step by step: order, the window, acks and nacks, skips, expiry, volatile messages, messages too big.

mod v2_support;

use std::time::Duration;

use hookup_core::{Binary, Json, Text, ws::Role};
use v2_support::{C1, C2, End, S1, acked, announced, dropped, entry, limits, of, said, skipped, text, welcome};

fn connected() -> End {
    let mut client = End::client_with(&first_welcome());
    client.news();
    client
}

fn first_welcome() -> String {
    welcome(false, &[(S1, 1, 1, 0)], &[(C1, 0)])
}

fn resumed(cursor: u64) -> String {
    welcome(true, &[(S1, 1, 1, 0)], &[(C1, cursor)])
}

fn nacked(seq: u64) -> String {
    format!("{{\"type\":\"nack\",\"run\":\"{C1}\",\"seq\":{seq},\"reason\":\"no\"}}")
}

#[test]
fn the_run_is_announced_once_and_messages_follow_in_order_in_their_three_forms() {
    let mut client = connected();
    client.push_entry(of(1, Text("a\"b")));
    client.push_entry(of(2, Json(&[1]).expect("it has a form")));
    client.push_entry(of(3, Binary(b"bin".to_vec())));
    let text = r#"{"type":"text","seq":1,"content":"a\"b"}"#;
    let json = r#"{"type":"json","seq":2,"content":[1]}"#;
    assert_eq!(client.sends(), [&announced(C1), text, json, "binary b\"\\0\\0\\0\\0\\0\\0\\0\\x03bin\""]);
}

#[test]
fn the_window_counts_messages() {
    let mut client = connected();
    assert_eq!(client.link.room(), 4);
    client.push(1..=4);
    assert_eq!((client.sends().len(), client.link.room()), (5, 4));
    client.push(5..=8);
    assert_eq!((client.sends().len(), client.link.room()), (0, 0), "that many are kept at hand");
    client.gets(&acked(C1, 2));
    assert_eq!(client.news(), ["1 delivered", "2 delivered"]);
    assert_eq!(client.sends(), [said(5, 5), said(6, 6)]);
}

#[test]
fn the_window_counts_bytes_but_lets_a_first_message_of_any_size_pass() {
    let mut client = connected();
    client.push_entry(of(1, Text("x".repeat(101))));
    client.push_entry(of(2, Text("y".repeat(99))));
    client.push([3]);
    assert_eq!(client.link.room(), 0, "what waits has more bytes than the bound");
    assert_eq!(client.sends().len(), 2, "the announcement, and the first");
    client.gets(&acked(C1, 1));
    assert_eq!(client.sends().len(), 1, "99 bytes, and 2 more would be too many");
    client.gets(&acked(C1, 2));
    assert_eq!(client.sends(), [said(3, 3)]);
}

#[test]
fn the_smaller_of_both_ends_windows_holds() {
    let mut client = End::client();
    let theirs = first_welcome().replace("\"messages\":4", "\"messages\":1");
    client.connect(&theirs);
    client.push([1, 2]);
    assert_eq!(client.sends(), [announced(C1), said(1, 1)]);
    let ours = welcome(true, &[(S1, 1, 1, 0)], &[(C1, 1)]).replace("\"messages\":4", "\"messages\":9007199254740991");
    client.reconnect_with_messages(&ours);
    client.push(3..=9);
    assert_eq!(client.sends().len(), 3, "two more, and then ours is full: {:?}", client.link);
}

#[test]
fn acks_are_of_the_run_that_they_name_or_of_that_of_the_last() {
    let mut client = connected();
    client.push(1..=3);
    client.sends();
    client.gets(&acked(C1, 1));
    client.gets(r#"{"type":"ack","seq":1}"#);
    client.gets(r#"{"type":"ack","seq":3}"#);
    assert_eq!(client.news(), ["1 delivered", "2 delivered", "3 delivered"], "one that says nothing new is no error");
    assert!(client.link.is_idle());
}

#[test]
fn a_nack_acks_all_before_it_and_refuses_its_own() {
    let mut client = connected();
    client.push(1..=3);
    client.sends();
    client.gets(&nacked(2));
    assert_eq!(client.news(), ["1 delivered", "2 refused: no"]);
    client.gets(&nacked(2));
    assert_eq!(client.news(), [""; 0], "it is known");
}

#[test]
fn an_ack_or_nack_of_what_an_earlier_process_sent_waits_for_it_to_be_loaded() {
    let mut client = connected();
    client.push(1..=3);
    client.sends();
    let mut client = client.restart(C2, 3);
    client.connect(&welcome(true, &[(S1, 1, 1, 0)], &[(C1, 1), (C2, 0)]));
    client.gets(&nacked(2));
    client.push(1..=3);
    assert_eq!(client.news(), ["opened, resumed: true", "1 delivered", "2 refused: no"]);
    assert_eq!(client.sends(), [announced(C1), said(3, 3)]);
}

#[test]
fn a_nack_beyond_the_end_of_an_older_run_that_was_forgotten_refuses_nothing_else() {
    let mut client = connected();
    client.push(1..=3);
    client.sends();
    // The outbox comes back without the last of them.
    let mut client = client.restart(C2, 2);
    client.connect(&welcome(true, &[(S1, 1, 1, 0)], &[(C1, 0), (C2, 0)]));
    client.push(1..=2);
    client.sends();
    client.gets(&nacked(3));
    assert_eq!(client.news()[1..], ["1 delivered", "2 delivered"]);
}

#[test]
fn what_is_not_acked_is_sent_again_in_order_and_before_what_is_new() {
    let mut client = connected();
    client.push(1..=3);
    client.sends();
    client.gets(&acked(C1, 1));
    client.link.disconnected();
    client.push([4]);
    client.reconnect_with_messages(&resumed(2));
    assert_eq!(client.news(), ["1 delivered", "opened, resumed: true", "2 delivered"]);
    assert_eq!(client.sent_last, [announced(C1), said(3, 3), said(4, 4)]);
}

#[test]
fn what_was_unloaded_is_loaded_and_sent_again_unless_it_is_known_to_be_handled() {
    let mut client = connected();
    client.push(1..=3);
    client.sends();
    client.gets(&acked(C1, 1));
    assert_eq!(client.link.unload().map(|entry| entry.seq).collect::<Vec<_>>(), [2, 3]);
    client.connect(&resumed(2));
    client.news();
    client.push(2..=3);
    assert_eq!(client.news(), ["2 delivered"]);
    assert_eq!(client.sends(), [announced(C1), said(3, 3)]);
}

#[test]
fn places_that_carry_nothing_are_skipped() {
    let mut client = connected();
    client.push([3, 4, 6]);
    let skips = [announced(C1), skipped(1, 2), said(3, 3), said(4, 4), skipped(5, 5), said(6, 6)];
    assert_eq!(client.sends(), skips);
    client.gets(&acked(C1, 5));
    assert_eq!(client.news(), ["3 delivered", "4 delivered"]);
}

#[test]
fn the_peer_is_told_how_many_of_what_is_skipped_were_dropped() {
    let mut client = connected();
    client.push([1]);
    assert_eq!(client.sends(), [announced(C1), said(1, 1)]);
    [3, 2, 5].into_iter().for_each(|place| client.link.dropped(place));
    client.push([6]);
    assert_eq!(client.sends(), [dropped(2, 5, 3), said(6, 6)], "4 was withdrawn");
    // Neither has arrived, for what is known here.
    client.reconnect_with_messages(&resumed(1));
    assert_eq!(client.sent_last, [announced(C1), dropped(2, 5, 3), said(6, 6)]);
    client.gets(&acked(C1, 6));
    client.push([8]);
    assert_eq!(client.sends(), [skipped(7, 7), said(8, 8)]);
}

#[test]
fn a_message_that_expired_before_it_was_sent_is_failed_and_skipped() {
    let mut client = connected();
    let soon = Text("soon").expires_in(Duration::from_millis(50)).accepted_at(1000);
    client.push_entry(of(1, soon.clone()));
    assert_eq!(client.sends_at(1049), [&announced(C1), r#"{"type":"text","seq":1,"content":"soon"}"#]);
    client.push_entry(of(2, soon));
    client.push([3]);
    assert_eq!(client.sends_at(1050), ["2 expired", &skipped(2, 2), &said(3, 3)]);
    client.gets(&acked(C1, 3));
    assert_eq!(client.news(), ["1 delivered", "3 delivered"]);
}

#[test]
fn a_message_that_expired_before_it_is_sent_again_is_failed_and_skipped() {
    let mut client = connected();
    client.push_entry(of(1, Text("soon").expires_in(Duration::from_millis(50)).accepted_at(1000)));
    client.push([2]);
    assert_eq!(client.sends_at(1000).len(), 3);
    client.reconnect_with_messages(&resumed(0));
    assert_eq!(client.sent_last[1], r#"{"type":"text","seq":1,"content":"soon"}"#, "the clock says 0");
    client.link.connected();
    client.save();
    client.sends_at(2000);
    client.gets(&resumed(0));
    client.save();
    assert_eq!(client.sends_at(2000), ["1 expired", &announced(C1), &skipped(1, 1), &said(2, 2)]);
}

#[test]
fn a_volatile_message_is_sent_at_once_or_not_at_all() {
    let volatile = || Text("now").into();
    let mut client = End::client();
    assert!(!client.link.push_volatile(volatile()), "there is no connection");
    client.connect(&first_welcome());
    assert!(client.link.push_volatile(volatile()) && !client.link.is_flushed());
    assert_eq!(client.sends(), [r#"{"type":"text","content":"now"}"#]);
    client.push([1]);
    assert!(!client.link.push_volatile(volatile()), "another waits before it");
    client.sends();
    for _ in 0..4 {
        assert!(client.link.push_volatile(volatile()));
    }
    assert!(!client.link.push_volatile(volatile()), "no more than a window of them");
    client.reconnect_with_messages(&resumed(0));
    assert_eq!(client.sent_last, [announced(C1), said(1, 1)], "they are not sent on the next connection");
}

#[test]
fn a_message_longer_than_the_peer_takes_is_failed_and_skipped() {
    let mut client = End::client();
    client.connect(&first_welcome().replace("\"max_bytes\":1000", "\"max_bytes\":60"));
    client.push_entry(of(1, Text("x".repeat(61))));
    client.push([2]);
    assert_eq!(client.sends(), [&announced(C1), "1 too big: 97 > 60", &skipped(1, 1), &said(2, 2)]);
}

#[test]
fn when_the_peer_closes_with_1009_the_longest_message_under_way_is_failed_and_not_sent_again() {
    let mut client = connected();
    client.push_entry(of(1, Text("short")));
    client.push_entry(of(2, Text("the longest")));
    client.push([3]);
    client.sends();
    assert!(matches!(client.link.too_big(),
        Some(hookup_core::link::Transmit::Failed { entry, .. }) if entry.seq == 2));
    client.reconnect_with_messages(&resumed(1));
    assert_eq!(client.sent_last, [announced(C1), skipped(2, 2), said(3, 3)]);
    client.link.disconnected();
    assert!(client.link.too_big().is_none(), "nothing is under way");
}

#[test]
fn what_is_given_up_comes_out_in_order_with_whether_it_may_have_been_sent() {
    let mut client = connected();
    client.push([1]);
    client.sends();
    client.push([2]);
    let given_up = std::iter::from_fn(|| client.link.give_up()).map(|(entry, sent)| (entry.seq, sent));
    assert_eq!(given_up.collect::<Vec<_>>(), [(1, true), (2, false)]);
    assert!(client.link.is_idle() && client.link.get(1).is_none());
}

#[test]
fn what_is_loaded_can_be_looked_at() {
    let mut client = connected();
    client.push([1, 3]);
    assert_eq!(client.link.get(3), Some(&entry(3).outbound));
    assert!(client.link.get(2).is_none());
}

#[test]
fn both_ends_resume_where_the_other_is() {
    let mut server = End::server_with(&v2_support::hello(&[(C1, 1, 1, 0)], &[]));
    server.push(1..=3);
    assert_eq!(server.sends(), [announced(S1), said(1, 1), said(2, 2), said(3, 3)]);
    let answer = server.greet(&v2_support::hello(&[(C1, 1, 4, 3)], &[(S1, 2)]));
    assert_eq!(answer, welcome(true, &[(S1, 3, 4, 3)], &[(C1, 0)]));
    assert_eq!(server.sends(), [""; 0], "it was written with the welcome");
    assert_eq!(server.sent_last, [announced(S1), said(3, 3)]);
    server.link.receive(text(&announced(C1))).expect("it is listed");
    server.gets(&said(1, 1));
    assert_eq!(server.news(), ["opened, resumed: false", "1 delivered", "2 delivered", "opened, resumed: true", "m1"]);
}

#[test]
fn a_seq_above_the_highest_is_not_sent() {
    let mut state = hookup_core::link::v2::State::new(v2_support::SESSION, None);
    state.begin_run(v2_support::run(C1), 0);
    let mut client = End::open(Role::Client, state, C2, 0, limits(4, 100));
    client.connect(&welcome(false, &[(S1, 1, 1, 0)], &[]));
    client.push([1 << 53]);
    let sent = client.sends();
    assert!(sent.last().is_some_and(|last| last.contains("too big")), "{sent:?}");
}
