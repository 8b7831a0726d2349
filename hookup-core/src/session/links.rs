//! The link of the present connection: that of `hookup.v2`, or that of the formats.
//!
//! A client may have both over time, as servers come and go; a message's place in the outbox means the same to either.

use std::sync::Arc;

use crate::{
    error::SendFailure,
    link::{FormatLink, News, Ticket, Transmit, v2},
    outbound::Outbound,
    outbox::{Entry, Usage},
    wire::WireFormat,
    ws::{CloseReason, Frame},
};

#[derive(Debug)]
pub(super) struct Links {
    formats: FormatLink,
    v2: Option<v2::Link>,
    active: Active,
    /// What the frames of the formats meant, in their order.
    news: std::collections::VecDeque<News>,
}

/// Which of them has, or had, the last connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Active {
    Formats,
    V2,
}

impl Links {
    pub(super) fn new(window: Usage, max_frame_bytes: usize) -> Self {
        let formats = FormatLink::new(window).max_frame_bytes(max_frame_bytes);
        Self { formats, v2: None, active: Active::Formats, news: Default::default() }
    }

    /// The outbox is open, and has a session of `hookup.v2`.
    pub(super) fn opened(&mut self, link: v2::Link) {
        self.v2 = Some(link);
        self.active = Active::V2;
    }

    /// The link of `hookup.v2`, if it has, or had, the last connection.
    pub(super) fn v2(&mut self) -> Option<&mut v2::Link> {
        self.v2.as_mut().filter(|_| self.active == Active::V2)
    }

    fn v2_ref(&self) -> Option<&v2::Link> {
        self.v2.as_ref().filter(|_| self.active == Active::V2)
    }

    /// The link of `hookup.v2`, whether it has the connection or not.
    pub(super) fn session(&mut self) -> Option<&mut v2::Link> {
        self.v2.as_mut()
    }

    /// Whether an ack's timeout takes its message out of the outbox.
    pub(super) fn is_v2(&self) -> bool {
        self.v2_ref().is_some()
    }

    /// A connection of a format has opened. The outbox is to be loaded from the start.
    pub(super) fn connected(&mut self, format: Arc<dyn WireFormat>, is_armed: impl Fn(u64) -> bool) {
        if let Some(link) = &mut self.v2 {
            for entry in link.unload().filter(|entry| is_armed(entry.seq)) {
                self.formats.adopt(entry);
            }
        }
        self.active = Active::Formats;
        self.formats.connected(format);
    }

    /// A client's connection of `hookup.v2` has opened. Whether the outbox is to be loaded from the start.
    pub(super) fn connected_v2(&mut self) -> bool {
        self.formats.disconnected();
        if let Some(link) = &mut self.v2 {
            link.connected();
        }
        std::mem::replace(&mut self.active, Active::V2) != Active::V2
    }

    pub(super) fn disconnected(&mut self) {
        self.formats.disconnected();
        if let Some(link) = &mut self.v2 {
            link.disconnected();
        }
    }

    pub(super) fn receive(&mut self, frame: Frame) -> Result<(), CloseReason> {
        if let Some(link) = self.v2() {
            return link.receive(frame);
        }
        let news = self.formats.receive(frame).unwrap_or_else(News::Unparsed);
        let close = match &news {
            News::Unparsed(error) => error.close.map(|code| CloseReason::new(code, error.problem.clone().into_owned())),
            _ => None,
        };
        self.news.push_back(news);
        close.map_or(Ok(()), Err)
    }

    pub(super) fn poll_news(&mut self) -> Option<News> {
        let news = self.news.pop_front();
        news.or_else(|| self.v2.as_mut().and_then(v2::Link::poll_news))
    }

    pub(super) fn handled(&mut self, ticket: Ticket, outcome: Result<(), &str>) {
        self.formats.handled(ticket, outcome);
        if let Some(link) = &mut self.v2 {
            link.handled(ticket, outcome);
        }
    }

    /// A ticket that is never acked, for what was not understood.
    pub(super) fn ticket(&self) -> Ticket {
        self.formats.ticket()
    }

    pub(super) fn committed(&mut self, seq: u64) {
        if let Some(link) = &mut self.v2 {
            link.committed(seq);
        }
    }

    /// A message was dropped, unsent, as there was no room for it.
    pub(super) fn dropped(&mut self, seq: u64) {
        if let Some(link) = &mut self.v2 {
            link.dropped(seq);
        }
    }

    pub(super) fn room(&self) -> usize {
        self.v2_ref().map_or_else(|| self.formats.room(), v2::Link::room)
    }

    pub(super) fn push(&mut self, entry: Entry) {
        match self.v2() {
            Some(link) => link.push(entry),
            None => self.formats.push(entry),
        }
    }

    pub(super) fn push_volatile(&mut self, outbound: &Outbound) -> bool {
        match self.v2() {
            Some(link) => link.push_volatile(outbound.message().clone()),
            None => self.formats.push_volatile(outbound.clone()),
        }
    }

    pub(super) fn unsupported(&self, outbound: &Outbound) -> Option<SendFailure> {
        if self.is_v2() { None } else { self.formats.unsupported(outbound) }
    }

    pub(super) fn poll_transmit(&mut self, now: u64) -> Option<Transmit> {
        match self.v2() {
            Some(link) => link.poll_transmit(now),
            None => self.formats.poll_transmit(now),
        }
    }

    pub(super) fn too_big(&mut self) -> Option<Transmit> {
        match self.v2() {
            Some(link) => link.too_big(),
            None => self.formats.too_big(),
        }
    }

    /// How many acks wait to be sent; `hookup.v2` needs no more than one.
    pub(super) fn replies(&self) -> usize {
        self.formats.replies()
    }

    /// A message has left the outbox otherwise: it is not waited for under a format any more.
    pub(super) fn gone(&mut self, seq: u64) {
        self.formats.ended(seq);
    }

    /// The wait for the ack of message `seq` has ended: the message, where a link still has it, and whether it leaves the
    /// outbox.
    pub(super) fn ended(&mut self, seq: u64) -> Option<(Outbound, bool)> {
        let is_v2 = self.is_v2();
        if let Some(outbound) = self.formats.ended(seq) {
            return Some((outbound, !is_v2));
        }
        let outbound = self.v2.as_ref().and_then(|link| link.get(seq))?;
        Some((outbound.clone(), false))
    }

    /// Takes out the oldest message that was sent, or loaded, and not acked; and whether it was sent.
    pub(super) fn give_up(&mut self) -> Option<(Entry, bool)> {
        if let Some(seq) = self.formats.first_awaiting() {
            return self.formats.ended(seq).map(|outbound| (Entry { seq, outbound }, true));
        }
        self.v2.as_mut().and_then(v2::Link::give_up)
    }

    /// Takes out the oldest message behind this one: it was not sent.
    pub(super) fn take_unsent(&mut self, sent: u64) -> Option<Entry> {
        match self.v2() {
            Some(link) => link.take_unsent(sent),
            None => self.formats.take_unsent(sent),
        }
    }

    /// How long a message is that was sent and is not acked.
    pub(super) fn bytes_of(&self, seq: u64) -> u64 {
        let outbound = self.v2_ref().map_or_else(|| self.formats.get(seq), |link| link.get(seq));
        outbound.map_or(0, |outbound| outbound.message().len() as u64)
    }

    pub(super) fn has_answered(&self) -> bool {
        self.formats.has_answered()
    }

    /// Whether messages flow.
    pub(super) fn is_open(&self) -> bool {
        self.v2_ref().map_or_else(|| self.formats.format().is_some(), v2::Link::is_open)
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.v2_ref().map_or_else(|| self.formats.is_flushed(), v2::Link::is_flushed)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.formats.is_idle() && self.v2_ref().is_none_or(v2::Link::is_idle)
    }
}
