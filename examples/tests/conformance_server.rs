//! A server that echoes, put through the conversations of RFC 6455.

#[path = "support/conformance/mod.rs"]
mod conformance;
mod support;

use conformance::{Case, LONGEST, Peer, echo};
use hookup_server::HookupServer;
use support::Server;

/// Each over a connection of its own, one after the other.
async fn plays(cases: Vec<Case>) {
    let server = HookupServer::new(|| echo).max_message_bytes(LONGEST).outbox_bounds(1000, 4 * LONGEST as u64);
    let server = Server::start(server);
    for case in cases {
        Peer::connect(server.addr).await.play(&case).await;
    }
}

conformance::tests!(plays);
