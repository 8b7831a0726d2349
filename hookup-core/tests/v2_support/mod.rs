//! One end of a `hookup.v2` session, and its frames and news in short.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod lasting;

use std::time::Duration;

use hookup_core::{
    CloseReason, Entry, Message, Outbound, RunId, SendFailure, SessionId, Text, Usage,
    link::{
        News, Ticket, Transmit,
        v2::{Hello, Limits, Link, State},
    },
    ws::{Frame, Role},
};

pub(crate) const SESSION: SessionId = SessionId(0xabc);
/// Runs of the client, and of the server.
pub(crate) const C1: &str = "00000000000000c1";
pub(crate) const C2: &str = "00000000000000c2";
pub(crate) const S1: &str = "00000000000000d1";
pub(crate) const S2: &str = "00000000000000d2";

pub(crate) fn limits(messages: usize, bytes: u64) -> Limits {
    Limits {
        window: Usage { messages, bytes },
        max_frame_bytes: 1000,
        ping: Duration::from_secs(25),
        retain: Duration::from_secs(120),
    }
}

pub(crate) fn run(id: &str) -> RunId {
    id.parse().expect("it is 16 hex digits")
}

/// An end without a connection, and the tickets of what its handler has not handled.
pub(crate) struct End {
    pub(crate) link: Link,
    role: Role,
    pub(crate) tickets: Vec<Ticket>,
    /// What was saved last.
    pub(crate) state: State,
    /// What was sent right after the last welcome.
    pub(crate) sent_last: Vec<String>,
}

impl End {
    pub(crate) fn client() -> Self {
        Self::open(Role::Client, State::new(SESSION, None), C1, 0, limits(4, 100))
    }

    pub(crate) fn server() -> Self {
        Self::open(Role::Server, State::new(SESSION, None), S1, 0, limits(4, 100))
    }

    /// A process opens the state, and the outbox whose last message has this place.
    pub(crate) fn open(role: Role, mut state: State, id: &str, last: u64, limits: Limits) -> Self {
        let was_known = state.is_whole();
        state.begin_run(run(id), last);
        let link = Link::new(role, &state, was_known, limits);
        Self { link, role, tickets: Vec::new(), state, sent_last: Vec::new() }
    }

    /// The next process, that has what was saved last.
    pub(crate) fn restart(self, id: &str, last: u64) -> Self {
        Self::open(self.role, self.state, id, last, limits(4, 100))
    }

    /// A client whose connection is open: it has greeted, and has had this welcome.
    pub(crate) fn client_with(welcome: &str) -> Self {
        let mut end = Self::client();
        end.connect(welcome);
        end
    }

    pub(crate) fn connect(&mut self, welcome: &str) {
        self.link.connected();
        self.save();
        self.sends();
        self.gets(welcome);
        self.save();
        assert_eq!(self.sends(), [""; 0], "nothing was pushed");
        assert!(self.link.is_open());
    }

    /// A server that has had this hello, and has sent its welcome.
    pub(crate) fn server_with(hello: &str) -> Self {
        let mut end = Self::server();
        end.greet(hello);
        end
    }

    pub(crate) fn greet(&mut self, hello: &str) -> String {
        let hello = Hello::parse(text(hello)).expect("it is a hello");
        self.link.greeted(&hello).expect("it may claim what it claims");
        self.save();
        self.sent_last = self.sends();
        self.sent_last.remove(0)
    }

    pub(crate) fn save(&mut self) {
        while let Some(state) = self.link.poll_save() {
            self.state = state;
            self.link.saved(true);
        }
    }

    /// Takes a frame that is right.
    pub(crate) fn gets(&mut self, frame: &str) {
        self.link.receive(text(frame)).unwrap_or_else(|error| unreachable!("{error} for {frame}"));
    }

    /// Takes a frame that is wrong.
    pub(crate) fn refuses(&mut self, frame: &str) -> CloseReason {
        match self.link.receive(text(frame)) {
            Err(error) => error,
            Ok(()) => unreachable!("{frame} was taken"),
        }
    }

    pub(crate) fn push(&mut self, places: impl IntoIterator<Item = u64>) {
        for place in places {
            self.push_entry(entry(place));
        }
    }

    pub(crate) fn push_entry(&mut self, entry: Entry) {
        self.link.committed(entry.seq);
        self.link.push(entry);
    }

    /// All that may be written now: text frames as they are, binary ones and failures in words.
    pub(crate) fn sends(&mut self) -> Vec<String> {
        self.sends_at(0)
    }

    pub(crate) fn sends_at(&mut self, now: u64) -> Vec<String> {
        std::iter::from_fn(|| self.link.poll_transmit(now)).map(written).collect()
    }

    /// What has happened; the tickets are kept.
    pub(crate) fn news(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(news) = self.link.poll_news() {
            if let News::Message { ticket, .. } | News::Gap { ticket, .. } = &news {
                self.tickets.push(*ticket);
            }
            all.push(short(news));
        }
        all
    }

    /// The handler is done with its oldest message.
    pub(crate) fn handles(&mut self, outcome: Result<(), &str>) {
        self.news();
        let ticket = self.tickets.remove(0);
        self.link.handled(ticket, outcome);
    }

    /// The handler is done with all that came, and that is saved.
    pub(crate) fn handles_all(&mut self) {
        self.news();
        while !self.tickets.is_empty() {
            self.handles(Ok(()));
        }
        self.save();
    }

    /// A client's next connection, over which it sends what it has.
    pub(crate) fn reconnect_with_messages(&mut self, welcome: &str) {
        self.link.connected();
        self.save();
        self.sends();
        self.gets(welcome);
        self.save();
        self.sent_last = self.sends();
    }
}

pub(crate) fn text(frame: &str) -> Frame {
    Frame::Text(frame.to_owned().into())
}

pub(crate) fn entry(place: u64) -> Entry {
    Entry { seq: place, outbound: Text(format!("m{place}")).into() }
}

pub(crate) fn of(place: u64, outbound: impl Into<Outbound>) -> Entry {
    Entry { seq: place, outbound: outbound.into() }
}

fn written(transmit: Transmit) -> String {
    match transmit {
        Transmit::Reply(frame) | Transmit::Frame(frame) | Transmit::Request { frame, .. } => match frame {
            Frame::Text(text) => text.to_string(),
            Frame::Binary(bytes) => format!("binary {bytes:?}"),
        },
        Transmit::Failed { entry, failure } => match failure {
            SendFailure::Expired => format!("{} expired", entry.seq),
            SendFailure::TooBig { len, limit } => format!("{} too big: {len} > {limit}", entry.seq),
            other => format!("{} failed: {other}", entry.seq),
        },
        Transmit::Message { .. } => unreachable!("it is of the other formats"),
    }
}

fn short(news: News) -> String {
    match news {
        News::Message { message, ticket } => {
            let (key, again) = match &message {
                Message::Text(text) => (text.key(), text.redelivered()),
                Message::Json(json) => (json.key(), json.redelivered()),
                Message::Binary(binary) => (binary.key(), binary.redelivered()),
            };
            assert_eq!(key.is_none(), ticket == Ticket::Volatile);
            let said = String::from_utf8_lossy(message.as_bytes());
            format!("{said}{}", if again { ", redelivered" } else { "" })
        }
        News::Gap { missed, .. } => format!("gap of {missed}"),
        News::Delivered { entry } => format!("{} delivered", entry.seq),
        News::Refused { entry, reason } => format!("{} refused: {reason}", entry.seq),
        News::Opened { resumed } => format!("opened, resumed: {resumed}"),
        News::SessionLost => "session lost".to_owned(),
        News::Goaway { retry: (from, to) } => format!("goaway, retry in {from:?} to {to:?}"),
        News::Nothing => "nothing".to_owned(),
        other => unreachable!("{other:?}"),
    }
}

fn offer((run, lo, next, sent): &(&str, u64, u64, u64)) -> String {
    format!("{{\"run\":\"{run}\",\"lo\":{lo},\"next\":{next},\"sent\":{sent}}}")
}

fn parts(runs: &[(&str, u64, u64, u64)], recv: &[(&str, u64)]) -> String {
    let runs = runs.iter().map(offer).collect::<Vec<_>>().join(",");
    let recv = recv.iter().map(|(run, seq)| format!("\"{run}\":{seq}")).collect::<Vec<_>>().join(",");
    format!("\"runs\":[{runs}],\"recv\":{{{recv}}},\"window\":{{\"messages\":4,\"bytes\":100}}")
}

/// A hello of these runs (id, lo, next, sent) and cursors.
pub(crate) fn hello(runs: &[(&str, u64, u64, u64)], recv: &[(&str, u64)]) -> String {
    format!("{{\"type\":\"hello\",\"session\":\"{SESSION}\",{}}}", parts(runs, recv))
}

/// A welcome of these runs (id, lo, next, sent) and cursors.
pub(crate) fn welcome(resumed: bool, runs: &[(&str, u64, u64, u64)], recv: &[(&str, u64)]) -> String {
    let rest = "\"max_bytes\":1000,\"ping_ms\":25000,\"retain_ms\":120000";
    format!("{{\"type\":\"welcome\",\"resumed\":{resumed},{},{rest}}}", parts(runs, recv))
}

pub(crate) fn announced(run: &str) -> String {
    format!("{{\"type\":\"run\",\"run\":\"{run}\"}}")
}

/// The text message `m<place>` as `seq`.
pub(crate) fn said(seq: u64, place: u64) -> String {
    format!("{{\"type\":\"text\",\"seq\":{seq},\"content\":\"m{place}\"}}")
}

pub(crate) fn acked(run: &str, seq: u64) -> String {
    format!("{{\"type\":\"ack\",\"run\":\"{run}\",\"seq\":{seq}}}")
}

/// A skip of places of which so many were dropped.
pub(crate) fn dropped(seq: u64, to: u64, lost: u64) -> String {
    format!("{{\"type\":\"skip\",\"seq\":{seq},\"to\":{to},\"lost\":{lost}}}")
}

pub(crate) fn skipped(seq: u64, to: u64) -> String {
    format!("{{\"type\":\"skip\",\"seq\":{seq},\"to\":{to}}}")
}
