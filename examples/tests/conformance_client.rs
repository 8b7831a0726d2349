//! A client that echoes, put through the conversations of RFC 6455.

#[path = "support/conformance/mod.rs"]
mod conformance;
mod support;

use conformance::{Case, LONGEST, Peer, echo};
use hookup_client::HookupClient;
use support::patient;
use tokio::net::TcpListener;

/// Each with a client of its own: one that was closed for good does not come again, and within the test none does that was
/// right to reject what it got.
async fn plays(cases: Vec<Case>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
    let url = format!("ws://{}/", listener.local_addr().expect("is bound"));
    for case in cases {
        let client = HookupClient::builder(url.as_str())
            .max_message_bytes(LONGEST)
            .outbox_bounds(1000, 4 * LONGEST as u64)
            .backoff(patient());
        let client = client.start(echo).expect("starts");
        Peer::accept(&listener).await.play(&case).await;
        drop(client);
    }
}

conformance::tests!(plays);
