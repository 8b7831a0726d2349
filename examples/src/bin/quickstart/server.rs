//! The server of the quickstart: in the child process what it does, in the parent how it is started and killed.

use std::{io, process::Stdio, rc::Rc, str::FromStr};

use hookup_server::{Event, HookupServer, Peer};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
};

use crate::report::Report;

/// Prints the port that it got, and then every message; until its standard input ends, which it does with the parent.
pub(crate) async fn serve(port: u16) -> hookup_examples::Result {
    let server = HookupServer::new(|| print).listen(("127.0.0.1", port))?;
    println!("{}", server.addrs()[0].port());
    let (mut input, mut ignored) = (tokio::io::stdin(), Vec::new());
    tokio::select! {
        served = server.into_future() => served?,
        _ = input.read_to_end(&mut ignored) => {}
    }
    Ok(())
}

/// The line is in the pipe, and survives a SIGKILL, before this returns and the message is acked.
fn print(event: Event, _: Peer) {
    if let Event::Text(text) = event {
        println!("{text}");
    }
}

/// The server's process, and what it prints.
pub(crate) struct Server {
    port: u16,
    child: Child,
    reader: JoinHandle<()>,
    report: Rc<Report>,
}

impl Server {
    pub(crate) async fn start(report: Rc<Report>) -> io::Result<Self> {
        let (child, port, reader) = spawn(0, &report).await?;
        Ok(Self { port, child, reader, report })
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/", self.port)
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        self.report.server("killed");
        self.child.kill().await
    }

    /// Starts it again on its port.
    pub(crate) async fn restart(&mut self) -> io::Result<()> {
        (self.child, _, self.reader) = spawn(self.port, &self.report).await?;
        self.report.server("restarted");
        Ok(())
    }

    /// Ends it, when all that it printed has been read.
    pub(crate) async fn end(mut self) -> io::Result<()> {
        drop(self.child.stdin.take());
        self.child.wait().await?;
        self.reader.await.map_err(io::Error::other)
    }
}

async fn spawn(port: u16, report: &Rc<Report>) -> io::Result<(Child, u16, JoinHandle<()>)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--serve", &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the server has no output"))?;
    let mut output = BufReader::new(stdout);
    let port = line(&mut output).await?;
    let port = port.ok_or_else(|| io::Error::other("the server did not start"))?;
    Ok((child, port, tokio::task::spawn_local(count(output, report.clone()))))
}

async fn count(mut output: BufReader<ChildStdout>, report: Rc<Report>) {
    while let Ok(Some(n)) = line(&mut output).await {
        report.handled(n);
    }
}

/// The number in the next line; a line that the kill cut off is none, and its message was not acked.
async fn line<N: FromStr>(output: &mut BufReader<ChildStdout>) -> io::Result<Option<N>> {
    let mut line = String::new();
    output.read_line(&mut line).await?;
    Ok(line.strip_suffix('\n').and_then(|number| number.parse().ok()))
}
