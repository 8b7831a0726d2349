//! A network that misbehaves: a TCP proxy that cuts connections at random bytes, stalls them, and half-closes them.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use fastrand::Rng;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::{AbortHandle, spawn_local},
};

/// A proxy on a port of its own.
pub(crate) struct Proxy {
    addr: SocketAddr,
    shared: Rc<Shared>,
    acceptor: AbortHandle,
}

struct Shared {
    /// Where the server is, while there is one.
    server: Cell<Option<SocketAddr>>,
    rng: RefCell<Rng>,
    cut_after: u64,
    /// No more harm is done.
    is_calm: Cell<bool>,
    harm: Cell<Harm>,
}

/// What was done to connections.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Harm {
    pub(crate) connections: u64,
    pub(crate) cuts: u64,
    pub(crate) stalls: u64,
    pub(crate) half_closes: u64,
}

/// What happens to a connection when so many bytes have gone in one direction.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Both ends see its end; or a reset, in place of what was on its way.
    Cut { is_reset: bool },
    /// Nothing goes in this direction for so long; and then it goes on, though an end may have given it up.
    Stall(Duration),
    /// This direction is closed, the other one stays open.
    HalfClose,
}

/// The longest stall: both ends have called the other dead long before.
const LONGEST_STALL: Duration = Duration::from_millis(1500);

/// How long what is left of a connection is kept when an end of it has gone.
const LINGER: Duration = Duration::from_secs(3);

impl Proxy {
    pub(crate) async fn open(rng: Rng, cut_after: u64) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (server, rng, is_calm) = (Cell::new(None), RefCell::new(rng), Cell::new(false));
        let shared = Rc::new(Shared { server, rng, cut_after, is_calm, harm: Cell::default() });
        let sharing = shared.clone();
        let acceptor = spawn_local(async move {
            loop {
                match listener.accept().await {
                    Ok((client, _)) => drop(spawn_local(forward(client, sharing.clone()))),
                    // No more file descriptors, at worst; the client tries again.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        Ok(Self { addr, shared, acceptor: acceptor.abort_handle() })
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.addr)
    }

    /// Leads new connections to this server, or nowhere.
    pub(crate) fn lead_to(&self, server: Option<SocketAddr>) {
        self.shared.server.set(server);
    }

    /// Does no more harm.
    pub(crate) fn calm(&self) {
        self.shared.is_calm.set(true);
    }

    pub(crate) fn harm(&self) -> Harm {
        self.shared.harm.get()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl Shared {
    fn count(&self, count: impl FnOnce(&mut Harm)) {
        let mut harm = self.harm.get();
        count(&mut harm);
        self.harm.set(harm);
    }

    /// After how many bytes from here: now and then so few that it is within the handshake, or the greetings.
    fn distance(&self) -> u64 {
        let mut rng = self.rng.borrow_mut();
        let bound = match rng.u8(..20) {
            0 => 400,
            1..4 => 3000,
            _ => self.cut_after.saturating_mul(2),
        };
        rng.u64(1..=bound)
    }

    fn fate(&self) -> Fate {
        let mut rng = self.rng.borrow_mut();
        match rng.u8(..20) {
            0..15 => Fate::Cut { is_reset: rng.bool() },
            15..17 => Fate::Stall(LONGEST_STALL.mul_f32(rng.f32().powi(2))),
            _ => Fate::HalfClose,
        }
    }
}

/// One connection.
async fn forward(client: TcpStream, shared: Rc<Shared>) {
    let Some(server) = shared.server.get() else { return };
    let Ok(server) = TcpStream::connect(server).await else { return };
    shared.count(|harm| harm.connections += 1);
    // Sent late, bytes would come in fewer and larger portions.
    let (Ok(()), Ok(())) = (client.set_nodelay(true), server.set_nodelay(true)) else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Of the two directions one is hurt first; which of them, chance decides.
    let (mut up, mut down) = (shared.distance(), shared.distance());
    if shared.rng.borrow_mut().bool() {
        up = u64::MAX
    } else {
        down = u64::MAX
    }
    let mut up = Box::pin(pump(from_client, to_server, up, shared.clone()));
    let mut down = Box::pin(pump(from_server, to_client, down, shared.clone()));
    let (first, is_up) = tokio::select! {
        end = &mut up => (end, true),
        end = &mut down => (end, false),
    };
    let Some((from, to)) = first else { return };
    // One direction has ended; the other one is left as it is for a while.
    let rest = async { if is_up { down.await } else { up.await } };
    // Whether it ended or was left behind is the same.
    let _ = tokio::time::timeout(LINGER, rest).await;
    drop((from, to));
}

/// Carries bytes until there are no more of them; `None` when the connection is cut, and is to be dropped at once.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut distance: u64,
    shared: Rc<Shared>,
) -> Option<(OwnedReadHalf, OwnedWriteHalf)> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.ok()?;
        if read == 0 {
            to.shutdown().await.ok()?;
            return Some((from, to));
        }
        let mut bytes = &buffer[..read];
        while !shared.is_calm.get() && bytes.len() as u64 >= distance {
            let (before, after) = bytes.split_at(usize::try_from(distance).ok()?);
            to.write_all(before).await.ok()?;
            bytes = after;
            distance = shared.distance();
            match shared.fate() {
                Fate::Cut { is_reset } => {
                    shared.count(|harm| harm.cuts += 1);
                    if is_reset {
                        to.as_ref().set_zero_linger().ok()?;
                        from.as_ref().set_zero_linger().ok()?;
                    }
                    return None;
                }
                Fate::Stall(time) => {
                    shared.count(|harm| harm.stalls += 1);
                    tokio::time::sleep(time).await;
                }
                Fate::HalfClose => {
                    shared.count(|harm| harm.half_closes += 1);
                    to.shutdown().await.ok()?;
                    return Some((from, to));
                }
            }
        }
        distance = distance.saturating_sub(bytes.len() as u64);
        to.write_all(bytes).await.ok()?;
    }
}
