//! One attempt to connect, and the life of the socket that comes of it: a task that the client can drop at any time.

use std::rc::Rc;

use actix::WeakAddr;
use hookup_core::{
    panics::catch_future,
    transport::{Command, Notice, Progress},
};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, spawn_local},
};

use super::HookupClient;
use crate::{
    builder::Settings,
    connector::{Headers, Opened},
    socket::Socket,
};

/// Something that an attempt to connect, or the socket that came of it, has to say.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub(super) struct Heard {
    pub(super) attempt: u64,
    pub(super) news: News,
}

pub(super) enum News {
    Opened { subprotocol: Option<String>, commands: mpsc::UnboundedSender<Command>, progress: Progress },
    Failed(String),
    Notice(Notice),
}

/// An attempt, and its socket, for as long as it is kept.
pub(super) struct Attempt(AbortHandle);

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Attempt {
    /// Starts attempt `number`.
    pub(super) fn start(settings: Rc<Settings>, number: u64, client: WeakAddr<HookupClient>) -> Self {
        Self(spawn_local(run(settings, number, client)).abort_handle())
    }
}

async fn run(settings: Rc<Settings>, attempt: u64, client: WeakAddr<HookupClient>) {
    let tell = move |news| {
        if let Some(client) = client.upgrade() {
            client.do_send(Heard { attempt, news });
        }
    };
    let connection = async {
        let timeout = settings.config.connect_timeout;
        let opened = tokio::time::timeout(timeout, open(&settings)).await;
        match opened.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}"))) {
            Err(words) => tell(News::Failed(words)),
            Ok(Opened { io, read, subprotocol }) => {
                let limits = settings.limits(subprotocol.as_deref());
                let (commands, receiver) = mpsc::unbounded_channel();
                let progress = Progress::default();
                tell(News::Opened { subprotocol, commands, progress: progress.clone() });
                let tell = |notice| tell(News::Notice(notice));
                Socket::new(io, read, limits, receiver, progress, tell).run().await;
            }
        }
    };
    // The credentials are the user's code; its panic must not leave the client waiting for ever.
    if let Err(message) = catch_future(connection).await {
        tracing::error!(%message, "an attempt to connect panicked");
        tell(News::Failed("the attempt panicked".into()));
    }
}

async fn open(settings: &Settings) -> Result<Opened, String> {
    let mut headers: Headers = settings.headers.clone();
    if let Some(credentials) = &settings.credentials {
        for (name, value) in credentials().await.map_err(|words| format!("no credentials: {words}"))? {
            headers.push(&name, &value).map_err(|words| format!("bad credentials: {words}"))?;
        }
    }
    settings.connector.connect(headers).await
}
