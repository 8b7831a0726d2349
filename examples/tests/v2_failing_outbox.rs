//! Sessions of `hookup.v2` whose outboxes fail now and then, at both ends.

#[path = "support/outboxes.rs"]
mod outboxes;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/raw.rs"]
mod raw;
mod support;
#[path = "support/v2.rs"]
mod v2;

use std::{collections::HashMap, sync::Mutex, time::Duration};

use hookup_client::{Event, SendFailure, Text};
use hookup_server::{HookupServer, Peer, core::OutboxError};
use outboxes::{Op, Watched, WatchedStore};
use proxy::Proxy;
use support::{HOUR, Server, close, recorded, sent, soon};
use tokio::sync::mpsc;
use v2::reliable;

/// Fails each of the outbox's kinds of work now and then. What was not appended is refused; everything else is done again
/// after a second, so that it must not fail too often for a test.
fn now_and_then() -> impl Fn(Op) -> Result<(), OutboxError> + Send + Sync + 'static {
    let done = Mutex::new(HashMap::<_, u32>::new());
    move |op| {
        let mut done = done.lock().expect("nobody panics with it");
        let count = done.entry(op).or_default();
        *count += 1;
        let fails = match op {
            Op::List | Op::Open | Op::Begin => false,
            Op::Append => *count % 10 == 0,
            Op::Remove | Op::Load | Op::Save => *count == 5,
        };
        if fails { Err(OutboxError::Other("now and then".into())) } else { Ok(()) }
    }
}

#[actix::test]
async fn outboxes_that_fail_now_and_then_lose_nothing_and_stall_nothing() {
    let (told, mut texts) = mpsc::unbounded_channel();
    let builder = HookupServer::new(move || {
        let told = told.clone();
        move |event: Event, peer: Peer| {
            if let Event::Text(text) = event {
                peer.do_send(Text(text.to_string()));
                told.send((text.to_string(), text.redelivered())).expect("the test goes on");
            }
        }
    });
    let server = Server::start(builder.window(8, 200).session_store(WatchedStore::new(now_and_then())));
    let proxy = Proxy::open(server.addr);
    let outbox = Watched::new(now_and_then());
    let (addr, mut events) = recorded(reliable(proxy.url()).outbox_in(outbox).window(4, 100).outbox_bounds(400, 4000));
    let (mut accepted, mut waits) = (Vec::new(), Vec::new());
    for n in 0..300 {
        let message = Text(n.to_string());
        let result = match n % 3 {
            0 => {
                let acked = addr.send(message.needs_ack(Duration::from_millis(30)));
                waits.push((n, tokio::task::spawn_local(sent(acked))));
                continue;
            }
            1 => sent(addr.send(message.expires_in(HOUR))).await,
            _ => sent(addr.send(message)).await,
        };
        match result {
            Ok(_) => accepted.push(n),
            Err(error) => assert!(matches!(error.reason, SendFailure::Storage(_)), "{error}"),
        }
        if n % 40 == 38 {
            proxy.cut();
        }
    }
    for (n, wait) in waits {
        match soon("the end of a wait", wait).await.expect("lives") {
            Ok(_) => accepted.push(n),
            Err(error) => match error.reason {
                SendFailure::TimedOut { stays: true, .. } => accepted.push(n),
                SendFailure::TimedOut { .. } | SendFailure::Storage(_) => {}
                _ => panic!("{error}"),
            },
        }
    }
    accepted.sort_unstable();
    let mut seen = Vec::new();
    while seen.last() != accepted.last() {
        let (text, redelivered) = soon("what was accepted", texts.recv()).await.expect("the server lives");
        assert!(!redelivered, "nobody crashed");
        seen.push(text.parse().expect("a number"));
    }
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    let lost = accepted.iter().filter(|n| !seen.contains(n)).collect::<Vec<_>>();
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(close(&addr, HOUR).await, 0, "nothing is left, and nothing is counted that is not there");
    let closed = |event: &Event| match event {
        Event::Gap { .. } | Event::SessionLost => panic!("{event:?}"),
        Event::Disconnected(hookup_client::Cause::WeClosed(_)) => Some(()),
        _ => None,
    };
    events.until("the close", closed).await;
}
