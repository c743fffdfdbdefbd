//! Rate limits and concurrency limits: exact, and without contention where it matters.
//!
//! Owns the buckets of all limits ([`Shared`], one a process, outliving every reload) and each
//! worker's leases of them ([`Local`]). Knows nothing of routes, listeners or responses beyond
//! [`Rule`], [`KeySource`] and the fields that tell a client how it stands.
//!
//! # The algorithm
//!
//! A bucket of burst `B` that gains a token every `T` is one number, `tat`: the time up to which
//! tokens are taken. With `level = max(tat, now)`, `n` tokens may be had if
//! `level + n·T ≤ now + B·T`; then `tat = level + n·T`. This is GCRA.
//!
//! A core takes several tokens in one exchange (a *lease*) and spends them from its own memory.
//! The authority counts the tokens that cores hold, or have spent and not reported yet: `lent`.
//! They may be spent at any later moment, so they are treated as taken at every moment anew:
//! `level = max(tat, now + lent·T)`. A lease is reported when the next one is taken, and given
//! back at the tick. The reporting core knows when its own tokens were spent, so for those the
//! time of spending stands instead of `now`: with `j` tokens held (itself included) at a spending
//! at `t`, the level is at least `t + j·T`, and that of the others' lent tokens on top.
//!
//! # Why no window admits more than `(e − s)/T + B`
//!
//! Take any window `[s, e]` of decision times, each read on the deciding core's own clock. Look at
//! the first exchange (grant, report or give-back) of this bucket made at a time ≥ s. Of the
//! tokens lent then, `L` are unspent or were spent at times ≥ s. The exchange computes
//! `level ≥ s + L·T`: for the others' and its own unspent ones by its `now ≥ s`, for its own spent
//! ones by the first spending at a time ≥ s. Every token spent in the window is one of these `L`
//! or granted in or after that exchange: one granted earlier and spent at a time ≥ s is reported
//! later still, so it is lent until then. Each grant raises the stored `tat` by at least `T` a
//! token, each give-back lowers it by `T` for a token that was not spent, nothing else lowers it.
//! The last grant whose tokens are spent in the window is made at a time ≤ e, so it leaves
//! `tat ≤ e + B·T`. Hence the tokens granted and not given back number at most
//! `(e + B·T − s − L·T)/T`, and with the `L` that is `(e − s)/T + B`. If there is no such
//! exchange, only lent tokens are spent in the window, and those are never more than `B`. ∎
//!
//! The proof compares no two cores' clocks, so skew between them does not matter; each core's own
//! must not go back. Only forgetting a bucket compares clocks, and leaves a margin for it.
//!
//! # Why next to nothing is withheld
//!
//! A lease is at most the part `1/(2·workers)` of what is there, so all of them leave half the
//! bucket; as it empties they shrink to one token, which is spent at once and never lent. What a
//! core does not use goes back within two ticks, and while the bucket is in debt (`tat` ahead)
//! that gives back the whole credit.
//!
//! # Refusals
//!
//! A core that was refused knows when the next token comes, and refuses by itself until then, or
//! until the next tick, since a give-back may make it earlier.

pub mod concurrency;
pub mod fields;

mod bucket;
mod counter;
mod key;
mod lease;
pub(super) mod member;
mod rule;
mod shared;

pub use key::KeySource;
pub use lease::{Judgement, Local, Standing};
pub use rule::Rule;
pub use shared::Shared;
