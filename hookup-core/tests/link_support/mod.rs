//! A link, what is pushed into it and received by it, and what it writes, in short.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{sync::Arc, time::Duration};

use hookup_core::{
    Entry, JsonProtocol, Text, Usage, WireFormat,
    link::{FormatLink, News, Ticket, Transmit},
    wire::{AckId, Inbound},
    ws::Frame,
};

pub(crate) const WITHIN: Duration = Duration::from_secs(5);

/// A link over `jsonProtocol` whose window has room for this many messages of 10 bytes each.
pub(crate) fn link(messages: usize) -> FormatLink {
    let mut link = FormatLink::new(Usage { messages, bytes: messages as u64 * 10 });
    link.connected(Arc::new(JsonProtocol));
    link
}

pub(crate) fn reconnect(link: &mut FormatLink) {
    link.disconnected();
    link.connected(Arc::new(JsonProtocol));
}

pub(crate) fn plain(seq: u64) -> Entry {
    Entry { seq, outbound: Text(format!("m{seq}")).into() }
}

pub(crate) fn wanting_ack(seq: u64) -> Entry {
    Entry { seq, outbound: Text(format!("m{seq}")).needs_ack(WITHIN) }
}

pub(crate) fn push(link: &mut FormatLink, entries: impl IntoIterator<Item = Entry>) {
    entries.into_iter().for_each(|entry| link.push(entry));
}

/// All that may be written now, in short: `ack 1`, `plain 3`, `request 2 as 1`, `failed 4`.
pub(crate) fn written(link: &mut FormatLink) -> Vec<String> {
    let short = |transmit| match transmit {
        Transmit::Reply(frame) => match JsonProtocol.parse(frame) {
            Ok(Inbound::Ack(id)) => format!("ack {id}"),
            other => format!("{other:?}"),
        },
        Transmit::Message { entry, .. } => format!("plain {}", entry.seq),
        Transmit::Request { frame, seq, within } => {
            assert_eq!(within, Some(WITHIN));
            match JsonProtocol.parse(frame) {
                Ok(Inbound::Message { ack: Some(id), .. }) => format!("request {seq} as {id}"),
                other => format!("{other:?}"),
            }
        }
        Transmit::Frame(frame) => format!("{frame:?}"),
        Transmit::Failed { entry, .. } => format!("failed {}", entry.seq),
    };
    std::iter::from_fn(|| link.poll_transmit(0)).map(short).collect()
}

pub(crate) fn receive(link: &mut FormatLink, frame: &'static str) -> News {
    link.receive(Frame::Text(frame.into())).expect("it is well formed")
}

pub(crate) fn receive_ack(link: &mut FormatLink, id: u64) -> News {
    let ack = AckId::new(id).and_then(|id| JsonProtocol.render_ack(id)).expect("it has a form");
    link.receive(ack).expect("it is well formed")
}

pub(crate) fn receive_request(link: &mut FormatLink) -> Ticket {
    match receive(link, r#"{"type":"ack_request","id":1,"content":"theirs"}"#) {
        News::Message { ticket, .. } => ticket,
        other => unreachable!("not {other:?}"),
    }
}
