//! Why a token is not taken.

use super::fault::Fault;

/// Why a token is not taken. The log says which; a client learns no more than RFC 6750 has words for.
/// In the order in which things are checked: of several verifiers, the one that got furthest knows best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Longer than any token may be.
    TooLong,
    /// Not three parts of base64url of which the first two are JSON objects.
    Malformed,
    /// Its header asks for what is not understood (`crit`, `b64`).
    Critical,
    /// Its algorithm is not known, or is not one of those that are taken.
    Algorithm,
    /// Several keys fit, and the token does not say which.
    AmbiguousKey,
    /// No key of the set is named so, or fits.
    UnknownKey,
    /// Who knows it says that it is not active, or no longer.
    Inactive,
    /// No keys have come from the issuer yet.
    NoKeys,
    /// The signature is not that key's.
    Signature,
    /// It is a token of another type.
    Type,
    /// It is not of the issuer.
    Issuer,
    /// It is not for this audience.
    Audience,
    /// It does not say when it ends.
    NoExpiry,
    /// It has ended.
    Expired,
    /// It begins later, or comes from the future.
    NotYet,
    /// It lacks a scope.
    Scope,
    /// A claim says something else than it must.
    Claim,
    /// It is bound to a client that this is not (RFC 8705, RFC 9449), or to none, where it must.
    NotBound,
    /// It is bound to a key, and the request does not prove to have it (RFC 9449).
    Unproved(Fault),
    /// There is no place to remember its proof in.
    NoRoom,
}

impl Refusal {
    /// What the log says.
    pub fn text(self) -> &'static str {
        match self {
            Self::TooLong => "the token is too long",
            Self::Malformed => "this is no signed JSON web token",
            Self::Critical => "the token's header demands what is not understood",
            Self::Algorithm => "the token's algorithm is not taken",
            Self::Inactive => "the token is not active",
            Self::UnknownKey => "no known key fits the token",
            Self::AmbiguousKey => "several keys fit, and the token names none",
            Self::Signature => "the token's signature is wrong",
            Self::Type => "the token is of another type",
            Self::Issuer => "the token is of another issuer",
            Self::Audience => "the token is for another audience",
            Self::NoExpiry => "the token does not say when it ends",
            Self::Expired => "the token has ended",
            Self::NotYet => "the token holds later only",
            Self::NotBound => "the token is bound to another client",
            Self::Unproved(fault) => fault.text(),
            Self::NoRoom => "too many proofs are remembered",
            Self::Scope => "the token lacks a scope",
            Self::Claim => "the token lacks a claim",
            Self::NoKeys => "no keys have come from the issuer yet",
        }
    }

    /// Whether it is a token of the issuer's all the same: what is said of it holds.
    pub fn is_authentic(self) -> bool {
        self > Self::Signature
    }

    /// Whether newer keys could change it.
    pub fn is_for_want_of_keys(self) -> bool {
        matches!(self, Self::UnknownKey | Self::NoKeys)
    }

    /// Whether the token may be good all the same: nobody could say.
    pub fn is_doubtful(self) -> bool {
        matches!(self, Self::NoKeys | Self::NoRoom)
    }

    /// Whether the token is good, but not for this: 403 (RFC 6750 section 3.1).
    pub fn is_insufficient(self) -> bool {
        matches!(self, Self::Scope | Self::Claim)
    }
}
