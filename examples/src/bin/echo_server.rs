//! A server that sends every message back. Try it with `cargo run --bin echo_client`.

use clap::Parser;
use hookup_server::{Event, HookupServer, Peer};

/// Sends every message back.
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
    let server = HookupServer::new(|| echo).listen(args.listen)?;
    for addr in server.addrs() {
        println!("listening on ws://{addr}/");
    }
    Ok(server.await?)
}

/// Messages that ask for an ack are acked when this returns.
fn echo(event: Event, peer: Peer) {
    match event {
        Event::Text(text) => peer.do_send(text),
        Event::Json(json) => peer.do_send(json),
        Event::Binary(bytes) => peer.do_send(bytes),
        _ => {}
    }
}
