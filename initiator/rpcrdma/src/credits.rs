//! Credits: how many calls may be unanswered at once (RFC 8166 §3.3.1).

/// The grant of one connection and what is used of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credits {
    granted: u32,
    in_use: u32,
    max: u32,
}

impl Credits {
    // req: 8166-3.3.3-1
    /// Until the first reply of a connection there is one credit.
    pub(crate) fn new(max: u32) -> Self {
        Self { granted: 1, in_use: 0, max }
    }

    /// Whether another call may go out.
    pub(crate) fn available(&self) -> bool {
        self.in_use < self.granted
    }

    /// A call goes out.
    pub(crate) fn take(&mut self) {
        self.in_use += 1;
        debug_assert!(self.in_use <= self.granted, "no call beyond the grant");
    }

    // req: 8166-3.3.1-2
    /// Its reply is here, with a new grant: 0 would stop the connection for good and counts as 1,
    /// and more than we have Receives for is of no use.
    #[inline(always)]
    pub(crate) fn replied(&mut self, grant: u32) {
        self.in_use -= 1;
        self.granted = grant.min(self.max).max(1);
    }

    /// Calls that are out.
    pub(crate) fn in_use(&self) -> u32 {
        self.in_use
    }

    /// The present grant.
    pub(crate) fn granted(&self) -> u32 {
        self.granted
    }
}

#[cfg(test)]
mod tests {
    use super::Credits;

    #[test]
    fn one_call_until_the_first_reply() {
        let mut credits = Credits::new(64);
        credits.take();
        assert!(!credits.available());
        assert_eq!(credits.in_use(), 1);
        credits.replied(64);
        assert!(credits.available());
        assert_eq!(credits.in_use(), 0);
        assert_eq!(credits.granted(), 64);
    }

    // req: 8166-3.3.1-2
    #[test]
    fn a_grant_of_zero_does_not_stop_the_connection() {
        let mut credits = Credits::new(64);
        credits.take();
        credits.replied(0);
        assert_eq!(credits.granted(), 1);
    }

    #[test]
    fn an_absurd_grant_is_clamped_to_our_own_receives() {
        let mut credits = Credits::new(64);
        credits.take();
        credits.replied(u32::MAX);
        assert_eq!(credits.granted(), 64);
    }

    // req: 8166-3.3.1-1
    #[test]
    fn a_cut_below_what_is_in_flight_waits_for_replies() {
        let mut credits = Credits::new(64);
        credits.take();
        credits.replied(3);
        (0..3).for_each(|_| credits.take());
        credits.replied(1);
        assert!(!credits.available(), "two are still out and one is allowed");
        credits.replied(1);
        assert!(!credits.available());
        credits.replied(1);
        assert!(credits.available());
    }
}
