//! How a session ends: because its connection has, because its handler has gone, or because the server stops.

use std::{
    task::{self, Poll},
    time::Instant,
};

use actix::{ActorContext as _, Context};
use futures_util::FutureExt as _;
use hookup_core::{
    Cause, CloseCode, CloseReason, Event, SessionEnd,
    driver::{now, wall_clock},
    session::{self, Called},
    transport::{Command, FLUSH_TIMEOUT},
};

use super::{Kind, Session};
use crate::registry::Change;

pub(super) enum Phase {
    /// Messages flow, or will.
    Running,
    /// What was not delivered is being reported, unless it stays in the store. Then this is the last event.
    Ending { stays: bool, last: Option<SessionEnd> },
    /// The store is being told.
    Forgetting(Called<()>),
    /// The handler is being told the rest.
    Telling,
}

impl Session {
    /// There is no connection any more.
    pub(super) fn left(&mut self) {
        match self.kind {
            _ if self.draining.is_some() => {}
            _ if self.stopping => self.stop(),
            Kind::Resumable(_) if !self.is_over => {
                self.expires = Some(now() + self.settings.config.session_ttl);
                self.report(Change::Detached);
            }
            _ => self.end(SessionEnd::Closed),
        }
    }

    /// The session is over.
    pub(super) fn end(&mut self, reason: SessionEnd) {
        if let Phase::Running = self.phase {
            self.phase = Phase::Ending { stays: false, last: Some(reason) };
        }
    }

    /// The handler has gone: the client's next connection is to find a new session, with a new handler.
    pub(super) fn handler_gone(&mut self) {
        let reason = CloseReason::new(CloseCode::ERROR, "the handler has gone");
        self.is_over = true;
        self.command(Command::Close(reason.clone()));
        match self.connection {
            Some(_) => self.disconnected(Cause::WeClosed(reason)),
            None => self.end(SessionEnd::Closed),
        }
    }

    /// The session is over in this process.
    pub(super) fn stop(&mut self) {
        match self.kind {
            Kind::Resumable(_) if self.settings.store.is_durable() => {
                self.phase = Phase::Ending { stays: true, last: None };
            }
            _ => self.end(SessionEnd::Stopped),
        }
    }

    /// While the server stops: when the handler is done with what it has begun, or has had its time, the session closes.
    pub(super) fn drain(&mut self, now: Instant, cx: &mut task::Context<'_>) {
        let Some((enough, until)) = self.draining else { return };
        if self.core.poll_drained(cx).is_pending() && now < enough {
            return;
        }
        self.draining = None;
        self.core.stop_accepting();
        if self.connection.is_none() {
            return self.stop();
        }
        // The rest is for the handler's last events.
        let until = now + FLUSH_TIMEOUT.min(until.saturating_duration_since(now) / 2);
        let (_, earlier) = self.closing.get_or_insert((CloseCode::AWAY.into(), until));
        *earlier = until.min(*earlier);
    }

    /// Tells the store that the session is over.
    fn forget(&mut self) -> Phase {
        let Some(state) = self.core.ended_state().filter(|_| matches!(self.kind, Kind::Resumable(_))) else {
            return Phase::Telling;
        };
        let (store, now) = (self.settings.store.clone(), wall_clock());
        let cursor_ttl = u64::try_from(self.settings.config.cursor_ttl.as_millis()).unwrap_or(u64::MAX);
        let end = move || store.end(&state, now).and_then(|()| store.forget(now.saturating_sub(cursor_ttl)));
        Phase::Forgetting(session::call(self.settings.store.is_durable(), end))
    }

    /// Goes through what is left to be done once messages do not flow any more.
    pub(super) fn finish(&mut self, ctx: &mut Context<Self>, cx: &mut task::Context<'_>) {
        if let Phase::Ending { stays, last } = self.phase
            && self.core.poll_end(stays, last.map(Event::SessionEnded), cx).is_ready()
        {
            self.phase = if stays { Phase::Telling } else { self.forget() };
        }
        if let Phase::Forgetting(end) = &mut self.phase
            && let Poll::Ready(ended) = end.poll_unpin(cx)
        {
            if let Err(error) = ended {
                tracing::error!(%error, "the session store could not end a session");
            }
            self.phase = Phase::Telling;
        }
        if let Phase::Telling = self.phase
            && self.core.poll_told(now(), cx).is_ready()
        {
            ctx.stop();
        }
    }
}
