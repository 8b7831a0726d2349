//! The settings that say who is let in.

use std::future::Future;

use actix_web::HttpRequest;

use super::{Principal, hook::boxed};
use crate::{AllowedOrigins, ServerBuilder};

impl ServerBuilder {
    /// Asks who a client is, before it is let in: by the request's headers, query, or address, and whatever may be awaited.
    ///
    /// `Ok` is the client's name, or [`Principal::Anonymous`]. A session of `hookup.v2` belongs to whom this names, and
    /// another one who asks for it is closed with 4401; so it must give the same client the same name each time, whatever
    /// token it comes with. An error is answered as actix-web answers it, with any status. A panic is answered with 500,
    /// and what takes longer than the [`handshake_timeout`](Self::handshake_timeout) with 503; its future is dropped then,
    /// and when the client goes. It runs on the thread of the connection, so what blocks belongs into
    /// `actix_web::web::block`. Default: everybody is let in, and a session belongs to who knows its id.
    ///
    /// ```no_run
    /// use actix_web::{HttpRequest, error::{ErrorForbidden, ErrorUnauthorized}};
    /// # use hookup_server::{Event, HookupServer, Peer};
    /// # async fn device_of(token: &str) -> Option<String> { None }
    ///
    /// HookupServer::new(|| |_: Event, _: Peer| {}).authenticate(|request: HttpRequest| async move {
    ///     let token = request.headers().get("Authorization").and_then(|value| value.to_str().ok());
    ///     let token = token.ok_or_else(|| ErrorUnauthorized("a token is needed"))?;
    ///     device_of(token).await.ok_or_else(|| ErrorForbidden("an unknown token"))
    /// });
    /// ```
    pub fn authenticate<F, Fut, N, E>(mut self, authenticate: F) -> Self
    where
        F: Fn(HttpRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<N, E>> + 'static,
        N: Into<Principal>,
        E: Into<actix_web::Error>,
    {
        self.authenticate = Some(boxed(authenticate));
        self
    }

    /// Lets browsers connect from every page there is. What a browser sends by itself, cookies and client certificates, then
    /// proves nothing; [`authenticate`](Self::authenticate) has to go by something else.
    pub fn allow_any_origin(mut self) -> Self {
        self.config.allowed_origins = AllowedOrigins::Any;
        self
    }
}
