//! Whether the server that COMMITs is still the one that took the writes.

/// What its verifiers say.
#[derive(Debug, Default)]
pub(crate) struct ServerLife {
    verifier: Option<[u8; 8]>,
    restarted: bool,
}

impl ServerLife {
    /// RFC 1813 §3.3.21: another verifier than before means that the server has restarted in
    /// between, and that unstable writes may be lost.
    pub(crate) fn see(&mut self, verifier: [u8; 8]) {
        let before = self.verifier.replace(verifier);
        self.restarted |= before.is_some_and(|before| before != verifier);
    }

    /// Asked once for each COMMIT: it does not vouch for writes before a restart.
    pub(crate) fn has_restarted(&mut self) -> bool {
        std::mem::take(&mut self.restarted)
    }
}

#[cfg(test)]
mod tests {
    use super::ServerLife;

    #[test]
    fn the_first_commit_after_a_restart_fails_and_the_next_one_does_not() {
        let mut server = ServerLife::default();
        server.see([1; 8]);
        assert!(!server.has_restarted());
        server.see([2; 8]);
        server.see([2; 8]);
        assert!(server.has_restarted(), "writes may be lost");
        server.see([2; 8]);
        assert!(!server.has_restarted(), "what was written since is safe");
    }
}
