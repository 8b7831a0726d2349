//! Bytes to messages: fragments joined, UTF-8 and sizes checked.

use actix_http::ws::{Codec, Frame as Piece, Item, ProtocolError};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use tokio_util::codec::Decoder as _;

use super::{CloseCode, CloseReason, Frame, Role, Signal};

/// The longest payload of a control frame (RFC 6455, section 5.5).
const MAX_CONTROL_BYTES: usize = 125;

/// Turns the bytes of one connection's direction into messages.
///
/// After an error it must not be used any more: the connection is to be closed with the reason that it gave.
#[derive(Debug)]
pub struct Decoder {
    codec: Codec,
    buffer: BytesMut,
    joined: Option<Joined>,
    max_message_bytes: usize,
}

/// A message whose last fragment has not come yet.
#[derive(Debug)]
struct Joined {
    text: bool,
    payload: BytesMut,
}

impl Decoder {
    /// A decoder of what the peer of an end with this role sends.
    pub fn new(role: Role, max_message_bytes: usize) -> Self {
        Self {
            codec: role.codec().max_size(max_message_bytes.max(MAX_CONTROL_BYTES)),
            buffer: BytesMut::new(),
            joined: None,
            max_message_bytes,
        }
    }

    /// The buffer that bytes from the socket are appended to.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next message, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// The close reason that the connection must end with: 1002, 1007 or 1009.
    pub fn next_signal(&mut self) -> Result<Option<Signal>, CloseReason> {
        loop {
            self.check_announced_length()?;
            let Some(piece) = self.codec.decode(&mut self.buffer).map_err(close_reason)? else {
                return Ok(None);
            };
            let signal = match piece {
                Piece::Text(payload) => Signal::Frame(Frame::Text(utf8(payload)?)),
                Piece::Binary(payload) => Signal::Frame(Frame::Binary(payload)),
                Piece::Ping(payload) => Signal::Ping(payload),
                Piece::Pong(_) => Signal::Pong,
                Piece::Close(reason) => Signal::Close(reason.map(CloseReason::from_wire)),
                Piece::Continuation(item) => match self.join(item)? {
                    Some(frame) => Signal::Frame(frame),
                    None => continue,
                },
            };
            return Ok(Some(signal));
        }
    }

    /// The codec refuses a frame that is too big only when it has all of it; its header tells earlier.
    fn check_announced_length(&self) -> Result<(), CloseReason> {
        let length = match self.buffer.get(1).map(|second| second & 0x7f) {
            Some(126) => self.buffer.get(2..4).map(|b| u64::from(b[0]) << 8 | u64::from(b[1])),
            Some(127) => self.buffer.get(2..10).map(|b| b.iter().fold(0, |n, &b| n << 8 | u64::from(b))),
            short => short.map(u64::from),
        };
        let (Some(first), Some(length)) = (self.buffer.first(), length) else { return Ok(()) };
        if first & 0x08 != 0 {
            let is_short = length <= MAX_CONTROL_BYTES as u64;
            return if is_short { Ok(()) } else { Err(violation("a control frame of more than 125 bytes")) };
        }
        let held = self.joined.as_ref().map_or(0, |joined| joined.payload.len());
        if length > (self.max_message_bytes - held) as u64 { Err(self.too_big()) } else { Ok(()) }
    }

    fn too_big(&self) -> CloseReason {
        CloseReason::new(CloseCode::TOO_BIG, format!("a message is limited to {} bytes", self.max_message_bytes))
    }

    fn join(&mut self, item: Item) -> Result<Option<Frame>, CloseReason> {
        let (part, last) = match item {
            Item::FirstText(part) => return Ok(self.begin(true, part)),
            Item::FirstBinary(part) => return Ok(self.begin(false, part)),
            Item::Continue(part) => (part, false),
            Item::Last(part) => (part, true),
        };
        let Some(joined) = &mut self.joined else {
            return Err(violation("a continuation without a beginning"));
        };
        // The length was checked against the limit when its header came.
        joined.payload.extend_from_slice(&part);
        if !last {
            return Ok(None);
        }
        match self.joined.take() {
            Some(Joined { text: true, payload }) => Ok(Some(Frame::Text(utf8(payload.freeze())?))),
            Some(Joined { text: false, payload }) => Ok(Some(Frame::Binary(payload.freeze()))),
            None => Ok(None),
        }
    }

    fn begin(&mut self, text: bool, part: Bytes) -> Option<Frame> {
        self.joined = Some(Joined { text, payload: BytesMut::from(part) });
        None
    }
}

fn violation(what: &'static str) -> CloseReason {
    CloseReason::new(CloseCode::PROTOCOL, what)
}

fn utf8(payload: Bytes) -> Result<ByteString, CloseReason> {
    ByteString::try_from(payload)
        .map_err(|error| CloseReason::new(CloseCode::INVALID, format!("a text message is not UTF-8: {error}")))
}

fn close_reason(error: ProtocolError) -> CloseReason {
    let code = match error {
        ProtocolError::Overflow => CloseCode::TOO_BIG,
        _ => CloseCode::PROTOCOL,
    };
    CloseReason::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Encoder, Outgoing},
        *,
    };

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        // Unmasked, as a server sends, so that the client's decoder takes it.
        let mut bytes = vec![first, u8::try_from(payload.len()).expect("short")];
        bytes.extend_from_slice(payload);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Vec<Signal>, CloseReason> {
        let mut decoder = Decoder::new(Role::Client, 100);
        let mut signals = Vec::new();
        for byte in bytes {
            decoder.buffer().extend_from_slice(&[*byte]);
            while let Some(signal) = decoder.next_signal()? {
                signals.push(signal);
            }
        }
        Ok(signals)
    }

    fn code(bytes: &[u8]) -> u16 {
        decode(bytes).expect_err("refused").code.0
    }

    #[test]
    fn fragments_are_joined_with_control_frames_in_between() {
        let bytes = [frame(0x01, b"on"), frame(0x89, b"p"), frame(0x00, b"e "), frame(0x80, b"text")].concat();
        let expected = [Signal::Ping(Bytes::from_static(b"p")), Signal::Frame(Frame::Text("one text".into()))];
        assert_eq!(decode(&bytes), Ok(expected.to_vec()));
    }

    #[test]
    fn a_character_may_be_split_between_fragments() {
        let bytes = [frame(0x01, &[0xc3]), frame(0x80, &[0xa4])].concat();
        assert_eq!(decode(&bytes), Ok(vec![Signal::Frame(Frame::Text("ä".into()))]));
    }

    #[test]
    fn invalid_utf8_closes_with_1007() {
        assert_eq!(code(&frame(0x81, &[0xff])), 1007);
        assert_eq!(code(&[frame(0x01, b"ok"), frame(0x80, &[0xc3])].concat()), 1007);
    }

    #[test]
    fn protocol_errors_close_with_1002() {
        assert_eq!(code(&frame(0x83, b"")), 1002, "an opcode that is not defined");
        assert_eq!(code(&frame(0xc1, b"")), 1002, "a reserved bit");
        assert_eq!(code(&frame(0x80, b"")), 1002, "a continuation without a beginning");
        assert_eq!(code(&[0x81, 0x80, 0, 0, 0, 0]), 1002, "a masked frame from a server");
    }

    #[test]
    fn a_message_that_is_too_big_closes_with_1009_at_its_header() {
        assert_eq!(code(&[0x82, 101]), 1009);
        assert_eq!(code(&[0x82, 127, 0, 0, 0, 0, 0x40, 0, 0, 0]), 1009, "a header that claims 1 GiB");
        assert_eq!(code(&[frame(0x02, &[0; 60]), frame(0x80, &[0; 60])].concat()), 1009, "fragments in sum");
    }

    #[test]
    fn what_a_client_encodes_a_server_decodes() {
        let mut encoder = Encoder::new(Role::Client);
        let mut decoder = Decoder::new(Role::Server, 100_000);
        let long = "x".repeat(70_000);
        for text in ["", "short", &long] {
            encoder.encode(Outgoing::Frame(Frame::Text(text.into())), decoder.buffer());
            assert_eq!(decoder.next_signal(), Ok(Some(Signal::Frame(Frame::Text(text.into())))));
        }
        encoder.encode(Outgoing::Close(CloseReason::new(CloseCode(4409), "é".repeat(100))), decoder.buffer());
        let close = CloseReason::new(CloseCode(4409), "é".repeat(61));
        assert_eq!(decoder.next_signal(), Ok(Some(Signal::Close(Some(close)))), "a reason is cut at a character");
    }
}
