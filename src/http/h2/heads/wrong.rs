//! What a field block can be refused for.

use crate::http::Bad;
use crate::http::h2::hpack::Broken;

/// What is wrong with a field block, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The message: a client gets an answer of ours, a target's answer is a 502.
    Bad(Bad),
    /// The stream: a message that is malformed (RFC 9113 section 8.1.1), PROTOCOL_ERROR.
    Malformed,
    /// The connection: a name or value that HTTP does not have, or a pseudo-header field that nobody
    /// defined or that trailers have, PROTOCOL_ERROR (section 5.4.2 leaves that open).
    NotHttp,
    /// The connection: no field block, COMPRESSION_ERROR.
    Broken,
    /// The connection: a block that stands for far more than is taken, ENHANCE_YOUR_CALM.
    TooLarge,
}

impl From<Broken> for Wrong {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Malformed => Self::Broken,
            Broken::TooLarge => Self::TooLarge,
        }
    }
}
