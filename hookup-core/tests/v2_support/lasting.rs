//! Ends in the middle of a session, and the check that it goes on whatever a peer sent.

use hookup_core::CloseReason;

use super::{C1, End, S1, acked, announced, hello, said, welcome};

/// A server with one message from its client handled and acked, and one message to it under way.
pub(crate) fn server() -> End {
    let mut server = End::server_with(&hello(&[(C1, 1, 9, 0)], &[]));
    server.push([1]);
    server.sends();
    server.gets(&announced(C1));
    server.gets(&said(1, 1));
    server.handles_all();
    server.sends();
    server
}

pub(crate) fn client() -> End {
    let mut client = End::client_with(&welcome(false, &[(S1, 1, 9, 0)], &[(C1, 0)]));
    client.push([1]);
    client.sends();
    client.gets(&announced(S1));
    client.gets(&said(1, 1));
    client.handles_all();
    client.sends();
    client
}

pub(crate) fn close(reason: &CloseReason) -> u16 {
    assert!(!reason.reason.is_empty());
    reason.code.0
}

/// The session goes on where it was.
pub(crate) fn goes_on_at_the_server(mut server: End) {
    assert!(!server.link.is_saving() && server.news().is_empty(), "nothing came of it");
    let answer = server.greet(&hello(&[(C1, 1, 9, 2)], &[(S1, 0)]));
    assert_eq!(answer, welcome(true, &[(S1, 1, 2, 1)], &[(C1, 1)]));
    assert_eq!(server.sent_last, [announced(S1), said(1, 1)]);
    server.gets(&announced(C1));
    server.gets(&said(1, 1));
    server.gets(&said(2, 2));
    server.gets(&acked(S1, 1));
    assert_eq!(server.news(), ["opened, resumed: true", "nothing", "m2", "1 delivered"]);
}

pub(crate) fn goes_on_at_the_client(mut client: End) {
    assert!(!client.link.is_saving() && client.news().is_empty(), "nothing came of it");
    client.reconnect_with_messages(&welcome(true, &[(S1, 1, 9, 2)], &[(C1, 0)]));
    assert_eq!(client.sent_last, [announced(C1), said(1, 1)]);
    client.gets(&announced(S1));
    client.gets(&said(1, 1));
    client.gets(&said(2, 2));
    client.gets(&acked(C1, 1));
    assert_eq!(client.news(), ["opened, resumed: true", "nothing", "m2", "1 delivered"]);
}
