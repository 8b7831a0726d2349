//! What a connection, the registry and a session say to each other while they find together.

use std::net::SocketAddr;

use actix::{Addr, ArbiterHandle, Message, Recipient};
use hookup_core::{
    Cause, CloseReason,
    link::v2::Hello,
    transport::{Command, Credit, Notice},
};

use crate::{connection::Connection, line::Transport};

/// A connection asks for its session.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Attach {
    /// What the client has said.
    pub(crate) hello: Hello,
    /// Who the client is, in the words of the server's authentication.
    pub(crate) principal: Option<String>,
    /// The connection's place in the order in which the server let connections in.
    pub(crate) order: u64,
    /// Where it is.
    pub(crate) remote: Option<SocketAddr>,
    /// The thread of the connection, where a new session is to live.
    pub(crate) arbiter: ArbiterHandle,
    /// The connection.
    pub(crate) connection: Caller,
}

/// A connection that waits for its session. One that is dropped, by whoever went away with it, is closed.
pub(crate) struct Caller(Option<(Addr<Connection>, Transport)>);

/// The connection belongs to this session, as its connection of this number. One that is dropped unread, with the mailbox
/// of a connection that has just ended, tells the session of that end: the connection did not know whom to tell.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Adopted {
    session: Option<(Recipient<Heard>, u64)>,
    /// What came over earlier connections and is not handled yet: it counts against this one's bound.
    pub(crate) unhandled: Credit,
}

impl Adopted {
    /// The session, and the number, for the connection that has read it.
    pub(crate) fn take(mut self) -> Option<(Recipient<Heard>, u64)> {
        self.session.take()
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        if let Some((session, number)) = self.session.take() {
            session.do_send(Heard { number, notice: Notice::Ended(Cause::EndOfStream) });
        }
    }
}

/// What a connection tells its session.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Heard {
    /// Which of the session's connections it is; what an earlier one still has to say is not heard.
    pub(crate) number: u64,
    pub(crate) notice: Notice,
}

impl Caller {
    pub(crate) fn new(connection: Addr<Connection>, transport: Transport) -> Self {
        Self(Some((connection, transport)))
    }

    /// Makes it the session's connection of this number; `None` if it has gone.
    pub(crate) fn adopt(mut self, session: Recipient<Heard>, number: u64, unhandled: Credit) -> Option<Transport> {
        let (connection, transport) = self.0.take().filter(|(connection, _)| connection.connected())?;
        connection.do_send(Adopted { session: Some((session, number)), unhandled });
        Some(transport)
    }

    /// Closes it.
    pub(crate) fn refuse(mut self, reason: CloseReason) {
        if let Some((_, transport)) = self.0.take() {
            transport.send(Command::Close(reason));
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some((_, transport)) = self.0.take() {
            transport.send(Command::Close(CloseReason::new(
                hookup_core::CloseCode::AWAY,
                "the session has just ended; connect again",
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use actix::{Actor, Context, Handler};
    use tokio::sync::mpsc;

    use super::*;

    /// A session that tells what it hears.
    struct Told(mpsc::UnboundedSender<Heard>);

    impl Actor for Told {
        type Context = Context<Self>;
    }

    impl Handler<Heard> for Told {
        type Result = ();

        fn handle(&mut self, heard: Heard, _: &mut Context<Self>) {
            self.0.send(heard).expect("the test goes on");
        }
    }

    #[actix::test]
    async fn a_connection_that_never_reads_whose_it_is_has_ended_for_its_session() {
        let (sender, mut heard) = mpsc::unbounded_channel();
        let session = Told(sender).start().recipient();
        drop(Adopted { session: Some((session.clone(), 7)), unhandled: Credit::default() });
        let ended = heard.recv().await.expect("the session is told");
        assert!(matches!(ended, Heard { number: 7, notice: Notice::Ended(Cause::EndOfStream) }));
        // One that was read says nothing: what the session hears next is what it is told next.
        let adopted = Adopted { session: Some((session, 8)), unhandled: Credit::default() };
        let (session, number) = adopted.take().expect("it was not taken before");
        session.do_send(Heard { number, notice: Notice::Alive });
        assert!(matches!(heard.recv().await, Some(Heard { number: 8, notice: Notice::Alive })));
    }
}
