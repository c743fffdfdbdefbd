//! Location and Content-Location of responses: a target's internal address becomes the one that
//! the client knows, and a stripped prefix is put back (as `proxy_redirect default` in NGINX).

use super::claims::Scheme;

/// What a Location is compared with and turned into.
#[derive(Debug, Clone, Copy)]
pub struct LocationContext<'a> {
    /// Authorities of the upstream's targets, `host:port` each: none of them may be seen.
    pub targets: &'a [Box<[u8]>],
    /// The Host sent upstream where it is not the client's; else empty.
    pub upstream_host: &'a [u8],
    /// The scheme the client uses.
    pub scheme: Scheme,
    /// The authority the client knows; empty where it named none.
    pub authority: &'a [u8],
    /// The prefix that the route strips (`/api`); empty where it strips none.
    pub stripped: &'a [u8],
}

/// Appends what the client shall see and returns `true`; or `false`, with nothing appended, where
/// `value` can stay as it is.
pub fn rewrite(value: &[u8], context: &LocationContext<'_>, out: &mut Vec<u8>) -> bool {
    match Reference::split(value) {
        Some(Reference { default_port, authority, rest }) => {
            let internal = context.names_target(authority, default_port);
            if internal {
                context.origin(rest, out);
                context.path(rest, out);
            }
            internal
        }
        None if value.first() == Some(&b'/') && !context.stripped.is_empty() => {
            context.path(value, out);
            true
        }
        None => false,
    }
}

/// A reference with an authority.
struct Reference<'a> {
    /// The port meant where none is named; `None`: any, since the scheme is the request's.
    default_port: Option<u16>,
    /// Without user information.
    authority: &'a [u8],
    /// From the path on.
    rest: &'a [u8],
}

impl<'a> Reference<'a> {
    /// `None` for a reference without an authority, or of another scheme.
    fn split(value: &'a [u8]) -> Option<Self> {
        let (default_port, behind) = [(&b"http:"[..], 80), (b"https:", 443)]
            .into_iter()
            .find_map(|(scheme, port)| Some((Some(port), behind_prefix(value, scheme)?)))
            .unwrap_or((None, value));
        let [first, second, behind @ ..] = behind else { return None };
        if !is_slash(*first) || !is_slash(*second) {
            return None;
        }
        let ends = |byte: &u8| is_slash(*byte) || matches!(byte, b'?' | b'#');
        let end = behind.iter().position(ends).unwrap_or(behind.len());
        let (authority, rest) = behind.split_at(end);
        let host = authority.iter().rposition(|b| *b == b'@').map_or(0, |at| at + 1);
        Some(Self { default_port, authority: &authority[host..], rest })
    }
}

/// Browsers read a backslash as a slash, so a leak could hide behind one.
fn is_slash(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

fn behind_prefix<'a>(value: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = value.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Splits the port off: `host:8080`, `[::1]:8080`.
fn split_port(authority: &[u8]) -> (&[u8], Option<u16>) {
    let Some(colon) = authority.iter().rposition(|b| *b == b':') else { return (authority, None) };
    let (host, port) = (&authority[..colon], &authority[colon + 1..]);
    if authority.last() == Some(&b']') {
        return (authority, None);
    }
    (host, std::str::from_utf8(port).ok().and_then(|port| port.parse().ok()))
}

impl LocationContext<'_> {
    fn names_target(&self, authority: &[u8], default_port: Option<u16>) -> bool {
        let (host, port) = split_port(authority);
        let same = |known: &[u8]| {
            let (known_host, known_port) = split_port(known);
            let known_port = known_port.or(Some(80));
            !known_host.is_empty()
                && known_host.eq_ignore_ascii_case(host)
                && (port.or(default_port) == known_port || (port, default_port) == (None, None))
        };
        self.targets.iter().any(|target| same(target)) || same(self.upstream_host)
    }

    /// Whether a host, without a port, is a target's and not the one that the client knows.
    pub(super) fn is_host_of_target(&self, host: &[u8]) -> bool {
        let same = |known: &[u8]| {
            let known = split_port(known).0;
            !known.is_empty() && known.eq_ignore_ascii_case(host)
        };
        let of_target = self.targets.iter().any(|target| same(target)) || same(self.upstream_host);
        of_target && !same(self.authority)
    }

    /// Nothing where the client named no host: then the path alone is right, as long as it does
    /// not look like a host.
    fn origin(&self, rest: &[u8], out: &mut Vec<u8>) {
        if !self.authority.is_empty() {
            out.extend_from_slice(self.scheme.as_bytes());
            out.extend_from_slice(b"://");
            out.extend_from_slice(self.authority);
        } else if self.stripped.is_empty() && rest.iter().take_while(|b| is_slash(**b)).count() > 1
        {
            out.extend_from_slice(b"/.");
        }
    }

    /// The path with the prefix back in front.
    fn path(&self, rest: &[u8], out: &mut Vec<u8>) {
        let behind_slash = match rest {
            [first, behind @ ..] if is_slash(*first) => behind,
            _ => rest,
        };
        out.extend_from_slice(self.stripped);
        out.push(b'/');
        out.extend_from_slice(behind_slash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen_with(value: &str, change: impl Fn(&mut LocationContext<'_>)) -> String {
        let targets = ["10.0.0.1:9001", "10.0.0.2:80", "[fd00::1]:9001", "backend.internal:443"];
        let targets = targets.map(|t| t.as_bytes().into());
        let mut context = LocationContext {
            targets: &targets,
            upstream_host: b"app.internal",
            scheme: Scheme::Https,
            authority: b"api.example.com",
            stripped: b"",
        };
        change(&mut context);
        let mut out = Vec::new();
        match rewrite(value.as_bytes(), &context, &mut out) {
            true => String::from_utf8(out).unwrap(),
            false => {
                assert!(out.is_empty());
                value.to_owned()
            }
        }
    }

    fn seen(value: &str) -> String {
        seen_with(value, |_| ())
    }

    #[test]
    fn internal_addresses_become_the_clients() {
        for internal in [
            "http://10.0.0.1:9001/x?y#z",
            "HTTP://10.0.0.1:9001/x?y#z",
            "//10.0.0.1:9001/x?y#z",
            "//10.0.0.1/x?y#z",
            "http:\\\\10.0.0.1:9001/x?y#z",
            "http://user:secret@10.0.0.1:9001/x?y#z",
            "https://10.0.0.1:9001/x?y#z",
            "http://10.0.0.2/x?y#z",
            "http://10.0.0.2:80/x?y#z",
            "http://[FD00::1]:9001/x?y#z",
            "https://Backend.Internal/x?y#z",
            "http://app.internal/x?y#z",
        ] {
            assert_eq!(seen(internal), "https://api.example.com/x?y#z", "{internal}");
        }
    }

    #[test]
    fn a_missing_path_becomes_the_root() {
        assert_eq!(seen("http://10.0.0.1:9001"), "https://api.example.com/");
        assert_eq!(seen("http://10.0.0.1:9001?q"), "https://api.example.com/?q");
    }

    #[test]
    fn everything_else_passes() {
        for value in [
            "",
            "/",
            "/x",
            "x",
            "?q",
            "https://api.example.com/x",
            "http://10.0.0.1:9002/x",
            "http://10.0.0.10:9001/x",
            "http://10.0.0.1:9001.evil.example/x",
            "ftp://10.0.0.1:9001/x",
            "https://elsewhere.example/http://10.0.0.1:9001/",
            "http:",
            "http:/x",
        ] {
            assert_eq!(seen(value), value);
        }
    }

    #[test]
    fn a_stripped_prefix_is_put_back() {
        let seen = |value| seen_with(value, |context| context.stripped = b"/api");
        assert_eq!(seen("/x?y"), "/api/x?y");
        assert_eq!(seen("/"), "/api/");
        assert_eq!(seen("http://10.0.0.1:9001/x"), "https://api.example.com/api/x");
        assert_eq!(seen("x"), "x");
        assert_eq!(seen("?y"), "?y");
        assert_eq!(seen("https://api.example.com/x"), "https://api.example.com/x");
        assert_eq!(seen("//elsewhere.example/x"), "//elsewhere.example/x");
    }

    #[test]
    fn without_a_known_authority_the_path_is_left() {
        let seen = |value| seen_with(value, |context| context.authority = b"");
        assert_eq!(seen("http://10.0.0.1:9001/x"), "/x");
        assert_eq!(seen("http://10.0.0.1:9001//evil.example"), "/.//evil.example");
    }

    proptest! {
        #[test]
        fn no_target_is_ever_named(
            scheme in "(http:|https:|HTTP:|)//",
            user in "([a-z:@]{0,4}@)?",
            rest in "([/?#\\\\][ -~]{0,6})?",
        ) {
            let value = format!("{scheme}{user}10.0.0.1:9001{rest}");
            prop_assert!(seen(&value).starts_with("https://api.example.com/"));
        }
    }
}
