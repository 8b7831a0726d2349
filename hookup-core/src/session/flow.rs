//! How much is under way between a session and its transport, in both directions.

use std::collections::VecDeque;

use crate::transport::{Credit, ReadGate};

/// How many bytes are handed to a transport before it has to say that it wrote some.
const TRANSMIT_BYTES: usize = 64 * 1024;

/// What a frame costs beside its payload; without it, frames that are empty would cost nothing.
const FRAME_BYTES: usize = 16;

/// What the transport has and has not confirmed, and what has come in and has not been handled.
#[derive(Debug)]
pub(super) struct Flow {
    handed: VecDeque<Handed>,
    handed_bytes: usize,
    /// What the transport may be told has been handled.
    credit: Credit,
    /// What has not been handled, of earlier connections, too.
    unhandled: ReadGate,
}

/// A frame that the transport has.
#[derive(Debug)]
struct Handed {
    bytes: usize,
    leaves: Option<Leaves>,
}

/// A message that leaves the outbox when its frame was written; one that waits for an ack does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaves {
    pub(super) seq: u64,
    pub(super) bytes: u64,
}

impl Flow {
    pub(super) fn new(inbox: Credit) -> Self {
        Self { handed: VecDeque::new(), handed_bytes: 0, credit: Credit::default(), unhandled: ReadGate::new(inbox) }
    }

    /// The connection has changed: its transport has nothing yet.
    pub(super) fn reset(&mut self) {
        self.handed.clear();
        self.handed_bytes = 0;
        self.credit = Credit::default();
    }

    /// Whether the transport takes more.
    pub(super) fn has_room(&self) -> bool {
        self.handed_bytes < TRANSMIT_BYTES
    }

    /// Whether the transport has written all that it was handed.
    pub(super) fn is_written(&self) -> bool {
        self.handed.is_empty()
    }

    /// A frame goes to the transport.
    pub(super) fn hand(&mut self, bytes: usize, leaves: Option<Leaves>) {
        let bytes = bytes + FRAME_BYTES;
        self.handed_bytes += bytes;
        self.handed.push_back(Handed { bytes, leaves });
    }

    /// The transport has written its next frame: what leaves the outbox now.
    pub(super) fn written(&mut self) -> Option<Leaves> {
        let Handed { bytes, leaves } = self.handed.pop_front()?;
        self.handed_bytes -= bytes;
        leaves
    }

    /// A frame came in.
    pub(super) fn received(&mut self, bytes: usize) {
        self.unhandled.received(bytes);
    }

    /// A frame has been handled; one of an earlier connection gives the present transport no credit.
    pub(super) fn handled(&mut self, bytes: usize, is_current: bool) {
        if is_current {
            self.credit.add(bytes);
        }
        self.unhandled.handled(Credit { frames: 1, bytes });
    }

    /// Takes what the transport is to be told.
    pub(super) fn take_credit(&mut self) -> Credit {
        std::mem::take(&mut self.credit)
    }

    /// What has come in and is not handled yet.
    pub(super) fn unhandled(&self) -> Credit {
        self.unhandled.unhandled()
    }

    /// Whether there is room for more frames.
    pub(super) fn is_reading(&self) -> bool {
        self.unhandled.is_open()
    }
}
