//! Where a client's outbox is, and how it is opened.

use std::path::PathBuf;

use hookup_core::{
    Outbox, SledOptions,
    link::v2,
    session::{self, Called, Opened},
    ws::Role,
};

/// Where a client's outbox is.
pub(crate) enum Where {
    Path(PathBuf),
    Opened(Box<dyn Outbox>),
}

impl Where {
    /// Begins to open it: off the arbiter, if that may block.
    pub(crate) fn open(self, options: SledOptions, limits: v2::Limits) -> Called<Opened> {
        let is_durable = match &self {
            Self::Path(_) => true,
            Self::Opened(outbox) => outbox.is_durable(),
        };
        let open = move || {
            let outbox = match self {
                Self::Opened(outbox) => outbox,
                Self::Path(path) => Box::new(options.outbox(path)?),
            };
            let new = || Ok(v2::State::new(session::random_session()?, None));
            session::open(outbox, Role::Client, limits, new)
        };
        session::call(is_durable, open)
    }
}
