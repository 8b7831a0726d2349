//! `hookup.v2`: greetings that a peer must not send, and what must not come before or between them. Each closes with 4400,
//! changes nothing, and the session goes on over the next connection.

mod v2_support;

use hookup_core::link::v2::{Hello, Incoming};
use v2_support::{
    C1, C2, End, S1, S2, acked, announced, hello,
    lasting::{client, close, goes_on_at_the_client, goes_on_at_the_server, server},
    said, text, welcome,
};

#[test]
fn the_first_frame_must_be_a_hello() {
    for frame in [said(1, 1), welcome(true, &[(C1, 1, 1, 0)], &[]), announced(C1), acked(S1, 1), "?".to_owned()] {
        assert_eq!(Hello::parse(text(&frame)).err().as_ref().map(close), Some(4400), "{frame}");
    }
}

#[test]
fn nothing_but_a_welcome_may_come_before_it_and_nothing_between_hello_and_welcome() {
    let mut client = End::client();
    client.link.connected();
    assert_eq!(close(&client.refuses(&welcome(false, &[(S1, 1, 1, 0)], &[]))), 4400, "the hello was not sent");
    client.save();
    client.sends();
    for frame in [said(1, 1), announced(S1), acked(C1, 0), r#"{"type":"text","content":"now"}"#.to_owned()] {
        assert_eq!(&*client.refuses(&frame).reason, "a frame before the welcome", "{frame}");
    }
    client.gets(&welcome(false, &[(S1, 1, 1, 0)], &[]));

    let mut server = End::server();
    let greeting = Hello::parse(text(&hello(&[(C1, 1, 9, 0)], &[]))).expect("it is a hello");
    server.link.greeted(&greeting).expect("it may claim this");
    for frame in [announced(C1), hello(&[(C1, 1, 9, 0)], &[]), r#"{"type":"text","content":"now"}"#.to_owned()] {
        assert_eq!(close(&server.refuses(&frame)), 4400, "{frame}");
    }
}

#[test]
fn greetings_that_claim_what_cannot_be_close_with_4400_and_change_nothing() {
    let mut server = server();
    server.news();
    let beyond = Hello::parse(text(&hello(&[(C2, 1, 1, 0)], &[(S1, 2)]))).expect("it is a hello");
    assert_eq!(server.link.greeted(&beyond).err().as_ref().map(close), Some(4400));
    assert!(server.link.is_open(), "the connection before it is not touched");
    goes_on_at_the_server(server);

    let mut client = client();
    client.link.connected();
    client.save();
    client.sends();
    client.news();
    let refused = client.refuses(&welcome(false, &[(S2, 1, 1, 0)], &[(C1, 2)]));
    assert_eq!((close(&refused), &*refused.reason), (4400, "a cursor beyond what was sent"));
    goes_on_at_the_client(client);
}

#[test]
fn greetings_with_impossible_runs_windows_or_ids_close_with_4400() {
    let good = hello(&[(C1, 2, 5, 4)], &[(S1, 1)]);
    let bad = [
        ("\"lo\":2", "\"lo\":0"),
        ("\"lo\":2", "\"lo\":6"),
        ("\"lo\":2", "\"lo\":-1"),
        ("\"next\":5", "\"next\":0"),
        ("\"next\":5", "\"next\":9007199254740993"),
        ("\"sent\":4", "\"sent\":5"),
        (",\"sent\":4", ""),
        ("00c1\"", "00c\""),
        ("00c1\"", "00cx\""),
        ("0abc\"", "abc\""),
        ("0abc\"", "00abc\""),
        ("0abc\"", "xabc\""),
        ("00d1\":1", "00d1\":9007199254740992"),
        ("00d1\":1", "00d1\":-1"),
        ("00d1\":1", "d1\":1"),
        ("\"messages\":4", "\"messages\":0"),
        ("\"messages\":4", "\"messages\":9007199254740992"),
        ("\"messages\":4", "\"messages\":\"4\""),
        ("\"bytes\":100", "\"bytes\":0"),
        ("\"bytes\":100", "\"bytes\":18446744073709551616"),
        (",\"bytes\":100", ""),
        ("\"window\"", "\"widow\""),
        ("\"recv\"", "\"received\""),
        ("\"session\"", "\"sess\""),
        ("\"runs\"", "\"run\""),
    ];
    assert!(Hello::parse(text(&good)).is_ok());
    for (was, is) in bad {
        let frame = good.replacen(was, is, 1);
        assert_ne!(frame, good, "{was}");
        assert_eq!(Hello::parse(text(&frame)).err().as_ref().map(close), Some(4400), "{frame}");
    }
    for runs in [&[][..], &[(C1, 1, 1, 0), (C1, 1, 1, 0)]] {
        assert_eq!(Hello::parse(text(&hello(runs, &[]))).err().as_ref().map(close), Some(4400), "{runs:?}");
    }
    let ids = (0..1025).map(|id| format!("{id:016x}")).collect::<Vec<_>>();
    let many = ids.iter().map(|id| (id.as_str(), 1, 1, 0)).collect::<Vec<_>>();
    assert!(Hello::parse(text(&hello(&many[..1024], &[]))).is_ok());
    assert_eq!(Hello::parse(text(&hello(&many, &[]))).err().as_ref().map(close), Some(4400));
    let welcome = welcome(true, &[(S1, 1, 1, 0)], &[]);
    for (was, is) in
        [("\"lo\":1", "\"lo\":0"), ("true", "1"), ("\"max_bytes\":1000,", ""), ("\"messages\":4", "\"messages\":0")]
    {
        let frame = welcome.replacen(was, is, 1);
        assert_eq!(Incoming::parse(text(&frame)).err().as_ref().map(close), Some(4400), "{frame}");
    }
}
