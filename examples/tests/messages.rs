//! Messages between a server and a client, over real sockets.

mod support;

use std::time::Duration;

use hookup_client::{Binary, Json, Receipt, Text};
use hookup_server::{Event, Peer};
use support::{Server, recorder, soon};

const WITHIN: Duration = Duration::from_secs(20);

#[actix::test]
async fn text_json_and_binary_arrive_in_order_and_are_acked() {
    let (handler, mut events) = recorder();
    let server = Server::with(move || handler.clone());
    let (on_client, mut client_events) = recorder();
    let addr = server.client().start(on_client).expect("starts");

    assert_eq!(client_events.connected().await.format, "jsonProtocol");
    addr.do_send(Text("plain"));
    addr.do_send(Json(&[1, 2]).expect("json"));
    addr.do_send(Binary(vec![0, 255]));
    let receipt = soon("an ack", addr.send(Text("acked").needs_ack(WITHIN))).await.expect("lives").expect("acked");
    assert_eq!(receipt, Receipt::Acked);

    assert_eq!(events.connected().await.format, "jsonProtocol");
    assert!(matches!(events.next().await, Event::Text(text) if &*text == "plain"));
    assert!(matches!(events.next().await, Event::Json(json) if json.as_str() == "[1,2]"));
    assert!(matches!(events.next().await, Event::Binary(bytes) if *bytes == [0, 255]));
    assert!(matches!(events.next().await, Event::Text(text) if &*text == "acked"));
}

#[actix::test]
async fn a_server_sends_with_acks_too() {
    let server = Server::with(|| {
        |event: Event, peer: Peer| async move {
            if let Event::Text(text) = event {
                let receipt = peer.send(Text(format!("{text} back")).needs_ack(WITHIN)).await?;
                peer.do_send(Text(format!("{receipt:?}")));
            }
            Ok::<(), hookup_server::Refusal>(())
        }
    });
    let (on_client, mut events) = recorder();
    let addr = server.client().start(on_client).expect("starts");
    addr.do_send(Text("there and"));
    assert_eq!(events.text().await, "there and back");
    assert_eq!(events.text().await, "Acked");
}
