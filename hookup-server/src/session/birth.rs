//! How a session comes to be: with its handler, on the thread where it is to live.

use std::{net::SocketAddr, sync::Arc};

use actix::{Actor, Addr, ArbiterHandle, AsyncContext as _, Context};
use hookup_core::{
    Event, EventHandler, Handling, MemoryOutbox, Peer, SessionId, WireFormat,
    driver::{Alarm, now},
    panics::catch,
    session::{self, SessionCore},
};

use super::{Kind, Session, ending::Phase};
use crate::{
    builder::Settings,
    registry::{Change, HookupServer, OfSession},
};

/// In place of a handler whose factory panicked.
struct Nobody;

impl EventHandler for Nobody {
    fn handle(&mut self, event: Event, _: Peer) -> Handling {
        tracing::error!(?event, "not handled: the handler's factory panicked");
        Handling::refused("there is no handler")
    }
}

/// A session whose actor is about to be. If it never is, as its thread has ended, the registry is told that it has gone.
struct Unborn(Option<(Addr<HookupServer>, SessionId)>);

impl Unborn {
    fn born(mut self) {
        self.0 = None;
    }
}

impl Drop for Unborn {
    fn drop(&mut self) {
        if let Some((server, id)) = self.0.take() {
            server.do_send(OfSession(id, Change::Gone));
        }
    }
}

impl Session {
    /// A session of a format; its connection says [`Opened`].
    pub(crate) fn of_format(
        settings: &Arc<Settings>,
        server: Addr<HookupServer>,
        remote: Option<SocketAddr>,
        principal: Option<String>,
        format: Arc<dyn WireFormat>,
    ) -> Addr<Self> {
        let settings = settings.clone();
        let handler = (settings.factory)();
        Self::create(move |ctx| {
            let opened = session::Opened::without_link(Box::<MemoryOutbox>::default());
            let mut session = Self::new(settings, server, Kind::Format(format), handler, opened, ctx);
            session.core.set_peer(session.core.peer().moved(remote, principal));
            session
        })
    }

    /// A session of `hookup.v2`, on the thread of this arbiter, without a connection.
    pub(crate) fn resumable(
        settings: &Arc<Settings>,
        server: Addr<HookupServer>,
        arbiter: &ArbiterHandle,
        id: SessionId,
        opened: session::Opened,
    ) -> Addr<Self> {
        let settings = settings.clone();
        let unborn = Unborn(Some((server.clone(), id)));
        Self::start_in_arbiter(arbiter, move |ctx| {
            let unborn = unborn;
            let handler = catch(|| (settings.factory)());
            let handler = handler.inspect_err(|message| tracing::error!(%message, "the handler's factory panicked"));
            let is_stillborn = handler.is_err();
            let handler = handler.unwrap_or_else(|_| Box::new(Nobody));
            let mut session = Self::new(settings, server, Kind::Resumable(id), handler, opened, ctx);
            session.is_stillborn = is_stillborn;
            session.expires = Some(now() + session.settings.config.session_ttl);
            unborn.born();
            session
        })
    }

    fn new(
        settings: Arc<Settings>,
        server: Addr<HookupServer>,
        kind: Kind,
        handler: Box<dyn EventHandler>,
        opened: session::Opened,
        ctx: &mut Context<Self>,
    ) -> Self {
        // No bound: a `send` takes its place in the order at once, as a `do_send` does. The outbox has the bound.
        ctx.set_mailbox_capacity(0);
        let addr = ctx.address();
        let peer = Peer::new(None, addr.clone().recipient(), addr.clone().recipient());
        let mut core = SessionCore::new(settings.common.limits, peer, handler, addr.recipient());
        core.end_with_handler();
        core.opened(opened);
        Self {
            core,
            server,
            settings,
            kind,
            connection: None,
            connections: 0,
            newest: 0,
            expires: None,
            closing: None,
            stopping: false,
            draining: None,
            is_over: false,
            alarm: Alarm::default(),
            phase: Phase::Running,
            is_stillborn: false,
        }
    }
}
