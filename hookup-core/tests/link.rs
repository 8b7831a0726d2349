//! One end of a session, step by step: ids, acks and the connections they belong to, the window, the order.

use std::{borrow::Cow, sync::Arc, time::Duration};

use hookup_core::{
    Binary, Entry, JsonProtocol, Message, Outbound, SendFailure, SimpleJson, Text, Usage, WireFormat,
    link::{Link, Received, Ticket, Transmit},
    wire::{AckId, Inbound, WireError},
    ws::Frame,
};

const WITHIN: Duration = Duration::from_secs(5);

/// A link over `jsonProtocol` whose window has room for this many messages of 10 bytes each.
fn link(messages: usize) -> Link {
    let mut link = Link::new(Usage { messages, bytes: messages as u64 * 10 });
    link.connected(Arc::new(JsonProtocol));
    link
}

fn reconnect(link: &mut Link) {
    link.disconnected();
    link.connected(Arc::new(JsonProtocol));
}

fn plain(seq: u64) -> Entry {
    Entry { seq, outbound: Text(format!("m{seq}")).into() }
}

fn wanting_ack(seq: u64) -> Entry {
    Entry { seq, outbound: Text(format!("m{seq}")).needs_ack(WITHIN) }
}

fn push(link: &mut Link, entries: impl IntoIterator<Item = Entry>) {
    entries.into_iter().for_each(|entry| link.push(entry));
}

/// All that may be written now, in short: `ack 1`, `plain 3`, `request 2 as 1`, `failed 4`.
fn written(link: &mut Link) -> Vec<String> {
    let short = |transmit| match transmit {
        Transmit::Reply(frame) => match JsonProtocol.parse(frame) {
            Ok(Inbound::Ack(id)) => format!("ack {id}"),
            other => format!("{other:?}"),
        },
        Transmit::Message { entry, .. } => format!("plain {}", entry.seq),
        Transmit::Request { frame, seq, within } => {
            assert_eq!(within, WITHIN);
            match JsonProtocol.parse(frame) {
                Ok(Inbound::Message { ack: Some(id), .. }) => format!("request {seq} as {id}"),
                other => format!("{other:?}"),
            }
        }
        Transmit::Failed { entry, .. } => format!("failed {}", entry.seq),
    };
    std::iter::from_fn(|| link.poll_transmit()).map(short).collect()
}

fn receive(link: &mut Link, frame: &'static str) -> Received {
    link.receive(Frame::Text(frame.into())).expect("it is well formed")
}

fn receive_ack(link: &mut Link, id: u64) -> Received {
    let ack = AckId::new(id).and_then(|id| JsonProtocol.render_ack(id)).expect("it has a form");
    link.receive(ack).expect("it is well formed")
}

fn receive_request(link: &mut Link) -> Ticket {
    match receive(link, r#"{"type":"ack_request","id":1,"content":"theirs"}"#) {
        Received::Message { ticket, .. } => ticket,
        other => unreachable!("not {other:?}"),
    }
}

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
    let Received::Message { ticket, .. } = receive(&mut link, "plain") else { unreachable!() };
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
    assert_eq!(receive_ack(&mut link, 1), Received::Acked { seq: 1 });
    assert_eq!(receive_ack(&mut link, 1), Received::Unknown, "twice");
    assert!(link.ended(2).is_some(), "timed out");
    assert_eq!(receive_ack(&mut link, 2), Received::Unknown, "late");
    assert_eq!(receive_ack(&mut link, 3), Received::Unknown, "never due");
}

#[test]
fn an_ack_with_an_id_of_an_earlier_connection_is_unknown() {
    let mut link = link(10);
    push(&mut link, [wanting_ack(1)]);
    written(&mut link);
    reconnect(&mut link);
    assert_eq!(receive_ack(&mut link, 1), Received::Unknown);
}

#[test]
fn the_message_comes_back_when_its_ack_has_ended_and_only_then() {
    let mut link = link(10);
    push(&mut link, [wanting_ack(1)]);
    assert_eq!(link.ended(1), None, "not sent yet");
    written(&mut link);
    assert_eq!(receive_ack(&mut link, 1), Received::Acked { seq: 1 });
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
fn needs_ack_fails_where_the_format_has_no_ack() {
    let mut link = link(10);
    let binary = Outbound::from(Binary(vec![1])).needs_ack(WITHIN);
    assert!(matches!(link.unsupported(&binary), Some(SendFailure::Unsupported { format }) if format == "jsonProtocol"));
    assert!(link.unsupported(&wanting_ack(1).outbound).is_none());

    link.connected(Arc::new(SimpleJson));
    assert!(matches!(link.unsupported(&wanting_ack(1).outbound), Some(SendFailure::Unsupported { .. })));
    push(&mut link, [wanting_ack(1), plain(2)]);
    assert_eq!(written(&mut link), ["failed 1", "plain 2"]);
    assert!(link.is_idle());

    link.disconnected();
    assert!(link.unsupported(&binary).is_none(), "which format the next connection has is not known");
}

#[test]
fn a_message_that_is_sent_again_has_a_new_id_and_is_pending_once() {
    let mut link = link(2);
    push(&mut link, [wanting_ack(1), wanting_ack(2)]);
    written(&mut link);
    reconnect(&mut link);
    push(&mut link, [wanting_ack(2), wanting_ack(3)]);
    assert_eq!(written(&mut link), ["request 2 as 1"], "the window is full with 1 and 2");
    assert_eq!(receive_ack(&mut link, 1), Received::Acked { seq: 2 });
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

#[test]
fn a_message_that_the_next_connections_format_cannot_ack_fails_and_is_not_pending_any_more() {
    let mut link = link(10);
    push(&mut link, [wanting_ack(1)]);
    written(&mut link);
    link.disconnected();
    link.connected(Arc::new(SimpleJson));
    push(&mut link, [wanting_ack(1)]);
    assert_eq!(written(&mut link), ["failed 1"]);
    assert_eq!(link.ended(1), None, "it has failed already; it must not fail once more when its time is up");
    assert!(link.is_idle());
}

/// `jsonProtocol` with refusals, and without a form for "unspeakable".
struct Refusing;

impl WireFormat for Refusing {
    fn name(&self) -> &str {
        "refusing"
    }

    fn can_ack(&self, _: &Message) -> bool {
        true
    }

    fn render(&self, message: &Message, ack: Option<AckId>) -> Result<Frame, Cow<'static, str>> {
        if message.as_bytes() == b"unspeakable" { Err("no words".into()) } else { JsonProtocol.render(message, ack) }
    }

    fn render_nack(&self, id: AckId, reason: &str) -> Option<Frame> {
        Some(Frame::Text(format!("{id}: {reason}").into()))
    }

    fn parse(&self, frame: Frame) -> Result<Inbound, WireError> {
        match &frame {
            Frame::Text(text) if &**text == "1: no" => Ok(Inbound::Nack { id: AckId::FIRST, reason: "no".into() }),
            _ => JsonProtocol.parse(frame),
        }
    }
}

#[test]
fn a_refusal_travels_where_the_format_has_one() {
    let mut link = link(10);
    link.connected(Arc::new(Refusing));
    let ticket = receive_request(&mut link);
    link.handled(ticket, Err("no"));
    let Some(Transmit::Reply(refusal)) = link.poll_transmit() else { unreachable!("it is refused") };
    push(&mut link, [wanting_ack(5)]);
    written(&mut link);
    assert_eq!(link.receive(refusal.clone()), Ok(Received::Refused { seq: 5, reason: "no".into() }));
    assert_eq!(link.receive(refusal), Ok(Received::Unknown));
}

#[test]
fn a_message_that_the_format_cannot_render_fails_without_using_up_an_id() {
    let mut link = link(10);
    link.connected(Arc::new(Refusing));
    push(&mut link, [Entry { seq: 1, outbound: Text("unspeakable").needs_ack(WITHIN) }, wanting_ack(2)]);
    let failed = link.poll_transmit();
    let Some(Transmit::Failed { failure: SendFailure::Unrenderable(words), .. }) = failed else { unreachable!() };
    assert_eq!(words, "no words");
    assert_eq!(written(&mut link), ["request 2 as 1"]);
}
