//! One request by hand, while the engine serves the backend.

use std::io;
use std::net::Ipv4Addr;

use crate::engine::Engine;
use crate::machine::now_ns;
use crate::net::{self, Socket};

/// Sends `request` (which must ask for the connection to be closed) and returns everything that
/// comes back until then.
pub fn ask(engine: &mut Engine, port: u16, request: &[u8], within_ns: u64) -> io::Result<Vec<u8>> {
    let end = now_ns() + within_ns;
    let socket = Socket::connect(Ipv4Addr::new(127, 0, 1, 1), port)?;
    let mut sent = 0;
    let mut response = Vec::new();
    let mut buf = vec![0; 16 * 1024];
    while now_ns() < end {
        if sent < request.len() {
            match socket.send(&request[sent..]) {
                Ok(n) => sent += n,
                Err(error) if net::would_block(&error) => {}
                Err(error) => return Err(error),
            }
        }
        match socket.recv(&mut buf) {
            Ok(0) => return Ok(response),
            Ok(n) => response.extend_from_slice(&buf[..n]),
            Err(error) if net::would_block(&error) => {}
            Err(error) => return Err(error),
        }
        engine.rest(200_000);
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "no whole answer in time"))
}
