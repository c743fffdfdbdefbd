//! Every bound of the gateway, with its reason.
//!
//! A bound an operator would want to move is a default here and a key in the configuration.

// route

/// Parameters a path may capture, the catch-all included: they live in a fixed array a request.
pub const MAX_PATH_PARAMETERS: usize = 16;
/// Segments of a pattern with parameters or a catch-all (plain paths have no such bound): a
/// pattern's shape is one word, and each segment of a path up to here is hashed.
pub const MAX_PATTERN_SEGMENTS: usize = 24;
/// Different shapes (which segments are parameters) of one host's patterns. A lookup may have
/// to try each, some 10 ns; a large API has a few dozen.
pub const MAX_SHAPES_PER_HOST: usize = 512;
/// Regular expressions of one host: a lookup may have to try each.
pub const MAX_REGEXES_PER_HOST: usize = 4096;
/// Bytes of a route's path pattern or regular expression. Longer than any request target we take.
pub const MAX_PATTERN_LENGTH: usize = 16 * 1024;
/// Bytes of a host name that is looked up (RFC 1035 section 2.3.4 ends at 255). It bounds the
/// work of trying a hostile host's every suffix.
pub const MAX_HOST_LENGTH: usize = 255;
/// Routes in one table: indices fit in 24 bits, beside 8 of a hash.
pub const MAX_ROUTES: usize = 1 << 23;
/// Methods beyond those of RFC 9110 that one table may name: a set of methods is one word.
pub const MAX_CUSTOM_METHODS: usize = 53;
/// Bytes of one compiled regular expression, and of the cache it may grow while matching.
pub const MAX_REGEX_SIZE: usize = 256 * 1024;
/// Routes an explanation lists; it is read by a person.
pub const MAX_EXPLAINED: usize = 32;
