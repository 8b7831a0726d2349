//! The server: in the parent how it is started, in its process what it does.

use std::{
    future::{IntoFuture as _, pending},
    io,
    net::SocketAddr,
    process::Stdio,
};

use hookup_server::{Event, HookupServer, Peer, ServerConfig};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
};

/// The server's process, in the parent. It is killed when it is dropped, and ends by itself with the parent.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) process: u32,
    _child: Child,
}

impl Server {
    pub(crate) async fn start(settings: &str) -> hookup_examples::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["server", settings])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the parent.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("the server has no output")?;
        let line = BufReader::new(stdout).lines().next_line().await?.ok_or("the server has ended")?;
        let addr = line.parse().map_err(|_| format!("the server says {line:?}, not where it listens"))?;
        let process = child.id().ok_or("the server has ended")?;
        Ok(Self { addr, process, _child: child })
    }
}

/// In its process: says where it listens, and serves until its standard input ends.
pub(crate) async fn run(settings: &str) -> hookup_examples::Result {
    let config = serde_json::from_str::<ServerConfig>(settings)?;
    let server = HookupServer::new(|| handle).config(config).listen("127.0.0.1:0")?;
    println!("{}", server.addrs()[0]);
    tokio::select! {
        served = server.into_future() => Ok(served?),
        ended = end_of_input() => Ok(ended?),
    }
}

/// Sends texts back, so that it can be seen that it serves; and is stuck with one text, so that others wait behind it.
async fn handle(event: Event, peer: Peer) {
    if let Event::Text(text) = event {
        if &*text == "wait for ever" {
            pending::<()>().await;
        }
        peer.do_send(text);
    }
}

async fn end_of_input() -> io::Result<()> {
    let mut byte = [0];
    while tokio::io::stdin().read(&mut byte).await? > 0 {}
    Ok(())
}
