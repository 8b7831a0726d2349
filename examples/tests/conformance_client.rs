//! A client that echoes, put through the conversations of RFC 6455.

#[path = "support/conformance/mod.rs"]
mod conformance;
mod support;

use std::time::Duration;

use conformance::{Case, LONGEST, Peer, echo};
use hookup_client::{Backoff, HookupClient};
use tokio::net::TcpListener;

/// Each with a client of its own: one that was closed for good does not come again.
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

/// It does not come again within the test either after what it was right to reject.
fn patient() -> Backoff {
    Backoff::default().jitter_by(|_| Duration::from_secs(3600))
}

#[actix::test]
async fn framing_pings_reserved_bits_and_opcodes() {
    plays(conformance::framing()).await;
}

#[actix::test]
async fn fragments() {
    plays(conformance::fragments()).await;
}

#[actix::test]
async fn utf8() {
    plays(conformance::utf8()).await;
}

#[actix::test]
async fn closing() {
    plays(conformance::closing()).await;
}

#[actix::test]
async fn limits() {
    plays(conformance::limits()).await;
}
