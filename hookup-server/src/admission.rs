//! Who is let in: how many, and whether by name.

use std::sync::{Arc, atomic::Ordering};

use actix_web::{HttpRequest, HttpResponse};

use crate::builder::Settings;

/// One of as many connections as there may be, for as long as it is kept.
pub(crate) struct Place {
    settings: Arc<Settings>,
    /// Where it stands in the order in which connections were let in.
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

/// Lets a client in, as whom the server's authentication names.
pub(crate) fn admit(
    settings: &Arc<Settings>,
    request: &HttpRequest,
) -> Result<(Place, Option<String>), Box<HttpResponse>> {
    if *settings.stopping.borrow() {
        return Err(HttpResponse::ServiceUnavailable().body("the server is stopping\n").into());
    }
    let principal = match &settings.authenticate {
        None => None,
        Some(authenticate) => match authenticate(request) {
            Ok(name) => Some(name),
            Err(words) => return Err(HttpResponse::Unauthorized().body(format!("{words}\n")).into()),
        },
    };
    match Place::take(settings) {
        Some(place) => Ok((place, principal)),
        None => Err(HttpResponse::ServiceUnavailable().body("there are as many connections as there may be\n").into()),
    }
}
