//! A child process: in the parent how it is started, talked to and killed, in the child how it is told what to do.

use std::{
    fmt,
    io::{self, Write as _},
    path::Path,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
    sync::mpsc::UnboundedSender,
};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Client, Self::Server];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// A line that a child has printed.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) side: Side,
    pub(crate) life: u32,
    pub(crate) line: String,
}

/// A child, in the parent. It is killed when it is dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(
        side: Side,
        life: u32,
        directory: &Path,
        messages: u64,
        more: &[&str],
        said: UnboundedSender<Said>,
    ) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(side.to_string())
            .arg(directory)
            .args([life.to_string(), messages.to_string()])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the parent, which ends its children in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the child has no output"))?;
        tokio::task::spawn_local(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if said.send(Said { side, life, line }).is_err() {
                    return;
                }
            }
        });
        Ok(Self(child))
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) -> io::Result<()> {
        self.0.kill().await
    }

    /// SIGTERM, which it is to obey in order.
    pub(crate) async fn terminate(mut self) -> io::Result<ExitStatus> {
        let pid = self.0.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        kill_process(pid.ok_or_else(|| io::Error::other("it has ended"))?, Signal::TERM)?;
        // `wait` would close it, and the end of its input ends the child at once.
        let _input = self.0.stdin.take();
        self.0.wait().await
    }

    /// Whether it has ended by itself.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// It is to produce no more.
    pub(crate) async fn stop(&mut self) -> io::Result<()> {
        self.tell("stop\n").await
    }

    /// It is to end as a program should, and does.
    pub(crate) async fn end(&mut self) -> io::Result<ExitStatus> {
        self.tell("end\n").await?;
        drop(self.0.stdin.take());
        self.0.wait().await
    }

    async fn tell(&mut self, order: &str) -> io::Result<()> {
        match &mut self.0.stdin {
            Some(stdin) => stdin.write_all(order.as_bytes()).await,
            None => Ok(()),
        }
    }
}

/// In the child: passes an order to stop on, and says whether an order to end came, or else the parent has gone.
pub(crate) async fn orders(stop: &AtomicBool) -> io::Result<bool> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(order) = lines.next_line().await? {
        stop.store(true, Ordering::Relaxed);
        if order == "end" {
            return Ok(true);
        }
    }
    Ok(false)
}

/// In the child: nothing that it did from here on would be recorded as it should.
pub(crate) fn abort<T>(words: impl fmt::Debug) -> T {
    // There may be nobody to read it any more.
    let _ = writeln!(io::stderr(), "{words:?}");
    std::process::exit(1)
}
