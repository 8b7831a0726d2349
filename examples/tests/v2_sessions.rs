//! Sessions of `hookup.v2` between a real server and a real client: what they promise while connections come and go.

#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/raw.rs"]
mod raw;
mod support;
#[path = "support/v2.rs"]
mod v2;

use std::{sync::Arc, time::Duration};

use hookup_client::{Disconnect, Receipt, Reconnect, SendFailure, Text};
use hookup_server::{Cause, CloseCode, CloseReason, Error, Event, HookupServer, Peer, SessionEnd, SledStore};
use proxy::Proxy;
use support::{HOUR, Server, close, recorded, recorder, recording, sent, soon};
use tokio::sync::mpsc;
use v2::reliable;

#[actix::test]
async fn a_message_arrives_and_is_acked_in_both_directions() {
    let (server, mut received) = recording();
    let (addr, mut events) = recorded(reliable(server.url()));
    let connected = events.connected().await;
    assert_eq!((connected.format.as_str(), connected.resumed), ("hookup.v2", false));
    let result = sent(addr.send(Text("hi").needs_ack(HOUR))).await;
    assert_eq!(result.expect("acked"), Receipt::Acked);
    let connected = received.connected().await;
    let Event::Text(text) = received.next().await else { panic!("another event") };
    assert_eq!((text.as_str(), text.redelivered()), ("hi", false));
    assert_eq!(text.key().expect("has one").seq, 1);
    let result = soon("an ack", connected.peer.send(Text("ho").needs_ack(HOUR))).await;
    assert_eq!(result.expect("acked"), Receipt::Acked);
    assert_eq!(events.text().await, "ho");
    assert_eq!(close(&addr, HOUR).await, 0);
}

#[actix::test]
async fn what_either_side_sends_while_the_other_is_away_arrives_in_order_when_it_is_back() {
    let (server, mut received) = recording();
    let proxy = Proxy::open(server.addr);
    let (addr, mut events) = recorded(reliable(proxy.url()));
    let peer = received.connected().await.peer;
    addr.do_send(Disconnect);
    received.disconnected().await;
    for n in 0..100 {
        let accepted = soon("acceptance", peer.send(Text(format!("down {n}")))).await;
        assert_eq!(accepted.expect("it is queued"), Receipt::Accepted);
        addr.do_send(Text(format!("up {n}")));
    }
    addr.do_send(Reconnect);
    let connected = received.connected().await;
    assert_eq!((connected.resumed, connected.peer.id()), (true, peer.id()));
    for n in 0..100 {
        assert_eq!(received.text().await, format!("up {n}"));
        assert_eq!(events.text().await, format!("down {n}"));
    }
}

#[actix::test]
async fn a_client_that_is_started_again_goes_on_in_its_session_with_what_it_had_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let (server, mut received) = recording();
    let (addr, mut events) = recorded(reliable(server.url()).outbox(directory.path()));
    assert!(!events.connected().await.resumed);
    assert_eq!(sent(addr.send(Text("0").needs_ack(HOUR))).await.expect("acked"), Receipt::Acked);
    addr.do_send(Disconnect);
    events.disconnected().await;
    for n in 1..=100 {
        addr.do_send(Text(n.to_string()));
    }
    assert_eq!(close(&addr, Duration::ZERO).await, 100);

    let (_addr, mut events) = recorded(reliable(server.url()).outbox(directory.path()));
    assert!(events.connected().await.resumed);
    for n in 0..=100 {
        assert_eq!(received.text().await, n.to_string());
    }
}

#[actix::test]
async fn a_session_keeps_its_handler_over_its_connections() {
    let (counts, mut counted) = mpsc::unbounded_channel();
    let server = Server::with(move || {
        let (mut count, counts) = (0, counts.clone());
        move |event: Event, _: Peer| {
            if let Event::Text(_) = event {
                count += 1;
                counts.send(count).expect("the test goes on");
            }
        }
    });
    let proxy = Proxy::open(server.addr);
    let (addr, mut events) = recorded(reliable(proxy.url()));
    // Each connection is another worker's, in turn.
    for n in 1..=4 {
        events.connected().await;
        addr.do_send(Text("count"));
        assert_eq!(soon("a count", counted.recv()).await, Some(n));
        proxy.cut();
    }
}

#[actix::test]
async fn a_refusal_reaches_whoever_waits_and_otherwise_is_an_event() {
    let server = Server::with(|| {
        |event: Event, _: Peer| match event {
            Event::Text(text) if text.as_str() != "good" => Err(format!("not {text}")),
            _ => Ok(()),
        }
    });
    let (addr, mut events) = recorded(reliable(server.url()));
    let refused = sent(addr.send(Text("bad").needs_ack(HOUR))).await.expect_err("refused");
    assert!(matches!(&refused.reason, SendFailure::Refused { reason } if reason == "not bad"), "{refused}");
    addr.do_send(Text("worse"));
    let not_sent = |event: &Event| match event {
        Event::Error(Error::NotSent(error)) => Some(error.to_string()),
        _ => None,
    };
    assert_eq!(events.until("the refusal", not_sent).await, "the peer refused it: not worse");
    assert_eq!(sent(addr.send(Text("good").needs_ack(HOUR))).await.expect("acked"), Receipt::Acked);
}

#[actix::test]
async fn a_refusal_that_is_longer_than_what_the_peer_takes_is_shortened() {
    let server = Server::with(|| {
        |event: Event, peer: Peer| match event {
            Event::Text(text) if text.as_str() == "bad" => {
                peer.do_send(Text("innocent"));
                Err("x".repeat(3000))
            }
            _ => Ok(()),
        }
    });
    let (addr, mut events) = recorded(reliable(server.url()).max_message_bytes(2000));
    let refused = sent(addr.send(Text("bad").needs_ack(HOUR))).await.expect_err("refused");
    let SendFailure::Refused { reason } = &refused.reason else { panic!("{refused}") };
    assert_eq!(*reason, "x".repeat(512));
    // It came over the first connection, which still works.
    let innocent = |event: &Event| match event {
        Event::Disconnected(cause) => panic!("{cause}"),
        Event::Text(text) => Some(text.to_string()),
        _ => None,
    };
    assert_eq!(events.until("a text", innocent).await, "innocent");
}

#[actix::test]
async fn a_wait_that_times_out_leaves_the_message_in_the_outbox_and_it_is_delivered_once() {
    let (release, released) = mpsc::unbounded_channel::<()>();
    let released = Arc::new(tokio::sync::Mutex::new(released));
    let (told, mut texts) = mpsc::unbounded_channel();
    let server = Server::with(move || {
        let (released, told) = (released.clone(), told.clone());
        move |event: Event, _: Peer| {
            let (released, told) = (released.clone(), told.clone());
            async move {
                if let Event::Text(text) = event {
                    released.lock().await.recv().await;
                    told.send(text.to_string()).expect("the test goes on");
                }
            }
        }
    });
    let (addr, mut events) = recorded(reliable(server.url()));
    let short = Duration::from_millis(10);
    let late = sent(addr.send(Text("slow").needs_ack(short))).await.expect_err("too late");
    assert!(matches!(late.reason, SendFailure::TimedOut { within, stays: true } if within == short), "{late}");
    assert!(late.to_string().contains("still delivered"));
    release.send(()).expect("waits");
    release.send(()).expect("waits");
    assert_eq!(sent(addr.send(Text("next").needs_ack(HOUR))).await.expect("acked"), Receipt::Acked);
    assert_eq!(texts.recv().await.as_deref(), Some("slow"));
    assert_eq!(texts.recv().await.as_deref(), Some("next"));
    assert_eq!(close(&addr, HOUR).await, 0);
    while let Ok(event) = tokio::time::timeout(Duration::ZERO, events.next()).await {
        assert!(!matches!(event, Event::AckFailed(_) | Event::Error(_)), "{event:?}");
        if matches!(event, Event::Disconnected(_)) {
            break;
        }
    }
}

#[actix::test]
async fn what_expires_is_not_sent_and_what_is_volatile_is_sent_at_once_or_not_at_all() {
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let (addr, mut events) = recorded(reliable(proxy.url()));
    let dropped = sent(addr.send(Text("nobody is there").volatile())).await.expect_err("dropped");
    assert!(matches!(dropped.reason, SendFailure::Dropped), "{dropped}");
    let never = sent(addr.send(Text("x").volatile().needs_ack(HOUR))).await.expect_err("refused");
    assert!(matches!(never.reason, SendFailure::Unsupported { .. }), "{never}");
    addr.do_send(Text("old").expires_in(Duration::ZERO));
    addr.do_send(Text("young").expires_in(HOUR));
    proxy.accept();
    let expired = |event: &Event| match event {
        Event::Error(Error::NotSent(error)) => Some(format!("{:?}: {error}", error.message.message())),
        _ => None,
    };
    let words = events.until("the expiry", expired).await;
    assert_eq!(words, "Text(Text(\"old\")): it expired before it was delivered");
    assert_eq!(received.text().await, "young");
    loop {
        if sent(addr.send(Text("now").volatile())).await.is_ok() {
            break;
        }
    }
    let Event::Text(text) = received.next().await else { panic!("another event") };
    assert_eq!((text.as_str(), text.key()), ("now", None));
}

#[actix::test]
async fn a_session_that_its_server_closes_with_1000_is_over() {
    let (handler, mut received) = recorder();
    let server = Server::with(move || handler.clone());
    let (_addr, mut events) = recorded(reliable(server.url()));
    let peer = received.connected().await.peer;
    let reason = CloseReason::new(CloseCode::NORMAL, "done");
    peer.close(reason.clone());
    assert_eq!(events.disconnected().await, Cause::PeerClosed(reason.clone()));
    assert!(matches!(received.next().await, Event::Disconnected(cause) if cause == Cause::WeClosed(reason)));
    assert!(matches!(received.next().await, Event::SessionEnded(SessionEnd::Closed)));
}

#[actix::test]
async fn a_session_that_its_server_closes_otherwise_goes_on() {
    let (server, mut received) = recording();
    let (_addr, mut events) = recorded(reliable(server.url()));
    let peer = received.connected().await.peer;
    peer.close(CloseCode::AWAY.into());
    let accepted = soon("acceptance", peer.send(Text("after the close"))).await;
    assert_eq!(accepted.expect("it is queued"), Receipt::Accepted);
    assert_eq!(events.text().await, "after the close");
    assert!(received.connected().await.resumed);
}

#[actix::test]
async fn a_server_that_stops_says_goaway_and_tells_its_handlers_of_the_end() {
    let (handler, mut received) = recorder();
    let hour = Duration::from_secs(3600);
    let server = Server::start(HookupServer::new(move || handler.clone()).retry_after(hour, 2 * hour));
    let (addr, mut events) = recorded(reliable(server.url()));
    received.connected().await;
    soon("the stop", server.hookup.stop(support::STOP)).await;
    assert!(matches!(received.disconnected().await, Cause::WeClosed(reason) if reason.code == CloseCode::AWAY));
    assert!(matches!(received.next().await, Event::SessionEnded(SessionEnd::Stopped)));
    assert!(events.reconnecting().await.wait > hour / 2, "it is not the backoff's wait");
    assert_eq!(close(&addr, Duration::ZERO).await, 0);
}

#[actix::test]
async fn a_volatile_answer_is_sent_by_a_session_whose_outbox_is_at_work_on_what_it_answers() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = SledStore::open(directory.path()).expect("opens");
    let builder = HookupServer::new(|| {
        |event: Event, peer: Peer| {
            if let Event::Text(text) = event {
                peer.do_send(Text(text.to_string()).volatile());
            }
        }
    });
    let server = Server::start(builder.session_store(store));
    let (addr, mut events) = recorded(reliable(server.url()));
    // What was handled is saved at some time around its answer; ten answers meet that time in one way or another.
    for n in 0..10 {
        assert_eq!(sent(addr.send(Text(n.to_string()).needs_ack(HOUR))).await.expect("acked"), Receipt::Acked);
        assert_eq!(events.text().await, n.to_string());
    }
}
