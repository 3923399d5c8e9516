//! Whether a client keeps to its credits (RFC 8166 §3.3).

/// Calls a client may have open before it has been granted any.
const BEFORE_FIRST_REPLY: u32 = 1;

/// Counts the open calls of one connection.
#[derive(Debug)]
pub(super) struct Credits {
    granted: u32,
    open: u32,
    /// After a smaller grant, calls that may have been sent before the client learned of it are
    /// judged by the larger one: so many of them, and that grant.
    late: (u32, u32),
}

impl Credits {
    pub(super) fn new() -> Self {
        Self { granted: BEFORE_FIRST_REPLY, open: 0, late: (0, 0) }
    }

    /// A call has arrived; says whether it was one too many.
    pub(super) fn called(&mut self) -> bool {
        let allowed = match &mut self.late {
            (0, _) => self.granted,
            (calls, before) => {
                *calls -= 1;
                *before
            }
        };
        self.open += 1;
        self.open > allowed
    }

    /// A reply with this grant goes out. No credits at all would end the conversation: a client
    /// takes 0 as 1.
    pub(super) fn replied(&mut self, grant: u32) {
        let grant = grant.max(1);
        if grant < self.granted {
            // Calls by a still larger grant may be under way from before.
            let (calls, before) = self.late;
            let before = if calls > 0 { before } else { 0 };
            self.late = (calls.max(self.granted), before.max(self.granted));
        }
        self.granted = grant;
        self.finished();
    }

    /// A call came to its end without a reply.
    pub(super) fn finished(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::Credits;

    #[test]
    fn one_call_until_the_first_reply_then_as_granted() {
        let mut credits = Credits::new();
        assert!(!credits.called());
        assert!(credits.called());
        credits.replied(2);
        assert!(!credits.called());
        assert!(credits.called());
    }

    #[test]
    fn a_smaller_grant_does_not_condemn_calls_already_under_way() {
        let mut credits = Credits::new();
        assert!(!credits.called());
        credits.replied(4);
        assert!(!(0..4).any(|_| credits.called()));
        credits.replied(1);
        assert!(!credits.called(), "sent before the reply arrived");
        (0..4).for_each(|_| credits.replied(1));
        assert!(!(0..3).any(|_| {
            let over = credits.called();
            credits.replied(1);
            over
        }));
        assert!(!credits.called());
        assert!(credits.called());
    }

    #[test]
    fn two_cuts_in_a_row_do_not_condemn_calls_of_before_the_first() {
        let mut credits = Credits::new();
        assert!(!credits.called());
        credits.replied(12);
        assert!(!(0..12).any(|_| credits.called()));
        credits.replied(2);
        credits.replied(1);
        assert!(!(0..2).any(|_| credits.called()), "sent before either reply arrived");
    }

    #[test]
    fn a_grant_of_zero_counts_as_one() {
        let mut credits = Credits::new();
        assert!(!credits.called());
        credits.replied(0);
        assert!(!credits.called());
    }
}
