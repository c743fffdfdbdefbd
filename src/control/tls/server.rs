//! rustls's configuration of a listener, and what lets clients resume.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use super::clients::Asked;
use super::issued::Issued;
use super::load::Loaded;
use super::provider;
use super::resolve::Shown;
use crate::config::{Listener, Tls, TlsVersion};
use crate::io::tls::{NotesName, PROVES_NAME};
use crate::limits::{TLS_EARLY_DATA, TLS_SESSIONS};
use crate::snapshot;

/// TLS as the snapshot has it.
pub type SnapshotTls = Arc<snapshot::Tls>;

/// The keys of tickets (where no files hold them) and the sessions kept, for the whole life of the
/// process: all workers share
/// them, and a reload forgets nothing.
///
/// A resumed session shows no certificate again. So whoever asks something else of clients, or
/// holds what they show against other authorities or a newer list, has keys and sessions of its own.
#[derive(Default)]
pub struct Resumption {
    scopes: HashMap<Option<Asked>, Scope>,
}

#[derive(Clone)]
struct Scope {
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
}

impl Scope {
    fn new() -> Result<Self, String> {
        let tickets = Ticketer::new().map_err(|e| format!("no keys for session tickets: {e}"))?;
        Ok(Self { tickets, sessions: ServerSessionMemoryCache::new(TLS_SESSIONS) })
    }
}

impl Resumption {
    /// TLS of the listeners, in their order, with what came from an ACME server.
    ///
    /// # Errors
    /// Where rustls refuses what was checked, or the system has no random numbers.
    pub fn configs(
        &mut self,
        listeners: &[Listener],
        loaded: &[Option<Arc<Loaded>>],
        issued: &Issued,
    ) -> Result<Vec<Option<SnapshotTls>>, String> {
        let mut used = HashMap::new();
        let each = listeners.iter().zip(loaded).map(|(listener, loaded)| {
            let (Some(tls), Some(loaded)) = (&listener.tls, loaded) else { return Ok(None) };
            let scope = self.scope(loaded, &mut used)?;
            config(listener, tls, loaded, issued, scope)
                .map(Some)
                .map_err(|why| format!("listener {:?}: tls: {why}", listener.name))
        });
        let configs = each.collect::<Result<_, String>>()?;
        self.scopes = used;
        Ok(configs)
    }

    fn scope(
        &self,
        loaded: &Loaded,
        used: &mut HashMap<Option<Asked>, Scope>,
    ) -> Result<Scope, String> {
        let identity = loaded.clients.as_ref().map(|clients| clients.identity);
        let known = used.get(&identity).or_else(|| self.scopes.get(&identity));
        let scope = known.cloned().map_or_else(Scope::new, Ok)?;
        used.insert(identity, scope.clone());
        Ok(scope)
    }
}

fn config(
    listener: &Listener,
    tls: &Tls,
    loaded: &Loaded,
    issued: &Issued,
    scope: Scope,
) -> Result<SnapshotTls, String> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(tls.min_version))
        .map_err(|e| e.to_string())?;
    let builder = match &loaded.clients {
        Some(clients) => builder.with_client_cert_verifier(clients.verifier.clone()),
        None => builder.with_no_client_auth(),
    };
    let shown = Shown {
        files: loaded.names.clone(),
        issued: issued.names(tls),
        proofs: issued.proofs.clone(),
    };
    let proves = (!issued.proofs.is_empty()).then_some(PROVES_NAME);
    let mut config = builder.with_cert_resolver(Arc::new(NotesName(Arc::new(shown))));
    // Offered by ALPN (RFC 7301), the best first.
    let spoken = listener.protocols.iter().map(|protocol| protocol.name().as_bytes());
    config.alpn_protocols = spoken.chain(proves).map(<[u8]>::to_vec).collect();
    config.session_storage = scope.sessions;
    if tls.session_tickets {
        let asked = loaded.clients.as_ref().map(|clients| &clients.identity[..]);
        config.ticketer = match &loaded.tickets {
            Some(keys) => keys.ticketer(asked),
            None => scope.tickets,
        };
    }
    // A request in early data may be a replay (RFC 8470). With sessions kept here, each resumed once,
    // it is one of nothing that was served before; rustls takes early data with such sessions only.
    if tls.early_data {
        config.max_early_data_size = TLS_EARLY_DATA;
        config.send_half_rtt_data = true;
    }
    Ok(Arc::new(snapshot::Tls {
        config: Arc::new(config),
        handshake_ns: u64::try_from(tls.handshake_timeout.as_nanos()).unwrap_or(u64::MAX),
        strict_sni: tls.strict_host,
        lists: lists(loaded),
        forward: tls.client_certificates.as_ref().map(|asked| asked.forward).unwrap_or_default(),
    }))
}

fn lists(loaded: &Loaded) -> Option<snapshot::Lists> {
    let clients = loaded.clients.as_ref()?;
    Some(snapshot::Lists { until: clients.lists_until?, verifier: clients.verifier.clone() })
}

fn versions(least: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    match least {
        TlsVersion::Tls12 => &BOTH,
        TlsVersion::Tls13 => &BOTH[..1],
    }
}
