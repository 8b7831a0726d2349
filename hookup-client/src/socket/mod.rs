//! One open socket: a task that reads, writes, and tells the client actor.

mod output;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{self, Poll},
};

use bytes::BytesMut;
use hookup_core::{
    Cause, CloseCode, CloseReason, Limits,
    driver::Alarm,
    transport::{CLOSE_TIMEOUT, Command, Notice, Progress, ReadGate},
    ws::{Batch, Decoder, End, Outgoing, Pings, Role},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc::UnboundedReceiver,
    time::Sleep,
};
use tokio_util::io::poll_read_buf;

use self::output::Output;

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// A pong waits while more than this is to be written: a server that pings and does not read gets no queue of them.
const PONG_BEHIND: usize = 128 * 1024;

/// An open socket.
pub(crate) struct Socket<Io, Tell> {
    io: Io,
    decoder: Decoder,
    gate: ReadGate,
    /// How long what came before a violation has for being handled.
    held: Alarm,
    /// Bounded by the client: it hands over no more than it has been told is written.
    commands: UnboundedReceiver<Command>,
    tell: Tell,
    out: Output,
    /// The pings that were not answered yet.
    pings: Pings,
    /// What we sent a close frame with.
    closing: Option<CloseReason>,
    /// How the connection ends, once everything is written.
    ending: Option<Cause>,
    /// How long the server has, once there is a close frame, to answer it or to take ours.
    patience: Option<Pin<Box<Sleep>>>,
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
        progress: Progress,
        tell: Tell,
    ) -> Self {
        let mut decoder = Decoder::new(Role::Client, limits.max_message_bytes, limits.max_fragments);
        *decoder.buffer() = read;
        Self {
            io,
            decoder,
            gate: ReadGate::new(limits.inbox),
            held: Alarm::default(),
            commands,
            tell,
            out: Output::new(progress),
            pings: Pings::default(),
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
            if self.out.is_flushed() && !self.pings.is_empty() {
                continue;
            }
            if self.out.is_flushed()
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
                frames.into_iter().for_each(|frame| self.put(Outgoing::Frame(frame)));
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
        // Nothing may follow a close frame (RFC 6455, section 5.5.1); what is not put does not count as written.
        if self.closing.is_none() && self.ending.is_none() {
            self.out.put(outgoing);
        }
    }

    /// Reads once, and hands on what came.
    fn poll_read(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Cause>> {
        let mut batch = Batch::default();
        if self.gate.is_draining() && self.held.has_passed(CLOSE_TIMEOUT, cx) {
            self.gate.open_for_good();
        }
        batch.take(&mut self.decoder, &mut self.gate);
        if batch.is_held {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
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
        // To be answered when the server reads again.
        self.pings.extend(batch.pings);
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
        if self.out.len() < PONG_BEHIND {
            std::mem::take(&mut self.pings).into_iter().for_each(|payload| self.put(Outgoing::Pong(payload)));
        }
        let polled = self.out.poll_write(&mut self.io, cx);
        match self.out.take_written() {
            0 => {}
            written => (self.tell)(Notice::Written(written)),
        }
        polled
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
        let mut socket = Socket::new(ours, BytesMut::new(), Limits::default(), receiver, Progress::default(), tell);
        for command in [transmit(1), Command::Close(CloseCode::NORMAL.into()), transmit(3)] {
            commands.send(command).expect("lives");
        }
        let poll = |socket: &mut Socket<_, _>| poll_fn(|cx| socket.poll(cx)).now_or_never();
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
        Socket::new(Breaks(130), BytesMut::new(), Limits::default(), receiver, Progress::default(), tell).run().await;
        assert_eq!(written, 2);
    }
}
