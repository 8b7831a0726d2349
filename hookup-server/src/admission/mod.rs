//! Who is let in: from where, how many, and as whom.

mod hook;
mod origin;
mod settings;

use std::sync::{Arc, atomic::Ordering};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::ContentType},
    web,
};

pub(crate) use self::{hook::Authenticate, origin::Origins};
use crate::builder::Settings;

pub use self::hook::Principal;

/// One of as many connections as there may be, for as long as it is kept.
pub(crate) struct Place {
    settings: Arc<Settings>,
    /// Where it stands in the order in which connections came.
    pub(crate) order: u64,
}

impl Place {
    /// Takes a place, if one is free.
    pub(crate) fn take(settings: &Arc<Settings>) -> Option<Self> {
        // The place is given back, too, when there was none.
        let order = settings.admitted.fetch_add(1, Ordering::Relaxed);
        let place = Self { settings: settings.clone(), order };
        (settings.connections.fetch_add(1, Ordering::Relaxed) < settings.config.max_connections).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.settings.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client that was let in.
pub(crate) struct Admitted {
    pub(crate) place: Place,
    /// As whom; `None` is anybody.
    pub(crate) principal: Option<String>,
    pub(crate) payload: web::Payload,
}

/// What a client is answered that is not let in.
pub(crate) type Refusal = Box<HttpResponse>;

/// What can be said before anything is done for a client: the server goes on, and the page that connects may.
pub(crate) fn check(settings: &Settings, request: &HttpRequest) -> Result<(), Refusal> {
    is_going_on(settings, request)?;
    settings.origins.check(request.headers()).map_err(|words| refusal(request, StatusCode::FORBIDDEN, &words))
}

/// Lets a client in, as whom the server's hook names.
///
/// The place is taken before the hook is asked, so that no more wait for a slow one than there may be connections. It is
/// given back when the client is refused, and when this is dropped because the connection is gone.
pub(crate) async fn admit(
    settings: &Arc<Settings>,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<Admitted, Refusal> {
    let full = || refusal(request, StatusCode::SERVICE_UNAVAILABLE, "there are as many connections as there may be");
    let place = Place::take(settings).ok_or_else(full)?;
    let Some(hook) = &settings.authenticate else { return Ok(Admitted { place, principal: None, payload }) };
    let (principal, payload) = hook::ask(hook.as_ref(), request, payload, settings.config.handshake_timeout).await?;
    is_going_on(settings, request)?;
    Ok(Admitted { place, principal, payload })
}

fn is_going_on(settings: &Settings, request: &HttpRequest) -> Result<(), Refusal> {
    match *settings.stopping.borrow() {
        false => Ok(()),
        true => Err(refusal(request, StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")),
    }
}

fn refusal(request: &HttpRequest, status: StatusCode, words: &str) -> Refusal {
    tracing::debug!(%status, remote = ?request.peer_addr(), "a handshake is refused: {words}");
    HttpResponse::build(status).content_type(ContentType::plaintext()).body(format!("{words}\n")).into()
}
