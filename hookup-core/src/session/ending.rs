//! The end of a session in its process.

use std::{
    task::{self, Poll, ready},
    time::Instant,
};

use super::core::SessionCore;
use crate::event::Event;

impl SessionCore {
    /// The session is about to end in its process: its handler is given nothing more of what the peer keeps, and sends again.
    pub fn drain(&mut self) {
        self.inbox.hold_sequenced();
        self.changed = true;
    }

    /// After [`SessionCore::drain`]: ready when the handler is done with what it was given, and what it sent is accepted. To
    /// be called once per wake-up, when the mailbox is empty.
    pub fn poll_drained(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        if !self.inbox.is_at_rest() {
            return Poll::Pending;
        }
        if self.inbox.take_worked() {
            // What it has sent is in the mailbox.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// After [`SessionCore::poll_end`]: tells the handler the rest, and what comes of what it still sends, and then its last
    /// event. To be called once per wake-up, when the mailbox is empty.
    pub fn poll_told(&mut self, now: Instant, cx: &mut task::Context<'_>) -> Poll<()> {
        self.poll(now, cx, |_, _| {});
        // What the handler has sent is in the mailbox, and is to be answered before anything ends.
        let is_running = self.inbox.is_running();
        if self.inbox.take_worked() && !is_running || self.inbox.release_last() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.inbox.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ends the session here, once its outbox has done what it was asked to. Every waiter is resolved. What is left
    /// `stays` in an outbox that is durable, or else is reported: as lost, if it was sent, and as not sent, if not. What the
    /// peer sent over `hookup.v2` and was not handled is dropped: the peer keeps it. Then the outbox is closed, and `last`
    /// is the last event, if there is to be one.
    pub fn poll_end(&mut self, stays: bool, last: Option<Event>, cx: &mut task::Context<'_>) -> Poll<()> {
        self.stop_accepting();
        self.links.disconnected();
        self.is_connected = false;
        self.inbox.drop_sequenced();
        self.inbox.lift_rate();
        while self.work(cx) {}
        self.acks.flush();
        self.changed = false;
        let stays = stays && self.outgoing.is_durable();
        if !stays && self.outgoing.is_draining() {
            // What was asked of the outbox before has been done.
        } else if !self.outgoing.is_idle() || self.links.has_answered() || self.armed.has_answered() {
            return Poll::Pending; // The supervisor's answer wakes the actor.
        }
        loop {
            let armed = &self.armed;
            let report = ready!(self.outgoing.poll_give_up(stays, &mut self.links, |seq| armed.is_armed(seq), cx));
            if report.is_empty() {
                break;
            }
            self.report(report);
        }
        if self.inbox.is_running_sequenced() || !self.outgoing.is_saved(&mut self.links) {
            return Poll::Pending; // The handler, or the outbox, wakes the actor.
        }
        ready!(self.outgoing.poll_close(cx));
        self.inbox.push_last(last);
        self.ended = true;
        Poll::Ready(())
    }
}
