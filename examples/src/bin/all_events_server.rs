//! A server whose handler names every event that it can be given.

use std::time::Duration;

use clap::Parser;
use hookup_server::{Event, HookupServer, Peer, Text};

/// Prints every event of every session, and greets.
#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 takes any that is free
    #[arg(default_value = "127.0.0.1:8125")]
    listen: String,
}

#[actix_web::main]
async fn main() -> hookup_examples::Result {
    tracing_subscriber::fmt::init();
    let args = Args::parse();
    let server = HookupServer::new(|| on_event).heartbeat(Duration::from_secs(5)).listen(args.listen)?;
    for addr in server.addrs() {
        println!("listening on ws://{addr}/");
    }
    Ok(server.await?)
}

fn on_event(event: Event, peer: Peer) {
    let id = peer.id();
    match event {
        Event::Connected(connected) => {
            let how = if connected.resumed { "again" } else { "for the first time" };
            println!("{id}: connected {how} from {:?}, speaking {}", peer.remote_addr(), connected.format);
            peer.do_send(Text("welcome").needs_ack(Duration::from_secs(5)));
        }
        Event::Text(text) if text.redelivered() => println!("{id}: text {text}, perhaps for the second time"),
        Event::Text(text) => println!("{id}: text {text}"),
        Event::Json(json) => match json.parse::<Vec<String>>() {
            Ok(words) => println!("{id}: json, a list of words {words:?}"),
            Err(_) => println!("{id}: json {json}"),
        },
        Event::Binary(bytes) => println!("{id}: {} bytes", bytes.len()),
        Event::AckFailed(error) => println!("{id}: {:?} was not acked: {error}", error.message.message()),
        Event::Disconnected(cause) => println!("{id}: disconnected: {cause}"),
        Event::SessionEnded(end) => println!("{id}: the session is over: {end:?}"),
        Event::Gap { missed } => println!("{id}: {missed} messages are lost"),
        Event::SessionLost => println!("{id}: the session is lost"),
        Event::Dropped { messages, .. } => println!("{id}: {messages} messages made room for newer ones"),
        Event::Quarantined(old) => println!("{id}: {} was damaged: {}", old.path.display(), old.problem),
        Event::Error(error) => println!("{id}: {error}"),
        other => println!("{id}: {other:?}"),
    }
}
