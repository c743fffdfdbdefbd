//! What a failure means for everybody.

/// Who is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The client.
    Client,
    /// This gateway or its operator's limits.
    Gateway,
    /// The upstream.
    Upstream,
}

/// What a failure means for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// Status code sent to the client; 499 is only logged (nobody is there to read it).
    pub status: u16,
    /// Short name in logs, stats and the problem type.
    pub name: &'static str,
    /// One sentence for the client, without details.
    pub title: &'static str,
    /// Error type in Proxy-Status (RFC 9209 section 2.3).
    pub proxy_status: &'static str,
    /// Who is to blame.
    pub blame: Blame,
    /// Whether the client's connection must be closed: its next bytes can't be trusted to begin a
    /// request.
    pub close: bool,
}
