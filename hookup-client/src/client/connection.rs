//! A connection that has opened, and what follows when it is lost.

use std::time::{Duration, Instant};

use hookup_core::{
    Cause, CloseCode, Error, Event, LONGEST, Reconnecting,
    backoff::random_between,
    driver::now,
    heartbeat::Heartbeat,
    transport::{Command, Progress},
    wire::Protocol,
};
use tokio::sync::mpsc;

use super::{Closing, Connected, HookupClient, State, Then};

/// How many connections in a row may be closed with 4400 and come to nothing: another one would fare no better.
const MAX_REFUSED: u32 = 3;

/// The shortest wait that a goaway can ask for.
const MIN_WAIT: Duration = Duration::from_millis(100);

impl HookupClient {
    pub(super) fn opened(
        &mut self,
        subprotocol: Option<String>,
        commands: mpsc::UnboundedSender<Command>,
        progress: Progress,
    ) {
        let State::Connecting { _attempt } = std::mem::replace(&mut self.state, State::Offline) else { return };
        let Some(protocol) = self.settings.protocol(subprotocol.as_deref()) else {
            return self.lost(Cause::Failed("the server did not choose hookup.v2, which is required".into()));
        };
        let now = now();
        self.has_progress = false;
        let is_greeting = matches!(protocol, Protocol::V2);
        self.state = State::Connected(Connected {
            commands,
            progress,
            heartbeat: self.settings.common.heartbeat.map(|(interval, missed)| Heartbeat::new(interval, missed, now)),
            stable_at: Some(now + self.settings.config.backoff.stability()),
            welcome_by: is_greeting.then(|| now + self.settings.config.connect_timeout),
            leave_at: None,
            is_closing: false,
            is_reconnecting: false,
            _attempt,
        });
        match protocol {
            Protocol::V2 => self.core.connected_v2(),
            Protocol::Format(format) => self.core.connected(format),
        }
    }

    /// The connection is over, or could not be made.
    pub(super) fn lost(&mut self, cause: Cause) {
        self.attempt += 1;
        let was_told = self.core.take_told();
        self.note_progress();
        // What the server asked for may have come together with its close.
        self.heed_goaway(now());
        let (is_reconnecting, leave_at) = match &self.state {
            State::Connected(connected) => (connected.is_reconnecting, connected.leave_at),
            _ => (false, None),
        };
        let was_offline = matches!(self.state, State::Offline);
        let was_connected = matches!(self.state, State::Connected(_));
        if let Cause::PeerClosed(reason) = &cause {
            self.core.peer_closed(reason);
        }
        self.state = State::Offline;
        self.core.disconnected();
        let code = match &cause {
            Cause::WeClosed(reason) | Cause::PeerClosed(reason) => Some(reason.code),
            _ => None,
        };
        let is_closed = code == Some(CloseCode::NORMAL) || code == Some(CloseCode::SUPERSEDED);
        match &self.closing {
            // What the close is to send goes over the connection that was asked for before it.
            Some(Closing { then: Then::End, .. }) if is_reconnecting => {
                self.state = State::Waiting(now());
                return self.core.tell(Event::Disconnected(cause));
            }
            Some(Closing { then: Then::End, .. }) if is_closed => return self.end(cause),
            Some(Closing { then: Then::Stay, .. }) => {
                self.closing = None;
                self.core.set_offline(true);
                if !was_offline {
                    self.core.tell(Event::Disconnected(cause));
                }
                return;
            }
            Some(Closing { then: Then::Reconnect, .. }) => {
                self.closing = None;
                self.state = State::Waiting(now());
                return self.core.tell(Event::Disconnected(cause));
            }
            _ => {}
        }
        let is_stopped = is_closed && was_connected;
        if was_told || is_stopped {
            self.core.tell(Event::Disconnected(cause.clone()));
        }
        self.refused += u32::from(code == Some(CloseCode::BAD_FRAME) && !self.has_progress);
        if is_stopped {
            self.core.set_offline(true);
        } else if self.refused >= MAX_REFUSED {
            self.give_up(self.refused, &cause);
        } else if let Some(at) = leave_at {
            let now = now();
            self.state = State::Waiting(at);
            let wait = at.saturating_duration_since(now);
            self.core.tell(Event::Reconnecting(Reconnecting::new(1, wait, cause)));
        } else if let Some((attempt, wait)) = self.schedule.next_attempt() {
            // A wait that the jitter made absurd would overflow the clock.
            self.state = State::Waiting(now() + wait.min(LONGEST));
            self.core.tell(Event::Reconnecting(Reconnecting::new(attempt, wait, cause)));
        } else {
            self.give_up(self.schedule.attempts(), &cause);
        }
    }

    /// What the connection has brought counts for the next attempts.
    pub(super) fn note_progress(&mut self) {
        if self.core.take_progress() {
            self.schedule.reset();
            self.has_progress = true;
            self.refused = 0;
        }
    }

    pub(super) fn give_up(&mut self, attempts: u32, cause: &Cause) {
        self.refused = 0;
        self.core.set_offline(true);
        self.core.tell(Event::Error(Error::GaveUp { attempts, cause: cause.to_string() }));
    }

    /// A server that is draining asks its clients to connect again, each at a time of its own.
    pub(super) fn heed_goaway(&mut self, now: Instant) {
        let (Some((from, to)), State::Connected(connected)) = (self.core.goaway(), &mut self.state) else { return };
        // A range of nothing would make the client connect for ever without a pause.
        let wait = || random_between(from, to).max(MIN_WAIT);
        let leave_at = *connected.leave_at.get_or_insert_with(|| now + wait());
        if leave_at <= now && self.closing.is_none() && !connected.is_closing {
            let reason = CloseCode::NORMAL.into();
            self.closing = Some(Closing { reason, until: now, then: Then::Reconnect });
        }
    }
}
