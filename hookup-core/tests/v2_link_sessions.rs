//! `hookup.v2`, step by step: takeover, a session that the server lost, goaway, the end of a session.

mod v2_support;

use hookup_core::{link::v2::State, ws::Role};
use v2_support::{C1, C2, End, S1, S2, SESSION, acked, announced, hello, limits, said, welcome};

#[test]
fn a_hello_takes_the_session_over_and_starts_the_connection_afresh() {
    let mut server = End::server_with(&hello(&[(C1, 1, 3, 0)], &[]));
    server.push([1]);
    server.sends();
    server.gets(&announced(C1));
    server.gets(&said(1, 1));
    server.handles_all();
    // Nothing of this arrives: the client has another connection.
    assert_eq!(server.sends(), [acked(C1, 1)]);
    assert_eq!(server.greet(&hello(&[(C1, 1, 3, 1)], &[(S1, 0)])), welcome(true, &[(S1, 1, 2, 1)], &[(C1, 1)]));
    assert_eq!(server.sent_last, [announced(S1), said(1, 1)], "all that is not acked is sent again");
    let error = server.refuses(&said(2, 2));
    assert_eq!((error.code.0, &*error.reason), (4400, "a sequenced message before its run"));
}

#[test]
fn a_second_hello_during_the_first_ones_save_wins() {
    let mut server = End::server();
    for runs in [[(C1, 1, 2, 0)], [(C2, 1, 2, 0)]] {
        let hello = hookup_core::link::v2::Hello::parse(v2_support::text(&hello(&runs, &[]))).expect("it is a hello");
        server.link.greeted(&hello).expect("it may claim this");
        server.link.poll_save();
    }
    server.link.saved(true);
    assert_eq!(server.sends(), [""; 0], "that was the first one's");
    server.save();
    assert_eq!(server.sends(), [welcome(false, &[(S1, 1, 1, 0)], &[(C2, 0)])]);
}

#[test]
fn nothing_is_taken_or_sent_without_a_connection() {
    let mut server = End::server_with(&hello(&[(C1, 1, 3, 0)], &[]));
    server.link.disconnected();
    server.push([1]);
    server.gets("what ever the old connection still delivers");
    assert_eq!((server.sends(), server.news().len(), server.link.room()), (vec![], 1, 0));
}

#[test]
fn a_client_whose_session_is_lost_is_told_and_loses_nothing_of_its_own() {
    let mut client = End::client_with(&welcome(false, &[(S1, 1, 1, 0)], &[(C1, 0)]));
    assert_eq!(client.news(), ["opened, resumed: false"], "a first session is not one that was lost");
    client.push([1]);
    client.sends();
    client.reconnect_with_messages(&welcome(false, &[(S2, 1, 1, 0)], &[(C1, 0)]));
    assert_eq!(client.news(), ["opened, resumed: false", "session lost"]);
    assert_eq!(client.sent_last, [announced(C1), said(1, 1)]);
    client.reconnect_with_messages(&welcome(true, &[(S2, 1, 1, 0)], &[(C1, 0)]));
    assert_eq!(client.news(), ["opened, resumed: true"]);
}

#[test]
fn what_a_session_that_has_ended_handled_is_not_handled_again() {
    let mut server = End::server_with(&hello(&[(C1, 1, 3, 0)], &[]));
    server.gets(&announced(C1));
    server.gets(&said(1, 1));
    server.handles_all();
    let ended = server.state.ended();
    let mut server = End::open(Role::Server, ended, S2, 0, limits(4, 100));
    let answer = server.greet(&hello(&[(C1, 1, 3, 1)], &[(S1, 0)]));
    assert_eq!(answer, welcome(false, &[(S2, 1, 1, 0)], &[(C1, 1)]));
    server.gets(&announced(C1));
    server.gets(&said(1, 1));
    assert_eq!(server.news(), ["opened, resumed: false", "nothing"]);
}

#[test]
fn a_draining_server_says_when_to_come_back() {
    let mut client = End::client_with(&welcome(false, &[(S1, 1, 1, 0)], &[(C1, 0)]));
    client.gets(r#"{"type":"goaway","retry_ms":[500,8000]}"#);
    assert_eq!(client.news()[1..], ["goaway, retry in 500ms to 8s"]);
}

#[test]
fn a_session_is_bound_to_its_principal() {
    let state = State::new(SESSION, Some("ada".to_owned()));
    let mut server = End::open(Role::Server, state, S1, 0, limits(4, 100));
    server.greet(&hello(&[(C1, 1, 1, 0)], &[]));
    assert_eq!((server.link.principal(), server.state.principal.as_deref()), (Some("ada"), Some("ada")));
    assert_eq!(server.link.session(), SESSION);
    assert_eq!(server.state.ended().principal.as_deref(), Some("ada"));
}

#[test]
fn an_end_that_keeps_nothing_acks_once_it_has_begun_and_ended_a_save() {
    let mut server = End::server_with(&hello(&[(C1, 1, 3, 0)], &[]));
    server.gets(&announced(C1));
    server.gets(&said(1, 1));
    server.handles(Ok(()));
    assert!(server.link.begin_save() && !server.link.begin_save());
    server.link.saved(true);
    assert_eq!(server.sends(), [acked(C1, 1)]);
    assert!(server.link.is_idle());
}

#[test]
fn an_end_is_idle_when_nothing_waits_to_be_sent_acked_or_saved() {
    let mut server = End::server_with(&hello(&[(C1, 1, 3, 0)], &[]));
    assert!(server.link.is_idle());
    server.push([1]);
    assert!(!server.link.is_flushed());
    server.sends();
    assert!(server.link.is_flushed() && !server.link.is_idle(), "it is not acked");
    server.gets(&acked(S1, 1));
    assert!(server.link.is_idle());
    server.gets(&announced(C1));
    server.gets(&said(1, 1));
    server.handles(Ok(()));
    assert!(server.link.is_flushed() && !server.link.is_idle(), "it is not saved");
    server.save();
    assert!(!server.link.is_flushed(), "an ack is owed");
    server.sends();
    assert!(server.link.is_idle());
}
