//! One end of a session over the two Hookup formats, and formats like them. Pure: no sockets, no clock, no actors.
//!
//! It numbers ack requests, knows which of them are unanswered, keeps the window, and remembers which connection a
//! message came over, so that an ack never goes to another one, where its id means another message.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{News, Ticket, Transmit};
use crate::{
    error::SendFailure,
    outbound::Outbound,
    outbox::{Entry, Usage},
    panics::catch,
    wire::{AckId, Inbound, WireError, WireFormat},
    ws::{CloseCode, Frame},
};

/// The state of one end.
#[derive(Debug)]
pub struct FormatLink {
    format: Option<Arc<dyn WireFormat>>,
    connection: u64,
    window: Usage,
    max_frame_bytes: usize,
    next_id: AckId,
    /// What is to be sent, in order.
    ready: VecDeque<Entry>,
    ready_bytes: u64,
    /// Messages that were sent and whose ack has not ended, by `seq`. They survive a disconnect.
    awaiting: BTreeMap<u64, Awaiting>,
    awaiting_usage: Usage,
    /// This connection's ids of those that were sent over it.
    ids: HashMap<AckId, u64>,
    replies: VecDeque<Frame>,
    volatile: VecDeque<Outbound>,
}

#[derive(Debug)]
struct Awaiting {
    outbound: Outbound,
    /// Its id on the present connection, once it was sent over it.
    id: Option<AckId>,
    /// Whether its ack or nack has come.
    answered: bool,
}

const PANICKED: &str = "the wire format panicked";

/// Calls a wire format, which may be the user's; `None` when it panicked.
fn guard<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch(call).inspect_err(|message| tracing::error!(%message, "{PANICKED}")).ok()
}

impl FormatLink {
    /// A link without a connection, that lets at most `window` be sent and not acked.
    pub fn new(window: Usage) -> Self {
        Self {
            format: None,
            connection: 0,
            window,
            max_frame_bytes: usize::MAX,
            next_id: AckId::FIRST,
            ready: VecDeque::new(),
            ready_bytes: 0,
            awaiting: BTreeMap::new(),
            awaiting_usage: Usage::default(),
            ids: HashMap::new(),
            replies: VecDeque::new(),
            volatile: VecDeque::new(),
        }
    }

    /// Fails a message whose frame is longer than this; the peer would close the connection, and be sent it again.
    /// Default: no limit.
    pub fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.max_frame_bytes = bytes;
        self
    }

    /// A connection has opened. What was sent over an earlier one and not acked is to be pushed again.
    pub fn connected(&mut self, format: Arc<dyn WireFormat>) {
        self.disconnected();
        self.format = Some(format);
        self.connection += 1;
        self.next_id = AckId::FIRST;
    }

    /// The connection has ended.
    pub fn disconnected(&mut self) {
        self.format = None;
        self.ready.clear();
        self.ready_bytes = 0;
        self.ids.clear();
        self.awaiting.values_mut().for_each(|awaiting| awaiting.id = None);
        self.replies.clear();
        self.volatile.clear();
    }

    /// Takes a message that is sent at once, or else not at all; `false`: not at all.
    pub fn push_volatile(&mut self, outbound: Outbound) -> bool {
        let sends = self.format.is_some() && self.ready.is_empty() && self.volatile.len() < self.window.messages;
        if sends {
            self.volatile.push_back(outbound);
        }
        sends
    }

    /// The peer closed the connection because of a message that was too big for it. The longest that was sent over the
    /// connection is one that is: it is given up, so that it is not sent for ever.
    pub fn too_big(&mut self) -> Option<Transmit> {
        let sent = self.awaiting.iter().filter(|(_, awaiting)| awaiting.id.is_some() && !awaiting.answered);
        let (&seq, _) = sent.max_by_key(|(_, awaiting)| awaiting.outbound.message().len())?;
        let outbound = self.ended(seq)?;
        let len = outbound.message().len();
        let failure = SendFailure::TooBig { len, limit: len.saturating_sub(1) };
        Some(Transmit::Failed { entry: Entry { seq, outbound }, failure })
    }

    /// Takes over a message that was sent in another way, and whose ack is still waited for.
    pub fn adopt(&mut self, entry: Entry) {
        let (bytes, awaiting) = (entry.bytes(), Awaiting { outbound: entry.outbound, id: None, answered: false });
        if self.awaiting.insert(entry.seq, awaiting).is_none() {
            self.awaiting_usage.add(bytes);
        }
    }

    /// The connection's format, if there is one.
    pub fn format(&self) -> Option<&dyn WireFormat> {
        self.format.as_deref()
    }

    /// How many messages may be pushed.
    pub fn room(&self) -> usize {
        if self.format.is_none() || self.ready_bytes >= self.window.bytes {
            return 0;
        }
        self.window.messages.saturating_sub(self.ready.len())
    }

    /// Puts a message behind those to be sent.
    pub fn push(&mut self, entry: Entry) {
        self.ready_bytes += entry.bytes();
        self.ready.push_back(entry);
    }

    /// Why this message cannot be sent over the present connection, if there is one and it cannot.
    pub fn unsupported(&self, outbound: &Outbound) -> Option<SendFailure> {
        let format = self.format.as_deref()?;
        outbound.ack_within()?;
        let can_ack = guard(|| format.can_ack(outbound.message())).unwrap_or(false);
        (!can_ack).then(|| SendFailure::Unsupported { format: format.name().to_owned() })
    }

    /// The next thing to be written, if there is one and the window allows it.
    /// `now` is the time since the Unix epoch, in milliseconds.
    pub fn poll_transmit(&mut self, now: u64) -> Option<Transmit> {
        if let Some(reply) = self.replies.pop_front() {
            return Some(Transmit::Reply(reply));
        }
        if let Some(frame) = self.poll_volatile() {
            return Some(Transmit::Frame(frame));
        }
        let entry = self.pop_ready()?;
        let within = entry.outbound.ack_within();
        let failure = if entry.outbound.has_expired(now) {
            SendFailure::Expired
        } else {
            match self.render(&entry.outbound)? {
                Ok(frame) => return Some(self.sent(entry, within, frame)),
                Err(failure) => failure,
            }
        };
        // It may have been sent over an earlier connection, in another format.
        self.ended(entry.seq);
        Some(Transmit::Failed { entry, failure })
    }

    fn poll_volatile(&mut self) -> Option<Frame> {
        while let Some(outbound) = self.volatile.pop_front() {
            match self.render(&outbound)? {
                Ok(frame) => return Some(frame),
                Err(error) => tracing::debug!(%error, "a volatile message is dropped"),
            }
        }
        None
    }

    fn render(&self, outbound: &Outbound) -> Option<Result<Frame, SendFailure>> {
        let format = self.format.as_deref()?;
        if let Some(failure) = self.unsupported(outbound) {
            return Some(Err(failure));
        }
        let id = outbound.ack_within().map(|_| self.next_id);
        Some(match guard(|| format.render(outbound.message(), id)) {
            Some(Ok(frame)) if frame.len() <= self.max_frame_bytes => Ok(frame),
            Some(Ok(frame)) => Err(SendFailure::TooBig { len: frame.len(), limit: self.max_frame_bytes }),
            Some(Err(words)) => Err(SendFailure::Unrenderable(words.into_owned())),
            None => Err(SendFailure::Unrenderable(PANICKED.into())),
        })
    }

    fn sent(&mut self, entry: Entry, within: Option<Duration>, frame: Frame) -> Transmit {
        let Some(within) = within else { return Transmit::Message { frame, entry } };
        let id = self.next_id;
        self.next_id = AckId::new(id.get() + 1).unwrap_or(AckId::FIRST);
        let Entry { seq, outbound } = entry;
        self.ids.insert(id, seq);
        let len = outbound.message().len() as u64;
        let awaiting = Awaiting { outbound, id: Some(id), answered: false };
        if self.awaiting.insert(seq, awaiting).is_none() {
            self.awaiting_usage.add(len);
        }
        Transmit::Request { frame, seq, within: Some(within) }
    }

    /// Takes out the next message that the window lets through.
    fn pop_ready(&mut self) -> Option<Entry> {
        loop {
            let entry = self.ready.front()?;
            match self.awaiting.get(&entry.seq) {
                Some(Awaiting { answered: false, .. }) => {}
                // Its ack has come, and only its end has not been said yet.
                Some(_) => {
                    self.ready_bytes -= entry.bytes();
                    self.ready.pop_front();
                    continue;
                }
                None => {
                    let wants_ack = entry.outbound.ack_within().is_some();
                    let fits = self.awaiting.is_empty() || self.awaiting_usage.admits(entry.bytes(), self.window);
                    if wants_ack && !fits {
                        return None;
                    }
                }
            }
            self.ready_bytes -= entry.bytes();
            return self.ready.pop_front();
        }
    }

    /// Takes a frame of the peer's.
    ///
    /// # Errors
    /// When the format cannot parse it.
    pub fn receive(&mut self, frame: Frame) -> Result<News, WireError> {
        let Some(format) = self.format.as_deref() else { return Ok(News::Nothing) };
        let kept = frame.clone();
        let parsed = guard(|| format.parse(frame));
        Ok(match parsed.unwrap_or_else(|| Err(WireError::new(PANICKED, kept).closing(CloseCode::ERROR)))? {
            Inbound::Message { message, ack } => {
                News::Message { message, ticket: Ticket::Connection { connection: self.connection, ack } }
            }
            Inbound::Ack(id) => self.answered(id).map_or(News::Nothing, |seq| News::Acked { seq }),
            Inbound::Nack { id, reason } => self.answered(id).map_or(News::Nothing, |seq| News::Nacked { seq, reason }),
        })
    }

    fn answered(&mut self, id: AckId) -> Option<u64> {
        let seq = self.ids.remove(&id)?;
        if let Some(awaiting) = self.awaiting.get_mut(&seq) {
            awaiting.answered = true;
        }
        Some(seq)
    }

    /// The ticket of a frame that is to be counted against this connection, and never acked.
    pub fn ticket(&self) -> Ticket {
        Ticket::Connection { connection: self.connection, ack: None }
    }

    /// How many acks and refusals wait to be sent.
    pub fn replies(&self) -> usize {
        self.replies.len()
    }

    /// Whether a message came over the present connection.
    pub fn is_current(&self, ticket: Ticket) -> bool {
        self.format.is_some()
            && matches!(ticket, Ticket::Connection { connection, .. } if connection == self.connection)
    }

    /// The handler is done with a message; `Err` is its refusal.
    pub fn handled(&mut self, ticket: Ticket, outcome: Result<(), &str>) {
        let Ticket::Connection { ack: Some(id), .. } = ticket else { return };
        let Some(format) = self.format.as_deref() else { return };
        if !self.is_current(ticket) {
            return;
        }
        let reply = guard(|| match outcome {
            Ok(()) => format.render_ack(id),
            Err(reason) => format.render_nack(id, reason),
        });
        self.replies.extend(reply.flatten());
    }

    /// The ack of message `seq` has ended, one way or the other: the message, if it was pending.
    pub fn ended(&mut self, seq: u64) -> Option<Outbound> {
        let Awaiting { outbound, id, .. } = self.awaiting.remove(&seq)?;
        self.awaiting_usage.subtract(outbound.message().len() as u64);
        if let Some(at) = self.ready.iter().position(|entry| entry.seq == seq) {
            self.ready_bytes -= outbound.message().len() as u64;
            self.ready.remove(at);
        }
        if let Some(id) = id {
            self.ids.remove(&id);
        }
        Some(outbound)
    }

    /// The lowest `seq` whose ack is pending.
    pub fn first_awaiting(&self) -> Option<u64> {
        self.awaiting.first_key_value().map(|(&seq, _)| seq)
    }

    /// The message whose ack is pending.
    pub fn get(&self, seq: u64) -> Option<&Outbound> {
        self.awaiting.get(&seq).map(|awaiting| &awaiting.outbound)
    }

    /// Takes out the oldest message behind `sent`, which is to be the last that was sent: it is not sent.
    pub fn take_unsent(&mut self, sent: u64) -> Option<Entry> {
        let at = self.ready.partition_point(|entry| entry.seq <= sent);
        let entry = self.ready.remove(at)?;
        self.ready_bytes -= entry.bytes();
        Some(entry)
    }

    /// Whether an ack or a nack has come whose outcome has not been said yet.
    pub fn has_answered(&self) -> bool {
        self.awaiting.values().any(|awaiting| awaiting.answered)
    }

    /// Whether nothing is waiting to be sent.
    pub fn is_flushed(&self) -> bool {
        self.ready.is_empty() && self.replies.is_empty() && self.volatile.is_empty()
    }

    /// Whether nothing is waiting to be sent, or to be acked.
    pub fn is_idle(&self) -> bool {
        self.is_flushed() && self.awaiting.is_empty()
    }
}
