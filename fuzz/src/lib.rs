//! What the fuzz targets do with their bytes. The tests of `hookup-core` replay the corpus through the same functions.
//!
//! `cargo fuzz run v2_link` fuzzes with coverage, and needs a nightly toolchain; `cargo build` in this directory builds
//! the targets with a stable one, and `cargo run --bin v2_link -- corpus/v2_link` runs them without coverage.

use std::time::Duration;

use hookup_core::{
    Binary, CloseCode, Entry, Json, JsonProtocol, Message, Outbound, RunId, SessionId, SessionState, SimpleJson, Text,
    Usage, WireFormat,
    link::{
        News, Ticket, Transmit,
        v2::{Incoming, Limits, Link},
    },
    ws::{Decoder, Frame, Role},
};

fn frame(data: &[u8]) -> Frame {
    match std::str::from_utf8(data) {
        Ok(text) => Frame::Text(text.to_owned().into()),
        Err(_) => Frame::Binary(data.to_vec().into()),
    }
}

/// Any frame is a frame of `hookup.v2`, or is refused with 4400.
pub fn v2_frame(data: &[u8]) {
    for frame in [frame(data), Frame::Binary(data.to_vec().into())] {
        if let Err(reason) = Incoming::parse(frame) {
            assert_eq!(reason.code, CloseCode::BAD_FRAME);
        }
    }
}

/// A message as it was, but for the blanks around a json message, which are no part of it.
fn bare(message: &Message) -> &[u8] {
    match message {
        Message::Json(json) => json.as_str().trim_matches([' ', '\t', '\r', '\n']).as_bytes(),
        other => other.as_bytes(),
    }
}

/// Any frame is a message or an error of the formats; a message that was parsed is rendered to one that parses to itself.
pub fn formats(data: &[u8]) {
    for format in [&JsonProtocol as &dyn WireFormat, &SimpleJson] {
        let Ok(inbound) = format.parse(frame(data)) else { continue };
        if let hookup_core::wire::Inbound::Message { message, .. } = inbound
            && let Ok(frame) = format.render(&message, None)
        {
            let again = format.parse(frame).expect("what was rendered can be parsed");
            if let hookup_core::wire::Inbound::Message { message: again, .. } = again
                && format.name() == JsonProtocol.name()
            {
                assert_eq!(bare(&again), bare(&message));
            }
        }
    }
    if let Ok(line) = std::str::from_utf8(data)
        && let Ok(outbound) = JsonProtocol::from_stored(line)
    {
        let line = JsonProtocol::to_stored(&outbound).expect("it came from such a line");
        let again = JsonProtocol::from_stored(&line).expect("what was rendered can be parsed");
        assert_eq!(bare(again.message()).len(), bare(outbound.message()).len());
    }
}

/// Any bytes are frames and then, at most once, an error. How they are cut makes no difference to either.
pub fn websocket(data: &[u8]) {
    const LONGEST: usize = 1 << 16;
    for role in [Role::Client, Role::Server] {
        let decode = |piece: usize| {
            let (mut decoder, mut signals) = (Decoder::new(role, LONGEST, 100), Vec::new());
            for piece in data.chunks(piece) {
                decoder.buffer().extend_from_slice(piece);
                loop {
                    match decoder.next_signal() {
                        Ok(None) => break,
                        Ok(Some(signal)) => {
                            if let hookup_core::ws::Signal::Frame(frame) = &signal {
                                assert!(frame.len() <= LONGEST);
                            }
                            signals.push(signal);
                        }
                        Err(reason) => {
                            assert!(matches!(
                                reason.code,
                                CloseCode::PROTOCOL | CloseCode::INVALID | CloseCode::TOO_BIG
                            ));
                            return (signals, Some(reason));
                        }
                    }
                }
            }
            (signals, None)
        };
        assert_eq!(decode(usize::MAX), decode(1));
    }
}

/// An end of a link, and what it needs around it: an outbox in which nothing is ever lost.
struct End {
    link: Link,
    accepted: u64,
    committed: u64,
    entries: Vec<Entry>,
    loaded: u64,
    handed: Vec<Ticket>,
}

const WINDOW: Usage = Usage { messages: 4, bytes: 64 };

impl End {
    fn new(role: Role, run: u64) -> Self {
        let mut state = SessionState::new(SessionId(7), None);
        state.begin_run(RunId(run), 0);
        let hour = Duration::from_secs(3600);
        let limits = Limits { window: WINDOW, max_frame_bytes: 4096, ping: hour, retain: hour };
        let link = Link::new(role, &state, false, limits);
        Self { link, accepted: 0, committed: 0, entries: Vec::new(), loaded: 0, handed: Vec::new() }
    }

    fn accept(&mut self, outbound: Outbound) {
        self.accepted += 1;
        self.entries.push(Entry { seq: self.accepted, outbound });
    }

    fn load(&mut self) {
        self.committed = self.accepted;
        self.link.committed(self.committed);
        let room = self.link.room();
        let loaded = self.loaded;
        for entry in self.entries.iter().filter(|entry| entry.seq > loaded).take(room) {
            self.loaded = entry.seq;
            self.link.push(entry.clone());
        }
    }

    fn news(&mut self) {
        while let Some(news) = self.link.poll_news() {
            match news {
                News::Message { ticket, .. } | News::Gap { ticket, .. } => self.handed.push(ticket),
                News::Delivered { entry } | News::Refused { entry, .. } => {
                    assert!(entry.seq <= self.accepted, "only what was sent is delivered");
                }
                _ => {}
            }
        }
        assert!(self.handed.len() <= 100_000, "what is handed over is bounded by what came");
    }

    fn save(&mut self, works: bool) {
        if self.link.poll_save().is_some() {
            self.link.saved(works);
        }
    }

    fn transmit(&mut self, to: &mut Vec<Frame>) {
        for _ in 0..64 {
            match self.link.poll_transmit(0) {
                Some(Transmit::Reply(frame) | Transmit::Frame(frame) | Transmit::Request { frame, .. }) => {
                    to.push(frame)
                }
                Some(Transmit::Message { .. }) => unreachable!("not over hookup.v2"),
                Some(Transmit::Failed { .. }) => {}
                None => break,
            }
        }
    }
}

/// Any sequence of operations on two ends, with frames of the fuzzer's in between, is survived; and after a clean
/// reconnection, all that the client accepted is delivered.
pub fn v2_link(data: &[u8]) {
    let (mut client, mut server) = (End::new(Role::Client, 1), End::new(Role::Server, 2));
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let mut bytes = data.iter().copied();
    while let Some(op) = bytes.next() {
        let (at_client, op) = (op & 0x80 == 0, op & 0x7f);
        let mut argument = || bytes.next().unwrap_or(0);
        if op == 0 {
            up.clear();
            down.clear();
            client.link.connected();
            server.link.disconnected();
            continue;
        }
        let (end, from, to) =
            if at_client { (&mut client, &mut down, &mut up) } else { (&mut server, &mut up, &mut down) };
        match op % 12 {
            1 => end.accept(Text("x".repeat(usize::from(argument()))).into()),
            2 => end.accept(Binary(vec![argument(); 3]).needs_ack(Duration::from_secs(1))),
            3 => end.accept(Json(&argument()).map_or_else(|_| Message::from(Text("")), Message::from).into()),
            4 => end.load(),
            5 => end.save(argument() % 4 > 0),
            6 => end.transmit(to),
            7 | 8 => receive(end, from, at_client),
            9 => {
                if !end.handed.is_empty() {
                    let refused = argument() % 4 == 0;
                    let ticket = end.handed.remove(0);
                    end.link.handled(ticket, if refused { Err("no") } else { Ok(()) });
                }
            }
            10 => {
                let len = usize::from(argument());
                let frame = frame(&bytes.by_ref().take(len).collect::<Vec<_>>());
                from.push(frame);
            }
            11 => drop(end.link.push_volatile(Text("now").into())),
            _ => end.link.disconnected(),
        }
        client.news();
        server.news();
    }
    settle(client, server);
}

fn receive(end: &mut End, from: &mut Vec<Frame>, at_client: bool) {
    if from.is_empty() {
        return;
    }
    let frame = from.remove(0);
    let received = match hookup_core::link::v2::Hello::parse(frame.clone()) {
        Ok(hello) if !at_client => end.link.greeted(&hello),
        _ => end.link.receive(frame),
    };
    if let Err(reason) = received {
        assert_eq!(reason.code, CloseCode::BAD_FRAME);
        end.link.disconnected();
    }
}

/// With nobody to disturb them, a client and a server of a new session come to rest, whatever the client went through.
fn settle(mut client: End, _: End) {
    let mut server = End::new(Role::Server, 3);
    let (mut up, mut down) = (Vec::new(), Vec::new());
    client.link.connected();
    for _ in 0..10_000 {
        for at_client in [true, false] {
            let (end, from, to) =
                if at_client { (&mut client, &mut down, &mut up) } else { (&mut server, &mut up, &mut down) };
            while !from.is_empty() {
                receive(end, from, at_client);
                end.news();
            }
            for ticket in std::mem::take(&mut end.handed) {
                end.link.handled(ticket, Ok(()));
            }
            end.load();
            end.save(true);
            end.transmit(to);
            end.news();
        }
        if up.is_empty() && down.is_empty() && client.loaded == client.accepted && client.link.is_idle() {
            return;
        }
    }
    panic!("it does not come to rest: {:?}", client.link);
}
