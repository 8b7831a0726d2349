//! Clients of servers with TLS, and what becomes of them.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::time::Duration;

use hookup_client::{Backoff, Cause, ClientBuilder, HookupClient, Receipt, Text};
use hookup_server::{Event, HookupServer, Peer, ServerBuilder};

use crate::support::{HOUR, recorder, soon};

/// A server that answers.
pub(crate) fn answering() -> ServerBuilder {
    HookupServer::new(|| {
        |event: Event, peer: Peer| {
            if let Event::Text(text) = event {
                peer.do_send(Text(format!("{text} back")));
            }
        }
    })
}

pub(crate) fn client(port: u16) -> ClientBuilder {
    let backoff = Backoff::default().jitter_by(|_| Duration::from_millis(1));
    HookupClient::builder(format!("wss://localhost:{port}/ws")).backoff(backoff)
}

/// It connects to a server that answers, and is answered.
pub(crate) async fn talks(builder: ClientBuilder) {
    let (handler, mut events) = recorder();
    let addr = builder.start(handler).expect("starts");
    assert_eq!(events.connected().await.format, "hookup.v2");
    let receipt = soon("an ack", addr.send(Text("there and").needs_ack(HOUR))).await.expect("lives").expect("acked");
    assert_eq!(receipt, Receipt::Acked);
    assert_eq!(events.text().await, "there and back");
}

/// It does not connect, says why in these words, and goes on trying.
pub(crate) async fn fails(builder: ClientBuilder, words: &str) {
    let (handler, mut events) = recorder();
    let _addr = builder.start(handler).expect("starts");
    for attempt in 1..=3 {
        let Event::Reconnecting(event) = events.next().await else { panic!("another event") };
        assert_eq!(event.attempt, attempt);
        assert!(matches!(&event.cause, Cause::Failed(why) if why.contains(words)), "{}", event.cause);
    }
}
