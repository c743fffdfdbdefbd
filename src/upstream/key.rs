//! What consistent hashing hashes: a request's key.

use std::net::IpAddr;

use super::maglev::hash;
use crate::config::HashKey;
use crate::http::{Field, Known, RequestHead, values};

/// The hash of a request's key; `None` where the request has no such field or cookie, and so may
/// go anywhere. `client` is the client's address.
pub fn hash_of(key: &HashKey, head: &RequestHead, buf: &[u8], client: IpAddr) -> Option<u64> {
    match key {
        HashKey::ClientIp => Some(hash_of_client(client)),
        HashKey::Header(name) => values(&head.fields, buf, name.as_bytes()).next().map(hash),
        HashKey::Cookie(name) => cookie(&head.fields, buf, name.as_bytes()).map(hash),
        HashKey::Path => Some(hash(head.path.of(buf))),
    }
}

/// A client's: the same for an IPv4 address and its form in IPv6.
pub fn hash_of_client(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(v4) => hash(&v4.octets()),
        IpAddr::V6(v6) => hash(&v6.octets()),
    }
}

/// The value of the first cookie of a name, which is case-sensitive (RFC 6265 section 4.2).
fn cookie<'a>(fields: &[Field], buf: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    fields
        .iter()
        .filter(|field| field.known == Known::Cookie)
        .flat_map(|field| field.value.of(buf).split(|byte| *byte == b';'))
        .find_map(|pair| pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Span;

    fn request(fields: &[(Known, &str, &str)]) -> (RequestHead, Vec<u8>) {
        let mut buf = b"/a/b".to_vec();
        let mut head = RequestHead { path: Span::new(0, 4), ..Default::default() };
        for (known, name, value) in fields {
            let at = buf.len();
            buf.extend_from_slice(format!("{name}{value}").as_bytes());
            let name = Span::new(at, at + name.len());
            let value = Span::new(name.end as usize, buf.len());
            head.fields.push(Field { name, value, known: *known, hop: false });
        }
        (head, buf)
    }

    fn hashed(key: HashKey, fields: &[(Known, &str, &str)]) -> Option<u64> {
        let (head, buf) = request(fields);
        hash_of(&key, &head, &buf, "192.0.2.1".parse().unwrap())
    }

    #[test]
    fn addresses_and_paths_are_always_there() {
        assert_eq!(hashed(HashKey::Path, &[]), Some(hash(b"/a/b")));
        assert_eq!(hashed(HashKey::ClientIp, &[]), Some(hash(&[192, 0, 2, 1])));
        assert_eq!(hash_of_client("::ffff:192.0.2.1".parse().unwrap()), hash(&[192, 0, 2, 1]));
    }

    #[test]
    fn fields_are_found_in_any_case() {
        let fields = [(Known::Other, "X-User", "7")];
        assert_eq!(hashed(HashKey::Header("x-user".into()), &fields), Some(hash(b"7")));
        assert_eq!(hashed(HashKey::Header("x-other".into()), &fields), None);
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let fields =
            [(Known::Cookie, "Cookie", "xsid=1; SID=2"), (Known::Cookie, "Cookie", "a=b; sid=3=4")];
        assert_eq!(hashed(HashKey::Cookie("sid".into()), &fields), Some(hash(b"3=4")));
        assert_eq!(hashed(HashKey::Cookie("si".into()), &fields), None);
    }
}
