//! Forwarding fields: Via, X-Forwarded-*, Forwarded, Client-Cert, X-Request-Id and traceparent.
//!
//! The trust boundary runs along the listener's list of trusted networks. What an untrusted peer
//! says about where a request comes from is replaced, and dropped where the gateway itself says
//! nothing; what a trusted peer says is kept and our peer is appended to it.

use super::address::AddressText;
use super::alphabet::is_token_byte;
use super::claims::{CLAIMS, Said, Scheme, Trust, bit};
use super::edits::Edits;
use super::trace::{self, Trace};
use crate::config::Forwarding;
use crate::http::{Identity, Known, RequestHead, Version};

/// What is known about a request beside its head.
#[derive(Debug, Clone, Copy)]
pub struct Hop<'a> {
    /// The peer of the connection.
    pub peer: &'a AddressText,
    /// The client: the peer, or what a trusted peer says.
    pub client: &'a AddressText,
    /// What the peer is believed.
    pub trust: Trust,
    /// The scheme of the connection.
    pub scheme: Scheme,
    /// Who the client proved to be.
    pub identity: Option<&'a Identity>,
    /// Whether it came before the end of the client's handshake, and may be a replay.
    pub early: bool,
    /// The request's id.
    pub request_id: &'a [u8],
    /// Fresh random bits: a trace id and a parent id.
    pub random: (u128, u64),
}

/// Compiled forwarding settings of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// What the gateway sends, a bit per [`Known`].
    sends: u64,
    /// What of a request does not pass as it is, by [`Trust`].
    replaced: [u64; 3],
    /// Behind `Via: `, the version and a space: the gateway's name and the line end.
    via: Box<[u8]>,
}

impl Forward {
    /// Compiles the settings; `name` is the gateway's in Via. A field that the route's request
    /// edits remove or set is left to them.
    pub fn compile(settings: &Forwarding, name: &str, edits: &Edits) -> Self {
        let fields = [
            // Whether there is one is the listener's to say.
            (true, Known::ClientCert, &b"client-cert"[..]),
            (true, Known::ClientCertChain, b"client-cert-chain"),
            (settings.via, Known::Via, b"via"),
            (settings.x_forwarded, Known::XForwardedFor, b"x-forwarded-for"),
            (settings.x_forwarded, Known::XForwardedProto, b"x-forwarded-proto"),
            (settings.x_forwarded, Known::XForwardedHost, b"x-forwarded-host"),
            (settings.forwarded, Known::Forwarded, b"forwarded"),
            (settings.request_id, Known::XRequestId, b"x-request-id"),
            (settings.traceparent, Known::Traceparent, b"traceparent"),
        ];
        let sent = fields.into_iter().filter(|(on, _, name)| *on && !edits.removes_name(name));
        let sends = sent.fold(0, |bits, (_, known, _)| bits | bit(known));
        // A state without its parent means nothing, so they go together.
        let state = sends & bit(Known::Traceparent) != 0;
        let replaced = sends & !bit(Known::Via) | if state { bit(Known::Tracestate) } else { 0 };
        let via = [name.as_bytes(), b"\r\n"].concat().into_boxed_slice();
        let unbelieved = |trust: Trust| CLAIMS & !trust.claims();
        let all = [Trust::None, Trust::XForwarded, Trust::Forwarded];
        Self { sends, replaced: all.map(|trust| replaced | unbelieved(trust)), via }
    }

    /// Whether a request's field of this name is left out since [`Forward::append`] writes what
    /// shall go upstream, or since the peer is not to be believed.
    #[inline]
    pub fn replaces(&self, known: Known, trust: Trust) -> bool {
        self.replaced[trust as usize] & bit(known) != 0
    }

    fn sends(&self, known: Known) -> bool {
        self.sends & bit(known) != 0
    }

    /// Appends the gateway's lines to a request head, each with its line end.
    pub fn append(&self, head: &RequestHead, buf: &[u8], hop: &Hop<'_>, out: &mut Vec<u8>) {
        self.append_via(head.version, out);
        let said = Said { fields: &head.fields, buf, trust: hop.trust };
        if self.sends(Known::XForwardedFor) {
            x_forwarded_for(&said, hop, out);
        }
        if self.sends(Known::XForwardedProto) {
            let kept = said.first(Known::XForwardedProto);
            let proto = kept.unwrap_or_else(|| said.scheme().unwrap_or(hop.scheme).as_bytes());
            line(b"X-Forwarded-Proto: ", proto, out);
        }
        if self.sends(Known::XForwardedHost) {
            let kept = said.first(Known::XForwardedHost);
            let host = kept.unwrap_or_else(|| said.host().unwrap_or(head.authority.of(buf)));
            if !host.is_empty() {
                line(b"X-Forwarded-Host: ", host, out);
            }
        }
        if self.sends(Known::Forwarded) {
            forwarded(&said, head.authority.of(buf), hop, out);
        }
        if let Some(identity) = hop.identity {
            self.append_identity(identity, out);
        }
        if hop.early {
            line(b"Early-Data: ", b"1", out);
        }
        if self.sends(Known::XRequestId) {
            line(b"X-Request-Id: ", hop.request_id, out);
        }
        if self.sends(Known::Traceparent) {
            let trace = Trace::read(&head.fields, buf);
            trace::append(trace, &head.fields, buf, hop.random, out);
        }
    }

    fn append_identity(&self, identity: &Identity, out: &mut Vec<u8>) {
        if self.sends(Known::ClientCert) {
            out.extend_from_slice(identity.certificate_line());
        }
        if self.sends(Known::ClientCertChain) {
            out.extend_from_slice(identity.chain_line());
        }
    }

    /// Appends the Via line of a message received in `version` (RFC 9110 section 7.6.3); earlier
    /// lines of the same list pass as they are.
    pub fn append_via(&self, version: Version, out: &mut Vec<u8>) {
        if self.sends(Known::Via) {
            out.extend_from_slice(match version {
                Version::Http10 => b"Via: 1.0 ",
                Version::Http11 => b"Via: 1.1 ",
                Version::Http2 => b"Via: 2.0 ",
            });
            out.extend_from_slice(&self.via);
        }
    }
}

fn line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends X-Forwarded-For: what was said so far, or else the client, and the peer.
fn x_forwarded_for(said: &Said<'_>, hop: &Hop<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"X-Forwarded-For: ");
    if !said.append_list(Known::XForwardedFor, out) && hop.client != hop.peer {
        out.extend_from_slice(hop.client.as_bytes());
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(hop.peer.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends Forwarded (RFC 7239). A trusted peer that speaks the other dialect is translated
/// (section 7.4): else its own address would be taken for the client's.
fn forwarded(said: &Said<'_>, host: &[u8], hop: &Hop<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Forwarded: ");
    if !said.append_list(Known::Forwarded, out) && hop.client != hop.peer {
        node(hop.client, out);
        if let Some(scheme) = said.scheme() {
            out.extend_from_slice(b";proto=");
            out.extend_from_slice(scheme.as_bytes());
        }
        out.extend_from_slice(b", ");
    }
    node(hop.peer, out);
    if !host.is_empty() {
        out.extend_from_slice(b";host=");
        quoted_unless_token(host, out);
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(hop.scheme.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// `for=` and an address; IPv6 in brackets and quotes (section 6).
fn node(address: &AddressText, out: &mut Vec<u8>) {
    let (before, after) = match address.is_v6() {
        true => (&b"for=\"["[..], &b"]\""[..]),
        false => (&b"for="[..], &b""[..]),
    };
    for part in [before, address.as_bytes(), after] {
        out.extend_from_slice(part);
    }
}

fn quoted_unless_token(value: &[u8], out: &mut Vec<u8>) {
    if value.iter().copied().all(is_token_byte) {
        return out.extend_from_slice(value);
    }
    out.push(b'"');
    for byte in value.iter().copied() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::super::template::Names;
    use super::*;
    use crate::config::HeaderEdits;
    use crate::http::{Field, Span};

    const ALL: Forwarding = Forwarding {
        via: true,
        x_forwarded: true,
        forwarded: true,
        request_id: true,
        traceparent: true,
    };
    const NONE: Forwarding = Forwarding {
        via: false,
        x_forwarded: false,
        forwarded: false,
        request_id: false,
        traceparent: false,
    };

    fn request(fields: &[(Known, &str)]) -> (RequestHead, Vec<u8>) {
        let mut buf = b"api.example.com:8080".to_vec();
        let mut head = RequestHead {
            authority: Span::new(0, 20),
            host: Span::new(0, 15),
            ..Default::default()
        };
        for (known, value) in fields {
            let value_span = Span::new(buf.len(), buf.len() + value.len());
            buf.extend_from_slice(value.as_bytes());
            let (name, hop) = (Span::default(), false);
            head.fields.push(Field { name, value: value_span, known: *known, hop });
        }
        (head, buf)
    }

    /// What is sent for a request, a line each.
    fn sent(
        settings: Forwarding,
        fields: &[(Known, &str)],
        (peer, client, trust): (&str, &str, Trust),
    ) -> Vec<String> {
        let forward = Forward::compile(&settings, "tollgate", &Edits::default());
        let (head, buf) = request(fields);
        let hop = Hop {
            peer: &AddressText::of(peer.parse().unwrap()),
            client: &AddressText::of(client.parse().unwrap()),
            trust,
            scheme: Scheme::Http,
            identity: None,
            early: false,
            request_id: b"id-1",
            random: (1, 2),
        };
        let mut out = Vec::new();
        forward.append(&head, &buf, &hop, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.is_empty() || text.ends_with("\r\n"));
        text.split_terminator("\r\n").map(str::to_owned).collect()
    }

    const UNTRUSTED: (&str, &str, Trust) = ("192.0.2.1", "192.0.2.1", Trust::None);
    const X_FORWARDED: (&str, &str, Trust) = ("10.0.0.1", "192.0.2.1", Trust::XForwarded);
    const FORWARDED: (&str, &str, Trust) = ("10.0.0.1", "192.0.2.1", Trust::Forwarded);

    #[test]
    fn a_first_request_gets_every_field() {
        let lines = sent(ALL, &[], UNTRUSTED);
        let wanted = [
            "Via: 1.1 tollgate",
            "X-Forwarded-For: 192.0.2.1",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: api.example.com:8080",
            "Forwarded: for=192.0.2.1;host=\"api.example.com:8080\";proto=http",
            "X-Request-Id: id-1",
            "traceparent: 00-00000000000000000000000000000001-0000000000000002-01",
        ];
        assert_eq!(lines, wanted);
    }

    const CLAIMED: [(Known, &str); 4] = [
        (Known::XForwardedFor, "198.51.100.7"),
        (Known::XForwardedProto, "https"),
        (Known::XForwardedHost, "outside.example"),
        (Known::Forwarded, "for=198.51.100.7;proto=https"),
    ];

    #[test]
    fn an_untrusted_peers_claims_are_replaced() {
        assert_eq!(sent(ALL, &CLAIMED, UNTRUSTED), sent(ALL, &[], UNTRUSTED));
    }

    #[test]
    fn a_trusted_peers_claims_are_kept_and_it_is_appended() {
        let lines = sent(ALL, &CLAIMED, X_FORWARDED);
        let wanted = [
            "X-Forwarded-For: 198.51.100.7, 10.0.0.1",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: outside.example",
        ];
        assert_eq!(lines[1..4], wanted);
        let wanted = "Forwarded: for=198.51.100.7;proto=https, \
             for=10.0.0.1;host=\"api.example.com:8080\";proto=http";
        assert_eq!(sent(ALL, &CLAIMED, FORWARDED)[4], wanted);
    }

    #[test]
    fn several_lines_of_a_list_become_one() {
        let fields = [(Known::XForwardedFor, "a"), (Known::XForwardedFor, "b, c")];
        let lines = sent(ALL, &fields, X_FORWARDED);
        assert_eq!(lines[1], "X-Forwarded-For: a, b, c, 10.0.0.1");
    }

    #[test]
    fn the_dialect_a_trusted_peer_does_not_speak_is_translated_not_believed() {
        let lines = sent(ALL, &CLAIMED, X_FORWARDED);
        let wanted = "Forwarded: for=192.0.2.1;proto=https, \
             for=10.0.0.1;host=\"api.example.com:8080\";proto=http";
        assert_eq!(lines[4], wanted);
        let wanted = [
            "X-Forwarded-For: 192.0.2.1, 10.0.0.1",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: api.example.com:8080",
        ];
        assert_eq!(sent(ALL, &CLAIMED, FORWARDED)[1..4], wanted);
    }

    #[test]
    fn ipv6_is_bracketed_in_forwarded_only() {
        let lines = sent(ALL, &[], ("2001:db8::1", "2001:db8::1", Trust::None));
        assert_eq!(lines[1], "X-Forwarded-For: 2001:db8::1");
        assert!(lines[4].starts_with("Forwarded: for=\"[2001:db8::1]\";host="), "{}", lines[4]);
    }

    #[test]
    fn the_version_received_is_named_in_via() {
        let forward = Forward::compile(&ALL, "edge-1", &Edits::default());
        let mut out = Vec::new();
        forward.append_via(Version::Http10, &mut out);
        assert_eq!(out, b"Via: 1.0 edge-1\r\n");
    }

    #[test]
    fn switched_off_nothing_is_sent_and_an_untrusted_peer_is_still_not_believed() {
        assert_eq!(sent(NONE, &CLAIMED, UNTRUSTED), [""; 0]);
        let forward = Forward::compile(&NONE, "tollgate", &Edits::default());
        for (known, _) in CLAIMED {
            let is_forwarded = known == Known::Forwarded;
            assert!(forward.replaces(known, Trust::None));
            assert_eq!(forward.replaces(known, Trust::XForwarded), is_forwarded);
            assert_eq!(forward.replaces(known, Trust::Forwarded), !is_forwarded);
        }
        assert!(!forward.replaces(Known::XRequestId, Trust::None));
        assert!(!forward.replaces(Known::Tracestate, Trust::None));
    }

    #[test]
    fn what_is_sent_replaces_what_came() {
        let forward = Forward::compile(&ALL, "tollgate", &Edits::default());
        for known in [Known::XForwardedFor, Known::XRequestId, Known::Tracestate] {
            assert!(forward.replaces(known, Trust::XForwarded));
            assert!(forward.replaces(known, Trust::None));
        }
        assert!(!forward.replaces(Known::Via, Trust::None));
        assert!(!forward.replaces(Known::Other, Trust::None));
    }

    #[test]
    fn a_routes_edits_have_the_last_word() {
        let edits = HeaderEdits {
            remove: vec!["via".into()],
            set: vec![("X-Forwarded-Proto".into(), "https".into())],
            add: vec![],
        };
        let edits = Edits::compile(&edits, Names::default()).unwrap();
        let forward = Forward::compile(&ALL, "tollgate", &edits);
        assert!(!forward.sends(Known::Via) && !forward.sends(Known::XForwardedProto));
        assert!(forward.sends(Known::XForwardedFor));
    }
}
