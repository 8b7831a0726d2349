//! What the client is sent: messages of the user's, and news of its socket, its acks and its handler.

use std::time::Instant;

use actix::{Handler, ResponseFuture};
use hookup_core::{
    Binary, Cause, CloseCode, ClosePeer, CloseReason, Error, Event, Json, LONGEST, Outbound, Text,
    ack::AckOutcomes,
    driver::now,
    session::Submission,
    transport::{FLUSH_TIMEOUT, Notice},
};
use tokio::sync::oneshot;

use super::{
    Closing, HookupClient, Phase, State, Then,
    attempt::{Heard, News},
};
use crate::{Close, Closed, Disconnect, Reconnect};

impl Handler<Heard> for HookupClient {
    type Result = ();

    fn handle(&mut self, Heard { attempt, news }: Heard, _: &mut Self::Context) {
        if attempt != self.attempt || !matches!(self.phase, Phase::Running) {
            return;
        }
        if let (State::Connected(connected), News::Notice(Notice::Frames(_) | Notice::Alive)) = (&mut self.state, &news)
            && let Some(heartbeat) = &mut connected.heartbeat
        {
            heartbeat.heard(now());
        }
        match news {
            News::Opened { subprotocol, commands, progress } => self.opened(subprotocol, commands, progress),
            News::Failed(words) => self.lost(Cause::Failed(words)),
            News::Notice(Notice::Frames(frames)) => {
                if let (Err(reason), State::Connected(connected)) = (self.core.receive(frames), &mut self.state) {
                    connected.close(reason);
                }
            }
            News::Notice(Notice::Alive) => {}
            News::Notice(Notice::Written(frames)) => self.core.written(frames),
            News::Notice(Notice::Violated(reason)) => self.core.tell(Event::Error(Error::Protocol(reason))),
            News::Notice(Notice::Ended(cause)) => self.lost(cause),
        }
    }
}

impl Handler<AckOutcomes> for HookupClient {
    type Result = ();

    fn handle(&mut self, outcomes: AckOutcomes, _: &mut Self::Context) {
        self.core.acks_ended(outcomes);
    }
}

impl HookupClient {
    /// Ends the connection, and any that is being tried for; but an end of the client goes on.
    fn stay(&mut self, reason: CloseReason, until: Instant) {
        if !self.closing.as_ref().is_some_and(|closing| closing.then == Then::End) {
            self.closing = Some(Closing { reason, until, then: Then::Stay });
        }
    }
}

impl Handler<ClosePeer> for HookupClient {
    type Result = ();

    fn handle(&mut self, ClosePeer { reason }: ClosePeer, _: &mut Self::Context) {
        self.stay(reason, now() + FLUSH_TIMEOUT);
    }
}

impl Handler<Disconnect> for HookupClient {
    type Result = ();

    fn handle(&mut self, _: Disconnect, _: &mut Self::Context) {
        self.stay(CloseCode::NORMAL.into(), now());
    }
}

impl Handler<Reconnect> for HookupClient {
    type Result = ();

    fn handle(&mut self, _: Reconnect, ctx: &mut Self::Context) {
        if let Phase::Opening(_) = self.phase {
            // It connects when its outbox is open.
            self.closing.take_if(|closing| closing.then != Then::End);
        }
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        self.schedule.reset();
        match (&self.state, &mut self.closing) {
            // A close goes on; but it need not wait for the next attempt.
            (State::Connected(_), Some(Closing { then: Then::End, .. })) => {}
            (State::Connected(_), closing) => {
                let reason = CloseCode::NORMAL.into();
                *closing = Some(Closing { reason, until: now(), then: Then::Reconnect });
            }
            (_, closing) => {
                closing.take_if(|closing| closing.then != Then::End);
                self.connect(ctx);
            }
        }
    }
}

impl Handler<Close> for HookupClient {
    type Result = ResponseFuture<Closed>;

    fn handle(&mut self, Close { within }: Close, _: &mut Self::Context) -> Self::Result {
        let until = now() + within.min(LONGEST);
        let until = match &self.closing {
            Some(Closing { until: earlier, then: Then::End, .. }) => until.min(*earlier),
            _ => until,
        };
        self.core.stop_accepting();
        if let (State::Connected(connected), Some(Closing { then, .. })) = (&mut self.state, &self.closing)
            && connected.is_closing
        {
            match then {
                Then::Reconnect => connected.is_reconnecting = true,
                Then::Stay => connected.is_reconnecting = false,
                Then::End => {}
            }
        }
        self.closing = Some(Closing { reason: CloseCode::NORMAL.into(), until, then: Then::End });
        let (closer, closed) = oneshot::channel();
        self.closers.push(closer);
        Box::pin(async move { closed.await.unwrap_or(Closed { unsent: 0 }) })
    }
}

macro_rules! sends {
    ($($message:ident),*) => {$(
        impl Handler<$message> for HookupClient {
            type Result = Submission;

            fn handle(&mut self, message: $message, _: &mut Self::Context) -> Submission {
                self.core.submit(message)
            }
        }
    )*};
}

sends!(Text, Json, Binary, Outbound);
