//! Which route a request belongs to. Pure: no I/O, no clock.
//!
//! Owns the compiled [`Table`] of all routes' matchers, the lookup, and its explanation for
//! people. Must never know what a route *does*: actions, policies and upstreams are the
//! business of others, who keep theirs under the same index.
//!
//! # Precedence
//!
//! Among the routes that match a request, the first by this order wins:
//!
//! 1. **Host**: exact; then the longest `*.suffix` (a star stands for one or more labels, never
//!    for none); then any host. A trailing dot of the request's host means nothing.
//! 2. **Path**: a plain path; then a pattern with `{parameters}` (of two, the one with a literal
//!    where they first differ); then a catch-all (the one with more segments before its star,
//!    then again the literal one); then regular expressions in file order.
//! 3. **Methods**: a route that names methods before one that takes any.
//! 4. **Matchers**: the more matchers of headers, query, client certificate and claims, the earlier.
//! 5. **File order**.
//!
//! A more specific route whose methods or matchers refuse the request does not end the search:
//! it goes on with the next by this order, down to other paths and less specific hosts.
//!
//! # What matches
//!
//! - Paths are compared byte for byte in canonical form; `/a` and `/a/` are two paths.
//! - `{name}` stands for one whole segment that is not empty.
//! - `/prefix/*` stands for everything below `/prefix/` and for `/prefix` itself, so that what
//!   guards a tree cannot be walked around by leaving out the slash. The star's value is what
//!   follows the slash (empty for `/prefix`). `/*` stands for every path.
//! - The asterisk form (`OPTIONS *`) matches the pattern `*` and regular expressions only.
//! - A regular expression must match the whole path; its named groups are parameters. It works
//!   on bytes: `\w`, `\d` and the like are ASCII unless `(?u)` says otherwise.
//! - A route that names GET takes HEAD too. Nothing implies OPTIONS.
//! - A header matcher holds if any field line of that name passes (lines are not split at
//!   commas). A query matcher compares decoded text (`%20` and `+` are spaces) and holds if any
//!   parameter of that name passes.
//! - A matcher of the client's certificate holds for one that was verified and says just that; for
//!   a client without one it never holds.
//! - A matcher of claims is asked last. Where nobody has looked at the token yet, the answer is
//!   [`Found::Token`]: who asks looks at it, and asks again.
//! - Where only methods stood in the way, the answer is [`Found::MethodNotAllowed`] with what
//!   all those routes would take.
//!
//! # Invariants
//!
//! 1. A lookup never allocates, but for captures of a regular expression and percent-encoded
//!    query values that a matcher reads.
//! 2. Its cost does not depend on the number of routes: one hash lookup for a plain path, and
//!    one for each *shape* (`shape.rs`) that the host's patterns have. There is no backtracking:
//!    what a path looks like decides nothing about how many lookups there are.
//! 3. A hash never decides alone: the text is always compared. Requests insert nothing, so the
//!    hash needs no key.
//! 4. Regular expressions are tried one by one, after all else: they are what costs per route.

mod build;
mod error;
mod explain;
mod expression;
pub(crate) mod hash;
mod hosts;
mod leaf;
mod matchers;
mod methods;
mod params;
mod pattern;
mod request;
mod segments;
mod shape;
mod table;
mod text_map;

pub use error::{BuildError, BuildProblem};
pub use explain::{Explanation, Reason};
pub use methods::AllowedMethods;
pub use params::Params;
pub use request::{Claims, Request, Unread};
pub use table::{Found, Table};
