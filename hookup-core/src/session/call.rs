//! The calls of the user's handler, and what it may do wrong in them: panic, block its thread, never end, or be gone.

use std::{
    task::{self, Poll},
    time::{Duration, Instant},
};

use futures_util::future::LocalBoxFuture;

use crate::{
    driver::{self, Until},
    error::Error,
    event::Event,
    handler::{EventHandler, Handling, Refusal, State},
    panics::{catch, discard},
    peer::Peer,
};

/// How long the handler may keep its thread for itself before it is told that it blocks. Everything else on the thread stands
/// still meanwhile; no computing between two awaits should take that long, and no busy machine takes it away for that long.
const BLOCKED: Duration = Duration::from_secs(1);

/// How long it may do so before it has to rest.
const LONG: Duration = Duration::from_millis(50);

/// How long it rests. A task that is ready again at once can keep tokio from its sockets and timers for 61 turns; one that
/// waits for a timer, however short, cannot.
const REST: Duration = Duration::from_millis(1);

type Outcome = Result<(), Refusal>;

/// The handler, and what it is at work on.
pub(super) struct Caller {
    /// There until this is dropped.
    handler: Option<Box<dyn EventHandler>>,
    running: Option<Running>,
    timeout: Option<Duration>,
    rests_until: Option<Instant>,
    is_gone: bool,
    /// What it did wrong and is to be told.
    faults: Vec<Error>,
}

struct Running {
    future: LocalBoxFuture<'static, Outcome>,
    until: Option<Until>,
}

impl Caller {
    /// A handler that may take this long for each event.
    pub(super) fn new(handler: Box<dyn EventHandler>, timeout: Option<Duration>) -> Self {
        Self { handler: Some(handler), running: None, timeout, rests_until: None, is_gone: false, faults: Vec::new() }
    }

    /// Whether nobody handles anything any more.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Whether it has to let others have their turn.
    pub(super) fn rests(&mut self, now: Instant) -> bool {
        self.rests_until.take_if(|until| *until <= now);
        self.rests_until.is_some()
    }

    /// When it is to be polled at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = self.running.as_ref().and_then(|running| running.until.as_ref());
        // What is over while it rests is over when it has rested.
        self.rests_until.or(until.map(Until::at))
    }

    /// What it did wrong since this was last asked.
    pub(super) fn take_faults(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.faults)
    }

    /// Hands it an event. What came of that; `None` when it is at work on it.
    pub(super) fn call(&mut self, event: Event, peer: Peer) -> Option<Outcome> {
        let handler = self.handler.as_mut()?;
        if self.is_gone {
            match event {
                // Its sender is told, and a peer is not to fill the log.
                Event::Text(_) | Event::Json(_) | Event::Binary(_) => tracing::debug!("refused: the handler has gone"),
                event => tracing::error!(?event, "not handled: the session's handler has gone"),
            }
            return Some(Err(Refusal::new("the handler has gone")));
        }
        let began = driver::now();
        let handled = catch(|| handler.handle(event, peer));
        self.spent(began);
        match handled {
            Ok(Handling(State::Later(future))) => {
                let until = self.timeout.map(|timeout| Until::new(driver::now() + timeout));
                self.running = Some(Running { future, until });
                None
            }
            Ok(Handling(State::Done(outcome))) => Some(self.ended(outcome)),
            Err(words) => Some(self.panicked(words)),
        }
    }

    /// What came of the event that it is at work on.
    pub(super) fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Outcome> {
        let Some(Running { future, until }) = &mut self.running else { return Poll::Pending };
        let began = driver::now();
        let polled = catch(|| future.as_mut().poll(cx));
        // Whether its time is over counts after it had the chance to end.
        let is_over = matches!(polled, Ok(Poll::Pending)) && until.as_mut().is_some_and(|until| until.is_over(began));
        let outcome = match polled {
            Ok(Poll::Pending) if !is_over => {
                self.spent(began);
                return Poll::Pending;
            }
            Ok(Poll::Pending) => self.timed_out(),
            Ok(Poll::Ready(outcome)) => self.ended(outcome),
            Err(words) => self.panicked(words),
        };
        if let Some(words) = discard(self.running.take()) {
            // It has ended as it has; only its end went wrong.
            let _ = self.panicked(words);
        }
        self.spent(began);
        Poll::Ready(outcome)
    }

    /// Its thread was its own since `began`.
    fn spent(&mut self, began: Instant) {
        let now = driver::now();
        let took = now.saturating_duration_since(began);
        if took > LONG {
            self.rests_until = Some(now + REST);
        }
        if took > BLOCKED {
            tracing::warn!(?took, "a handler blocks its thread; nothing else runs there meanwhile");
            self.faults.push(Error::HandlerBlocked { took });
        }
    }

    fn ended(&mut self, outcome: Outcome) -> Outcome {
        let handler = self.handler.as_ref().filter(|_| outcome.is_err());
        if handler.is_some_and(|handler| catch(|| handler.is_gone()).unwrap_or_default()) {
            tracing::error!("a session's handler has gone, as an actor that has stopped");
            self.is_gone = true;
        }
        outcome
    }

    fn timed_out(&mut self) -> Outcome {
        let after = self.timeout.unwrap_or_default();
        tracing::error!(?after, "a handler did not end in time; the session goes on");
        self.faults.push(Error::HandlerTimedOut { after });
        Err(Refusal::new("the handler did not end in time"))
    }

    fn panicked(&mut self, message: String) -> Outcome {
        tracing::error!(%message, "a handler panicked; the session goes on");
        self.faults.push(Error::HandlerPanicked { message });
        Err(Refusal::new("the handler failed"))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // The session may be unwinding.
        for words in [discard(self.running.take()), discard(self.handler.take())].into_iter().flatten() {
            tracing::error!(message = %words, "a handler panicked when its session had ended");
        }
    }
}
