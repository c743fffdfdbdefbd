//! What the end-to-end tests stand on: the real binary, scripted upstreams, a raw client.
//!
//! Nothing here waits for a fixed time. Every read, write and wait has a deadline ([`PATIENCE`])
//! after which the test fails; what must happen is waited for as an event.

pub mod acme;
mod admin;
mod caller;
mod certificates;
mod client;
mod confined;
pub mod frames;
mod gate;
mod gateway;
pub mod grpc;
pub mod handmade;
pub mod http2;
pub mod introspector;
pub mod issuer;
mod operator;
mod origin;
mod process;
pub mod staple;
pub mod streams;
mod talk;
mod tls;
pub mod tunnels;
mod upstream;
pub mod websocket;
mod wire;

pub use admin::Stats;
pub use caller::{Ask, Caller};
pub use certificates::Pair;
pub use client::{Client, Response};
pub use confined::may_mount;
pub use gate::{Gate, eventually, pass};
pub use gateway::{Builder, Driver, Gateway, complete, forward_all};
pub use operator::Operator;
pub use origin::Origin;
pub use process::{BINARY, run, run_with_files};
pub use talk::{Keys, Piece, Version, Versions};
pub use tls::{BOTH, Made, Signer};
pub use upstream::{Hanging, Peer, Received, Refusing, Upstream, ok, unix_address};
pub use wire::{Broken, Ends, Head};

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

/// Makes tests of functions that take a driver and the versions on both sides of the gateway:
/// `name::http1_to_http2::epoll` and the like, of all four pairs, on both drivers.
macro_rules! all_pairs {
    ($($name:ident),* $(,)?) => {
        $(
            mod $name {
                all_pairs!(@pair $name http1_to_http1 Http1 Http1);
                all_pairs!(@pair $name http1_to_http2 Http1 Http2);
                all_pairs!(@pair $name http2_to_http1 Http2 Http1);
                all_pairs!(@pair $name http2_to_http2 Http2 Http2);
            }
        )*
    };
    (@pair $name:ident $pair:ident $down:ident $up:ident) => {
        mod $pair {
            use $crate::harness::{Driver, Version, Versions};

            const VERSIONS: Versions = Versions { down: Version::$down, up: Version::$up };

            #[test]
            fn io_uring() {
                if Driver::IoUring.allowed_here() {
                    super::super::$name(Driver::IoUring, VERSIONS);
                }
            }

            #[test]
            fn epoll() {
                super::super::$name(Driver::Epoll, VERSIONS);
            }
        }
    };
}
