//! What workers count and control reads.
//!
//! Owns the metric names, the per-worker counter blocks, the ids they are indexed by, and the sums
//! over workers. Knows nothing about requests, snapshots or how the numbers are shown.
//!
//! Invariants:
//! 1. A counter has one writer: its worker's thread, through [`Writer`], which cannot leave that
//!    thread. So an increment is a plain load and store, never a locked instruction, and no cache
//!    line is written by two cores.
//! 2. Readers (control) look at any time, without locks; they may see counters of one request
//!    half done, never a torn or a lost number.
//! 3. A block (route, target, …) is allocated at its first use by its worker and never moves or
//!    goes away while the worker's block lives.
//! 4. An id stands for one name for as long as any snapshot that names it lives, see [`Registry`].

mod blocks;
mod counter;
mod histogram;
pub mod merge;
pub mod names;
mod prefetch;
mod registry;
mod slots;
mod status;
mod worker;

pub use blocks::{ListenerStats, RouteStats, TargetStats, UpstreamStats};
pub use counter::{Counter, Gauge, Kinds};
pub use histogram::{Buckets, Histogram};
pub use prefetch::prefetch;
pub use registry::{
    Assignment, Directory, Entry, Full, Hold, Kind, Names, Registry, UpstreamEntry,
};
pub use slots::Slots;
pub use status::{StatusCounts, StatusSums};
pub use worker::{Finished, Passed, WorkerState, WorkerStats, Writer};
