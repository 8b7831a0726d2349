//! One end of a session, step by step: formats without acks, with refusals, and without a form for a message.

mod link_support;

use std::{borrow::Cow, sync::Arc};

use hookup_core::{
    Binary, Entry, JsonProtocol, Message, Outbound, SendFailure, SimpleJson, Text, WireFormat,
    link::{News, Transmit},
    wire::{AckId, Inbound, WireError},
    ws::Frame,
};
use link_support::{WITHIN, link, plain, push, receive_request, wanting_ack, written};

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

#[test]
fn a_message_that_has_expired_is_not_sent_over_a_format_either() {
    let mut link = link(10);
    let late = |seq, at| Entry { seq, outbound: Outbound::from(Text("late")).expiring_at(at) };
    push(&mut link, [late(1, 1000), late(2, 1001), plain(3)]);
    let failed = link.poll_transmit(1000);
    assert!(
        matches!(&failed, Some(Transmit::Failed { entry, failure: SendFailure::Expired }) if entry.seq == 1),
        "{failed:?}"
    );
    for seq in [2, 3] {
        let sent = link.poll_transmit(1000);
        assert!(matches!(&sent, Some(Transmit::Message { entry, .. }) if entry.seq == seq), "{sent:?}");
    }
    assert!(link.poll_transmit(1000).is_none());
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
    let Some(Transmit::Reply(refusal)) = link.poll_transmit(0) else { unreachable!("it is refused") };
    push(&mut link, [wanting_ack(5)]);
    written(&mut link);
    assert_eq!(link.receive(refusal.clone()), Ok(News::Nacked { seq: 5, reason: "no".into() }));
    assert_eq!(link.receive(refusal), Ok(News::Nothing));
}

#[test]
fn a_message_that_the_format_cannot_render_fails_without_using_up_an_id() {
    let mut link = link(10);
    link.connected(Arc::new(Refusing));
    push(&mut link, [Entry { seq: 1, outbound: Text("unspeakable").needs_ack(WITHIN) }, wanting_ack(2)]);
    let failed = link.poll_transmit(0);
    let Some(Transmit::Failed { failure: SendFailure::Unrenderable(words), .. }) = failed else { unreachable!() };
    assert_eq!(words, "no words");
    assert_eq!(written(&mut link), ["request 2 as 1"]);
}
