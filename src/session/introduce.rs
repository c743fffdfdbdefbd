//! Upstream connections that begin with a PROXY header, by which the target learns whose requests
//! they carry. They are lent and kept apart from all others.

use crate::accept::proxy_protocol::{emit_v1, emit_v2};
use crate::config::SendProxyProtocol;
use crate::io::{Buffer, clock};
use crate::upstream::introduced::{Introduced, Purpose};
use crate::upstream::{Connection, Target};

use super::client::Connection as Client;
use super::way::Way;

impl Way<'_, '_> {
    /// A connection to the target that may carry this request and has carried others.
    pub(super) fn reuse(&self, target: &Target, now_ns: u64) -> Option<Connection> {
        let core = &self.request.connection.core;
        if self.group.proxy_protocol == SendProxyProtocol::Off {
            return core.upstreams.reuse(target, self.group, now_ns, &core.stats);
        }
        let kept = self.request.connection.introduced.take()?;
        let connection = kept.take(target, self.purpose(), now_ns)?;
        let quiet = connection.stream.is_quiet();
        if !quiet {
            core.stats.target(target.id).stale.up();
        }
        quiet.then_some(connection)
    }

    /// Keeps a connection whose last exchange was consumed whole.
    pub(super) fn keep(&self, connection: Connection) {
        let client = self.request.connection;
        let now_ns = clock::coarse_ns();
        if self.group.proxy_protocol == SendProxyProtocol::Off {
            client.core.upstreams.keep(connection, self.group, now_ns, &client.core.stats);
        } else if self.group.max_idle > 0 {
            let until_ns = now_ns.saturating_add(self.group.idle_ns);
            let kept = Introduced::new(connection, self.purpose(), until_ns);
            client.introduced.set(Some(Box::new(kept)));
        }
    }

    /// Begins a new connection with its header, where it has one; the head follows in the same write.
    pub(super) fn introduce(&self, connection: &Connection, out: &mut Buffer) {
        if !connection.reused && self.group.tls.is_none() {
            self.append_header(out);
        }
    }

    /// What goes before TLS: the header, where it has one; else nothing.
    pub(super) fn preface(&self) -> Buffer {
        let mut preface = Buffer::empty();
        if self.group.tls.is_some() && self.group.proxy_protocol != SendProxyProtocol::Off {
            preface = Buffer::small();
            self.append_header(&mut preface);
        }
        preface
    }

    fn append_header(&self, out: &mut Buffer) {
        let host = str::from_utf8(self.head.host.of(self.buf)).ok();
        append_header(self.group.proxy_protocol, self.request.connection, host, out);
    }

    fn purpose(&self) -> Purpose<'_> {
        Purpose { generation: self.request.snapshot.generation, authority: self.authority() }
    }

    /// The host name in a header. Version 1 has no room for it.
    fn authority(&self) -> Option<&str> {
        if self.group.proxy_protocol != SendProxyProtocol::V2 {
            return None;
        }
        let host = str::from_utf8(self.head.host.of(self.buf)).ok();
        authority(self.request.connection, host)
    }
}

/// Appends the header of a connection that is made for `client`, which asked for the host `asked`.
pub(super) fn append_header(
    version: SendProxyProtocol,
    client: &Client,
    asked: Option<&str>,
    out: &mut Buffer,
) {
    if version == SendProxyProtocol::Off {
        return;
    }
    let (source, destination) = client.addresses();
    if version == SendProxyProtocol::V1 {
        emit_v1(source, destination, out.writer());
    } else {
        emit_v2(source, destination, authority(client, asked), out.writer());
    }
}

/// The host name that the client asked for: what the proxy in front of us was asked for, else what we
/// were.
fn authority<'a>(client: &'a Client, asked: Option<&'a str>) -> Option<&'a str> {
    let introduction = client.introduction.as_deref();
    let of_proxy = introduction.and_then(|introduction| introduction.authority.as_deref());
    of_proxy.or(asked).filter(|name| !name.is_empty())
}
