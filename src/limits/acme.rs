//! Bounds of certificates that are asked for.

/// The directory that is asked by default: Let's Encrypt.
pub const ACME_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Names that certificates are asked for. One is asked for after another, some seconds each, and
/// servers limit orders (Let's Encrypt: 300 in 3 hours of one account).
pub const ACME_MAX_NAMES: usize = 1_000;
/// How long one answer of an ACME server may take: some queue requests for seconds.
pub const ACME_REQUEST: std::time::Duration = std::time::Duration::from_secs(30);
/// Bytes of an ACME server's answer. Chains of certificates take some ten thousand.
pub const ACME_ANSWER_MAX: usize = 1 << 20;
/// How long a server may look for the proof of a name, and again make the certificate, before it is
/// given up: from several places, with tries of its own.
pub const ACME_POLLING: std::time::Duration = std::time::Duration::from_secs(120);
/// How long one order may take in all; other names wait for it.
pub const ACME_ORDER: std::time::Duration = std::time::Duration::from_secs(300);
/// The pause after a first failure, which doubles with each further one. Let's Encrypt allows five
/// failed proofs of a name in an hour.
pub const ACME_RETRY: std::time::Duration = std::time::Duration::from_secs(300);
/// The longest pause, whatever the server asks for: certificates may live for a few days only.
pub const ACME_LONGEST_PAUSE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
/// The longest sleep between looks at what is due, since a machine's clock may be set meanwhile.
pub const ACME_LONGEST_SLEEP: std::time::Duration = std::time::Duration::from_secs(3600);
/// Seconds that a new certificate is left alone, whatever the server suggests.
pub const ACME_RENEWAL_REST: i64 = 3600;
/// How often renewal information is asked for, at most and at least (RFC 9773 section 4.3.2: the
/// client bounds what the server says).
pub const RENEWAL_INFO_EVERY: (std::time::Duration, std::time::Duration) =
    (std::time::Duration::from_secs(60), std::time::Duration::from_secs(24 * 3600));
/// When it is asked for again where it was not to be had (RFC 9773 section 4.3.3).
pub const RENEWAL_INFO_AFTER_FAILURE: std::time::Duration =
    std::time::Duration::from_secs(6 * 3600);
