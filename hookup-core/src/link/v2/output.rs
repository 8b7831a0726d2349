//! What a link has persisted, is given to send, and sends.

use std::time::Duration;

use super::{
    frame::{Hello, Welcome, Window},
    link::{Link, Phase},
    render,
    state::State,
};
use crate::{
    link::{News, Transmit},
    message::Message,
    outbound::Outbound,
    outbox::Entry,
    ws::{Frame, Role},
};

impl Link {
    /// The state, when it has changed since it was last given out and the last save has ended. It is to be persisted, and
    /// then [`Link::saved`] to be called.
    pub fn poll_save(&mut self) -> Option<State> {
        self.begin_save().then(|| self.state())
    }

    /// The state as it was last given out.
    pub fn state(&self) -> State {
        State {
            session: self.session,
            principal: self.principal.clone(),
            heard: self.heard,
            runs: self.sending.runs().collect(),
            cursors: self.receiving.cursors().collect(),
        }
    }

    /// As [`Link::poll_save`], without the state: for an end that keeps nothing beyond its process.
    pub fn begin_save(&mut self) -> bool {
        let due = self.saving.is_none() && self.changes > self.saved;
        if due {
            self.saving = Some(self.changes);
            self.receiving.saving();
        }
        due
    }

    /// The save that was under way has ended; whether what it had is persisted now.
    pub fn saved(&mut self, is_persisted: bool) {
        if let Some(saving) = self.saving.take()
            && is_persisted
        {
            self.saved = saving;
            self.receiving.saved();
            if let Phase::Settling(change) = self.phase
                && self.saved >= change
            {
                self.phase = Phase::Open;
            }
        }
    }

    /// Whether there is something to be saved, or being saved.
    pub fn is_saving(&self) -> bool {
        self.saving.is_some() || self.changes > self.saved
    }

    /// The outbox has confirmed all messages up to this place.
    pub fn committed(&mut self, place: u64) {
        self.sending.committed(place);
    }

    /// How many messages may be pushed.
    pub fn room(&self) -> usize {
        if self.is_open() { self.sending.room() } else { 0 }
    }

    /// Takes the next message from the outbox, in the order of places; those between the last and this one are gone.
    pub fn push(&mut self, entry: Entry) {
        self.news.extend(self.sending.push(entry).map(News::from));
    }

    /// Takes a message that is sent at once, or else not at all; `false`: not at all.
    pub fn push_volatile(&mut self, message: Message) -> bool {
        let sends = self.is_open() && self.sending.is_flushed() && self.volatile.len() < self.limits.window.messages;
        if sends {
            self.volatile.push_back(message);
        }
        sends
    }

    /// A server asks its client to connect again, after a wait in this range.
    pub fn goaway(&mut self, from: Duration, to: Duration) {
        if self.is_open() {
            self.goaway = Some((from, to));
        }
    }

    /// A message that was loaded and is not acked.
    pub fn get(&self, place: u64) -> Option<&Outbound> {
        self.sending.get(place)
    }

    /// The next thing to be written, if there is one. `now` is the time since the Unix epoch, in milliseconds.
    pub fn poll_transmit(&mut self, now: u64) -> Option<Transmit> {
        match self.phase {
            Phase::Offline | Phase::Greeted | Phase::Settling(_) => None,
            Phase::Preparing(change) if self.saved < change => None,
            Phase::Preparing(_) => Some(Transmit::Frame(self.greeting())),
            Phase::Open => {
                if let Some(reply) = self.receiving.poll() {
                    return Some(Transmit::Reply(reply));
                }
                if let Some((from, to)) = self.goaway.take() {
                    return Some(Transmit::Frame(render::goaway(from, to)));
                }
                if let Some(message) = self.volatile.pop_front() {
                    return Some(Transmit::Frame(render::message(&message, None)));
                }
                self.sending.poll(now)
            }
        }
    }

    fn greeting(&mut self) -> Frame {
        let (runs, recv) = (self.sending.offer(), self.receiving.recv());
        let window = Window::new(self.limits.window);
        if self.role == Role::Client {
            self.phase = Phase::Greeted;
            return Hello { session: self.session, runs, recv, window }.render();
        }
        self.phase = Phase::Open;
        let resumed = self.heard;
        self.news.push_back(News::Opened { resumed });
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (ping_ms, retain_ms) = (millis(self.limits.ping), millis(self.limits.retain));
        let max_bytes = self.limits.max_frame_bytes as u64;
        Welcome { resumed, runs, recv, window, max_bytes, ping_ms, retain_ms }.render()
    }

    /// The peer closed the connection because of a message that was too big: which one is not to be sent again.
    pub fn too_big(&mut self) -> Option<Transmit> {
        self.sending.too_big().map(|(entry, failure)| Transmit::Failed { entry, failure })
    }

    /// Whether nothing is waiting to be sent that could be.
    pub fn is_flushed(&self) -> bool {
        self.sending.is_flushed()
            && self.volatile.is_empty()
            && self.goaway.is_none()
            && !(self.is_open() && self.receiving.owes())
    }

    /// Whether nothing is waiting to be sent, to be acked, or to be persisted.
    pub fn is_idle(&self) -> bool {
        self.is_flushed() && self.sending.is_idle() && !self.is_saving()
    }

    /// Takes out the oldest message that is loaded and not acked, and whether it may have been sent.
    pub fn give_up(&mut self) -> Option<(Entry, bool)> {
        self.sending.give_up()
    }

    /// The place of the last message that may ever have been sent, by an earlier process, too.
    pub fn sent_place(&self) -> u64 {
        self.sending.sent_place()
    }

    /// Takes out the oldest message behind `sent`, which is to be the last that was sent: it is not sent.
    pub fn take_unsent(&mut self, sent: u64) -> Option<Entry> {
        self.sending.take_unsent(sent)
    }
}
