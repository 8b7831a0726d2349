//! What comes over a socket: read while the session keeps up, and handed on in batches.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{self, Poll, Waker},
};

use actix_web::{error::PayloadError, web};
use futures_util::Stream;
use hookup_core::{
    Cause,
    driver::Alarm,
    transport::{CLOSE_TIMEOUT, Credit, ReadGate},
    ws::{Batch, Decoder},
};

/// What the socket's reader hands to the actor.
pub(crate) enum Arrival {
    Batch(Batch),
    Broken(Cause),
}

/// A read gate, and the reader that waits at it.
pub(super) struct Gate {
    gate: ReadGate,
    waker: Option<Waker>,
}

impl Gate {
    pub(super) fn new(bound: Credit) -> Self {
        Self { gate: ReadGate::new(bound), waker: None }
    }

    /// What came over earlier connections and is not handled counts, too.
    pub(super) fn owe(&mut self, unhandled: Credit) {
        self.gate.owe(unhandled);
    }

    pub(super) fn open_for_good(&mut self) {
        self.gate.open_for_good();
        self.handled(Credit::default());
    }

    pub(super) fn handled(&mut self, credit: Credit) {
        self.gate.handled(credit);
        if self.gate.is_open()
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }
}

/// Reads the socket while the gate is open, and gives what came in together as one batch.
pub(super) struct Incoming {
    payload: web::Payload,
    decoder: Decoder,
    gate: Rc<RefCell<Gate>>,
    /// How the socket ended, while what came in before has not been handed on yet.
    broken: Option<Cause>,
    is_over: bool,
    /// How long what came before a violation has for being handled.
    patience: Alarm,
}

impl Incoming {
    pub(super) fn new(payload: web::Payload, decoder: Decoder, gate: Rc<RefCell<Gate>>) -> Self {
        Self { payload, decoder, gate, broken: None, is_over: false, patience: Alarm::default() }
    }
}

impl Stream for Incoming {
    type Item = Arrival;

    fn poll_next(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Arrival>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let mut gate = this.gate.borrow_mut();
        let (mut batch, mut arrived) = (Batch::default(), false);
        while this.broken.is_none() {
            batch.take(&mut this.decoder, &mut gate.gate);
            this.is_over = batch.end.is_some();
            if this.is_over {
                break;
            }
            if batch.is_held {
                cx.waker().wake_by_ref();
                break;
            }
            if gate.gate.is_draining() && this.patience.has_passed(CLOSE_TIMEOUT, cx) {
                gate.gate.open_for_good();
                continue;
            }
            if !gate.gate.is_open() {
                gate.waker = Some(cx.waker().clone());
                break;
            }
            match Pin::new(&mut this.payload).poll_next(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    this.decoder.buffer().extend_from_slice(&bytes);
                    arrived = true;
                }
                // What an HTTP body would lack, a WebSocket's stream does not: it has no length.
                Poll::Ready(Some(Err(PayloadError::Incomplete(_))) | None) => this.broken = Some(Cause::EndOfStream),
                Poll::Ready(Some(Err(error))) => this.broken = Some(Cause::Failed(error.to_string())),
                Poll::Pending => break,
            }
        }
        // A part of a long message is a sign of life, too.
        batch.alive |= arrived && batch.is_empty();
        if !batch.is_empty() {
            return Poll::Ready(Some(Arrival::Batch(batch)));
        }
        match this.broken.take() {
            Some(cause) => {
                this.is_over = true;
                Poll::Ready(Some(Arrival::Broken(cause)))
            }
            None => Poll::Pending,
        }
    }
}
