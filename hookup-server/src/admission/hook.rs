//! The server's question to the application: who is this?

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use actix_web::{Error, FromRequest as _, HttpRequest, dev, http::StatusCode, web};
use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    future::{Either, LocalBoxFuture, ready, select},
    stream,
};
use hookup_core::panics::catch_future;

use super::{Refusal, refusal};

/// As whom a client is let in: what [`ServerBuilder::authenticate`](crate::ServerBuilder::authenticate) answers with.
///
/// A `String` or `&str` is a name. There is no conversion from `Option`, so that a look-up that found nobody is not
/// taken for leave to come in without a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Principal {
    /// This one: sessions of `hookup.v2` belong to the name.
    Named(String),
    /// Anybody: sessions of `hookup.v2` belong to who knows their id.
    Anonymous,
}

impl Principal {
    /// A name.
    pub fn named(name: impl Into<String>) -> Self {
        Self::Named(name.into())
    }

    fn into_name(self) -> Option<String> {
        match self {
            Self::Named(name) => Some(name),
            Self::Anonymous => None,
        }
    }
}

impl From<String> for Principal {
    fn from(name: String) -> Self {
        Self::Named(name)
    }
}

impl From<&str> for Principal {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}

/// Says who a client is, on the thread of its connection.
pub(crate) type Authenticate = dyn Fn(HttpRequest) -> LocalBoxFuture<'static, Result<Principal, Error>> + Send + Sync;

/// A hook of any type, as it is kept.
pub(super) fn boxed<F, Fut, N, E>(hook: F) -> Arc<Authenticate>
where
    F: Fn(HttpRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<N, E>> + 'static,
    N: Into<Principal>,
    E: Into<Error>,
{
    Arc::new(move |request| {
        let asked = hook(request);
        Box::pin(async move { asked.await.map(Into::into).map_err(Into::into) })
    })
}

/// The hook's answer: a name, or nobody's; and the payload, with all that came meanwhile.
pub(super) async fn ask(
    hook: &Authenticate,
    request: &HttpRequest,
    mut payload: web::Payload,
    within: Duration,
) -> Result<(Option<String>, web::Payload), Refusal> {
    // The application's code is all in there: a hook may panic before there is a future, and an error when it is asked.
    let answer = async { hook(request.clone()).await.map_err(|error| refused(&error, request)) };
    let mut answer = pin!(tokio::time::timeout(within, catch_future(answer)));
    let mut early = None;
    let answered = match select(answer.as_mut(), payload.next()).await {
        Either::Left((answered, _)) => answered,
        // A client has nothing to say before it is answered (RFC 6455, section 4.1); this one could not wait.
        Either::Right((Some(Ok(bytes)), _)) => {
            early = Some(bytes);
            answer.await
        }
        // actix-http goes on with a request whose client has closed its end; but then nobody waits for a WebSocket.
        Either::Right((None | Some(Err(_)), _)) => {
            return Err(refusal(request, StatusCode::BAD_REQUEST, "the client went before it was let in"));
        }
    };
    let principal = match answered {
        Ok(Ok(Ok(principal))) => principal,
        Ok(Ok(Err(refusal))) => return Err(refusal),
        Ok(Err(message)) => {
            tracing::error!(%message, remote = ?request.peer_addr(), "`authenticate` panicked");
            return Err(refusal(
                request,
                StatusCode::INTERNAL_SERVER_ERROR,
                "the server failed when it was to find out who the client is",
            ));
        }
        Err(_elapsed) => {
            tracing::warn!(remote = ?request.peer_addr(), ?within, "`authenticate` has not answered in time");
            let words = format!("the server did not find out within {within:?} who the client is");
            return Err(refusal(request, StatusCode::SERVICE_UNAVAILABLE, &words));
        }
    };
    let payload = match early {
        None => payload,
        Some(bytes) => preceded(bytes, payload, request).await?,
    };
    Ok((principal.into_name(), payload))
}

/// What the hook's error is answered with.
fn refused(error: &Error, request: &HttpRequest) -> Refusal {
    let response = error.error_response();
    let (status, remote) = (response.status(), request.peer_addr());
    match status.is_server_error() {
        true => tracing::warn!(%error, %status, ?remote, "a client is refused, as `authenticate` failed"),
        false => tracing::debug!(%error, %status, ?remote, "`authenticate` refuses a client"),
    }
    response.into()
}

/// A payload, with bytes that were taken from it back at its head.
async fn preceded(bytes: Bytes, payload: web::Payload, request: &HttpRequest) -> Result<web::Payload, Refusal> {
    let payload = Box::pin(stream::once(ready(Ok(bytes))).chain(payload));
    let extracted = web::Payload::from_request(request, &mut dev::Payload::Stream { payload }).await;
    extracted.map_err(|error| error.error_response().into())
}
