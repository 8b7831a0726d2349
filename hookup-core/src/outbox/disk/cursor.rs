//! Reading messages one after the other.

use std::ops::Range;

use bytes::Bytes;

use super::{
    ledger::Place,
    record::{HEADER_BYTES, Header, Record},
    value::Messages,
};
use crate::{link::v2::SessionId, outbound::Outbound, outbox::Entry};

/// What was read of a place, and how far its messages were taken.
#[derive(Debug)]
pub(super) struct Cursor {
    session: SessionId,
    place: Place,
    bytes: Bytes,
    /// How far the records were taken.
    at: usize,
    /// The batch whose messages are being taken.
    batch: Option<(Range<u64>, Messages)>,
    /// The `seq` behind the last that was taken.
    next: u64,
    /// What was taken and put back.
    put_back: Option<Entry>,
}

/// A place does not have what it was noted for.
#[derive(Debug)]
pub(super) struct Unreadable;

impl Cursor {
    /// At the beginning of a place.
    pub(super) fn new(session: SessionId, place: Place, bytes: Vec<u8>) -> Self {
        Self { session, place, bytes: bytes.into(), at: 0, batch: None, next: 0, put_back: None }
    }

    /// Whether it can go on to a message that is found in this place. A place may have grown.
    pub(super) fn leads_to(&self, seq: u64, place: Place) -> bool {
        self.place.file == place.file && self.place.at == place.at && self.next <= seq
    }

    /// The part by which a place has grown since it was read.
    pub(super) fn grown(&self, place: Place) -> Option<Place> {
        let len = place.len.saturating_sub(self.place.len);
        (len > 0).then_some(Place { file: place.file, at: self.place.at + self.place.len, len })
    }

    /// What has been read of the part by which the place has grown.
    pub(super) fn extend(&mut self, place: Place, grown: Vec<u8>) {
        self.place = place;
        let rest = self.bytes.slice(self.at..);
        self.bytes = if rest.is_empty() { grown.into() } else { [&*rest, &*grown].concat().into() };
        self.at = 0;
    }

    /// The last that was taken is to be taken again.
    pub(super) fn put_back(&mut self, entry: Entry) {
        self.next = entry.seq;
        self.put_back = Some(entry);
    }

    /// The message of this `seq`, which is not behind; messages before it are passed over.
    pub(super) fn take(&mut self, seq: u64) -> Result<Outbound, Unreadable> {
        if let Some(entry) = self.put_back.take_if(|entry| entry.seq <= seq) {
            self.next = entry.seq + 1;
            if entry.seq == seq {
                return Ok(entry.outbound);
            }
        }
        loop {
            match &mut self.batch {
                Some((seqs, messages)) if seqs.contains(&seq) => {
                    for _ in seqs.start..seq {
                        messages.skip().ok_or(Unreadable)?;
                    }
                    let message = messages.next().ok_or(Unreadable)?;
                    seqs.start = seq + 1;
                    self.next = seq + 1;
                    if seqs.is_empty() {
                        self.batch = None;
                    }
                    return Ok(message);
                }
                _ => self.batch = Some(self.next_batch()?),
            }
        }
    }

    fn next_batch(&mut self) -> Result<(Range<u64>, Messages), Unreadable> {
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let (header, rest) = rest.split_first_chunk::<HEADER_BYTES>().ok_or(Unreadable)?;
            let header = Header::parse(header).ok_or(Unreadable)?;
            let rest = rest.get(..header.rest()).ok_or(Unreadable)?;
            let record = if header.is_whole(rest) { header.record(rest) } else { None }.ok_or(Unreadable)?;
            let start = self.at + HEADER_BYTES;
            self.at = start + rest.len();
            if let Record::Batch(head, messages) = record
                && head.session == self.session
            {
                let body = self.bytes.slice(start + messages..self.at - 1);
                return Ok((head.first..head.end(), Messages::new(body)));
            }
        }
    }
}
