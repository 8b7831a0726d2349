//! Which sessions the store has from before the server was started: asked in the background, before any is opened.

use actix::{ActorFutureExt as _, AsyncContext as _, Context, WrapFuture as _};
use hookup_core::{OutboxError, SessionId, session};

use super::HookupServer;

/// What is known of the sessions that the store has.
#[derive(Debug, Default)]
pub(super) enum Listing {
    /// Nothing: the store was not asked, or failed.
    #[default]
    Unknown,
    /// The store is being asked. These are to be opened when it has answered, each for who is named.
    Asked(Vec<(SessionId, Option<String>)>),
    /// All of them.
    Known,
}

impl HookupServer {
    /// Asks the store which sessions it has, unless that is known, or being asked.
    pub(super) fn list(&mut self, ctx: &mut Context<Self>) {
        if !matches!(self.listing, Listing::Unknown) || self.stopping.is_some() {
            return;
        }
        self.listing = Listing::Asked(Vec::new());
        let store = self.settings.store.clone();
        let listed = session::call(self.settings.store.is_durable(), move || store.sessions());
        ctx.spawn(listed.into_actor(self).map(|listed, server, ctx| server.listed(listed, ctx)));
    }

    /// Opens a session, when the store has said which it has: before, one of them could be taken for one that nobody asks
    /// for.
    pub(super) fn open_listed(&mut self, id: SessionId, principal: Option<String>, ctx: &mut Context<Self>) {
        self.list(ctx);
        match &mut self.listing {
            Listing::Asked(waiting) => waiting.push((id, principal)),
            Listing::Known | Listing::Unknown => self.open(id, principal, ctx),
        }
    }

    /// The server stops: the sessions that are to be opened are not waited for.
    pub(super) fn stop_listing(&mut self, ctx: &mut Context<Self>) {
        if let Listing::Asked(waiting) = &mut self.listing {
            for (id, _) in std::mem::take(waiting) {
                self.gone(id, ctx);
            }
        }
    }

    fn listed(&mut self, listed: Result<Vec<SessionId>, OutboxError>, ctx: &mut Context<Self>) {
        let Listing::Asked(waiting) = std::mem::replace(&mut self.listing, Listing::Known) else { return };
        match listed {
            Ok(mut stored) => {
                stored.retain(|id| !self.sessions.contains_key(id));
                self.stored = stored.into();
                for (id, principal) in waiting {
                    self.open(id, principal, ctx);
                }
                self.expire_stored(ctx);
            }
            Err(error) => {
                tracing::error!(%error, "the session store could not say which sessions it has; the next hello asks again");
                self.listing = Listing::Unknown;
                for (id, _) in waiting {
                    self.not_opened(id, ctx);
                }
            }
        }
    }
}
