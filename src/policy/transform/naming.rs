//! Fields of responses that may name a target, and what clients see in its place: Location and
//! Content-Location, Refresh, Link, and the Domain of a cookie.

use super::location::{self, LocationContext};
use crate::http::Known;

/// Whether a field of that name may name a target.
#[inline]
pub fn may_name_target(known: Known) -> bool {
    matches!(
        known,
        Known::ContentLocation | Known::Link | Known::Location | Known::Refresh | Known::SetCookie
    )
}

/// Appends what the client shall see and returns `true`; or `false`, with nothing appended, where
/// `value` can stay as it is.
pub fn conceal(
    known: Known,
    value: &[u8],
    context: &LocationContext<'_>,
    out: &mut Vec<u8>,
) -> bool {
    match known {
        Known::Location | Known::ContentLocation => location::rewrite(value, context, out),
        Known::Refresh => refresh(value, context, out),
        Known::Link => link(value, context, out),
        Known::SetCookie => cookie(value, context, out),
        _ => false,
    }
}

/// `5; url=http://target/`, as browsers read it: the separator may be a comma, `url=` be left out, the
/// address stand in quotes of either kind.
fn refresh(value: &[u8], context: &LocationContext<'_>, out: &mut Vec<u8>) -> bool {
    let Some(separator) = value.iter().position(|b| matches!(b, b';' | b',')) else { return false };
    let mut begins = separator + 1 + blanks(&value[separator + 1..]);
    if let Some(behind) = behind_url(&value[begins..]) {
        begins += behind;
    }
    let quote = value.get(begins).filter(|b| matches!(b, b'"' | b'\'')).copied();
    begins += usize::from(quote.is_some());
    let length = value[begins..].iter().position(|b| Some(*b) == quote);
    let ends = length.map_or(value.len(), |length| begins + length);
    replace(value, begins, ends, context, out)
}

/// How much `url = ` takes.
fn behind_url(text: &[u8]) -> Option<usize> {
    let rest = text.get(3..).filter(|_| text[..3].eq_ignore_ascii_case(b"url"))?;
    let equals = 3 + blanks(rest);
    (text.get(equals) == Some(&b'=')).then(|| equals + 1 + blanks(&text[equals + 1..]))
}

fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|b| matches!(b, b' ' | b'\t')).count()
}

/// Puts what the client shall see between `begins` and `ends`.
fn replace(
    value: &[u8],
    begins: usize,
    ends: usize,
    context: &LocationContext<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    out.extend_from_slice(&value[..begins]);
    if !location::rewrite(&value[begins..ends], context, out) {
        out.truncate(start);
        return false;
    }
    out.extend_from_slice(&value[ends..]);
    true
}

/// `<http://target/>; rel=next, </x>; rel=last` (RFC 8288 section 3): each target of a link that is an
/// address of a target's. Paths stay as they are: the content refers to the same ones.
fn link(value: &[u8], context: &LocationContext<'_>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let (mut at, mut written, mut quoted) = (0, 0, false);
    while let Some(byte) = value.get(at) {
        at += 1;
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => at += 1,
            b'<' if !quoted => {
                let length = value[at..].iter().position(|b| *b == b'>');
                let ends = length.map_or(value.len(), |length| at + length);
                let reference = &value[at..ends];
                if reference.first() != Some(&b'/') || reference.get(1) == Some(&b'/') {
                    let before = out.len();
                    out.extend_from_slice(&value[written..at]);
                    match location::rewrite(reference, context, out) {
                        true => written = ends,
                        false => out.truncate(before),
                    }
                }
                at = ends;
            }
            _ => {}
        }
    }
    if out.len() > start {
        out.extend_from_slice(&value[written..]);
    }
    out.len() > start
}

/// Leaves out the Domain of a cookie that is the target's own host (RFC 6265 section 5.2.3): no client
/// would take it, and without one the cookie is of the host that the client asked.
fn cookie(value: &[u8], context: &LocationContext<'_>, out: &mut Vec<u8>) -> bool {
    let names_target =
        |attribute: &&[u8]| domain(attribute).is_some_and(|host| context.is_host_of_target(host));
    let mut attributes = value.split(|b| *b == b';');
    let Some(pair) = attributes.next() else { return false };
    if !attributes.clone().any(|attribute| names_target(&attribute)) {
        return false;
    }
    out.extend_from_slice(pair);
    for attribute in attributes.filter(|attribute| !names_target(attribute)) {
        out.push(b';');
        out.extend_from_slice(attribute);
    }
    true
}

/// The host of a Domain attribute.
fn domain(attribute: &[u8]) -> Option<&[u8]> {
    let equals = attribute.iter().position(|b| *b == b'=')?;
    let (name, host) = (attribute[..equals].trim_ascii(), attribute[equals + 1..].trim_ascii());
    let host = host.strip_prefix(b".").unwrap_or(host);
    (name.eq_ignore_ascii_case(b"domain") && !host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::transform::Scheme;
    use proptest::prelude::*;

    fn seen_with(known: Known, value: &str, change: impl Fn(&mut LocationContext<'_>)) -> String {
        let targets = ["10.0.0.1:9001", "[fd00::1]:9001", "backend.internal:443"];
        let targets = targets.map(|t| t.as_bytes().into());
        let mut context = LocationContext {
            targets: &targets,
            upstream_host: b"app.internal",
            scheme: Scheme::Https,
            authority: b"api.example.com",
            stripped: b"",
        };
        change(&mut context);
        let mut out = b"before ".to_vec();
        match conceal(known, value.as_bytes(), &context, &mut out) {
            true => String::from_utf8(out).unwrap().replacen("before ", "", 1),
            false => {
                assert_eq!(out, b"before ");
                value.to_owned()
            }
        }
    }

    fn seen(known: Known, value: &str) -> String {
        seen_with(known, value, |_| ())
    }

    #[test]
    fn a_refresh_is_put_right_however_it_is_written() {
        for (sent, shown) in [
            ("5; url=http://10.0.0.1:9001/x?y", "5; url=https://api.example.com/x?y"),
            ("5;URL = 'http://app.internal/x' ", "5;URL = 'https://api.example.com/x' "),
            ("0, \"http://app.internal/x\"", "0, \"https://api.example.com/x\""),
            ("0;//10.0.0.1:9001", "0;https://api.example.com/"),
        ] {
            assert_eq!(seen(Known::Refresh, sent), shown);
        }
        for other in
            ["5", "5;", "5; url", "5; url=", "5; url='", "5; url=/x", "5; url=//else.example"]
        {
            assert_eq!(seen(Known::Refresh, other), other);
        }
        let stripped = seen_with(Known::Refresh, "5; url=/x", |c| c.stripped = b"/api");
        assert_eq!(stripped, "5; url=/api/x");
    }

    #[test]
    fn each_link_is_put_right() {
        let sent = "<http://10.0.0.1:9001/a>; rel=next; title=\"<http://app.internal/\\\">\", </b>, \
                    <//app.internal/c>;rel=\"x\",<https://else.example/d>";
        let shown = "<https://api.example.com/a>; rel=next; title=\"<http://app.internal/\\\">\", </b>, \
                     <https://api.example.com/c>;rel=\"x\",<https://else.example/d>";
        assert_eq!(seen(Known::Link, sent), shown);
        for other in ["", "</a>; rel=preload", "<", "<>", "<https://else.example/>", "x \"<"] {
            assert_eq!(seen(Known::Link, other), other);
            assert_eq!(seen_with(Known::Link, other, |c| c.stripped = b"/api"), other);
        }
        assert_eq!(seen(Known::Link, "<http://app.internal/a"), "<https://api.example.com/a");
    }

    #[test]
    fn a_cookie_of_the_targets_host_is_the_clients_hosts() {
        for (sent, shown) in [
            ("a=b; Domain=app.internal; Path=/", "a=b; Path=/"),
            ("a=b;domain = .Backend.Internal", "a=b"),
            ("a=b; Domain=10.0.0.1; Secure; Domain=app.internal", "a=b; Secure"),
            ("a=b; Domain=[fd00::1]", "a=b"),
        ] {
            assert_eq!(seen(Known::SetCookie, sent), shown);
        }
        for other in ["", "a=b", "domain=app.internal", "a=b; Domain=example.com", "a=b; Domain="] {
            assert_eq!(seen(Known::SetCookie, other), other);
        }
        // Where a target has the name that the client knows, so may the cookie.
        let public = |c: &mut LocationContext<'_>| c.authority = b"app.internal:8443";
        let kept = "a=b; Domain=app.internal";
        assert_eq!(seen_with(Known::SetCookie, kept, public), kept);
    }

    proptest! {
        #[test]
        fn no_target_is_named_where_a_link_leads(before in "[ -~]{0,12}", behind in "[ -~]{0,12}") {
            let value = format!("{before}, <http://10.0.0.1:9001/>{behind}");
            let quoted = before.contains('"') || before.contains('<');
            let shown = seen(Known::Link, &value);
            prop_assert!(quoted || !shown.contains("10.0.0.1"), "{shown}");
        }

        #[test]
        fn any_value_is_taken(value in "[ -~]{0,40}", strips: bool) {
            for known in [Known::Refresh, Known::Link, Known::SetCookie] {
                seen_with(known, &value, |c| c.stripped = if strips { b"/api" } else { b"" });
            }
        }
    }
}
