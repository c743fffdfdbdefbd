//! What other rooms say of a failure, as it is told here.

use super::Failure;
use crate::policy::Denied;
use crate::policy::auth::{NoAnswer, Refusal};
use crate::upstream::{Cause, ConnectError};

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::RateLimited => Self::RateLimited,
            Denied::StateFull => Self::LimitState,
            Denied::RouteFull => Self::RouteConcurrency,
            Denied::ClientFull => Self::ClientConcurrency,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoCredential => Self::NoCredential,
            Refusal::BadCredential | Refusal::BadToken => Self::BadCredential,
            Refusal::Suspended => Self::ApplicationSuspended,
            Refusal::Expired => Self::ApplicationExpired,
            Refusal::NoMappingRule => Self::NoMappingRule,
            Refusal::MethodOff => Self::MethodNotInPlan,
        }
    }
}

/// Of questions about a credential.
impl From<NoAnswer> for Failure {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::Overloaded => Self::IdentityOverloaded,
            NoAnswer::Late | NoAnswer::Failed => Self::IntrospectionFailed,
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Unreached(cause) => Self::ConnectFailed(cause),
            ConnectError::Failed => Self::ConnectFailed(Cause::ENDED),
            ConnectError::BadCertificate(cause) => Self::BadCertificate(cause),
            ConnectError::NoTls(cause) => Self::NoTls(cause),
            ConnectError::NoHttp2 => Self::NoHttp2,
            ConnectError::TimedOut => Self::ConnectTimeout,
            ConnectError::NoDescriptors(cause) => Self::NoDescriptors(cause),
        }
    }
}
