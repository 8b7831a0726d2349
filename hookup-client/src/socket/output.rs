//! Bytes to be written, and which frames they belong to.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{self, Poll},
};

use bytes::{Buf as _, BytesMut};
use hookup_core::{
    Cause,
    transport::Progress,
    ws::{Encoder, Outgoing, Role},
};
use tokio::io::AsyncWrite;

/// What has been encoded and has not left.
///
/// A frame counts as written when its last byte was. One that was written in part cannot have been understood, so it may be
/// sent again without the peer seeing it twice. (Under TLS a frame counts once the bytes were flushed; what was
/// encrypted and not flushed when the connection broke may be sent again.)
#[derive(Debug)]
pub(super) struct Output {
    encoder: Encoder,
    bytes: BytesMut,
    /// How many bytes were ever put in, how many of them the socket took, and up to where that counts.
    encoded: u64,
    taken: u64,
    counted: u64,
    /// Where the frames end that do not count as written yet.
    ends: VecDeque<u64>,
    is_flushed: bool,
    progress: Progress,
}

impl Output {
    pub(super) fn new(progress: Progress) -> Self {
        Self {
            encoder: Encoder::new(Role::Client),
            bytes: BytesMut::new(),
            encoded: 0,
            taken: 0,
            counted: 0,
            ends: VecDeque::new(),
            is_flushed: true,
            progress,
        }
    }

    pub(super) fn put(&mut self, outgoing: Outgoing) {
        let is_frame = matches!(outgoing, Outgoing::Frame(_));
        let before = self.bytes.len();
        self.encoder.encode(outgoing, &mut self.bytes);
        self.encoded += (self.bytes.len() - before) as u64;
        self.is_flushed = false;
        if is_frame {
            self.ends.push_back(self.encoded);
        }
    }

    /// How many bytes are still to be written.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether everything has left.
    pub(super) fn is_flushed(&self) -> bool {
        self.is_flushed
    }

    /// Writes and flushes what it can. After an error, too, [`Output::take_written`] says what had been taken before it.
    pub(super) fn poll_write<Io>(&mut self, io: &mut Io, cx: &mut task::Context<'_>) -> Poll<Result<(), Cause>>
    where
        Io: AsyncWrite + Unpin,
    {
        let failed = |error: std::io::Error| Poll::Ready(Err(Cause::Failed(error.to_string())));
        while !self.bytes.is_empty() {
            match Pin::new(&mut *io).poll_write(cx, &self.bytes) {
                Poll::Ready(Ok(0)) => {
                    self.counted = self.taken;
                    return Poll::Ready(Err(Cause::EndOfStream));
                }
                Poll::Ready(Ok(n)) => {
                    self.bytes.advance(n);
                    self.taken += n as u64;
                    self.progress.note();
                }
                Poll::Ready(Err(error)) => {
                    self.counted = self.taken;
                    return failed(error);
                }
                Poll::Pending => break,
            }
        }
        if !self.is_flushed {
            match Pin::new(io).poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return failed(error),
                Poll::Pending => return Poll::Pending,
            }
            self.counted = self.taken;
            self.is_flushed = self.bytes.is_empty();
        }
        if self.is_flushed { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// How many more frames were written since this was last asked.
    pub(super) fn take_written(&mut self) -> usize {
        let written = self.ends.partition_point(|&end| end <= self.counted);
        self.ends.drain(..written);
        written
    }
}
