//! JSON web tokens.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Bytes of a token. Those with hundreds of groups or roles in them have 5 KiB; most servers take no
/// longer field than 8.
pub const JWT_MAX: usize = 16 * 1024;
/// Bytes of a set of keys. A key with its certificate chain has 5 KiB, large issuers show a dozen.
pub const JWKS_MAX: usize = 256 * 1024;
/// Keys of a set: issuers show two to ten.
pub const JWKS_MAX_KEYS: usize = 100;
/// Bits of an RSA modulus at least (RFC 7518 section 3.3); one of 8192 is the longest that is known
/// by the library.
pub const JWT_RSA_BITS: RangeInclusive<usize> = 2048..=8192;
/// By how much clocks may differ by default: what most gateways and issuers assume.
pub const JWT_LEEWAY: Duration = Duration::from_secs(60);
/// A leeway of more than this is no difference of clocks.
pub const JWT_MAX_LEEWAY: Duration = Duration::from_secs(600);
/// How long keys hold by default: issuers announce new ones hours ahead.
pub const JWKS_REFRESH: Duration = Duration::from_secs(3600);
/// How often keys are asked for at most by that, and how long an issuer is believed.
pub const JWKS_REFRESH_RANGE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(86_400);
/// How long after one question the next may come for the sake of an unknown key: whoever invents key
/// ids must not make the gateway besiege the issuer.
pub const JWKS_REFETCH: Duration = Duration::from_secs(30);
/// How long a question for keys may take by default.
pub const JWKS_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of verified tokens that a worker remembers by default: some thousands.
pub const JWT_CACHE: u64 = 8 << 20;
/// More would be most of a small machine's memory, once for each core.
pub const JWT_MAX_CACHE: u64 = 1 << 30;
/// Requests of a core that wait for keys at once, because their tokens name one that is not known.
pub const JWKS_WAITERS: usize = 64;
/// How soon an issuer that failed is asked again: first, and after many failures.
pub const JWKS_RETRY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
/// How long a question about a token may take by default: a request waits for it.
pub const INTROSPECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer is believed by default that a token is active: so long may one that was revoked pass.
pub const INTROSPECTION_CEILING: Duration = Duration::from_secs(60);
/// Longer would be no introspection.
pub const INTROSPECTION_MAX_CEILING: Duration = Duration::from_secs(86_400);
/// How long an answer is believed by default that a token is not active: one that was just made may be
/// known a moment later.
pub const INTROSPECTION_NEGATIVE: Duration = Duration::from_secs(10);
/// Longer would keep good clients out after a mistake of the server's.
pub const INTROSPECTION_MAX_NEGATIVE: Duration = Duration::from_secs(3600);
/// Bytes of an answer about a token. Those with hundreds of groups or roles have 10 KiB.
pub const INTROSPECTION_MAX: usize = 64 * 1024;
/// Connections to such a server that are kept open.
pub const INTROSPECTION_KEPT: usize = 16;
