//! The client's beginning: its outbox is opened, in the background if that may block, and then it connects.

use std::task::{self, Poll};

use actix::Context;
use hookup_core::{Cause, driver::now};

use super::{HookupClient, Phase, Then};

impl HookupClient {
    /// Goes on when the outbox is open, or cannot be opened; what is submitted before waits in the engine.
    pub(super) fn open(&mut self, ctx: &mut Context<Self>, cx: &mut task::Context<'_>) {
        let Phase::Opening(opening) = &mut self.phase else { return };
        let Poll::Ready(opened) = opening.as_mut().poll(cx) else {
            // What finds no room is refused at once.
            return self.core.poll(now(), cx, |_, _| {});
        };
        match opened {
            Ok(opened) => {
                self.phase = Phase::Running;
                self.core.opened(opened);
                // A close sends what it can before its time is over.
                if self.closing.as_ref().is_none_or(|closing| closing.then == Then::End) {
                    self.connect(ctx);
                }
            }
            Err(error) => {
                let cause = Cause::Failed(error.to_string());
                self.core.not_opened(error);
                self.end(cause);
            }
        }
    }
}
