//! Every bound of the gateway, with its reason.
//!
//! A bound an operator would want to move is a default here and a key in the configuration.

mod acme;
mod api;
mod forward_auth;
mod identity;
mod jwt;
mod products;
mod stats;
mod store;
mod usage;

pub use acme::*;
pub use api::*;
pub use forward_auth::*;
pub use identity::*;
pub use jwt::*;
pub use products::*;
pub use stats::*;
pub use store::*;
pub use usage::*;

// upstream: balance, maglev, health, retry

/// Targets one request may try in all, the first included. More would multiply the load of an
/// outage and hold the client longer than another gateway would take to answer.
pub const MAX_TRIES: usize = 8;

/// Targets of one upstream after name resolution: the tables hold 16-bit indices.
pub const MAX_TARGETS: usize = 16_384;

/// Slots of a round-robin order. Weights whose reduced sum is larger are scaled down to it, so
/// a share is right to about one in eight thousand; every target keeps at least one slot.
pub const MAX_ROTATION: usize = 8_192;

/// Slots or draws looked at before a pick falls back to a scan of all targets, so that a heavy
/// target that is skipped costs a bounded walk.
pub const MAX_PICK_STEPS: usize = 16;

/// A target that keeps failing is skipped for at most this many times the configured time:
/// long enough to matter, short enough to notice that it came back.
pub const MAX_SKIP_GROWTH: u32 = 8;

/// Retries a second that every core may make on an upstream whatever the share of requests:
/// with little traffic the share alone would never allow one.
pub const RETRY_FLOOR_PER_SECOND: u32 = 3;

/// Unused retries an upstream can save up per core: a burst of failures after a long quiet
/// time must not become a burst of retries.
pub const MAX_SAVED_RETRIES: u32 = 100;

// policy: transform

/// Bytes of an X-Request-Id that is taken over from a trusted peer.
pub const MAX_REQUEST_ID: usize = 128;

// respond: access log

/// Bytes of one client-chosen value in an access log record; the rest is cut off. Escaping can
/// make a byte six, so this bounds a record at about 200 KiB in the worst case.
pub const MAX_LOGGED_VALUE: usize = 4_096;

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

/// Bytes of buffers a worker may hold: some 400 contents under way that hold one of
/// [`BUFFER_LARGE`] (up to [`BUFFERS_EASY`]), 2,500 with one of [`BUFFER_MEDIUM`] (up to
/// [`BUFFERS_TIGHT`]) and 16,000 more with one of [`BUFFER_SMALL`].
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

/// For a TLS handshake: three round trips of a slow mobile network with room to spare. A handshake
/// costs the gateway more than the client, so nobody may keep one open for long.
pub const HANDSHAKE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

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

/// Longest silence of a tunnel, both directions together: HAProxy's guides give `timeout tunnel` an
/// hour; applications that ping do so far more often.
pub const TUNNEL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3600);

/// Protocols that one route may allow upgrades to: they are compared one after another.
pub const CONFIG_MAX_UPGRADES: usize = 8;

/// Status of a redirect: temporary, so that no cache remembers a mistake; NGINX's and HAProxy's
/// default.
pub const REDIRECT_STATUS: u16 = 302;

/// Content-Type of a fixed response.
pub const RESPOND_CONTENT_TYPE: &str = "text/plain; charset=utf-8";
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
// Room policy/limit.

/// Slots of the table that holds the rate limits' buckets, 16 bytes each (so 16 MiB of address
/// space; pages that no bucket has touched cost no memory). One slot in eight is a set's header.
/// A power of two.
pub const BUCKET_SLOTS: usize = 1 << 20;

/// Slots of the table that counts requests in flight and connections, 16 bytes each (4 MiB of
/// address space). Every live connection needs at most one per counted thing. A power of two.
pub const COUNTER_SLOTS: usize = 1 << 18;

/// Sets of eight slots that a key may lie in: its home and the next few.
pub const TABLE_PROBE_SETS: usize = 4;

/// Tries at changing a table slot. Each failed try means that another core's succeeded, so the
/// bound is only met where hundreds of them overtake one core; that request is refused.
pub const TABLE_TRIES: usize = 512;

/// How far the cores' ideas of `now` may lie apart when a slot is taken from a full bucket, ns. A
/// worker reads the clock once a turn of its loop, so the slowest turn bounds it.
pub const CLOCK_SKEW_NS: u64 = 1_000_000_000;

/// Keys that one worker remembers leases and refusals for; 64 bytes each. A power of two.
pub const LEASE_ENTRIES: usize = 2048;

/// Tokens in one lease. At 100 ns a contended exchange, 256 make its share of a decision vanish.
pub const LEASE_MAX: u16 = 256;

/// The aggregation tick, ns: unused tokens go back after one to two of these, and a core that
/// refuses by what it saw before looks again after one.
pub const LEASE_TICK_NS: u64 = 10_000_000;

/// Leases that one tick looks at; the rest wait for the next tick.
pub const LEASES_PER_TICK: usize = 256;

/// Rules of one request whose keys are hashed once; any beyond are hashed again where needed.
pub const RULES_AT_HAND: usize = 16;

// Room policy/client.

/// Addresses that are read from X-Forwarded-For or Forwarded, from the right.
pub const FORWARDED_HOPS: usize = 32;

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

/// Most values that a route accepts for one thing a client certificate says: they are looked through
/// one by one. Who has more clients gives them an authority of their own.
pub const CONFIG_MAX_CLIENTS: usize = 64;

// access log, resolving, file watching

/// Finished record buffers kept for the workers to fill again: a few a worker, whatever the queue.
pub const LOG_RECYCLED_BUFFERS: usize = 64;
/// A recycled buffer above this is given back to the allocator instead, bytes.
pub const LOG_RECYCLED_CAPACITY: usize = 256 * 1024;
/// Chunks of records that may wait for the writer; the queue in bytes is the bound that matters,
/// this one is there because a channel needs a length.
pub const LOG_QUEUE_CHUNKS: usize = 4096;
/// Addresses taken from one DNS answer; more would only thin out each one's pool.
pub const RESOLVE_MAX_ADDRESSES: usize = 64;
/// DNS names looked up at the same time.
pub const RESOLVE_PARALLEL: usize = 16;
/// Bytes of a file with a certificate and its chain, with a key, or with an OCSP response: a hundred
/// times what any has.
pub const TLS_FILE_MAX: u64 = 1 << 20;
/// Bytes of a bundle of authorities or of revocation lists: the largest public lists have some 40 MiB.
pub const TLS_BUNDLE_MAX: u64 = 64 << 20;
/// Entries of a folder of certificates: 100,000 with their keys and OCSP responses.
pub const TLS_FOLDER_MAX: usize = 300_000;
/// Sessions kept for clients that resume without a ticket, by those who share a kind of client
/// certificate; each some hundred bytes, some thousand with a client's certificates.
pub const TLS_SESSIONS: usize = 16_384;
/// Bytes of early data that a client may send: heads of some requests, each without content.
pub const TLS_EARLY_DATA: u32 = 16 << 10;
/// Seconds for which a session ticket under a key from a file is good: as long as one under a key of
/// the process, whose keys are forgotten by then.
pub const TLS_TICKET_LIFETIME: u32 = 12 * 60 * 60;
/// Files with keys of session tickets: one in use, one before, one to come, for several rotations.
pub const TLS_TICKET_KEYS: usize = 8;
/// How long the certificate of `tollgate demo` is good for: longer than a demo.
pub const DEMO_CERTIFICATE: std::time::Duration = std::time::Duration::from_secs(90 * 24 * 3600);
/// A certificate with fewer days left than this is warned of: whoever renews a month before the end,
/// as is usual, has been failing for two weeks.
pub const TLS_EXPIRY_WARNING_DAYS: i64 = 14;
/// A list of revoked certificates is warned of for the last day before the next one is due, in seconds...
pub const TLS_LIST_SOON: i64 = 24 * 3600;
/// ...or for the last part of its time, one in so many, where it is good for a few days only.
pub const TLS_LIST_SOON_PART: i64 = 4;
/// Certificates of a listener in `/stats` and `/metrics`, those that expire first.
pub const ADMIN_MAX_CERTIFICATES: usize = 100;
/// Watched files that one look takes in, so that a folder of 10,000 certificates costs a second of
/// looking no more than a few milliseconds; those behind them wait for the next looks.
pub const WATCH_FILES_A_LOOK: usize = 1_000;
/// Looks for which a change waits for others that are under way, so that a certificate and its key
/// are taken up together.
pub const WATCH_PATIENCE: u32 = 5;
/// Bytes of a configuration file: 100,000 routes at some 600 bytes each, with room.
pub const CONFIG_FILE_MAX: u64 = 256 * 1024 * 1024;

// admin

/// Connections to the admin listener at once; more wait in the backlog.
pub const ADMIN_MAX_CONNECTIONS: usize = 128;
/// How long answers under way may take once the admin listener has moved away.
pub const ADMIN_STOP_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// Statistics rendered at the same time: with many routes a rendering costs memory.
pub const ADMIN_MAX_RENDERINGS: usize = 2;
/// Routes in `/stats` and `/metrics`, the busiest ones: what a Prometheus server can still take.
pub const ADMIN_MAX_ROUTES: usize = 5_000;
/// Up to this many routes, those that never served a request are shown too.
pub const ADMIN_MAX_UNUSED_ROUTES: usize = 1_000;
/// Routes on the page for people, the busiest ones.
pub const ADMIN_PAGE_ROUTES: usize = 50;
/// Seconds of history on the page for people.
pub const ADMIN_HISTORY: usize = 120;
/// Seconds over which the page's latencies and rates are taken.
pub const ADMIN_WINDOW: usize = 10;
// io

/// A buffer for a usual head: most requests and their headers fit (a browser sends 1–2 KiB).
pub const BUFFER_SMALL: usize = 4 * 1024;
/// A buffer for an answer's head and what comes with it: a whole small answer, and a request whose
/// content came along.
pub const BUFFER_MEDIUM: usize = 20 * 1024;
/// A buffer for streaming a body: large enough that a system call's cost vanishes in the copy.
pub const BUFFER_LARGE: usize = 128 * 1024;
/// The part of `max_buffer_memory` that a core may hold before content is streamed by medium buffers
/// instead of large ones: many slow readers then cost a sixth.
pub const BUFFERS_EASY: usize = 4;
/// The same before small ones are used: what is left is for new requests and readers.
pub const BUFFERS_TIGHT: usize = 2;
/// Spare buffers of each kind that a core keeps.
pub const BUFFERS_POOLED: usize = 256;
/// Submission entries of a ring: more in flight in one turn are submitted in several calls.
pub const RING_ENTRIES: u32 = 1024;
/// Completion entries: bursts beyond this go through the kernel's slow overflow list.
pub const RING_COMPLETIONS: u32 = 16 * 1024;
/// Accepts that wait at once on a listener of a core: with one, a burst of connections is taken one a
/// turn of the ring.
pub const ACCEPTS_PENDING: usize = 16;
/// Operations on one stream that may complete one after another without waiting.
pub const INLINE_MAX: u32 = 32;
/// Content that one write encrypts at once: four records, so that a system call's cost vanishes.
pub const TLS_PIECE: usize = 64 * 1024;
/// Room for one record of TLS: its content, and what protection adds at most (RFC 8446 section 5.2).
pub const TLS_RECORD: usize = 16 * 1024 + 256 + 5;
/// Encrypted bytes that may be owed when more are added: what one small write left, and tickets.
pub const TLS_OWED: usize = 4 * 1024;
/// Reads' worth of tickets and the like that an idle connection to a target may have got unasked.
pub const TLS_UNASKED: usize = 4;
/// Bytes that a connection of many streams gathers before it makes its streams wait: two of the
/// largest pieces that they hand over.
pub const GATHERED_MAX: usize = 64 * 1024;
/// Bytes asked for a splice pipe (Linux lets a user have some 64 MiB of them by default).
pub const PIPE_BYTES: usize = 1024 * 1024;
/// Spare pipes that a core keeps.
pub const PIPES_POOLED: usize = 16;
/// Period of a worker's housekeeping: the grain of every deadline.
pub const TICK_MS: u64 = 20;

// session

/// How long a silent connection keeps its buffers, hoping for the next request: a hot client's
/// pause is far shorter, an idle one's far longer.
pub const AWAKE_NS: u64 = 1_000_000_000;
/// TLS handshakes that a core has under way: each holds some 20 KiB and costs more than many requests,
/// so a flood of them must not crowd out the connections there are.
pub const HANDSHAKES_AT_ONCE: usize = 1024;
/// Failures a second that a core tells in the gateway's own log, one line each.
pub const FAILURES_TOLD: u32 = 20;
/// Working states of requests that a core keeps warm.
pub const SCRATCH_POOLED: usize = 256;
/// Content of which more than this is still to come is spliced where it can be; below, two system
/// calls more cost as much as the copies.
pub const SPLICE_MIN: u64 = 40 * 1024;
/// Room kept in front of an answer, so that its new head can be put before its content where it
/// lies: it takes the place of the old one, which is mostly as long.
pub const HEAD_ROOM: usize = 1024;
/// Request content from this size on is sent from where it lies; below, copying it behind the new
/// head costs less than copying the old head away.
pub const CONTENT_APART: usize = 2 * 1024;
/// How long a client is given to read its last answer while it still sends.
pub const LINGER_NS: u64 = 2_000_000_000;
/// And how much of what it sends is read and thrown away.
pub const LINGER_BYTES: usize = 4 * 1024 * 1024;
/// Interim (1xx) answers forwarded before a final one: 100 and a few 103.
pub const MAX_INTERIM: u32 = 16;

// accept

/// Pause after the descriptors ran out.
pub const ACCEPT_PAUSE_MS: u64 = 100;

// worker

/// Ticks between sweeps of pools and spare buffers: about a second.
pub const SWEEP_TICKS: u64 = 1000 / TICK_MS;
/// Bytes of spare buffers freed in one sweep after which the allocator is asked to let go of what
/// it holds free.
pub const FREED_AT_ONCE: usize = 32 * 1024;
/// Connections that are still taken from a listener's queue when it is closed.
pub const DRAIN_ACCEPTS: usize = 4096;
/// Ticks between looks at idle connections while draining.
pub const DRAIN_POLL_TICKS: u64 = 10;
/// Ticks that are left to what is cut off when a core ends: to tell whom it can, to be counted and
/// logged. Whatever it waits for is over at once, one wait a tick.
pub const CUT_OFF_TICKS: u32 = 20;

// session, the answer

/// Bytes of extensions on one chunk-size line of an answer.
pub const RESPONSE_CHUNK_EXTENSION: usize = 256;
/// Access records that a core collects before it hands them over (a tick hands over fewer).
pub const JOURNAL_BYTES: usize = 32 * 1024;

// control

/// Descriptors kept from client connections: listeners, ring, logs, admin.
pub const DESCRIPTORS_RESERVED: usize = 128;
/// How long a reload waits for every worker to take it up before it says so.
pub const RELOAD_DEADLINE_MS: u64 = 2_000;
/// Lines of the gateway's own log that may wait for the thread that writes them.
pub const LOG_LINES: usize = 4096;

// accept, the PROXY protocol

/// Bytes of a header of version 1, its line end included: the specification's own bound.
pub const PROXY_V1_MAX: usize = 107;
/// Bytes of a header of version 2. Addresses take 52 at most (a Unix socket's 232), a client's name
/// and its certificate's some hundred more; clouds add a few hundred of their own.
pub const PROXY_HEADER_MAX: usize = 4096;
/// Bytes of a host name in a header: the longest that DNS has.
pub const PROXY_AUTHORITY_MAX: usize = 255;
/// Bytes of a connection's name in a header: the specification's own bound.
pub const PROXY_UNIQUE_ID_MAX: usize = 128;

// HTTP/2

/// Streams that a client may have open on a connection, by default: what browsers and NGINX's users
/// are used to.
pub const H2_STREAMS: u32 = 128;
/// Most streams that may be configured.
pub const H2_STREAMS_MAX: u32 = 10_000;
/// Streams that a connection to a target has open at most, by default, where the target allows more.
pub const H2_UPSTREAM_STREAMS: u32 = 100;
/// Content of one stream that a peer may send before we took any: the protocol's own default.
pub const H2_STREAM_WINDOW: u32 = 64 * 1024 - 1;
/// Content of all streams of a connection that a peer may send before we took any. It bounds the
/// memory that a peer can fill: one stream that nobody reads must not stop the others.
pub const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// The same of one stream's answer from a target: what the gateway holds for a client that reads
/// slower than its target sends.
pub const H2_UPSTREAM_STREAM_WINDOW: u32 = 128 * 1024;
/// Content of all streams from a target, at least: more where more streams are allowed, so that those
/// that nobody reads leave room for others.
pub const H2_UPSTREAM_CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// Reads of a connection of many streams before others on its core have a turn.
pub const H2_READS: u32 = 4;
/// Content that came along with its head and is put behind it, so that it can be sent again: a call of
/// gRPC most often fits.
pub const H2_CONTENT_ALONG: usize = 16 * 1024;
/// Memory for content that a stream's place on its connection keeps for the next stream.
pub const H2_CONTENT_KEPT: usize = 4 * 1024;
/// Answers' heads whose memory a connection keeps for the next ones, and of what size at most.
pub const H2_HEADS_KEPT: usize = 8;
/// Larger ones are given back at once.
pub const H2_HEADS_KEPT_SIZE: usize = 4 * 1024;
/// What a peer is told to be the longest list of fields that is taken, as a multiple of `max_head`: what
/// is only a little too large gets a 431 of ours, with its record.
pub const H2_HEAD_FACTOR: usize = 2;
/// A field block that stands for more than so many times `max_head` is an attack (one byte of it can stand
/// for 4,000), and is not decoded to its end.
pub const H2_BOMB_FACTOR: usize = 8;
/// Debt (see `http::h2::frames`) at which a peer is not listened to any more.
/// Longest field block taken in encoded form, in pieces: this many times `max_head`, and at least
/// [`H2_BLOCK_LEAST`].
pub const H2_BLOCK_FACTOR: usize = 4;
/// The least that is taken of a field block in pieces, whatever `max_head` is.
pub const H2_BLOCK_LEAST: usize = 64 * 1024;
/// Debt (see `http::h2::machine`) at which a peer is not listened to any more.
pub const H2_DEBT_MAX: i64 = 10_000;
/// What messages and content may pay in advance: for the resets of a page that is left while its
/// pictures load.
pub const H2_CREDIT_MAX: i64 = 10_000;
/// A reset of a young stream: with what its request paid, 200 at once.
pub const H2_COST_RESET: i64 = 150;
/// A frame that is to be answered, or an empty one: 100 at once.
pub const H2_COST_CONTROL: i64 = 100;
/// A frame that is only noted: 500 at once. More than a frame of one byte pays that is sent because of
/// it.
pub const H2_COST_SMALL: i64 = 20;
/// A stream begun beyond those that were allowed, which is refused: 250 at once.
pub const H2_COST_REFUSED: i64 = 40;
/// What a second pays: 10 frames that are answered, 50 others.
pub const H2_PAID_PER_SECOND: u64 = 1_000;
/// How long a stream is young: to open and reset those is the attack, others were waited for.
pub const H2_YOUNG_NS: u64 = 1_000_000_000;
/// Connections that a request waits for, one after the other: one that was made may have no place left
/// for it, where the target allows few streams.
pub const H2_ATTEMPTS: usize = 4;
/// How long a connection to a target may take nothing of what is sent: as an exchange may, by default.
pub const H2_STUCK_NS: u64 = 60_000_000_000;
/// How long a connection to a target must have been silent, while an answer was waited for in vain, to be
/// taken for dead: calls with deadlines shorter than their target's work are no reason to connect anew.
pub const H2_SILENT_NS: u64 = 1_000_000_000;
/// Requests of a client's connection under way, as a multiple of its streams: those whose streams were
/// reset count until they have ended, some 160 ms later or when a target was reached.
pub const H2_ENDING: u32 = 2;
/// How long a connection that was told to go away is given to take that in.
pub const H2_LAST_WORDS_NS: u64 = 1_000_000_000;
// policy, forms

/// Content of a form that mapping rules may look into is waited for up to so many bytes: such forms have a
/// few short fields. It fits the buffer of a head, so that no request holds more for it.
pub const FORM_MAX: usize = 16 << 10;

// accept, the ClientHello

/// Bytes that a ClientHello may take, its records' heads included. Usual ones have some 500; with
/// post-quantum key shares 2 KiB. One record holds as much.
pub const CLIENT_HELLO_MAX: usize = 16 << 10;
