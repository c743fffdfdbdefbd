//! A client's connection begins TLS, where its listener speaks it.

use crate::http::{Method, Version};
use crate::io::tls::HandshakeError;
use crate::io::{Buffer, Expiry, clock};
use crate::limits::HANDSHAKES_AT_ONCE;
use crate::respond::failure::Failure;
use crate::respond::own::{self, Asker, Manner};
use crate::snapshot::Tls;

use super::client::Connection;

impl Connection {
    /// Takes part in the handshake. False: the connection is over.
    pub(super) async fn begin(&mut self) -> bool {
        let settings = self.listener.settings();
        let Some(tls) = &settings.tls else { return true };
        let under_way = self.core.handshakes.get();
        if under_way >= HANDSHAKES_AT_ONCE {
            self.core.stats.listener(self.listener.id).handshakes_refused.up();
            return false;
        }
        self.core.handshakes.set(under_way + 1);
        let result = Box::pin(self.handshake(tls)).await;
        self.core.handshakes.set(self.core.handshakes.get() - 1);
        if matches!(result, Err(HandshakeError::NotTls)) {
            Box::pin(self.refuse_plain_http()).await;
        }
        result.is_ok()
    }

    async fn handshake(&mut self, tls: &Tls) -> Result<(), HandshakeError> {
        self.guard.arm(clock::now_ns().saturating_add(tls.handshake_ns), Expiry::ShutBoth);
        let result = self.stream.accept_tls(tls.config.clone()).await;
        self.guard.disarm();
        self.silent_since_ns = clock::now_ns();
        let stats = self.core.stats.listener(self.listener.id);
        match &result {
            Ok(()) => {
                let agreed = self.stream.tls();
                self.server_name = agreed.and_then(|tls| tls.server_name());
                stats.handshakes.up();
                if agreed.is_some_and(|tls| tls.is_resumed()) {
                    stats.handshakes_resumed.up();
                }
            }
            Err(error) => {
                stats.handshakes_failed.up();
                self.tell_refusal(error);
            }
        }
        result
    }

    /// At debug level: what clients do wrong is no news, and scanners do it all day.
    fn tell_refusal(&self, error: &HandshakeError) {
        let (client, listener) = (self.peer, &*self.listener.settings().name);
        match error {
            HandshakeError::NotTls => {
                tracing::debug!(%client, listener, "plain HTTP on a TLS port")
            }
            HandshakeError::Protocol(why) => {
                tracing::debug!(%client, listener, %why, "TLS handshake failed");
            }
            HandshakeError::Io(why) => {
                tracing::debug!(%client, listener, %why, "connection ended in its TLS handshake");
            }
        }
    }

    /// Somebody typed http for https: says so, in the words that they understand.
    async fn refuse_plain_http(&mut self) {
        let failure = Failure::PlainHttp;
        self.core.stats.failures.up(failure.kind());
        let mut answer = Buffer::small();
        {
            let snapshot = self.core.snapshot();
            let seconds = self.core.wall.of(clock::coarse_ns()) / 1_000_000_000;
            let mut date = self.core.wall.date.borrow_mut();
            let asker =
                Asker { takes_json: false, grpc: None, request_id: b"", gateway: &snapshot.name };
            let manner = Manner {
                method: Method::Get,
                version: Version::Http11,
                close: true,
                date: date.at(seconds),
            };
            own::failure(failure, &asker, &manner, b"", answer.writer());
        }
        let idle_ns = self.listener.settings().idle_ns;
        self.guard.arm(clock::coarse_ns().saturating_add(idle_ns), Expiry::ShutBoth);
        if self.stream.write_all(answer).await.0.is_ok() {
            self.linger().await;
        }
    }

    /// Whether its first byte is one of HTTP/2: by what TLS agreed on, or since nothing else is spoken
    /// here.
    pub(super) fn begins_in_http2(&self) -> bool {
        let settings = self.listener.settings();
        match self.stream.tls().and_then(|tls| tls.protocol()) {
            Some(protocol) => protocol == b"h2",
            None => !settings.http1,
        }
    }

    /// Whether a request for this host may come over this connection (RFC 9110 section 7.4): one
    /// that was opened for another name may have another's certificate and rules.
    pub(super) fn is_for(&self, host: &[u8]) -> bool {
        let Some(name) = &self.server_name else { return true };
        host.eq_ignore_ascii_case(name.as_bytes())
    }
}
