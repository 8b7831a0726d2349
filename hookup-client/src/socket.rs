//! One open socket: a task that reads, writes, and tells the client actor.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    task::{self, Poll},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use hookup_core::{
    Cause, CloseCode, CloseReason, Limits,
    transport::{Command, Notice, ReadGate},
    ws::{Batch, Decoder, Encoder, End, Outgoing, Role},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc::UnboundedReceiver,
    time::Sleep,
};
use tokio_util::io::poll_read_buf;

/// How long the server has to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

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
                    self.put(Outgoing::Frame(frame));
                    self.out.ends.push_back(self.out.encoded);
                }
            }
            Command::Ping => self.put(Outgoing::Ping),
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

    fn put(&mut self, outgoing: Outgoing) {
        // Nothing may follow a close frame (RFC 6455, section 5.5.1).
        if self.closing.is_none() && self.ending.is_none() {
            let before = self.out.bytes.len();
            self.encoder.encode(outgoing, &mut self.out.bytes);
            self.out.encoded += (self.out.bytes.len() - before) as u64;
            self.out.is_flushed = false;
        }
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
                Poll::Ready(Ok(_)) => batch.take(&mut self.decoder, &mut self.gate),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Cause::Failed(error.to_string()))),
            }
        }
        if let Some(payload) = batch.ping.take() {
            self.put(Outgoing::Pong(payload));
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
        let out = &mut self.out;
        while !out.bytes.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, &out.bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(Cause::EndOfStream)),
                Poll::Ready(Ok(n)) => {
                    out.bytes.advance(n);
                    out.written += n as u64;
                }
                Poll::Ready(Err(error)) => return failed(error),
                Poll::Pending => break,
            }
        }
        if !out.is_flushed {
            match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return failed(error),
                Poll::Pending => return Poll::Pending,
            }
            out.is_flushed = out.bytes.is_empty();
            let left = out.ends.partition_point(|&end| end <= out.written);
            if left > 0 {
                out.ends.drain(..left);
                (self.tell)(Notice::Written(left));
            }
        }
        if out.is_flushed { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}
