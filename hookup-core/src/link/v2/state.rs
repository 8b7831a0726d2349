//! What of a session must survive: with the messages of its outbox, all that either end needs to go on.

use serde::{Deserialize, Serialize};

use super::ids::{RunId, SessionId};

/// How many runs are kept apart, whatever was sent of them.
const MANY_RUNS: usize = 64;

/// One end's state of one session, as an [`Outbox`](crate::Outbox) keeps it beside its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The session.
    pub session: SessionId,
    /// On a server: whose session it is, in the words of its authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Whether the peer is known to have heard of the session as it is here, and so of the loss of one before it.
    #[serde(default)]
    pub heard: bool,
    /// This end's runs, oldest first; the last is the present one.
    pub runs: Vec<OwnRun>,
    /// The peer's runs, as it listed them last, and how much of each was handled here.
    pub cursors: Vec<Cursor>,
}

/// A run of this end's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnRun {
    /// Its id.
    pub run: RunId,
    /// The place in the outbox of the message before its first: its message `seq` is the outbox's entry `base + seq`.
    pub base: u64,
    /// The highest `seq` that the peer is known to have handled.
    pub acked: u64,
    /// Whether a welcome came while it was listed, so that messages of it may have been sent.
    pub welcomed: bool,
}

/// How much of a run of the peer's was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The run.
    pub run: RunId,
    /// The highest `seq` such that it and all before it were handled.
    pub seq: u64,
}

impl State {
    /// A session that is new.
    pub fn new(session: SessionId, principal: Option<String>) -> Self {
        Self { session, principal, heard: false, runs: Vec::new(), cursors: Vec::new() }
    }

    /// Whether this end has all that its peer may wait for. If not, the peer is to be told.
    pub fn is_whole(&self) -> bool {
        self.heard
    }

    /// What is kept of a session that has ended: what was handled, so that it is not handled again.
    pub fn ended(&self) -> Self {
        // A cursor above 0 covers all older runs, and one that is 0 says nothing.
        let cursors = self.cursors.iter().rfind(|cursor| cursor.seq > 0).copied().into_iter().collect();
        let Self { session, principal, .. } = self.clone();
        Self { session, principal, heard: false, runs: Vec::new(), cursors }
    }

    /// Begins a run, when the outbox is opened and its last message has the place `last`. It must be persisted before
    /// the outbox is given a message.
    pub fn begin_run(&mut self, run: RunId, last: u64) {
        // What an outbox holds without a run was never sent, and is of the new one.
        let mut base = self.runs.last().map_or(0, |run| last.max(run.base + run.acked));
        let mut end = base;
        let mut kept = Vec::with_capacity(self.runs.len() + 1);
        for run in self.runs.drain(..).rev() {
            // Until the peer is known to have heard of the session, it is by its runs that it shows that it has.
            if run.base + run.acked < end || run.welcomed && !self.heard {
                kept.push(run);
            }
            end = run.base;
        }
        kept.reverse();
        // A process that ends before it gets through leaves a run behind each time that it was started. When they are
        // many, the messages of one that nothing was sent of are taken over by the next.
        if kept.len() >= MANY_RUNS
            && let Some(unsent) = kept.pop_if(|run| !run.welcomed)
        {
            base = unsent.base;
        }
        kept.push(OwnRun { run, base, acked: 0, welcomed: false });
        self.runs = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State::new(SessionId(1), None)
    }

    fn bases(state: &State) -> Vec<u64> {
        state.runs.iter().map(|run| run.base).collect()
    }

    #[test]
    fn a_run_begins_behind_the_last_message_and_runs_with_nothing_left_are_left_out() {
        let mut state = state();
        state.begin_run(RunId(1), 0);
        state.begin_run(RunId(2), 0);
        assert_eq!(state.runs, [OwnRun { run: RunId(2), base: 0, acked: 0, welcomed: false }], "run 1 had no message");
        state.begin_run(RunId(3), 5);
        assert_eq!(bases(&state), [0, 5]);
        state.runs[0].acked = 5;
        state.begin_run(RunId(4), 7);
        assert_eq!(bases(&state), [5, 7]);
        state.begin_run(RunId(5), 0);
        assert_eq!(bases(&state), [5, 7], "an outbox that was emptied does not let a place be used twice");
    }

    #[test]
    fn what_an_outbox_held_before_it_had_a_state_is_of_the_first_run() {
        let mut state = state();
        state.begin_run(RunId(1), 7);
        assert_eq!(bases(&state), [0]);
    }

    #[test]
    fn a_run_that_the_peer_may_have_heard_of_is_kept_until_it_shows_that_it_has() {
        let mut state = state();
        state.begin_run(RunId(1), 0);
        state.runs[0].welcomed = true;
        state.begin_run(RunId(2), 0);
        assert_eq!(state.runs.len(), 2);
        assert!(!state.is_whole());
        state.heard = true;
        state.begin_run(RunId(3), 0);
        assert_eq!(state.runs.len(), 1);
        assert!(state.is_whole() && !state.ended().is_whole());
    }

    #[test]
    fn a_place_is_not_used_twice_when_what_was_acked_has_left_the_outbox() {
        let mut state = state();
        state.begin_run(RunId(1), 0);
        state.runs[0].acked = 9;
        state.begin_run(RunId(2), 0);
        assert_eq!(bases(&state), [9]);
    }

    #[test]
    fn many_runs_that_nothing_was_sent_of_become_one() {
        let mut state = state();
        for run in 0..1000 {
            state.begin_run(RunId(run), run);
        }
        assert_eq!(state.runs.len(), MANY_RUNS);
        let last = MANY_RUNS - 1;
        assert_eq!(bases(&state)[last], last as u64, "and none of its messages is left out");
        state.runs[last].welcomed = true;
        state.begin_run(RunId(1000), 1000);
        assert_eq!(bases(&state)[last..], [last as u64, 1000], "one that may have been sent stays as it is");
    }
}
