//! Idle upstream connections of one core, last in, first out per target.
//!
//! The key is the target's stable id, which stands for everything that makes two connections
//! interchangeable (upstream and address). Pure but for the streams it holds; `now` is given.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::io::{Guard, Stream};

/// A connection to a target with its deadline entry.
pub struct Connection {
    // Dropped before the stream, so that the entry goes before the descriptor's number is free.
    /// Its deadline.
    pub guard: Guard,
    /// The stream.
    pub stream: Stream,
    /// The target's stable id.
    pub target: u32,
    /// Whether it carried an exchange before.
    pub reused: bool,
    /// The terms of its TLS.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

struct Idle {
    connection: Connection,
    until_ns: u64,
}

/// The idle connections of one core.
#[derive(Default)]
pub struct Pool {
    by_target: Vec<VecDeque<Idle>>,
    len: usize,
}

impl Pool {
    /// Takes the connection used last; the caller checks that it is quiet.
    pub fn take(&mut self, target: u32, now_ns: u64) -> Option<Connection> {
        let idle = self.by_target.get_mut(target as usize)?;
        let newest = idle.pop_back()?;
        self.len -= 1;
        // If the newest is too old, so are the others; the sweep takes them.
        (newest.until_ns > now_ns).then_some(newest.connection)
    }

    /// Keeps a connection whose last exchange was consumed whole; the oldest goes where there are
    /// `max_idle` already.
    pub fn put(&mut self, mut connection: Connection, max_idle: usize, until_ns: u64) {
        if max_idle == 0 {
            return;
        }
        let index = connection.target as usize;
        if self.by_target.len() <= index {
            self.by_target.resize_with(index + 1, VecDeque::new);
        }
        let idle = &mut self.by_target[index];
        while idle.len() >= max_idle {
            idle.pop_front();
            self.len -= 1;
        }
        connection.reused = true;
        connection.guard.disarm();
        idle.push_back(Idle { connection, until_ns });
        self.len += 1;
    }

    /// Closes what is too old; tells each target that has fewer now, and how many.
    pub fn sweep(&mut self, now_ns: u64, mut fewer: impl FnMut(u32, usize)) {
        for (target, idle) in self.by_target.iter_mut().enumerate() {
            let before = idle.len();
            while idle.front().is_some_and(|i| i.until_ns <= now_ns) {
                idle.pop_front();
                self.len -= 1;
            }
            if idle.len() < before {
                fewer(target as u32, idle.len());
            }
        }
    }

    /// Closes the connections of every target for which `keep` does not hold.
    pub fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        for (target, idle) in self.by_target.iter_mut().enumerate() {
            if !keep(target as u32) {
                self.len -= idle.len();
                idle.clear();
            }
        }
    }

    /// Idle connections to one target.
    pub fn idle(&self, target: u32) -> usize {
        self.by_target.get(target as usize).map_or(0, VecDeque::len)
    }

    /// Idle connections in all.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
