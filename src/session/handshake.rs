//! A client's connection begins TLS, where its listener speaks it.

use rustls::CertificateError;

use crate::http::{Framing, Identity, RequestHead};
use crate::io::tls::HandshakeError;
use crate::io::{Buffer, Expiry, clock};
use crate::limits::HANDSHAKES_AT_ONCE;
use crate::respond::failure::Failure;
use crate::snapshot::Tls;

use super::client::Connection;
use super::request;
use super::task::Fate;

impl Connection {
    /// Takes part in the handshake, of which `early` has come. False: the connection is over.
    pub(super) async fn begin(&mut self, early: Buffer) -> bool {
        let settings = self.listener.settings();
        let Some(tls) = &settings.tls else { return early.is_empty() };
        let under_way = self.core.handshakes.get();
        if under_way >= HANDSHAKES_AT_ONCE {
            self.core.stats.listener(self.listener.id).handshakes_refused.up();
            return false;
        }
        self.core.handshakes.set(under_way + 1);
        let result = Box::pin(self.handshake(tls, early)).await;
        self.core.handshakes.set(self.core.handshakes.get() - 1);
        if matches!(result, Err(HandshakeError::NotTls)) {
            Box::pin(self.refuse_plain_http()).await;
        }
        // Such a handshake is all that its client wants (RFC 8737 section 3).
        result.is_ok() && !self.stream.tls().is_some_and(|tls| tls.proves_name())
    }

    async fn handshake(&mut self, tls: &Tls, early: Buffer) -> Result<(), HandshakeError> {
        self.guard.arm(self.silent_since_ns.saturating_add(tls.handshake_ns), Expiry::ShutBoth);
        let result = self.stream.accept_tls(tls.config.clone(), early).await;
        let result = result.and_then(|()| self.learn_identity(tls));
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

    /// Who the client is, where it showed a certificate (a session that is resumed brings the one it
    /// began with).
    fn learn_identity(&mut self, tls: &Tls) -> Result<(), HandshakeError> {
        let Some(stream) = self.stream.tls() else { return Ok(()) };
        let now = (self.core.wall.of(clock::now_ns()) / 1_000_000_000) as i64;
        let read = stream.with_client_certificates(|shown| {
            let allowed = tls.lists.as_ref().map_or(Ok(()), |lists| lists.allow(shown, now));
            allowed.map(|()| Identity::read(shown, tls.forward))
        });
        let Some(identity) = read.transpose()? else { return Ok(()) };
        let wrong = match &identity {
            None => CertificateError::BadEncoding,
            Some(identity) if identity.has_ended(now) => CertificateError::Expired,
            Some(_) => {
                self.identity = identity.map(Box::new);
                return Ok(());
            }
        };
        Err(rustls::Error::from(wrong).into())
    }

    /// Whether a request that is here now may be a replay.
    pub(super) fn is_early(&self) -> bool {
        self.stream.tls().is_some_and(|tls| tls.is_early())
    }

    /// A request came in early data. Where a replay of it could do harm, or be taken for another,
    /// it waits for the end of the handshake, which no replay ever has (RFC 8470 section 3). False:
    /// there is no such end, and the connection is over.
    pub(super) async fn may_serve_early(&mut self, head: &RequestHead) -> bool {
        let no_content = matches!(head.framing, Framing::None | Framing::Length(0));
        if head.method.is_safe() && no_content && !head.upgrade {
            return true;
        }
        self.end_handshake().await
    }

    /// Waits for the end of a handshake that goes on beside early data. False: the connection is over.
    pub(super) async fn end_handshake(&mut self) -> bool {
        let settings = self.listener.settings();
        let within = settings.tls.as_ref().map_or(0, |tls| tls.handshake_ns);
        self.guard.arm(clock::now_ns().saturating_add(within), Expiry::ShutBoth);
        let result = self.stream.end_handshake().await;
        self.guard.disarm();
        if let Err(error) = &result {
            self.core.stats.listener(self.listener.id).handshakes_failed.up();
            self.tell_refusal(error);
        }
        result.is_ok()
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

    /// Somebody typed http for https: says so, in the words that they understand. Nobody has read what
    /// they ask for.
    async fn refuse_plain_http(&mut self) {
        self.requests.set(1);
        let mut scratch = self.core.take_scratch();
        let fate = request::refuse(self, &mut scratch, Failure::PlainHttp).await;
        self.core.give_back(scratch);
        if fate != Fate::Reset {
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
