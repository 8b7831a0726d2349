//! A frame's header (RFC 6455, section 5.2), read and checked as its bytes come.

use super::{CloseCode, CloseReason, close::violation, mask::unmask};

/// The longest payload of a control frame (RFC 6455, section 5.5).
const MAX_CONTROL_BYTES: u8 = 125;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    /// A further part of a message.
    Continuation,
    /// A text message, or its beginning.
    Text,
    /// A binary message, or its beginning.
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn read(first: u8) -> Result<Self, CloseReason> {
        match first & 0x0f {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xa => Ok(Self::Pong),
            _ => Err(violation("an opcode that is not defined")),
        }
    }

    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A header that keeps the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Whether the frame is a message's last, or only.
    pub(super) is_last: bool,
    pub(super) opcode: Opcode,
    /// How long the payload is.
    pub(super) len: usize,
    /// What the payload is masked with.
    pub(super) mask: Option<[u8; 4]>,
    /// How long the header itself is.
    pub(super) size: usize,
}

impl Header {
    /// Takes the mask, if there is one, off a part of the payload that begins at this offset.
    pub(super) fn unmask(&self, part: &mut [u8], offset: usize) {
        if let Some(mask) = self.mask {
            unmask(part, mask, offset);
        }
    }
}

/// What the next header is checked against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Which of the reserved bits may be set: those that an agreed extension has given a meaning.
    pub(super) reserved: u8,
    /// Whether frames must be masked; otherwise they must not.
    pub(super) masked: bool,
    /// The message that has begun: how many bytes and fragments of it have come.
    pub(super) begun: Option<(usize, usize)>,
    pub(super) max_message_bytes: usize,
    pub(super) max_fragments: usize,
}

impl Rules {
    /// The header at the beginning of these bytes, or `None` when more of it must come.
    ///
    /// Each rule is checked as soon as the byte that can break it is there, so that a violation has the same answer
    /// however the bytes arrive, and what a header claims costs nothing.
    ///
    /// # Errors
    /// 1002 or 1009.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<Option<Header>, CloseReason> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (is_last, opcode) = self.first_byte(first)?;
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        match (second & 0x80 != 0, self.masked) {
            (false, true) => return Err(violation("a frame of a client without a mask")),
            (true, false) => return Err(violation("a frame of a server with a mask")),
            _ => {}
        }
        let short = second & 0x7f;
        if opcode.is_control() && short > MAX_CONTROL_BYTES {
            return Err(violation("a control frame of more than 125 bytes"));
        }
        let Some((len, size)) = length(short, &bytes[2..])? else { return Ok(None) };
        let len = if opcode.is_control() { usize::from(short) } else { self.within_limit(len)? };
        let size = 2 + size;
        if !self.masked {
            return Ok(Some(Header { is_last, opcode, len, mask: None, size }));
        }
        let mask = bytes[size..].first_chunk::<4>();
        Ok(mask.map(|&mask| Header { is_last, opcode, len, mask: Some(mask), size: size + 4 }))
    }

    fn first_byte(&self, first: u8) -> Result<(bool, Opcode), CloseReason> {
        if first & 0x70 & !self.reserved != 0 {
            return Err(violation("a reserved bit that no extension has given a meaning"));
        }
        let (is_last, opcode) = (first & 0x80 != 0, Opcode::read(first)?);
        match (opcode, self.begun) {
            _ if opcode.is_control() && !is_last => Err(violation("a control frame in fragments")),
            (Opcode::Continuation, None) => Err(violation("a continuation without a beginning")),
            (Opcode::Text | Opcode::Binary, Some(_)) => Err(violation("a message within a message")),
            (Opcode::Continuation, Some((_, fragments))) if fragments >= self.max_fragments => {
                let limit = self.max_fragments;
                Err(CloseReason::new(CloseCode::TOO_BIG, format!("a message is limited to {limit} fragments")))
            }
            _ => Ok((is_last, opcode)),
        }
    }

    /// The length of a frame of a message, if the message has room for it.
    fn within_limit(&self, len: u64) -> Result<usize, CloseReason> {
        let held = self.begun.map_or(0, |(bytes, _)| bytes);
        let fits = usize::try_from(len).ok().filter(|&len| len <= self.max_message_bytes.saturating_sub(held));
        fits.ok_or_else(|| {
            let limit = self.max_message_bytes;
            CloseReason::new(CloseCode::TOO_BIG, format!("a message is limited to {limit} bytes"))
        })
    }
}

/// The payload's length, and how many bytes behind the first two say it.
fn length(short: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, CloseReason> {
    let (len, size, least) = match short {
        126 => (bytes.first_chunk().map(|&len| u16::from_be_bytes(len).into()), 2, 126),
        127 => (bytes.first_chunk().map(|&len| u64::from_be_bytes(len)), 8, 1 << 16),
        short => (Some(short.into()), 0, 0),
    };
    match len {
        None => Ok(None),
        Some(len) if len >> 63 != 0 => Err(violation("a length with its highest bit set")),
        Some(len) if len < least => Err(violation("a length in more bytes than it needs")),
        Some(len) => Ok(Some((len, size))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { reserved: 0, masked: true, begun: None, max_message_bytes: 70_000, max_fragments: 3 };

    /// The code of the refusal, which comes with the last of these bytes and not before.
    fn refused(rules: Rules, bytes: &[u8]) -> u16 {
        assert_eq!(rules.read(&bytes[..bytes.len() - 1]), Ok(None), "{bytes:x?}");
        rules.read(bytes).expect_err("refused").code.0
    }

    #[test]
    fn a_header_is_read_when_all_of_it_is_there() {
        let mask = [1, 2, 3, 4];
        for (len, header) in [
            (0, vec![0x81, 0x80]),
            (125, vec![0x81, 0xfd]),
            (126, vec![0x81, 0xfe, 0, 126]),
            (65_535, vec![0x81, 0xfe, 0xff, 0xff]),
            (65_536, vec![0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let bytes = [&header[..], &mask].concat();
            let read = Header { is_last: true, opcode: Opcode::Text, len, mask: Some(mask), size: bytes.len() };
            assert_eq!(RULES.read(&bytes), Ok(Some(read)));
            for cut in 0..bytes.len() {
                assert_eq!(RULES.read(&bytes[..cut]), Ok(None), "{len}, {cut} bytes of it");
            }
        }
    }

    #[test]
    fn a_rule_is_checked_with_the_byte_that_breaks_it() {
        let begun = Rules { begun: Some((60_000, 3)), ..RULES };
        for first in [0xc1, 0xa1, 0x91, 0x83, 0x87, 0x8b, 0x8f, 0x08, 0x09, 0x0a, 0x80, 0x00] {
            assert_eq!(refused(RULES, &[first]), 1002, "{first:x}");
        }
        assert_eq!(refused(begun, &[0x81]), 1002, "a message within a message");
        assert_eq!(refused(begun, &[0x02]), 1002, "a beginning within a message");
        assert_eq!(refused(begun, &[0x00]), 1009, "a fragment too many");
        assert_eq!(refused(RULES, &[0x81, 0x05]), 1002, "no mask");
        assert_eq!(refused(Rules { masked: false, ..RULES }, &[0x81, 0x85]), 1002, "a mask");
        assert_eq!(refused(RULES, &[0x89, 0xfe]), 1002, "a long control frame");
        assert_eq!(refused(RULES, &[0x82, 0xfe, 0, 125]), 1002, "two bytes of length for one");
        assert_eq!(refused(RULES, &[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), 1002, "eight bytes of length for two");
        assert_eq!(refused(RULES, &[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]), 1002, "the highest bit");
        assert_eq!(refused(RULES, &[0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0]), 1009, "1 GiB");
        assert_eq!(refused(Rules { begun: Some((69_999, 1)), ..RULES }, &[0x80, 0x82]), 1009, "fragments in sum");
    }

    #[test]
    fn a_reserved_bit_is_let_through_where_an_extension_has_it() {
        assert!(Rules { reserved: 0x40, ..RULES }.read(&[0xc1]).is_ok());
        assert_eq!(refused(Rules { reserved: 0x40, ..RULES }, &[0xe1]), 1002);
    }
}
