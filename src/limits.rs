//! Every bound of the gateway, with its reason.
//!
//! A bound an operator would want to move is a default here and a key in the configuration.

// ---- config ----

/// Most mistakes listed for one file. More would scroll the first, usually the cause of the rest,
/// out of sight.
pub const CONFIG_MAX_DIAGNOSTICS: usize = 500;

/// Longest name of a listener, route, upstream or limit, bytes. Names are labels in metrics and
/// fields in every log line.
pub const CONFIG_MAX_NAME: usize = 128;

/// Longest time a timeout may be. Longer ones are taken for typing errors (`"30d"` for `"30s"`),
/// and deadlines stay far from the end of a 64-bit nanosecond clock.
pub const CONFIG_MAX_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);

/// Longest period of a rate, so that a bucket's arithmetic in 64-bit nanoseconds cannot overflow.
pub const CONFIG_MAX_RATE_PERIOD: std::time::Duration =
    std::time::Duration::from_secs(31 * 24 * 3600);

/// Shortest period of a rate: below a millisecond the clock of a worker's turn is too coarse.
pub const CONFIG_MIN_RATE_PERIOD: std::time::Duration = std::time::Duration::from_millis(1);

/// Most tokens of a rate in one period, and largest burst. With the period's bound this keeps
/// every product below 2^63 nanoseconds.
pub const CONFIG_MAX_RATE: u64 = 1_000_000_000;

/// Longest time in which an empty bucket may take to fill: a state kept for longer would outlive
/// most processes and is a mistake in the units.
pub const CONFIG_MAX_REFILL: std::time::Duration = std::time::Duration::from_secs(366 * 24 * 3600);

/// Largest weight of a target. Maglev tables and smooth round robin stay small below it.
pub const CONFIG_MAX_WEIGHT: u32 = 1000;

/// Longest path of a Unix socket: `sun_path` holds 108 bytes with the ending zero.
pub const UNIX_PATH_MAX: usize = 107;

/// Highest core number, as in the kernel's `cpu_set_t`.
pub const MAX_CORE: usize = 1023;

/// Drain deadline after SIGTERM. Below systemd's stop timeout (90 s) and equal to the grace
/// period of Kubernetes.
pub const DRAIN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// Prefix length that tells IPv6 clients apart: a subscriber has at least a /64.
pub const IPV6_PREFIX: u8 = 64;

/// Name in Via and Proxy-Status.
pub const SERVER_NAME: &str = "tollgate";

/// Bytes of buffers a worker may hold: 16,000 bodies in flight at 16 KiB each.
pub const MAX_BUFFER_MEMORY: u64 = 256 << 20;

/// Address of the admin listener: loopback, since it has no authentication of its own.
pub const ADMIN_LISTEN: &str = "127.0.0.1:9900";

/// Bytes of access log records that may wait for the writer: a tenth of a second of 100,000
/// records a second at 400 bytes each.
pub const ACCESS_LOG_QUEUE: u64 = 4 << 20;

/// listen(2) backlog: a burst of new connections within one turn of a busy worker. The kernel
/// cuts it to `net.core.somaxconn` (4096 by default).
pub const LISTEN_BACKLOG: u32 = 4096;

/// From the first byte of a head to its last: generous for a slow mobile network, and slow
/// senders (Slowloris) hold a connection no longer. HAProxy's guides recommend 5 to 10 s.
pub const HEADER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Between requests on a client's connection, as NGINX's `keepalive_timeout`.
pub const IDLE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(75);

/// Slowest body, bytes a second: a page of text in 10 s, as Apache's and IIS's minimum rates.
pub const BODY_MIN_RATE: u64 = 240;

/// How long a body may stay below the minimum rate, as Apache's `RequestReadTimeout`.
pub const BODY_RATE_GRACE: std::time::Duration = std::time::Duration::from_secs(20);

/// Bytes of a request head: NGINX takes 4 × 8 KiB.
pub const MAX_HEAD: u64 = 32 << 10;

/// Fields in a head: HAProxy takes 101, Envoy and Apache 100.
pub const MAX_FIELDS: usize = 100;

/// Bytes of a request target: RFC 9110 section 4.1 asks for 8,000 at least.
pub const MAX_URI: u64 = 8 << 10;

/// Bytes of extensions on one chunk-size line. Nobody uses them; they were an attack (CVE-2023-39326).
pub const MAX_CHUNK_EXTENSION: u64 = 256;

/// Largest setting for the head bounds: offsets into a head are kept in 32 bits, and a head must
/// stay far below a worker's buffer memory.
pub const MAX_HEAD_LIMIT: u64 = 16 << 20;

/// Idle upstream connections kept per core and target.
pub const UPSTREAM_MAX_IDLE: usize = 64;

/// How long an idle upstream connection is kept, as NGINX's upstream `keepalive_timeout`; most
/// servers close later.
pub const UPSTREAM_IDLE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// Connect timeout, as Envoy's: one SYN lost twice (1 s and 2 s) still arrives.
pub const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// Tries on other targets after the first, where a retry is safe.
pub const UPSTREAM_RETRIES: u32 = 1;

/// Retries as a share of requests, percent, as Envoy's retry budget: an outage must not double
/// the load.
pub const UPSTREAM_RETRY_BUDGET: u32 = 20;

/// How long a target that refused a connection is skipped; NGINX's `fail_timeout` is 10 s after
/// the same.
pub const SKIP_AFTER_FAILURE: std::time::Duration = std::time::Duration::from_secs(5);

/// How often names are resolved again: the usual TTL of names in front of a moving fleet.
pub const RESOLVE_EVERY: std::time::Duration = std::time::Duration::from_secs(30);

/// From the request sent to the first response byte, as NGINX's `proxy_read_timeout`.
pub const FIRST_BYTE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// Between two reads or writes of a body, as NGINX's `proxy_read_timeout`.
pub const BODY_IDLE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// Status of a redirect: temporary, so that no cache remembers a mistake; NGINX's and HAProxy's
/// default.
pub const REDIRECT_STATUS: u16 = 302;

/// Content-Type of a fixed response.
pub const RESPOND_CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// Smallest setting for the head bounds: room for a request line and a Host field.
pub const MAX_HEAD_LEAST: u64 = 512;

/// Smallest setting for `max_uri`.
pub const MAX_URI_LEAST: u64 = 64;

/// Largest setting for `max_chunk_extension`: it must fit a read buffer.
pub const MAX_CHUNK_EXTENSION_LIMIT: u64 = 16 << 10;

/// Smallest setting for `max_buffer_memory`: a few requests with heads and bodies.
pub const MAX_BUFFER_MEMORY_LEAST: u64 = 1 << 20;

/// Most limits in one scope (a route, a listener, the file): a request is judged by each.
pub const CONFIG_MAX_LIMITS: usize = 16;

// ---- shared by config and route (one of the two blocks goes when they meet) ----

/// Most `{name}` parameters in a path pattern.
pub const MAX_PATH_PARAMETERS: usize = 16;

/// Most segments in a pattern with parameters or a catch-all.
pub const MAX_PATTERN_SEGMENTS: usize = 32;

/// Longest path pattern or regular expression, bytes.
pub const MAX_PATTERN_LENGTH: usize = 16 * 1024;

/// Most methods beyond the standard ones that all routes together name.
pub const MAX_CUSTOM_METHODS: usize = 53;

/// Largest compiled regular expression, bytes.
pub const MAX_REGEX_SIZE: usize = 256 * 1024;
