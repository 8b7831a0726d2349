//! How a message gets from an actor's mailbox into its session, together with whoever waits for the outcome.

use std::{cell::RefCell, fmt, rc::Rc};

use actix::{
    Actor, Message,
    dev::{MessageResponse, OneshotSender},
};

use crate::{error::SendResult, outbound::Outbound};

/// Resolves the `send` of one message; `None` after a `do_send`.
pub(super) type Waiter = Option<OneshotSender<SendResult>>;

/// The messages that came in this wake-up, and that the session has not taken yet.
#[derive(Clone, Default)]
pub struct Submissions(Rc<RefCell<Vec<(Outbound, Waiter)>>>);

impl Submissions {
    /// What an actor's `handle` returns for a message to be sent. The session resolves the waiter later; no future is
    /// spawned for it.
    pub fn submit(&self, outbound: impl Into<Outbound>) -> Submission {
        Submission { queue: self.clone(), outbound: outbound.into() }
    }

    pub(super) fn take(&self) -> Vec<(Outbound, Waiter)> {
        self.0.take()
    }
}

impl fmt::Debug for Submissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Submissions").field(&self.0.borrow().len()).finish()
    }
}

/// A message on its way from a mailbox to a session.
#[derive(Debug)]
pub struct Submission {
    queue: Submissions,
    outbound: Outbound,
}

impl<A, M> MessageResponse<A, M> for Submission
where
    A: Actor,
    M: Message<Result = SendResult>,
{
    fn handle(self, _: &mut A::Context, waiter: Waiter) {
        self.queue.0.borrow_mut().push((self.outbound, waiter));
    }
}
