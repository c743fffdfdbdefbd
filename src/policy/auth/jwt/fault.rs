//! What is wrong with a proof of possession.

/// What is wrong with a proof (RFC 9449 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// There is none.
    Missing,
    /// There are several.
    Several,
    /// It is no signed JSON web token, or lacks something.
    Malformed,
    /// It is a token of another type.
    Type,
    /// Its algorithm is not known, or has no public key.
    Algorithm,
    /// It does not show a public key that is fit for it.
    Key,
    /// The signature is not that key's.
    Signature,
    /// It is for another method.
    Method,
    /// It is for another URL.
    Target,
    /// It is too old, or from the future.
    Time,
    /// It is for another token.
    Token,
    /// The token is bound to another key.
    OtherKey,
    /// It was shown before.
    Used,
}

impl Fault {
    /// What the log says.
    pub fn text(self) -> &'static str {
        match self {
            Self::Missing => "there is no proof of the token's key",
            Self::Several => "there are several proofs",
            Self::Malformed => "the proof is no token, or lacks something",
            Self::Type => "the proof is of another type",
            Self::Algorithm => "the proof's algorithm is not taken",
            Self::Key => "the proof shows no public key that fits",
            Self::Signature => "the proof's signature is wrong",
            Self::Method => "the proof is for another method",
            Self::Target => "the proof is for another URL",
            Self::Time => "the proof is too old, or from the future",
            Self::Token => "the proof is for another token",
            Self::OtherKey => "the proof is of another key than the token's",
            Self::Used => "the proof was used before",
        }
    }
}
