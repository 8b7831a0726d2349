//! Attempts to connect: when they are made, what is said of them, and what ends them.

#[path = "support/proxy.rs"]
mod proxy;
mod support;

use std::{cell::Cell, rc::Rc, time::Duration};

use hookup_client::{
    Backoff, Close, Closed, Disconnect, Error, Receipt, Reconnect, Reconnecting, SendError, SendFailure, Text,
    core::ws::Signal,
};
use hookup_server::{Cause, CloseCode, Event, Peer};
use proxy::{Proxy, RawServer, ack_request, envelope};
use support::{Events, Server, client, recorder, soon};

const HOUR: Duration = Duration::from_secs(3600);

/// A server that records, and a proxy in front of it.
fn recording() -> (Server, Events) {
    let (handler, events) = recorder();
    (Server::with(move || handler.clone()), events)
}

/// A client that records.
fn recorded(builder: hookup_client::ClientBuilder) -> (actix::Addr<hookup_client::HookupClient>, Events) {
    let (handler, events) = recorder();
    (builder.start(handler).expect("starts"), events)
}

/// Waits an hour between attempts.
fn patient() -> Backoff {
    Backoff::default().jitter_by(|_| HOUR)
}

async fn reconnecting(events: &mut Events) -> Reconnecting {
    events
        .until("reconnecting", |event| match event {
            Event::Reconnecting(reconnecting) => Some(reconnecting.clone()),
            _ => None,
        })
        .await
}

/// The words of the next failed attempt.
async fn failure(events: &mut Events) -> String {
    match reconnecting(events).await.cause {
        Cause::Failed(words) => words,
        other => panic!("not a failed attempt: {other:?}"),
    }
}

/// The server has seen the end of one session and the beginning of another. They are two, so neither has to be first.
async fn replaced(received: &mut Events) {
    let (mut ended, mut begun) = (false, false);
    let both = |event: &Event| {
        ended |= matches!(event, Event::Disconnected(_));
        begun |= matches!(event, Event::Connected(_));
        (ended && begun).then_some(())
    };
    received.until("an end and a beginning", both).await;
}

fn closed(code: u16) -> CloseCode {
    CloseCode(code)
}

#[actix::test]
async fn each_attempt_is_announced_with_its_number_wait_and_cause() {
    let proxy = Proxy::shut(([127, 0, 0, 1], 9).into());
    let millis = Duration::from_millis;
    let backoff = Backoff::default().initial(millis(8)).max(millis(32)).jitter_by(|cap| cap / 4);
    let (_addr, mut events) = recorded(client(proxy.url()).backoff(backoff));
    for (attempt, wait) in [(1, 2), (2, 4), (3, 8), (4, 8)] {
        let Event::Reconnecting(event) = events.next().await else { panic!("another event") };
        assert_eq!((event.attempt, event.wait), (attempt, millis(wait)));
        assert!(matches!(&event.cause, Cause::Failed(words) if words.contains("refused")), "{}", event.cause);
    }
}

#[actix::test]
async fn it_connects_when_the_server_appears() {
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let (addr, mut events) = recorded(client(proxy.url()));
    addr.do_send(Text("early"));
    reconnecting(&mut events).await;
    proxy.accept();
    events.connected().await;
    assert_eq!(received.text().await, "early");
}

#[actix::test]
async fn a_client_that_gave_up_keeps_its_messages_and_makes_no_attempt_before_it_is_told_to() {
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let backoff = Backoff::default().max_attempts(2).jitter_by(|cap| cap / 100);
    let (addr, mut events) = recorded(client(proxy.url()).backoff(backoff));
    let waiting = addr.send(Text("before").needs_ack(HOUR));
    assert_eq!(reconnecting(&mut events).await.attempt, 1);
    assert_eq!(reconnecting(&mut events).await.attempt, 2);
    let Event::Error(Error::GaveUp { attempts: 2, cause }) = events.next().await else { panic!("another event") };
    assert!(cause.contains("refused"), "{cause}");

    proxy.accept();
    for (sent, text) in [(waiting, "before"), (addr.send(Text("after").needs_ack(HOUR)), "after")] {
        let SendError { message, reason } = soon("offline", sent).await.expect("lives").expect_err("offline");
        assert!(matches!(reason, SendFailure::Offline), "{reason}");
        assert_eq!(message, Text(text).needs_ack(HOUR));
    }
    addr.do_send(Reconnect);
    assert!(matches!(events.next().await, Event::Connected(_)));
    assert_eq!([received.text().await, received.text().await], ["before", "after"]);
    assert_eq!(proxy.accepted(), 1);
}

#[actix::test]
async fn a_cut_is_a_disconnect_and_then_a_new_connection_on_both_sides() {
    let (server, mut received) = recording();
    let proxy = Proxy::open(server.addr);
    let (_addr, mut events) = recorded(client(proxy.url()));
    assert!(matches!(events.next().await, Event::Connected(_)));
    assert!(matches!(received.next().await, Event::Connected(_)));
    proxy.cut();
    let Event::Disconnected(cause) = events.next().await else { panic!("another event") };
    let Event::Reconnecting(event) = events.next().await else { panic!("another event") };
    assert_eq!((event.attempt, event.cause), (1, cause));
    assert!(matches!(events.next().await, Event::Connected(_)));
    replaced(&mut received).await;
}

#[actix::test]
async fn only_a_connection_that_saw_an_ack_starts_the_schedule_again() {
    let (server, _received) = recording();
    let proxy = Proxy::open(server.addr);
    let (addr, mut events) = recorded(client(proxy.url()));
    for attempt in 1..=3 {
        events.connected().await;
        proxy.cut();
        assert_eq!(reconnecting(&mut events).await.attempt, attempt);
    }
    events.connected().await;
    soon("an ack", addr.send(Text("hi").needs_ack(HOUR))).await.expect("lives").expect("acked");
    proxy.cut();
    assert_eq!(reconnecting(&mut events).await.attempt, 1);
}

#[actix::test]
async fn a_connection_that_lasted_starts_the_schedule_again() {
    let server = RawServer::start().await;
    let millis = Duration::from_millis;
    let backoff = Backoff::default().initial(millis(1)).stable_after(millis(1));
    let builder = client(server.url()).backoff(backoff).heartbeat(millis(20)).dead_after(1000);
    let (_addr, mut events) = recorded(builder);
    for _ in 0..2 {
        let mut connection = server.connection().await;
        // A ping after 20 ms says that the connection has lasted 1 ms.
        connection.next().await;
        drop(connection);
        assert_eq!(reconnecting(&mut events).await.attempt, 1);
    }
}

#[actix::test]
async fn a_server_that_closes_with_1000_stops_the_client_until_it_is_told_to_reconnect() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()));
    let connection = server.connection().await;
    events.connected().await;
    connection.close(CloseCode::NORMAL).await;
    assert_eq!(events.disconnected().await, Cause::PeerClosed(CloseCode::NORMAL.into()));
    let sent = soon("offline", addr.send(Text("kept").needs_ack(HOUR))).await.expect("lives");
    assert!(matches!(sent.expect_err("offline").reason, SendFailure::Offline));

    addr.do_send(Reconnect);
    let mut connection = server.connection().await;
    assert!(matches!(events.next().await, Event::Connected(_)));
    assert_eq!(connection.text().await, ack_request(1, "kept"));
}

#[actix::test]
async fn a_server_that_closes_with_another_code_is_connected_to_again() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()));
    for code in [1001, 1011, 3000, 4409] {
        let connection = server.connection().await;
        assert!(matches!(events.next().await, Event::Connected(_)));
        connection.close(closed(code)).await;
        let cause = Cause::PeerClosed(closed(code).into());
        assert!(matches!(events.next().await, Event::Disconnected(why) if why == cause));
        assert!(matches!(events.next().await, Event::Reconnecting(event) if event.cause == cause));
    }
}

#[actix::test]
async fn a_server_that_breaks_the_protocol_is_closed_with_1002_and_connected_to_again() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()));
    let mut connection = server.connection().await;
    assert!(matches!(events.next().await, Event::Connected(_)));
    // Opcode 3 is reserved.
    connection.bytes(&[0x83, 0]).await;
    let Signal::Close(Some(reason)) = connection.next().await else { panic!("not closed") };
    assert_eq!(reason.code, CloseCode::PROTOCOL);
    drop(connection);
    assert!(matches!(events.next().await, Event::Error(Error::Protocol(why)) if why == reason));
    assert!(matches!(events.next().await, Event::Disconnected(cause) if cause == Cause::WeClosed(reason)));
    reconnecting(&mut events).await;
    let _connection = server.connection().await;
    events.connected().await;
}

#[actix::test]
async fn a_handler_that_closes_with_1000_from_the_server_stops_the_client() {
    let server = Server::with(|| {
        |event: Event, peer: Peer| {
            if let Event::Text(_) = event {
                peer.do_send(Text("bye"));
                peer.close(CloseCode::NORMAL.into());
            }
        }
    });
    let (addr, mut events) = recorded(server.client());
    events.connected().await;
    addr.do_send(Text("hi"));
    assert_eq!(events.text().await, "bye");
    assert!(
        matches!(events.next().await, Event::Disconnected(cause) if cause == Cause::PeerClosed(CloseCode::NORMAL.into()))
    );
    let sent = soon("offline", addr.send(Text("kept").needs_ack(HOUR))).await.expect("lives");
    assert!(matches!(sent.expect_err("offline").reason, SendFailure::Offline));
}

#[actix::test]
async fn after_disconnect_messages_are_kept_for_reconnect() {
    let (server, mut received) = recording();
    let (addr, mut events) = recorded(server.client());
    events.connected().await;
    addr.do_send(Disconnect);
    assert_eq!(events.disconnected().await, Cause::WeClosed(CloseCode::NORMAL.into()));

    assert_eq!(soon("accepted", addr.send(Text("plain"))).await.expect("lives").expect("accepted"), Receipt::Accepted);
    let sent = soon("offline", addr.send(Text("acked").needs_ack(HOUR))).await.expect("lives");
    assert!(matches!(sent.expect_err("offline").reason, SendFailure::Offline));

    addr.do_send(Reconnect);
    assert!(matches!(events.next().await, Event::Connected(_)));
    assert_eq!([received.text().await, received.text().await], ["plain", "acked"]);
}

#[actix::test]
async fn disconnect_ends_the_wait_for_the_next_attempt() {
    let mut proxy = Proxy::shut(([127, 0, 0, 1], 9).into());
    let (addr, mut events) = recorded(client(proxy.url()));
    reconnecting(&mut events).await;
    addr.do_send(Disconnect);
    let sent = soon("offline", addr.send(Text("kept").needs_ack(HOUR))).await.expect("lives");
    assert!(matches!(sent.expect_err("offline").reason, SendFailure::Offline));
    proxy.accept();
    let closed = soon("closed", addr.send(Close::within(Duration::ZERO))).await.expect("lives");
    assert_eq!((closed, proxy.accepted()), (Closed { unsent: 1 }, 0));
}

#[actix::test]
async fn a_disconnect_during_a_wait_is_told_at_once() {
    let (addr, mut events) = recorded(client(Proxy::shut(([127, 0, 0, 1], 9).into()).url()).backoff(patient()));
    reconnecting(&mut events).await;
    addr.do_send(Disconnect);
    assert_eq!(events.disconnected().await, Cause::WeClosed(CloseCode::NORMAL.into()));
}

#[actix::test]
async fn a_silent_server_is_told_of_before_the_wait() {
    let server = RawServer::start().await;
    let builder = client(server.url()).backoff(patient()).heartbeat(Duration::from_millis(1));
    let (_addr, mut events) = recorded(builder);
    let _silent = server.request().await.upgrade(Some("jsonProtocol")).await;
    assert_eq!(events.disconnected().await, Cause::Silent);
    assert_eq!(reconnecting(&mut events).await.wait, HOUR);
}

#[actix::test]
async fn reconnect_replaces_a_connection() {
    let (server, mut received) = recording();
    let (addr, mut events) = recorded(server.client().backoff(patient()));
    events.connected().await;
    received.connected().await;
    addr.do_send(Reconnect);
    let Event::Disconnected(cause) = events.next().await else { panic!("another event") };
    assert_eq!(cause, Cause::WeClosed(CloseCode::NORMAL.into()));
    assert!(matches!(events.next().await, Event::Connected(_)));
    replaced(&mut received).await;
}

#[actix::test]
async fn reconnect_ends_a_wait_and_starts_the_schedule_again() {
    let (server, _received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let (addr, mut events) = recorded(client(proxy.url()).backoff(patient()));
    for _ in 0..2 {
        let event = reconnecting(&mut events).await;
        assert_eq!((event.attempt, event.wait), (1, HOUR));
        addr.do_send(Reconnect);
    }
    reconnecting(&mut events).await;
    proxy.accept();
    addr.do_send(Reconnect);
    assert!(matches!(events.next().await, Event::Connected(_)));
}

#[actix::test]
async fn of_disconnect_and_reconnect_the_last_one_counts() {
    let (server, _received) = recording();
    let (addr, mut events) = recorded(server.client().backoff(patient()));
    events.connected().await;
    addr.do_send(Disconnect);
    addr.do_send(Reconnect);
    events.disconnected().await;
    assert!(matches!(events.next().await, Event::Connected(_)));

    addr.do_send(Reconnect);
    addr.do_send(Disconnect);
    events.disconnected().await;
    let sent = soon("offline", addr.send(Text("kept").needs_ack(HOUR))).await.expect("lives");
    assert!(matches!(sent.expect_err("offline").reason, SendFailure::Offline));
}

#[actix::test]
async fn close_sends_what_is_left_and_awaits_its_acks() {
    let (server, mut received) = recording();
    let mut proxy = Proxy::shut(server.addr);
    let (addr, mut events) = recorded(client(proxy.url()));
    reconnecting(&mut events).await;
    for n in 0..500 {
        addr.do_send(Text(format!("plain {n}")));
        addr.do_send(Text(format!("acked {n}")).needs_ack(HOUR));
    }
    let closing = addr.send(Close::within(HOUR));
    proxy.accept();
    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 0 });
    for n in 0..500 {
        assert_eq!(received.text().await, format!("plain {n}"));
        assert_eq!(received.text().await, format!("acked {n}"));
    }
    assert_eq!(received.disconnected().await, Cause::PeerClosed(CloseCode::NORMAL.into()));
    assert_eq!(events.disconnected().await, Cause::WeClosed(CloseCode::NORMAL.into()));
    assert!(addr.send(Text("late")).await.is_err(), "the actor has stopped");
}

#[actix::test]
async fn close_reports_what_is_not_acked_in_time() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()));
    let mut connection = server.connection().await;
    addr.do_send(Text("one").needs_ack(HOUR));
    let waiting = addr.send(Text("two").needs_ack(HOUR));
    assert_eq!([connection.text().await, connection.text().await], [ack_request(1, "one"), ack_request(2, "two")]);
    let closing = addr.send(Close::within(Duration::from_millis(20)));
    assert_eq!(connection.closed().await, []);

    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 2 });
    let lost = waiting.await.expect("lives").expect_err("lost");
    assert!(matches!(lost.reason, SendFailure::Lost), "{lost}");
    assert_eq!(lost.message, Text("two").needs_ack(HOUR));
    assert!(matches!(events.next().await, Event::Connected(_)));
    let Event::AckFailed(lost) = events.next().await else { panic!("another event") };
    assert!(matches!(lost.reason, SendFailure::Lost), "{lost}");
    assert_eq!(lost.message, Text("one").needs_ack(HOUR));
    assert_eq!(events.disconnected().await, Cause::WeClosed(CloseCode::NORMAL.into()));
}

#[actix::test]
async fn close_at_once_while_offline_gives_the_messages_back() {
    let proxy = Proxy::shut(([127, 0, 0, 1], 9).into());
    let (addr, mut events) = recorded(client(proxy.url()).backoff(patient()));
    reconnecting(&mut events).await;
    addr.do_send(Text("plain"));
    addr.do_send(Text("acked").needs_ack(HOUR));
    let waiting = addr.send(Text("awaited").needs_ack(HOUR));
    let closed = soon("closed", addr.send(Close::within(Duration::ZERO))).await.expect("lives");
    assert_eq!(closed, Closed { unsent: 3 });

    let back = waiting.await.expect("lives").expect_err("closed");
    assert!(matches!(back.reason, SendFailure::Closed), "{back}");
    assert_eq!(back.message, Text("awaited").needs_ack(HOUR));
    let Event::Error(Error::NotSent(back)) = events.next().await else { panic!("another event") };
    assert_eq!(back.message, Text("plain").into());
    let Event::AckFailed(back) = events.next().await else { panic!("another event") };
    assert_eq!(back.message, Text("acked").needs_ack(HOUR));
    assert!(matches!(events.next().await, Event::Disconnected(_)));
}

#[actix::test]
async fn a_second_close_shortens_the_first_and_both_resolve() {
    let server = RawServer::start().await;
    let (addr, _events) = recorded(client(server.url()));
    let mut connection = server.connection().await;
    addr.do_send(Text("never acked").needs_ack(HOUR));
    connection.text().await;
    let patient = addr.send(Close::within(HOUR));
    let hurried = addr.send(Close::within(Duration::ZERO));
    connection.closed().await;
    for closing in [patient, hurried] {
        assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 1 });
    }
}

#[actix::test]
async fn a_message_after_close_is_refused_and_given_back() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()));
    let mut connection = server.connection().await;
    events.connected().await;
    addr.do_send(Text("pending").needs_ack(HOUR));
    let closing = addr.send(Close::within(HOUR));
    let refused = soon("refused", addr.send(Text("late"))).await.expect("lives").expect_err("closed");
    assert!(matches!(refused.reason, SendFailure::Closed), "{refused}");
    assert_eq!(refused.message, Text("late").into());
    addr.do_send(Text("later"));
    let Event::Error(Error::NotSent(refused)) = events.next().await else { panic!("another event") };
    assert!(matches!(refused.reason, SendFailure::Closed), "{refused}");
    assert_eq!(refused.message, Text("later").into());

    assert_eq!(connection.text().await, ack_request(1, "pending"));
    connection.ack(1).await;
    assert_eq!(connection.closed().await, [], "nothing else was sent");
    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 0 });
}

#[actix::test]
async fn close_goes_on_through_a_lost_connection() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()));
    let mut connection = server.connection().await;
    addr.do_send(Text("hi").needs_ack(HOUR));
    connection.text().await;
    let closing = addr.send(Close::within(HOUR));
    drop(connection);
    reconnecting(&mut events).await;
    let mut connection = server.connection().await;
    assert_eq!(connection.text().await, ack_request(1, "hi"));
    connection.ack(1).await;
    connection.closed().await;
    assert_eq!(soon("closed", closing).await.expect("lives"), Closed { unsent: 0 });
}

#[actix::test]
async fn every_attempt_carries_the_headers_and_asks_for_credentials_anew() {
    let server = RawServer::start().await;
    let asked = Rc::new(Cell::new(0));
    let (_addr, mut events) = recorded(client(server.url()).header("X-Device", "pump 7").credentials(move || {
        asked.set(asked.get() + 1);
        let token = format!("Bearer {}", asked.get());
        async move { Ok::<_, String>([("Authorization", token)]) }
    }));
    for attempt in 1..=3 {
        let request = server.request().await;
        assert_eq!(request.header("x-device"), Some("pump 7"));
        assert_eq!(request.header("authorization"), Some(&*format!("Bearer {attempt}")));
        assert_eq!(request.header("sec-websocket-protocol"), Some("jsonProtocol,simpleJson"));
        request.answer("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(reconnecting(&mut events).await.attempt, attempt);
    }
}

#[actix::test]
async fn credentials_that_fail_are_asked_for_again() {
    let server = RawServer::start().await;
    let asked = Cell::new(0);
    let (_addr, mut events) = recorded(client(server.url()).credentials(move || {
        asked.set(asked.get() + 1);
        let answer = match asked.get() {
            1 => Err("the vault is shut".to_owned()),
            2 => Ok([("Authorization", "two\nlines")]),
            3 => Ok([("Upgrade", "h2c")]),
            _ => Ok([("Authorization", "Bearer x")]),
        };
        async move { answer }
    }));
    assert_eq!(failure(&mut events).await, "no credentials: the vault is shut");
    let words = failure(&mut events).await;
    assert!(words.starts_with("bad credentials: the value of header \"Authorization\""), "{words}");
    let words = failure(&mut events).await;
    assert!(words.starts_with("bad credentials: header \"Upgrade\""), "{words}");
    let request = server.request().await;
    assert_eq!(request.header("authorization"), Some("Bearer x"));
    let _connection = request.upgrade(Some("jsonProtocol")).await;
    events.connected().await;
}

#[actix::test]
async fn credentials_that_panic_are_asked_for_again() {
    let server = RawServer::start().await;
    let asked = Cell::new(false);
    let (_addr, mut events) = recorded(client(server.url()).credentials(move || {
        assert!(asked.replace(true), "this panic is the test's");
        async { Ok::<_, String>([("Authorization", "Bearer x")]) }
    }));
    failure(&mut events).await;
    let _connection = server.connection().await;
    events.connected().await;
}

#[actix::test]
async fn an_answer_that_is_no_upgrade_is_a_failed_attempt_that_says_so() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()));
    for status in ["401 Unauthorized", "404 Not Found", "200 OK", "426 Upgrade Required", "503 Service Unavailable"] {
        server.request().await.answer(&format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
        let words = failure(&mut events).await;
        assert!(words.contains(status), "{words}");
    }
    for garbage in ["", "SSH-2.0-OpenSSH_9.9\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n"] {
        server.request().await.answer(garbage).await;
        assert!(!failure(&mut events).await.is_empty());
    }
}

#[actix::test]
async fn hookups_own_refusal_of_unknown_subprotocols_reaches_the_client() {
    let server = Server::start(hookup_server::HookupServer::new(|| recorder().0).subprotocols(["simpleJson"]));
    let (_addr, mut events) = recorded(server.client().subprotocols(["jsonProtocol"]));
    let words = failure(&mut events).await;
    assert!(words.contains("426"), "{words}");
}

#[actix::test]
async fn a_subprotocol_that_was_not_offered_is_a_failed_attempt() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()).subprotocols(["jsonProtocol"]));
    for name in ["simpleJson", "jsonprotocol", "jsonProtocol, simpleJson"] {
        let _connection = server.request().await.upgrade(Some(name)).await;
        let words = failure(&mut events).await;
        assert!(words.contains(name) && words.contains("not offered"), "{words}");
    }
    let _connection = server.request().await.upgrade(Some("jsonProtocol")).await;
    assert_eq!(events.connected().await.format, "jsonProtocol");
}

#[actix::test]
async fn a_server_that_names_no_subprotocol_gets_the_default() {
    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()));
    let mut connection = server.request().await.upgrade(None).await;
    assert_eq!(events.connected().await.format, "simpleJson");
    addr.do_send(Text("bare"));
    assert_eq!(connection.text().await, "bare");

    let server = RawServer::start().await;
    let (addr, mut events) = recorded(client(server.url()).default_subprotocol("jsonProtocol"));
    let mut connection = server.request().await.upgrade(None).await;
    assert_eq!(events.connected().await.format, "jsonProtocol");
    addr.do_send(Text("wrapped"));
    assert_eq!(connection.text().await, envelope("wrapped"));
}

#[actix::test]
async fn an_attempt_that_is_not_answered_in_time_has_failed() {
    let server = RawServer::start().await;
    let (_addr, mut events) = recorded(client(server.url()).connect_timeout(Duration::from_millis(50)));
    for attempt in 1..=2 {
        // The system accepts the connection; nobody answers the handshake.
        let event = reconnecting(&mut events).await;
        assert_eq!(event.attempt, attempt);
        assert_eq!(event.cause, Cause::Failed("no answer within 50ms".into()));
    }
}
