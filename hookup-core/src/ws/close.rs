//! Close codes and reasons (RFC 6455, section 7.4).

use std::fmt;

use bytestring::ByteString;

/// Why a connection is closed, as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// 1000: done.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server is stopping, or has no place for the session just now; or the page is left.
    pub const AWAY: Self = Self(1001);
    /// 1002: the peer broke the WebSocket protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// 1005: a close frame without a code came. Never sent.
    pub const NO_STATUS: Self = Self(1005);
    /// 1007: text, or a close frame's reason, that is not UTF-8.
    pub const INVALID: Self = Self(1007);
    /// 1009: a message that is too big, or in too many fragments.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: the server failed.
    pub const ERROR: Self = Self(1011);
    /// 4400: a frame of `hookup.v2` that is malformed, or comes where it must not.
    pub const BAD_FRAME: Self = Self(4400);
    /// 4401: the session belongs to someone else.
    pub const UNAUTHORISED: Self = Self(4401);
    /// 4408: no hello, or no welcome, came in time.
    pub const HELLO_TIMEOUT: Self = Self(4408);
    /// 4409: another connection of the same session took over.
    pub const SUPERSEDED: Self = Self(4409);
    /// 4429: the peer is too slow: what waits for it is above its bound, or it has stopped reading.
    pub const TOO_SLOW: Self = Self(4429);

    /// Whether the code may stand in a close frame (RFC 6455, sections 7.4.1 and 7.4.2).
    pub fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// A close frame's code and reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseReason {
    /// The code.
    pub code: CloseCode,
    /// The reason, for people; at most 123 bytes are sent.
    pub reason: ByteString,
}

impl CloseReason {
    /// A code with a reason.
    pub fn new(code: CloseCode, reason: impl Into<ByteString>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// What a close frame's payload says (RFC 6455, section 5.5.1).
    ///
    /// # Errors
    /// 1002 for half a code or one that must not be sent, 1007 for a reason that is not UTF-8.
    pub(super) fn from_payload(payload: &[u8]) -> Result<Option<Self>, Self> {
        let Some((&code, reason)) = payload.split_first_chunk() else {
            return if payload.is_empty() { Ok(None) } else { Err(violation("a close frame with half a code")) };
        };
        let code = CloseCode(u16::from_be_bytes(code));
        if !code.may_be_sent() {
            return Err(violation("a close frame with a code that must not be sent"));
        }
        match std::str::from_utf8(reason) {
            Ok(reason) => Ok(Some(Self::new(code, reason))),
            Err(_) => Err(Self::new(CloseCode::INVALID, "a close frame with a reason that is not UTF-8")),
        }
    }

    /// The close frame's content: none for a code that must not be sent, and no more of the reason than fits.
    pub(super) fn to_wire(&self) -> Option<actix_http::ws::CloseReason> {
        const LONGEST: usize = 123;
        let end = (0..=LONGEST.min(self.reason.len())).rev().find(|&end| self.reason.is_char_boundary(end));
        let description = self.reason[..end.unwrap_or(0)].to_owned();
        self.code.may_be_sent().then(|| actix_http::ws::CloseReason {
            code: self.code.0.into(),
            description: (!description.is_empty()).then_some(description),
        })
    }
}

impl From<CloseCode> for CloseReason {
    fn from(code: CloseCode) -> Self {
        Self::new(code, ByteString::new())
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code.0)?;
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason)?;
        }
        Ok(())
    }
}

/// The answer to a peer that breaks the protocol.
pub(super) fn violation(what: &'static str) -> CloseReason {
    CloseReason::new(CloseCode::PROTOCOL, what)
}
