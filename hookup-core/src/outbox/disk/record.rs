//! What a log is made of: records that say by themselves whether they are whole.
//!
//! A record is a header of 12 bytes, a body, and a last byte that is never zero. Files of a log are zero behind their last
//! record; so one that a killed process has written in part is known from one that was damaged later. Numbers are
//! little-endian.
//!
//! | header | |
//! | --- | --- |
//! | 1 byte | the kind |
//! | 3 bytes | of the CRC-32 of the rest of the header and the kind |
//! | 4 bytes | the length of the body |
//! | 4 bytes | the CRC-32 of the body |

use super::value::{Fields, put_varint};
use crate::{
    link::v2::SessionId,
    outbox::{Entry, Removal},
};

const BATCH: u8 = 0xb1;
const REMOVED: u8 = 0xb2;
const STATE: u8 = 0xb3;
const ENDED: u8 = 0xb4;
const FORGOTTEN: u8 = 0xb5;
const SEALED: u8 = 0xb6;

/// The length of a record's header.
pub(super) const HEADER_BYTES: usize = 12;

/// The last byte of every record.
const END: u8 = 0xa5;

/// How much of a batch goes into one record, in bytes; a longer message has a record of its own.
const BATCH_BYTES: usize = 64 * 1024;

/// What is known of a batch without its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) session: SessionId,
    /// The `seq` of its first message; the others follow without a hole.
    pub(super) first: u64,
    pub(super) count: u64,
    /// The bytes of its payloads.
    pub(super) bytes: u64,
}

impl Head {
    /// The `seq` behind the last.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }
}

/// A record's body, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// Messages of a session, and where in the body they begin. Where their `seq` was there before, they have moved.
    Batch(Head, usize),
    /// These have left their session's outbox.
    Removed(SessionId, Vec<Removal>),
    /// A session's state, as JSON.
    State(SessionId, &'a [u8]),
    /// A session has ended at this time; of its state this is kept, as JSON.
    Ended(SessionId, u64, &'a [u8]),
    /// Nothing is kept of a session any more.
    Forgotten(SessionId),
    /// The file ends here, and the next one exists.
    Sealed,
}

/// Appends a record whose body `fill` writes.
fn put(kind: u8, buffer: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let at = buffer.len();
    buffer.extend_from_slice(&[0; HEADER_BYTES]);
    fill(buffer);
    let body = at + HEADER_BYTES;
    let len = u32::try_from(buffer.len() - body).expect("bodies are shorter than 4 GiB");
    let crc = crc32fast::hash(&buffer[body..]);
    let header = header(kind, len, crc);
    buffer[at..body].copy_from_slice(&header);
    buffer.push(END);
}

fn header(kind: u8, len: u32, crc: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0] = kind;
    header[4..8].copy_from_slice(&len.to_le_bytes());
    header[8..].copy_from_slice(&crc.to_le_bytes());
    let check = crc32fast::hash(&header).to_le_bytes();
    header[1..4].copy_from_slice(&check[..3]);
    header
}

/// Whether a message can be stored at all.
pub(super) fn fits(entry: &Entry) -> bool {
    u32::try_from(entry.outbound.message().len().saturating_add(BATCH_BYTES)).is_ok()
}

/// Appends as many entries as one record takes: those without a hole between them, up to some size. Returns the rest.
pub(super) fn put_batch<'a>(
    session: SessionId,
    entries: &'a [Entry],
    buffer: &mut Vec<u8>,
) -> (Option<Head>, &'a [Entry]) {
    let Some(first) = entries.first().map(|entry| entry.seq) else { return (None, entries) };
    let mut head = Head { session, first, count: 0, bytes: 0 };
    put(BATCH, buffer, |body| {
        body.extend_from_slice(&session.0.to_le_bytes());
        body.extend_from_slice(&first.to_le_bytes());
        let counts = body.len();
        body.extend_from_slice(&[0; 12]);
        let start = body.len();
        for entry in entries {
            let len = entry.outbound.message().len();
            if entry.seq != head.end() || head.count > 0 && body.len() - start + len > BATCH_BYTES {
                break;
            }
            super::value::encode(&entry.outbound, body);
            head.count += 1;
            head.bytes += len as u64;
        }
        // A record's count is that of its bytes at most, which its length bounds.
        body[counts..counts + 4].copy_from_slice(&(head.count as u32).to_le_bytes());
        body[counts + 4..counts + 12].copy_from_slice(&head.bytes.to_le_bytes());
    });
    (Some(head), &entries[head.count as usize..])
}

pub(super) fn put_removed(session: SessionId, removes: &[Removal], buffer: &mut Vec<u8>) {
    put(REMOVED, buffer, |body| {
        body.extend_from_slice(&session.0.to_le_bytes());
        let mut last = 0;
        for removal in removes {
            put_varint(removal.seq.wrapping_sub(last), body);
            put_varint(removal.bytes, body);
            last = removal.seq;
        }
    });
}

pub(super) fn put_state(session: SessionId, json: &[u8], buffer: &mut Vec<u8>) {
    put(STATE, buffer, |body| {
        body.extend_from_slice(&session.0.to_le_bytes());
        body.extend_from_slice(json);
    });
}

pub(super) fn put_ended(session: SessionId, at: u64, json: &[u8], buffer: &mut Vec<u8>) {
    put(ENDED, buffer, |body| {
        body.extend_from_slice(&session.0.to_le_bytes());
        body.extend_from_slice(&at.to_le_bytes());
        body.extend_from_slice(json);
    });
}

pub(super) fn put_forgotten(session: SessionId, buffer: &mut Vec<u8>) {
    put(FORGOTTEN, buffer, |body| body.extend_from_slice(&session.0.to_le_bytes()));
}

pub(super) fn put_sealed(buffer: &mut Vec<u8>) {
    put(SEALED, buffer, |_| {});
}

/// A header that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    kind: u8,
    len: u32,
    crc: u32,
}

impl Header {
    /// `None` when this is not the header of a record.
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let kind = bytes[0];
        let len = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let crc = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        (BATCH..=SEALED).contains(&kind).then_some(())?;
        (header(kind, len, crc) == *bytes).then_some(Self { kind, len, crc })
    }

    /// How much follows: the body and the last byte.
    pub(super) fn rest(&self) -> usize {
        self.len as usize + 1
    }

    /// Whether all that follows the header is what was written.
    pub(super) fn is_whole(&self, rest: &[u8]) -> bool {
        rest.split_last().is_some_and(|(&end, body)| {
            end == END && body.len() == self.len as usize && crc32fast::hash(body) == self.crc
        })
    }

    /// The record, given all that follows its header; `None` when that is not what a record can be.
    pub(super) fn record<'a>(&self, rest: &'a [u8]) -> Option<Record<'a>> {
        let (_, body) = rest.split_last()?;
        parse(self.kind, body)
    }

    /// Whether all of the record is there, be it what it was or not.
    pub(super) fn is_complete(&self, rest: &[u8]) -> bool {
        rest.len() == self.rest() && rest.last() != Some(&0)
    }
}

fn parse(kind: u8, body: &[u8]) -> Option<Record<'_>> {
    let mut fields = Fields::new(body);
    if kind == SEALED {
        return fields.is_empty().then_some(Record::Sealed);
    }
    let session = SessionId(u128::from_le_bytes(fields.array()?));
    Some(match kind {
        BATCH => {
            let first = u64::from_le_bytes(fields.array()?);
            let count = u32::from_le_bytes(fields.array()?).into();
            let bytes = u64::from_le_bytes(fields.array()?);
            // A message takes two bytes and its payload; a sum that is right may be of a body that is not.
            let len = fields.rest().len() as u64;
            let is_sound = count > 0 && bytes.checked_add(2 * count)? <= len && first.checked_add(count).is_some();
            is_sound.then_some(())?;
            Record::Batch(Head { session, first, count, bytes }, body.len() - fields.rest().len())
        }
        REMOVED => {
            let (mut removes, mut seq) = (Vec::new(), 0_u64);
            while !fields.is_empty() {
                seq = seq.wrapping_add(fields.varint()?);
                removes.push(Removal { seq, bytes: fields.varint()? });
            }
            Record::Removed(session, removes)
        }
        STATE => Record::State(session, fields.rest()),
        ENDED => {
            let at = u64::from_le_bytes(fields.array()?);
            Record::Ended(session, at, fields.rest())
        }
        FORGOTTEN => Record::Forgotten(session),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(first: u64, count: u32, bytes: u64, rest: &[u8]) -> Vec<u8> {
        let head = [&7_u128.to_le_bytes()[..], &first.to_le_bytes(), &count.to_le_bytes(), &bytes.to_le_bytes()];
        [&head.concat(), rest].concat()
    }

    #[test]
    fn a_batch_that_cannot_be_is_not_taken_for_one() {
        assert!(parse(BATCH, &batch(1, 2, 3, &[0; 7])).is_some());
        for absurd in [
            batch(0, 0, 0, &[]),
            batch(1, u32::MAX, 0, &[0; 7]),
            batch(1, 1, u64::MAX, &[0; 7]),
            batch(u64::MAX, 1, 3, &[0; 7]),
        ] {
            assert_eq!(parse(BATCH, &absurd), None);
        }
    }
}
