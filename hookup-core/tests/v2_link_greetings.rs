//! `hookup.v2`, step by step: hello and welcome, runs, and what is persisted before what.

mod v2_support;

use hookup_core::{link::v2::State, ws::Role};
use v2_support::{C1, C2, End, S1, S2, SESSION, acked, announced, entry, hello, limits, said, welcome};

#[test]
fn a_client_sends_hello_first_and_nothing_else_until_welcome() {
    let mut client = End::client();
    client.push([1]);
    client.link.connected();
    client.save();
    assert_eq!(client.sends(), [hello(&[(C1, 1, 2, 0)], &[])]);
    assert_eq!((client.link.room(), client.link.is_open()), (0, false));
    client.gets(&welcome(false, &[(S1, 1, 1, 0)], &[(C1, 0)]));
    client.save();
    assert_eq!(client.sends(), [announced(C1), said(1, 1)]);
    assert_eq!(client.news(), ["opened, resumed: false"]);
}

#[test]
fn a_server_answers_with_welcome() {
    let mut server = End::server();
    assert_eq!(server.greet(&hello(&[(C1, 1, 1, 0)], &[])), welcome(false, &[(S1, 1, 1, 0)], &[(C1, 0)]));
    assert_eq!(server.news(), ["opened, resumed: false"]);
    assert!(server.link.is_open());
}

#[test]
fn the_hello_is_sent_when_what_it_says_is_persisted() {
    let mut client = End::client();
    client.link.connected();
    assert!(client.link.poll_save().is_some());
    assert_eq!(client.sends(), [""; 0]);
    client.link.saved(false);
    assert_eq!(client.sends(), [""; 0], "it is tried again");
    client.save();
    assert_eq!(client.sends().len(), 1);
}

#[test]
fn what_came_of_the_hello_is_persisted_before_the_welcome_is_sent() {
    let mut server = End::server();
    let greeting = hookup_core::link::v2::Hello::parse(v2_support::text(&hello(&[(C1, 4, 6, 3)], &[])));
    server.link.greeted(&greeting.expect("it is a hello")).expect("it may claim this");
    assert_eq!(server.sends(), [""; 0]);
    let state = server.link.poll_save().expect("it has changed");
    assert_eq!((state.cursors[0].seq, state.runs[0].welcomed), (3, true), "messages may be sent right after it");
    assert_eq!(server.sends(), [""; 0]);
    server.link.saved(true);
    assert_eq!(server.sends(), [welcome(false, &[(S1, 1, 1, 0)], &[(C1, 3)])]);
}

#[test]
fn what_came_of_the_welcome_is_persisted_before_anything_sequenced_is_sent() {
    let mut client = End::client();
    client.push([1]);
    client.link.connected();
    client.save();
    client.sends();
    client.gets(&welcome(false, &[(S1, 1, 1, 0)], &[(C1, 0)]));
    let state = client.link.poll_save().expect("it has changed");
    assert!(state.runs[0].welcomed && state.cursors.len() == 1);
    assert_eq!((client.sends(), client.link.is_open()), (vec![], false));
    client.link.saved(true);
    assert_eq!(client.sends(), [announced(C1), said(1, 1)]);
}

#[test]
fn runs_with_unacked_messages_are_listed_oldest_first_and_the_present_one_always() {
    let mut client = End::client();
    client.push([1, 2]);
    client.connect_with_messages();
    client.gets(&acked(C1, 1));
    client.link.connected();
    client.save();
    let mut client = client.restart(C2, 2);
    client.link.connected();
    client.save();
    let list = hello(&[(C1, 2, 3, 2), (C2, 1, 1, 0)], &[(S1, 0)]);
    assert_eq!(client.sends(), [list]);
}

#[test]
fn sent_is_0_for_a_run_that_no_welcome_was_persisted_in_and_its_last_message_for_an_older_one() {
    let mut client = End::client();
    client.link.connected();
    client.save();
    client.sends();
    client.gets(&welcome(false, &[(S1, 1, 1, 0)], &[(C1, 0)]));
    // It crashes before that was persisted.
    let mut client = client.restart(C2, 3);
    client.link.connected();
    client.save();
    assert_eq!(client.sends(), [hello(&[(C1, 1, 4, 0), (C2, 1, 1, 0)], &[])]);
    client.gets(&welcome(false, &[(S1, 1, 1, 0)], &[(C1, 0), (C2, 0)]));
    client.save();
    let mut client = client.restart("00000000000000c3", 3);
    client.link.connected();
    client.save();
    assert_eq!(client.sends(), [hello(&[(C1, 1, 4, 3), ("00000000000000c3", 1, 1, 0)], &[(S1, 0)])]);
}

#[test]
fn a_run_is_left_out_only_once_it_is_persisted_that_it_has_nothing_left() {
    let mut client = End::client();
    client.push([1]);
    client.connect_with_messages();
    let mut client = client.restart(C2, 1);
    client.connect(&welcome(true, &[(S1, 1, 1, 0)], &[(C1, 1), (C2, 0)]));
    assert_eq!(client.state.runs.len(), 2, "it was listed on this connection, and can be acked");
    client.link.connected();
    let state = client.link.poll_save().expect("a run is to be left out");
    assert_eq!((state.runs.len(), client.sends()), (1, vec![]));
    client.link.saved(true);
    assert_eq!(client.sends(), [hello(&[(C2, 1, 1, 0)], &[(S1, 0)])]);
}

#[test]
fn a_cursor_above_0_covers_all_older_runs() {
    let mut client = End::client();
    client.push([1, 2]);
    client.connect_with_messages();
    let mut client = client.restart(C2, 2);
    client.connect(&welcome(true, &[(S1, 1, 1, 0)], &[(C1, 0), (C2, 0)]));
    client.push([1, 2, 3]);
    assert_eq!(client.sends(), [announced(C1), said(1, 1), said(2, 2), announced(C2), said(1, 3)]);
    client.news();
    client.gets(&acked(C2, 1));
    assert_eq!(client.news(), ["1 delivered", "2 delivered", "3 delivered"]);
    assert!(client.link.is_idle());
}

#[test]
fn a_receiver_forgets_runs_that_are_not_listed_and_starts_a_new_one_at_lo() {
    let mut server = End::server_with(&hello(&[(C1, 1, 1, 0)], &[]));
    server.greet(&hello(&[(C2, 5, 9, 8)], &[(S1, 0)]));
    assert_eq!(server.state.cursors.len(), 1);
    assert_eq!((server.state.cursors[0].run, server.state.cursors[0].seq), (v2_support::run(C2), 4));
    assert_eq!(server.news()[1..], ["opened, resumed: true"], "and it is no gap");
}

#[test]
fn a_new_run_uses_no_identity_again_whatever_was_lost() {
    let mut client = End::client();
    client.push([1, 2, 3]);
    client.connect_with_messages();
    // The outbox comes back without its last messages.
    let mut client = client.restart(C2, 1);
    assert_eq!(client.link.base(), 1);
    client.connect(&welcome(true, &[(S1, 1, 1, 0)], &[(C1, 3), (C2, 0)]));
    client.push([1, 2]);
    assert_eq!(client.sends(), [announced(C2), said(1, 2)]);
    client.gets(&acked(C1, 3));
    client.gets(&acked(C2, 1));
    assert_eq!(client.news(), ["opened, resumed: true", "1 delivered", "2 delivered"], "an old end is not insisted on");
}

#[test]
fn messages_of_runs_that_became_one_are_listed_before_they_are_sent_again() {
    let mut state = State::new(SESSION, None);
    for i in 0..100 {
        state.begin_run(hookup_core::RunId(i), i);
    }
    let mut client = End::open(Role::Client, state, C1, 100, limits(200, 1000));
    client.link.connected();
    client.save();
    client.sends();
    let window = welcome(false, &[(S1, 1, 1, 0)], &[])
        .replace("\"messages\":4,\"bytes\":100", "\"messages\":200,\"bytes\":1000");
    client.gets(&window);
    client.save();
    (1..=100).for_each(|place| client.link.push(entry(place)));
    while !client.sends().is_empty() {}
    client.link.connected();
    client.save();
    let hello = hookup_core::link::v2::Hello::parse(v2_support::text(&client.sends().concat()));
    assert!(hello.is_ok(), "{hello:?}");
}

#[test]
fn what_is_saved_can_be_written_and_read() {
    let mut server = End::server_with(&hello(&[(C1, 4, 6, 3)], &[]));
    server.greet(&hello(&[(C1, 4, 6, 3)], &[(S1, 0)]));
    let text = serde_json::to_string(&server.state).expect("it has a form");
    assert_eq!(serde_json::from_str::<State>(&text).ok(), Some(server.state));
}

#[test]
fn a_server_that_did_not_know_the_session_says_so_until_the_client_has_heard_it() {
    let mut server = End::server();
    let stale = hello(&[(C1, 4, 6, 3)], &[(S2, 7)]);
    let answer = welcome(false, &[(S1, 1, 1, 0)], &[(C1, 3)]);
    assert_eq!(server.greet(&stale), answer);
    assert_eq!(server.greet(&stale), answer, "the first was lost on its way");
    let mut server = server.restart("00000000000000d3", 0);
    let answer = welcome(false, &[(S1, 1, 1, 0), ("00000000000000d3", 1, 1, 0)], &[(C1, 3)]);
    assert_eq!(server.greet(&stale), answer, "a restart does not make it known");
    let answer = welcome(true, &[("00000000000000d3", 1, 1, 0)], &[(C1, 3)]);
    assert_eq!(server.greet(&hello(&[(C1, 4, 6, 3)], &[(S1, 0)])), answer);
}

impl End {
    /// A client's first connection, over which it sends what was pushed.
    fn connect_with_messages(&mut self) {
        self.link.connected();
        self.save();
        self.sends();
        self.gets(&welcome(false, &[(S1, 1, 1, 0)], &[(C1, 0)]));
        self.save();
        self.sends();
        self.news();
    }
}
