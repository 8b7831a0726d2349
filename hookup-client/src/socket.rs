//! One open socket: a task that reads, writes, and tells the client actor.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    task::{self, Poll},
};

use bytes::{Buf as _, Bytes, BytesMut};
use hookup_core::{
    Cause, CloseCode, CloseReason, Limits,
    transport::{CLOSE_TIMEOUT, Command, Notice, ReadGate},
    ws::{Batch, Decoder, Encoder, End, Outgoing, Role},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc::UnboundedReceiver,
    time::Sleep,
};
use tokio_util::io::poll_read_buf;

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// A pong waits while more than this is to be written: a server that pings and does not read gets no queue of them.
const PONG_BEHIND: usize = 128 * 1024;

/// An open socket.
pub(crate) struct Socket<Io, Tell> {
    io: Io,
    decoder: Decoder,
    encoder: Encoder,
    gate: ReadGate,
    /// Bounded by the client: it hands over no more than it has been told is written.
    commands: UnboundedReceiver<Command>,
    tell: Tell,
    out: Output,
    /// The payload of a ping that was not answered yet.
    pong: Option<Bytes>,
    /// What we sent a close frame with.
    closing: Option<CloseReason>,
    /// How the connection ends, once everything is written.
    ending: Option<Cause>,
    /// How long the server has, once there is a close frame, to answer it or to take ours.
    patience: Option<Pin<Box<Sleep>>>,
}

/// Bytes to be written, and which frames they belong to.
///
/// A frame counts as written when its last byte was. One that was written in part cannot have been understood, so it may be
/// sent again without the peer seeing it twice. (Under TLS a frame counts once the bytes were flushed; what was
/// encrypted and not flushed when the connection broke may be sent again.)
#[derive(Default)]
struct Output {
    bytes: BytesMut,
    /// How many bytes were ever put in, and how many of them have left.
    encoded: u64,
    written: u64,
    /// Where the frames end that have not left.
    ends: VecDeque<u64>,
    is_flushed: bool,
}

impl<Io, Tell> Socket<Io, Tell>
where
    Io: AsyncRead + AsyncWrite + Unpin,
    Tell: FnMut(Notice),
{
    /// A socket that has just been opened; `read` is what came right behind the handshake.
    pub(crate) fn new(
        io: Io,
        read: BytesMut,
        limits: Limits,
        commands: UnboundedReceiver<Command>,
        tell: Tell,
    ) -> Self {
        let mut decoder = Decoder::new(Role::Client, limits.max_message_bytes);
        *decoder.buffer() = read;
        Self {
            io,
            decoder,
            encoder: Encoder::new(Role::Client),
            gate: ReadGate::new(limits.inbox),
            commands,
            tell,
            out: Output::default(),
            pong: None,
            closing: None,
            ending: None,
            patience: None,
        }
    }

    /// Runs until the connection is over, and says so as its last notice.
    pub(crate) async fn run(mut self) {
        let cause = poll_fn(|cx| self.poll(cx)).await;
        let cause = self.closing.take().map_or(cause, Cause::WeClosed);
        (self.tell)(Notice::Ended(cause));
    }

    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Cause> {
        loop {
            while let Poll::Ready(command) = self.commands.poll_recv(cx) {
                match command {
                    Some(Command::Abort) => return Poll::Ready(Cause::Silent),
                    Some(command) => self.obey(command),
                    None => return Poll::Ready(Cause::EndOfStream),
                }
            }
            let read = match self.ending {
                None => self.poll_read(cx),
                Some(_) => Poll::Pending,
            };
            if let Poll::Ready(Err(cause)) = read {
                return Poll::Ready(cause);
            }
            if let Poll::Ready(Err(cause)) = self.poll_write(cx) {
                return Poll::Ready(cause);
            }
            if self.out.is_flushed && self.pong.is_some() {
                continue;
            }
            if self.out.is_flushed
                && let Some(cause) = self.ending.take()
            {
                return Poll::Ready(cause);
            }
            if let Some(patience) = &mut self.patience
                && patience.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Cause::EndOfStream);
            }
            if read.is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Transmit { frames, credit } => {
                self.gate.handled(credit);
                for frame in frames {
                    // One behind a close frame is never written, and must not count as if it was.
                    if self.put(Outgoing::Frame(frame)) {
                        self.out.ends.push_back(self.out.encoded);
                    }
                }
            }
            Command::Ping => {
                self.put(Outgoing::Ping);
            }
            // The connection is ending already, for a reason of its own.
            Command::Close(_) if self.ending.is_some() => {}
            Command::Close(reason) => {
                self.put(Outgoing::Close(reason.clone()));
                self.closing = Some(reason);
                self.patience = Some(Box::pin(tokio::time::sleep(CLOSE_TIMEOUT)));
            }
            Command::Abort => {}
        }
    }

    /// Puts this behind what is to be written; false when it is not to be written any more.
    fn put(&mut self, outgoing: Outgoing) -> bool {
        // Nothing may follow a close frame (RFC 6455, section 5.5.1).
        let is_open = self.closing.is_none() && self.ending.is_none();
        if is_open {
            let before = self.out.bytes.len();
            self.encoder.encode(outgoing, &mut self.out.bytes);
            self.out.encoded += (self.out.bytes.len() - before) as u64;
            self.out.is_flushed = false;
        }
        is_open
    }

    /// Reads once, and hands on what came.
    fn poll_read(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Cause>> {
        let mut batch = Batch::default();
        batch.take(&mut self.decoder, &mut self.gate);
        if batch.is_empty() {
            if !self.gate.is_open() {
                return Poll::Pending;
            }
            self.decoder.buffer().reserve(READ_BYTES);
            match poll_read_buf(Pin::new(&mut self.io), cx, self.decoder.buffer()) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Cause::EndOfStream)),
                Poll::Ready(Ok(_)) => {
                    batch.take(&mut self.decoder, &mut self.gate);
                    // A part of a long message is a sign of life, too.
                    batch.alive |= batch.is_empty();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Cause::Failed(error.to_string()))),
            }
        }
        if let Some(payload) = batch.ping.take() {
            // To be answered when the server reads again; the last one is enough.
            self.pong = Some(payload);
        }
        if !batch.frames.is_empty() {
            (self.tell)(Notice::Frames(batch.frames));
        } else if batch.alive {
            (self.tell)(Notice::Alive);
        }
        let (answer, cause) = match batch.end {
            None => return Poll::Ready(Ok(())),
            Some(End::Close(reason)) => {
                let reason = reason.unwrap_or_else(|| CloseCode::NO_STATUS.into());
                (reason.clone(), Cause::PeerClosed(reason))
            }
            Some(End::Violation(reason)) => {
                (self.tell)(Notice::Violated(reason.clone()));
                (reason.clone(), Cause::WeClosed(reason))
            }
        };
        self.put(Outgoing::Close(answer));
        self.ending = Some(cause);
        self.patience = Some(Box::pin(tokio::time::sleep(CLOSE_TIMEOUT)));
        Poll::Ready(Ok(()))
    }

    /// Writes and flushes what it can, and tells which frames have left.
    fn poll_write(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Cause>> {
        let failed = |error: std::io::Error| Poll::Ready(Err(Cause::Failed(error.to_string())));
        if self.out.bytes.len() < PONG_BEHIND
            && let Some(payload) = self.pong.take()
        {
            self.put(Outgoing::Pong(payload));
        }
        let out = &mut self.out;
        let mut broken = None;
        while !out.bytes.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, &out.bytes) {
                Poll::Ready(Ok(0)) => {
                    broken = Some(Cause::EndOfStream);
                    break;
                }
                Poll::Ready(Ok(n)) => {
                    out.bytes.advance(n);
                    out.written += n as u64;
                }
                Poll::Ready(Err(error)) => {
                    broken = Some(Cause::Failed(error.to_string()));
                    break;
                }
                Poll::Pending => break,
            }
        }
        if let Some(cause) = broken {
            // What was taken before it broke was written.
            self.tell_written();
            return Poll::Ready(Err(cause));
        }
        if !out.is_flushed {
            match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return failed(error),
                Poll::Pending => return Poll::Pending,
            }
            out.is_flushed = out.bytes.is_empty();
            self.tell_written();
        }
        if self.out.is_flushed { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn tell_written(&mut self) {
        let left = self.out.ends.partition_point(|&end| end <= self.out.written);
        if left > 0 {
            self.out.ends.drain(..left);
            (self.tell)(Notice::Written(left));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use futures_util::FutureExt as _;
    use hookup_core::{transport::Credit, ws::Frame};
    use tokio::{io::AsyncReadExt as _, sync::mpsc};

    use super::*;

    fn transmit(frames: usize) -> Command {
        let frames = (0..frames).map(|_| Frame::Text("x".repeat(50).into())).collect();
        Command::Transmit { frames, credit: Credit::default() }
    }

    #[actix::test]
    async fn what_comes_behind_a_close_frame_does_not_count_as_written() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let (commands, receiver) = mpsc::unbounded_channel();
        let written = Rc::new(RefCell::new(0));
        let counted = written.clone();
        let tell = move |notice| {
            if let Notice::Written(n) = notice {
                *counted.borrow_mut() += n;
            }
        };
        let mut socket = Socket::new(ours, BytesMut::new(), Limits::default(), receiver, tell);
        for command in [transmit(1), Command::Close(CloseCode::NORMAL.into()), transmit(3)] {
            commands.send(command).expect("lives");
        }
        let mut poll = |socket: &mut Socket<_, _>| poll_fn(|cx| socket.poll(cx)).now_or_never();
        assert_eq!(poll(&mut socket), None);
        let mut bytes = [0; 16];
        for _ in 0..20 {
            let _ = theirs.read(&mut bytes).now_or_never();
            assert_eq!(poll(&mut socket), None);
        }
        assert_eq!(*written.borrow(), 1);
    }

    /// Takes this many bytes, and then breaks.
    struct Breaks(usize);

    impl AsyncRead for Breaks {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Breaks {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut task::Context<'_>, b: &[u8]) -> Poll<std::io::Result<usize>> {
            let n = self.0.min(b.len());
            self.0 -= n;
            Poll::Ready(if n == 0 { Err(std::io::ErrorKind::ConnectionReset.into()) } else { Ok(n) })
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[actix::test]
    async fn what_was_taken_before_the_socket_broke_counts_as_written() {
        let (commands, receiver) = mpsc::unbounded_channel();
        let mut written = 0;
        let tell = |notice| {
            if let Notice::Written(n) = notice {
                written += n;
            }
        };
        commands.send(transmit(5)).expect("lives");
        Socket::new(Breaks(130), BytesMut::new(), Limits::default(), receiver, tell).run().await;
        assert_eq!(written, 2);
    }
}
