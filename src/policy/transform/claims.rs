//! What a peer says about where a request comes from, as far as it is believed.
//!
//! A trusted peer is believed in the one dialect that its listener names: in the other one it may
//! be passing on, unread, what a client made up.

use crate::config::ClientAddressField;
use crate::http::{Field, Known, RequestHead};

/// A scheme that clients use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Scheme {
    #[default]
    Http,
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Http => b"http",
            Self::Https => b"https",
        }
    }
}

/// What of a peer's word about where a request comes from is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// Nothing.
    #[default]
    None,
    /// X-Forwarded-For, -Proto and -Host.
    XForwarded,
    /// Forwarded.
    Forwarded,
}

impl Trust {
    /// The trust in a peer that is (or is not) in a trusted network of a listener, whose trusted
    /// proxies write the client's address to `field`.
    pub fn of(trusted: bool, field: ClientAddressField) -> Self {
        match (trusted, field) {
            (false, _) => Self::None,
            (true, ClientAddressField::XForwardedFor) => Self::XForwarded,
            (true, ClientAddressField::Forwarded) => Self::Forwarded,
        }
    }

    /// The claims that are believed.
    pub(super) const fn claims(self) -> u64 {
        match self {
            Self::None => 0,
            Self::XForwarded => ADDRESS_CLAIMS & !bit(Known::Forwarded),
            Self::Forwarded => bit(Known::Forwarded),
        }
    }

    fn believes(self, known: Known) -> bool {
        self.claims() & bit(known) != 0
    }
}

/// Fields by which a client could lie about where it comes from or who it is. Those of RFC 9440
/// nobody is believed: that a proxy is trusted to say where a client is does not mean that it
/// removes what the client wrote there.
pub(super) const CLAIMS: u64 =
    ADDRESS_CLAIMS | bit(Known::ClientCert) | bit(Known::ClientCertChain);

const ADDRESS_CLAIMS: u64 = bit(Known::Forwarded)
    | bit(Known::XForwardedFor)
    | bit(Known::XForwardedHost)
    | bit(Known::XForwardedProto);

/// A bit of a set of names.
pub(super) const fn bit(known: Known) -> u64 {
    1 << known as u8
}

/// What the peer says and is believed.
pub(super) struct Said<'a> {
    pub(super) fields: &'a [Field],
    pub(super) buf: &'a [u8],
    pub(super) trust: Trust,
}

impl<'a> Said<'a> {
    pub(super) fn values(&self, known: Known) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let fields = if self.trust.believes(known) { self.fields } else { &[] };
        let buf = self.buf;
        fields.iter().filter(move |f| f.known == known).map(move |f| f.value.of(buf))
    }

    pub(super) fn first(&self, known: Known) -> Option<&'a [u8]> {
        self.values(known).next()
    }

    /// Appends the elements of a list field, each followed by a comma; whether there are any.
    pub(super) fn append_list(&self, known: Known, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        for value in self.values(known).filter(|value| !value.is_empty()) {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
        out.len() > before
    }

    /// The client's scheme.
    pub(super) fn scheme(&self) -> Option<Scheme> {
        let proto = self.claim(Known::XForwardedProto, b"proto")?;
        [Scheme::Http, Scheme::Https]
            .into_iter()
            .find(|scheme| proto.eq_ignore_ascii_case(scheme.as_bytes()))
    }

    /// The authority the client used.
    pub(super) fn host(&self) -> Option<&'a [u8]> {
        self.claim(Known::XForwardedHost, b"host").filter(|host| is_authority(host))
    }

    /// What a field of the one dialect or a parameter of the other says.
    fn claim(&self, known: Known, parameter: &[u8]) -> Option<&'a [u8]> {
        match self.trust {
            Trust::None => None,
            // Proxies overwrite these fields or put their own behind the client's proxy's.
            Trust::XForwarded => {
                self.first(known)?.split(|b| *b == b',').next().map(<[u8]>::trim_ascii)
            }
            // What stands before the last element may be the client's invention.
            Trust::Forwarded => {
                let list = self.values(Known::Forwarded).next_back()?;
                forwarded_parameter(list.rsplit(|b| *b == b',').next()?, parameter)
            }
        }
    }
}

/// The value of a parameter of one Forwarded element, without its quotes. Values with quoted
/// commas, semicolons or escapes come out mangled and are then refused as scheme or authority.
fn forwarded_parameter<'a>(element: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let pairs = element.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let mut values = pairs.filter_map(|pair| {
        let (start, value) = pair.split_at_checked(name.len())?;
        value.strip_prefix(b"=").filter(|_| start.eq_ignore_ascii_case(name))
    });
    let value = values.next()?;
    Some(value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value))
}

/// The scheme and authority under which the client knows this place: what a trusted peer says,
/// else the connection's scheme and the request's authority. For Location fields.
pub fn outside<'a>(
    head: &'a RequestHead,
    buf: &'a [u8],
    trust: Trust,
    scheme: Scheme,
) -> (Scheme, &'a [u8]) {
    let said = Said { fields: &head.fields, buf, trust };
    (said.scheme().unwrap_or(scheme), said.host().unwrap_or(head.authority.of(buf)))
}

/// Whether nothing in it could end an authority early or begin user information.
fn is_authority(text: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~[]:".contains(byte);
    !text.is_empty() && text.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Span;

    fn request(fields: &[(Known, &str)]) -> (RequestHead, Vec<u8>) {
        let mut buf = b"api.example.com:8080".to_vec();
        let mut head = RequestHead { authority: Span::new(0, 20), ..Default::default() };
        for (known, value) in fields {
            let value_span = Span::new(buf.len(), buf.len() + value.len());
            buf.extend_from_slice(value.as_bytes());
            let (name, hop) = (Span::default(), false);
            head.fields.push(Field { name, value: value_span, known: *known, hop });
        }
        (head, buf)
    }

    const CLAIMED: [(Known, &str); 3] = [
        (Known::XForwardedProto, "https"),
        (Known::XForwardedHost, "outside.example"),
        (Known::Forwarded, "for=198.51.100.7"),
    ];

    fn outside_of(fields: &[(Known, &str)], trust: Trust) -> (Scheme, String) {
        let (head, buf) = request(fields);
        let (scheme, authority) = outside(&head, &buf, trust, Scheme::Http);
        (scheme, String::from_utf8(authority.to_vec()).unwrap())
    }

    #[test]
    fn the_outside_is_what_a_trusted_peer_says() {
        let outside = (Scheme::Https, "outside.example".to_owned());
        let inside = (Scheme::Http, "api.example.com:8080".to_owned());
        assert_eq!(outside_of(&CLAIMED, Trust::XForwarded), outside);
        assert_eq!(outside_of(&CLAIMED, Trust::None), inside);
        assert_eq!(outside_of(&[(Known::XForwardedHost, "evil/@x")], Trust::XForwarded), inside);
        let lists =
            [(Known::XForwardedHost, "outside.example , b"), (Known::XForwardedProto, "HTTPS, x")];
        assert_eq!(outside_of(&lists, Trust::XForwarded), outside);
        let list = "for=spoof;proto=http;host=evil, for=a; Proto=https ;host=\"outside.example\"";
        assert_eq!(outside_of(&[(Known::Forwarded, list)], Trust::Forwarded), outside);
        assert_eq!(outside_of(&[(Known::Forwarded, list)], Trust::XForwarded), inside);
        let odd = "for=a;host=\"x,y\";proto=gopher";
        assert_eq!(outside_of(&[(Known::Forwarded, odd)], Trust::Forwarded), inside);
    }
}
