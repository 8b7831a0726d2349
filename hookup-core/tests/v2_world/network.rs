//! The network between the ends: connections that are cut, left half open, and deliver late.

use std::collections::VecDeque;

use hookup_core::{
    link::{Transmit, v2::Hello},
    ws::Frame,
};

use super::{CLIENT, Loss, SERVER, Trace, World, both, end::End, payload::number};

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    /// What is under way, to each end.
    pub(super) to: [VecDeque<Frame>; 2],
}

impl World {
    pub(super) fn connection(&mut self, at: usize) -> Option<&mut Connection> {
        let id = self.present[at]?;
        self.connections.iter_mut().find(|connection| connection.id == id)
    }

    pub(super) fn connect(&mut self) {
        self.drop_at(CLIENT);
        let id = self.count();
        self.present[CLIENT] = Some(id);
        self.connections.push(Connection { id, to: Default::default() });
        self.ends[CLIENT].link.iter_mut().for_each(|link| link.connected());
    }

    /// One end loses its connection; what is under way to the other end still arrives there.
    pub(super) fn drop_at(&mut self, at: usize) {
        if let Some(connection) = self.connection(at) {
            connection.to[at].clear();
        }
        self.present[at] = None;
        self.ends[at].disconnected();
    }

    pub(super) fn cut(&mut self) {
        self.drop_at(CLIENT);
        self.drop_at(SERVER);
        self.connections.clear();
    }

    pub(super) fn transmit(&mut self, at: usize) -> bool {
        self.load(at);
        let now = self.now;
        let Some(transmit) = self.ends[at].link.as_mut().and_then(|link| link.poll_transmit(now)) else {
            return false;
        };
        let frame = match transmit {
            Transmit::Reply(frame) | Transmit::Frame(frame) => frame,
            Transmit::Request { frame, seq, .. } => {
                self.ends[at].sent(seq, now, &mut self.ledgers[at]);
                frame
            }
            Transmit::Failed { entry, .. } => {
                self.fail(at, entry.seq, number(entry.outbound.message()));
                return true;
            }
            Transmit::Message { .. } => unreachable!("it is of the other formats"),
        };
        self.hear(at);
        self.trace.push(Trace::Sends(at, frame.clone()));
        if let Some(connection) = self.connection(at) {
            connection.to[1 - at].push_back(frame);
        }
        true
    }

    pub(super) fn deliver(&mut self, at: usize, luck: usize) -> bool {
        let present = self.present[at];
        let is_for_this_end = |connection: &&mut Connection| match at {
            CLIENT => Some(connection.id) == present,
            _ => connection.id >= present.unwrap_or(self.greeted),
        };
        let mut waiting = self.connections.iter_mut().filter(is_for_this_end).filter(|c| !c.to[at].is_empty());
        let some = if luck.is_multiple_of(4) { waiting.next_back() } else { waiting.next() };
        let Some((id, frame)) = some.and_then(|c| c.to[at].pop_front().map(|frame| (c.id, frame))) else {
            return false;
        };
        self.trace.push(Trace::Gets(at, frame.clone()));
        if at == SERVER && self.present[SERVER] != Some(id) {
            self.greet(id, frame);
        } else {
            let receive = self.ends[at].link.as_mut().map(|link| link.receive(frame.clone()));
            assert!(matches!(receive, Some(Ok(()))), "{receive:?} of {frame:?}");
        }
        self.hear(at);
        true
    }

    /// A client's first frame over a connection takes the session over.
    pub(super) fn greet(&mut self, id: u64, frame: Frame) {
        if id == self.greeted {
            // The server had closed this connection; the rest of what was under way is of no use.
            return;
        }
        if self.present[SERVER].is_some() {
            self.events.insert("takeover");
        }
        self.greeted = id;
        self.drop_at(SERVER);
        self.present[SERVER] = Some(id);
        self.connections.retain(|connection| connection.id >= id);
        if self.ends[SERVER].link.is_none() {
            self.open(SERVER);
        }
        let hello = Hello::parse(frame.clone()).unwrap_or_else(|error| unreachable!("{error} for {frame:?}"));
        let Some(link) = &mut self.ends[SERVER].link else { return };
        let greeted = link.greeted(&hello);
        assert!(greeted.is_ok(), "{greeted:?} for {frame:?}");
    }

    pub(super) fn hear(&mut self, at: usize) {
        let (ours, theirs) = both(&mut self.ledgers, at);
        let life = self.ends[1 - at].life;
        let told = self.ends[at].hear(ours, theirs, life, self.restored);
        // The peer sends no more than a window that is not acked, but when what it had sent is withdrawn, or lost.
        let kind = self.kind;
        let may_be_more = self.restored || kind.loses || kind.withdraws || self.ends.iter().any(End::is_lazy);
        let bound = self.ends[at].limits.window.messages;
        assert!(self.ends[at].inbox.len() <= bound || may_be_more, "more waits for the handler than the window lets");
        if told.gap {
            self.events.insert("gap");
            assert!(self.restored, "a gap, and nothing was lost");
        }
        if told.opened {
            self.events.insert("opened");
            self.ends[at].peer_window = self.kind.windows[1 - at];
        }
        if at == CLIENT && told.session_lost {
            self.events.insert("session lost");
            assert!(self.loss != Loss::None || self.restored, "nothing was lost");
            self.loss = Loss::Told;
        }
        if at == CLIENT && told.opened {
            assert!(self.loss != Loss::Owed || self.restored, "the session was lost, and nobody is told");
            self.client_was_welcomed = true;
        }
        if self.loss == Loss::Told && self.ends[CLIENT].link.as_ref().is_some_and(|link| link.is_open()) {
            self.loss = Loss::None;
        }
    }

    pub(super) fn is_silent(&self) -> bool {
        self.connections.iter().all(|connection| connection.to.iter().all(VecDeque::is_empty))
    }
}
