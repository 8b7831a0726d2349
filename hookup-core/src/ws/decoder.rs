//! Bytes to messages: payloads unmasked and checked as they come, fragments joined.

use std::task::Poll;

use bytes::{Buf as _, Bytes, BytesMut};
use bytestring::ByteString;

use super::{
    CloseCode, CloseReason, Frame, Role, Signal,
    header::{Header, Opcode, Rules},
    utf8::{NotUtf8, Utf8},
};

/// Turns the bytes of one connection's direction into messages (RFC 6455, section 5).
///
/// It knows what is wrong as early as that can be known: a header's claims before any of its payload is here, and text that
/// is not UTF-8 at its first bad byte. It never holds more than came.
///
/// After an error or a close frame it is over: the connection is to be closed, and what still comes is not looked at. It
/// says an error again each time that it is asked.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    max_message_bytes: usize,
    max_fragments: usize,
    buffer: BytesMut,
    /// The frame whose header has come, and whose payload has not all come yet.
    frame: Option<Begun>,
    /// The message whose last fragment has not come yet.
    joined: Option<Joined>,
    /// What the peer did wrong.
    failed: Option<CloseReason>,
    is_closed: bool,
}

/// A frame of which the payload is coming.
#[derive(Debug)]
struct Begun {
    header: Header,
    /// How much of the payload is unmasked.
    done: usize,
}

/// A message that comes in parts: in fragments, or as a text in a frame that is not all here yet.
#[derive(Debug)]
struct Joined {
    content: Content,
    fragments: usize,
}

/// What is here of a message. An extension that transforms payloads has its own kind of this.
#[derive(Debug)]
enum Content {
    Text(Utf8),
    Binary(BytesMut),
}

impl Decoder {
    /// A decoder of what the peer of an end with this role sends: messages of so many bytes, in so many fragments.
    pub fn new(role: Role, max_message_bytes: usize, max_fragments: usize) -> Self {
        Self {
            role,
            max_message_bytes,
            max_fragments,
            buffer: BytesMut::new(),
            frame: None,
            joined: None,
            failed: None,
            is_closed: false,
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
        if self.failed.is_none() && !self.is_closed {
            match self.decode() {
                Ok(signal) => {
                    self.is_closed = matches!(signal, Some(Signal::Close(_)));
                    return Ok(signal);
                }
                Err(reason) => self.failed = Some(reason),
            }
        }
        self.buffer.clear();
        self.failed.clone().map_or(Ok(None), Err)
    }

    fn decode(&mut self) -> Result<Option<Signal>, CloseReason> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.rules().read(&self.buffer)? {
                    Some(header) => self.begin(header),
                    None => return Ok(None),
                },
            };
            let decoded = match &mut self.joined {
                _ if frame.header.opcode.is_control() => self.control(frame.header)?,
                Some(_) => self.part(&mut frame)?,
                None => self.single(&mut frame)?,
            };
            match decoded {
                Poll::Ready(Some(signal)) => return Ok(Some(signal)),
                Poll::Ready(None) => {}
                Poll::Pending => {
                    self.frame = Some(frame);
                    return Ok(None);
                }
            }
        }
    }

    fn rules(&self) -> Rules {
        Rules {
            // An extension that is agreed on, such as permessage-deflate, says here which bits have a meaning.
            reserved: 0,
            masked: self.role == Role::Server,
            begun: self.joined.as_ref().map(|joined| (joined.content.len(), joined.fragments)),
            max_message_bytes: self.max_message_bytes,
            max_fragments: self.max_fragments,
        }
    }

    /// Takes the header off the buffer, and notes the fragment that it begins.
    fn begin(&mut self, header: Header) -> Begun {
        self.buffer.advance(header.size);
        match &mut self.joined {
            _ if header.opcode.is_control() => {}
            Some(joined) => joined.fragments += 1,
            None if !header.is_last => self.joined = Some(Joined::new(header.opcode)),
            None => {}
        }
        Begun { header, done: 0 }
    }

    /// A control frame: short, so it is taken when it is whole.
    fn control(&mut self, header: Header) -> Result<Poll<Option<Signal>>, CloseReason> {
        if self.buffer.len() < header.len {
            return Ok(Poll::Pending);
        }
        header.unmask(&mut self.buffer[..header.len], 0);
        // A copy, so that a ping that waits to be answered does not hold all that was read with it.
        let payload = Bytes::copy_from_slice(&self.buffer[..header.len]);
        self.buffer.advance(header.len);
        Ok(Poll::Ready(Some(match header.opcode {
            Opcode::Close => Signal::Close(CloseReason::from_payload(&payload)?),
            Opcode::Ping => Signal::Ping(payload),
            _ => Signal::Pong,
        })))
    }

    /// A message in one frame. It stays in the buffer until it is whole, and is not copied; but for a text that comes in
    /// parts, as that has to be checked as it comes.
    fn single(&mut self, frame: &mut Begun) -> Result<Poll<Option<Signal>>, CloseReason> {
        let Begun { header, done } = frame;
        let is_text = header.opcode == Opcode::Text;
        let here = self.buffer.len().min(header.len);
        if here < header.len && is_text {
            self.joined = Some(Joined::new(header.opcode));
            return self.part(frame);
        }
        header.unmask(&mut self.buffer[*done..here], *done);
        *done = here;
        if here < header.len {
            return Ok(Poll::Pending);
        }
        let payload = self.buffer.split_to(header.len).freeze();
        let message = match is_text {
            true => Frame::Text(ByteString::try_from(payload).map_err(|_| NotUtf8)?),
            false => Frame::Binary(payload),
        };
        Ok(Poll::Ready(Some(Signal::Frame(message))))
    }

    /// A part of a message: what is here of it is joined to what came before.
    fn part(&mut self, frame: &mut Begun) -> Result<Poll<Option<Signal>>, CloseReason> {
        let Begun { header, done } = frame;
        let here = self.buffer.len().min(header.len - *done);
        let part = &mut self.buffer[..here];
        header.unmask(part, *done);
        if let Some(joined) = &mut self.joined {
            joined.content.push(part)?;
        }
        self.buffer.advance(here);
        *done += here;
        if *done < header.len {
            return Ok(Poll::Pending);
        }
        let whole = self.joined.take_if(|_| header.is_last);
        let message = whole.map(|joined| joined.content.finish()).transpose()?;
        Ok(Poll::Ready(message.map(Signal::Frame)))
    }
}

impl Joined {
    /// A message that begins with a frame of this kind.
    fn new(opcode: Opcode) -> Self {
        let content = match opcode {
            Opcode::Text => Content::Text(Utf8::default()),
            _ => Content::Binary(BytesMut::new()),
        };
        Self { content, fragments: 1 }
    }
}

impl Content {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    fn push(&mut self, part: &[u8]) -> Result<(), NotUtf8> {
        match self {
            Self::Text(text) => text.push(part),
            Self::Binary(bytes) => {
                bytes.extend_from_slice(part);
                Ok(())
            }
        }
    }

    /// The message, now that all of it is here.
    fn finish(self) -> Result<Frame, NotUtf8> {
        Ok(match self {
            Self::Text(text) => Frame::Text(text.finish()?.into()),
            Self::Binary(bytes) => Frame::Binary(bytes.freeze()),
        })
    }
}

impl From<NotUtf8> for CloseReason {
    fn from(_: NotUtf8) -> Self {
        // Without the place of the bad byte: the answer is the same however the bytes arrived.
        Self::new(CloseCode::INVALID, "a text message is not UTF-8")
    }
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
        let mut decoder = Decoder::new(Role::Client, 100, 3);
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
        let mut decoder = Decoder::new(Role::Server, 100_000, 1);
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
