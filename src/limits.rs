//! Every bound of the gateway, with its reason.
//!
//! A bound an operator would want to move is a default here and a key in the configuration.

// http

/// Bytes of a host name: the longest DNS has, with its final dot.
pub const MAX_HOST_NAME: usize = 254;
/// Bytes of a method. The longest registered one has 17.
pub const MAX_METHOD: usize = 32;
/// Empty lines skipped before a request line: RFC 9112 section 2.2 asks for one, and some old
/// clients end a body with one more.
pub const MAX_LEADING_BLANK_LINES: usize = 2;
/// Options in the Connection fields of one message. Each is looked for among all fields.
pub const MAX_CONNECTION_OPTIONS: usize = 32;
/// Fields in an upstream's response head.
pub const MAX_RESPONSE_FIELDS: usize = 256;
/// Bytes of a trailer section.
pub const MAX_TRAILERS: usize = 8 * 1024;
/// Fields in a trailer section.
pub const MAX_TRAILER_FIELDS: usize = 32;
/// Bytes by which chunk extensions may exceed the payload seen so far: keeps a body of tiny
/// chunks with long extensions from costing many times what it carries.
pub const MAX_CHUNK_EXTENSION_EXCESS: usize = 16 * 1024;
