//! A connection that is passed on gets a target.

use std::time::Duration;

use crate::config::SendProxyProtocol;
use crate::io::{Buffer, clock};
use crate::respond::failure::Failure;
use crate::upstream::balance::Tried;
use crate::upstream::{self, ConnectTime, Group, Target, key};

use super::client::Connection;
use super::introduce;
use super::outcome::Outcome;

/// Bytes of a PROXY header as we write it, with room to spare.
const INTRODUCTION: usize = 512;

/// A connection on its way to a target of this group.
pub(super) struct Passage<'a> {
    pub(super) client: &'a Connection,
    pub(super) group: &'a Group,
}

impl<'a> Passage<'a> {
    /// Connects, to another target where one fails: nothing was sent, so that is always safe.
    pub(super) async fn connect(
        &self,
        outcome: &mut Outcome,
    ) -> Result<upstream::Connection, Failure> {
        let (core, group) = (&self.client.core, self.group);
        let stats = core.stats.upstream(group.id);
        stats.requests.up();
        core.upstreams.deposit(group, clock::coarse_ns());
        outcome.upstream = group.name.as_str().into();
        let mut tried = Tried::default();
        let mut target = self.choose(&mut tried)?;
        loop {
            outcome.target = target.name.as_str().into();
            let failure = match self.attempt(target).await {
                Ok(connection) => {
                    outcome.connected_ns = Some(clock::coarse_ns());
                    return Ok(connection);
                }
                Err(failure) => failure,
            };
            if outcome.retries >= group.retries {
                return Err(failure);
            }
            if !core.upstreams.withdraw(group, clock::coarse_ns()) {
                stats.retries_over_budget.up();
                return Err(failure);
            }
            target = self.choose(&mut tried).map_err(|_| failure)?;
            outcome.retries += 1;
            stats.retries.up();
            core.stats.target(target.id).retries.up();
        }
    }

    fn choose(&self, tried: &mut Tried) -> Result<&'a Target, Failure> {
        let core = &self.client.core;
        let client = self.client.peer.ip();
        let hash = self.group.hash_key.as_ref().map(|_| key::hash_of_client(client));
        let random = core.random.borrow_mut().u64(..);
        let chosen = core.upstreams.choose(self.group, tried, hash, random, clock::coarse_ns());
        chosen.ok_or_else(|| {
            core.stats.upstream(self.group.id).no_target.up();
            Failure::NoTarget
        })
    }

    async fn attempt(&self, target: &Target) -> Result<upstream::Connection, Failure> {
        let (core, group) = (&self.client.core, self.group);
        let stats = core.stats.target(target.id);
        let mut preface = Buffer::empty();
        if group.tls.is_some() {
            self.append_header(&mut preface);
        }
        let (within, now_ns) = (group.connect_timeout, clock::coarse_ns());
        let time = ConnectTime { most: within, left: Duration::MAX };
        let connected = core.upstreams.connect(target, group, preface, time, now_ns).await;
        clock::now_ns();
        match connected {
            Ok(connection) => {
                stats.connects.up();
                stats.requests.up();
                core.upstreams.reached(target.id);
                Ok(connection)
            }
            Err(error) => {
                stats.connect_failures.up();
                Err(error.into())
            }
        }
    }

    /// What goes to the target first: its PROXY header, where it gets one that TLS does not follow,
    /// and the bytes that were read of the client.
    pub(super) fn introduce(&self, bytes: Buffer) -> Buffer {
        if self.group.tls.is_some() || self.group.proxy_protocol == SendProxyProtocol::Off {
            return bytes;
        }
        let mut first = Buffer::fitting(INTRODUCTION + bytes.len());
        self.append_header(&mut first);
        first.append(bytes.data());
        first
    }

    fn append_header(&self, out: &mut Buffer) {
        let name = self.client.server_name.as_deref();
        introduce::append_header(self.group.proxy_protocol, self.client, name, out);
    }
}
