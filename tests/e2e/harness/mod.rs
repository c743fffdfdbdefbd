//! What the end-to-end tests stand on: the real binary, scripted upstreams, a raw client.
//!
//! Nothing here waits for a fixed time. Every read, write and wait has a deadline ([`PATIENCE`])
//! after which the test fails; what must happen is waited for as an event.

pub mod acme;
mod admin;
mod certificates;
mod client;
mod confined;
mod gate;
mod gateway;
mod process;
pub mod streams;
mod tls;
pub mod tunnels;
mod upstream;
pub mod websocket;
mod wire;

pub use admin::Stats;
pub use certificates::Pair;
pub use client::{Client, Response};
pub use confined::may_replace_hosts;
pub use gate::{Gate, eventually, pass};
pub use gateway::{Builder, Driver, Gateway, complete, forward_all};
pub use process::{BINARY, run, run_with_files};
pub use tls::{BOTH, Made, Signer};
pub use upstream::{Hanging, Peer, Refusing, Upstream, ok, unix_address};
pub use wire::{Broken, Head};

use std::time::Duration;

/// How long anything may take before its test fails. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long a writer must make no progress to count as stopped by backpressure.
pub const STOPPED: Duration = Duration::from_millis(700);

/// Makes tests of functions that take a driver: `name::io_uring` and `name::epoll` of each.
macro_rules! both_drivers {
    ($($name:ident),* $(,)?) => {
        $(
            mod $name {
                #[test]
                fn io_uring() {
                    if $crate::harness::Driver::IoUring.allowed_here() {
                        super::$name($crate::harness::Driver::IoUring);
                    }
                }

                #[test]
                fn epoll() {
                    super::$name($crate::harness::Driver::Epoll);
                }
            }
        )*
    };
}
