//! Hookup in an application that is there already: mounted beside HTTP routes, with a client in the same System.
//!
//! `curl -d 'hello' http://127.0.0.1:8125/say` sends to everyone who is connected at `/ws`.

use std::time::Duration;

use actix_web::{App, HttpServer, Responder, get, post, web};
use clap::Parser;
use hookup_client::HookupClient;
use hookup_server::{Event, Hookup, HookupServer, Peer, Text};

/// An HTTP service with Hookup at /ws.
#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 takes any that is free
    #[arg(default_value = "127.0.0.1:8125")]
    listen: String,
}

#[get("/")]
async fn index(hookup: web::Data<Hookup>) -> impl Responder {
    format!("{} connected\n", hookup.peers().await.len())
}

#[post("/say")]
async fn say(words: String, hookup: web::Data<Hookup>) -> impl Responder {
    let mut heard = 0;
    for peer in hookup.peers().await {
        // Resolves when the peer's handler is done with the message.
        if peer.send(Text(words.clone()).needs_ack(Duration::from_secs(5))).await.is_ok() {
            heard += 1;
        }
    }
    format!("{heard} heard it\n")
}

#[actix_web::main]
async fn main() -> hookup_examples::Result {
    tracing_subscriber::fmt::init();
    let args = Args::parse();

    let hookup = HookupServer::new(|| |event: Event, _: Peer| println!("server: {event:?}")).start()?;
    let mounted = hookup.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(mounted.clone()))
            .service(index)
            .service(say)
            .service(mounted.resource("/ws"))
    })
    .on_connect(hookup_server::on_connect)
    .disable_signals()
    .bind(args.listen)?;

    for addr in server.addrs() {
        println!("listening on http://{addr}/");
        HookupClient::builder(format!("ws://{addr}/ws"))
            .start(|event: Event, _: Peer| println!("client: {event:?}"))?;
    }
    // Until Ctrl-C, or SIGTERM; then everyone is told, and what is under way is ended.
    Ok(hookup.run(server.run(), Duration::from_secs(10)).await?)
}
