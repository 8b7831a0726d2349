//! One end of a session, step by step: ids, acks and the connections they belong to, the window, the order.

mod link_support;

use hookup_core::{Entry, Text, link::News};
use link_support::{WITHIN, link, plain, push, receive, receive_ack, receive_request, reconnect, wanting_ack, written};

#[test]
fn ids_start_at_1_on_every_connection() {
    let mut link = link(10);
    push(&mut link, [wanting_ack(7), wanting_ack(8)]);
    assert_eq!(written(&mut link), ["request 7 as 1", "request 8 as 2"]);
    reconnect(&mut link);
    push(&mut link, [wanting_ack(9)]);
    assert_eq!(written(&mut link), ["request 9 as 1"]);
}

#[test]
fn plain_messages_take_no_id() {
    let mut link = link(10);
    push(&mut link, [plain(1), wanting_ack(2), plain(3), wanting_ack(4)]);
    assert_eq!(written(&mut link), ["plain 1", "request 2 as 1", "plain 3", "request 4 as 2"]);
}

#[test]
fn a_message_is_acked_when_it_was_handled_and_not_before() {
    let mut link = link(10);
    let ticket = receive_request(&mut link);
    assert_eq!(written(&mut link), [""; 0]);
    link.handled(ticket, Ok(()));
    assert_eq!(written(&mut link), ["ack 1"]);
}

#[test]
fn a_message_that_wants_no_ack_gets_none() {
    let mut link = link(10);
    let News::Message { ticket, .. } = receive(&mut link, "plain") else { unreachable!() };
    link.handled(ticket, Ok(()));
    assert_eq!(written(&mut link), [""; 0]);
}

#[test]
fn a_refused_message_gets_no_ack_where_the_format_has_no_refusal() {
    let mut link = link(10);
    let ticket = receive_request(&mut link);
    link.handled(ticket, Err("no"));
    assert_eq!(written(&mut link), [""; 0]);
}

#[test]
fn a_message_of_an_earlier_connection_is_not_acked_on_the_next() {
    let mut link = link(10);
    let (handled, unhandled) = (receive_request(&mut link), receive_request(&mut link));
    link.handled(handled, Ok(()));
    reconnect(&mut link);
    link.handled(unhandled, Ok(()));
    assert!(!link.is_current(unhandled));
    assert_eq!(written(&mut link), [""; 0]);
    let current = receive_request(&mut link);
    link.handled(current, Ok(()));
    assert_eq!(written(&mut link), ["ack 1"], "though it has the same id");
}

#[test]
fn an_ack_that_comes_twice_or_late_or_was_never_due_is_unknown() {
    let mut link = link(10);
    push(&mut link, [wanting_ack(1), wanting_ack(2)]);
    written(&mut link);
    assert_eq!(receive_ack(&mut link, 1), News::Acked { seq: 1 });
    assert_eq!(receive_ack(&mut link, 1), News::Nothing, "twice");
    assert!(link.ended(2).is_some(), "timed out");
    assert_eq!(receive_ack(&mut link, 2), News::Nothing, "late");
    assert_eq!(receive_ack(&mut link, 3), News::Nothing, "never due");
}

#[test]
fn an_ack_with_an_id_of_an_earlier_connection_is_unknown() {
    let mut link = link(10);
    push(&mut link, [wanting_ack(1)]);
    written(&mut link);
    reconnect(&mut link);
    assert_eq!(receive_ack(&mut link, 1), News::Nothing);
}

#[test]
fn the_message_comes_back_when_its_ack_has_ended_and_only_then() {
    let mut link = link(10);
    push(&mut link, [wanting_ack(1)]);
    assert_eq!(link.ended(1), None, "not sent yet");
    written(&mut link);
    assert_eq!(receive_ack(&mut link, 1), News::Acked { seq: 1 });
    assert_eq!(link.first_awaiting(), Some(1), "who counts the time decides when it has ended");
    assert_eq!(link.ended(1), Some(wanting_ack(1).outbound));
    assert_eq!((link.ended(1), link.first_awaiting()), (None, None));
    assert!(link.is_idle());
}

#[test]
fn the_window_holds_messages_back_until_an_ack_has_ended() {
    let mut link = link(2);
    push(&mut link, [wanting_ack(1), wanting_ack(2)]);
    written(&mut link);
    push(&mut link, [wanting_ack(3), wanting_ack(4)]);
    assert_eq!(written(&mut link), [""; 0]);
    assert!(!link.is_flushed());
    link.ended(2);
    assert_eq!(written(&mut link), ["request 3 as 3"]);
    link.ended(1);
    assert_eq!(written(&mut link), ["request 4 as 4"]);
}

#[test]
fn the_window_counts_bytes_too_but_lets_a_first_message_of_any_size_pass() {
    let mut link = link(2);
    let large = |seq| Entry { seq, outbound: Text("x".repeat(100)).needs_ack(WITHIN) };
    push(&mut link, [large(1), wanting_ack(2)]);
    assert_eq!(written(&mut link), ["request 1 as 1"]);
    link.ended(1);
    push(&mut link, [large(3)]);
    assert_eq!(written(&mut link), ["request 2 as 2"], "2 is within the window, 3 is not");
    link.ended(2);
    assert_eq!(written(&mut link), ["request 3 as 3"]);
}

#[test]
fn plain_messages_do_not_count_but_keep_their_place_behind_one_that_is_held_back() {
    let mut link = link(1);
    push(&mut link, [wanting_ack(1), plain(2), wanting_ack(3), plain(4)]);
    assert_eq!(written(&mut link), ["request 1 as 1", "plain 2"]);
    link.ended(1);
    assert_eq!(written(&mut link), ["request 3 as 2", "plain 4"]);
}

#[test]
fn acks_are_not_held_back() {
    let mut link = link(1);
    push(&mut link, [wanting_ack(1), wanting_ack(2)]);
    let ticket = receive_request(&mut link);
    link.handled(ticket, Ok(()));
    assert_eq!(written(&mut link), ["ack 1", "request 1 as 1"]);
}

#[test]
fn there_is_room_for_a_window_of_messages_and_for_none_without_a_connection() {
    let mut link = link(2);
    assert_eq!(link.room(), 2);
    push(&mut link, [plain(1)]);
    assert_eq!(link.room(), 1);
    push(&mut link, [Entry { seq: 2, outbound: Text("x".repeat(20)).into() }]);
    assert_eq!(link.room(), 0);
    written(&mut link);
    assert_eq!(link.room(), 2);
    link.disconnected();
    assert_eq!(link.room(), 0);
}

#[test]
fn a_message_that_is_sent_again_has_a_new_id_and_is_pending_once() {
    let mut link = link(2);
    push(&mut link, [wanting_ack(1), wanting_ack(2)]);
    written(&mut link);
    reconnect(&mut link);
    push(&mut link, [wanting_ack(2), wanting_ack(3)]);
    assert_eq!(written(&mut link), ["request 2 as 1"], "the window is full with 1 and 2");
    assert_eq!(receive_ack(&mut link, 1), News::Acked { seq: 2 });
    assert!(link.ended(2).is_some() && link.ended(2).is_none());
    assert_eq!(written(&mut link), ["request 3 as 2"]);
}

#[test]
fn a_message_whose_ack_came_is_not_sent_again() {
    let mut link = link(10);
    push(&mut link, [wanting_ack(1), wanting_ack(2)]);
    written(&mut link);
    receive_ack(&mut link, 1);
    reconnect(&mut link);
    push(&mut link, [wanting_ack(1), wanting_ack(2)]);
    assert_eq!(written(&mut link), ["request 2 as 1"]);
    assert_eq!(link.room(), 10);
    assert!(link.ended(1).is_some(), "its end is still to be said");
}

#[test]
fn a_message_that_timed_out_while_it_waited_to_be_sent_again_is_not_sent() {
    let mut link = link(10);
    push(&mut link, [wanting_ack(1), wanting_ack(2)]);
    written(&mut link);
    reconnect(&mut link);
    push(&mut link, [wanting_ack(1), wanting_ack(2)]);
    assert!(link.ended(1).is_some());
    assert_eq!(written(&mut link), ["request 2 as 1"]);
    assert_eq!(link.room(), 10);
}
