//! The one canonical form of a path (RFC 3986 section 6.2.2), made once and in place.
//!
//! Encoded unreserved bytes are decoded, all other percent triplets get upper-case digits, dot
//! segments are removed, also those that were encoded. A path that climbs above the root is
//! refused: RFC 3986 would clamp it, but no honest client sends it. Decoding happens once, so
//! `%252e` stays. Empty segments (`//`) are kept: they are data to some services, and merging
//! them is a choice for a rewrite. `%5C` stays encoded, since some servers take `\` for a slash.

use super::bad::Bad;
use super::bytes::hex;
use crate::config::EncodedSlash;

/// Makes a path canonical in place; returns its new length, never more than before.
///
/// `path` begins with `/` and holds no byte a target may not hold.
pub fn canonicalise(path: &mut [u8], slash: EncodedSlash) -> Result<usize, Bad> {
    let len = decode(path, slash)?;
    remove_dot_segments(&mut path[..len])
}

fn decode(path: &mut [u8], slash: EncodedSlash) -> Result<usize, Bad> {
    let Some(first) = path.iter().position(|b| *b == b'%') else { return Ok(path.len()) };
    let (mut read, mut write) = (first, first);
    while read < path.len() {
        if path[read] != b'%' {
            path[write] = path[read];
            (read, write) = (read + 1, write + 1);
            continue;
        }
        let byte = triplet(path, read)?;
        let plain = match byte {
            0 => return Err(Bad::EncodedNul),
            b'/' if slash == EncodedSlash::Reject => return Err(Bad::EncodedSlash),
            b'/' => slash == EncodedSlash::Decode,
            byte => is_unreserved(byte),
        };
        if plain {
            path[write] = byte;
            write += 1;
        } else {
            path[write] = b'%';
            path[write + 1] = path[read + 1].to_ascii_uppercase();
            path[write + 2] = path[read + 2].to_ascii_uppercase();
            write += 3;
        }
        read += 3;
    }
    Ok(write)
}

fn triplet(path: &[u8], at: usize) -> Result<u8, Bad> {
    match (path.get(at + 1).copied().and_then(hex), path.get(at + 2).copied().and_then(hex)) {
        (Some(high), Some(low)) => Ok(high << 4 | low),
        _ => Err(Bad::BadPercent),
    }
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 section 5.2.4, but refusing to climb above the root.
fn remove_dot_segments(path: &mut [u8]) -> Result<usize, Bad> {
    let Some(first) = path.windows(2).position(|pair| pair == b"/.") else {
        return Ok(path.len());
    };
    // Both stand on a slash, or at the end.
    let (mut read, mut write) = (first, first);
    while read < path.len() {
        let end = segment_end(path, read + 1);
        match &path[read + 1..end] {
            b"." => write = end_with_slash(path, write, end),
            b".." => {
                let parent = path[..write].iter().rposition(|b| *b == b'/');
                let parent = parent.ok_or(Bad::PathAboveRoot)?;
                write = end_with_slash(path, parent, end);
            }
            _ => {
                path.copy_within(read..end, write);
                write += end - read;
            }
        }
        read = end;
    }
    Ok(write)
}

fn segment_end(path: &[u8], from: usize) -> usize {
    path[from..].iter().position(|b| *b == b'/').map_or(path.len(), |n| from + n)
}

/// A dot segment at the very end leaves its slash behind.
fn end_with_slash(path: &mut [u8], write: usize, segment_end: usize) -> usize {
    if segment_end < path.len() {
        return write;
    }
    path[write] = b'/';
    write + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(path: &str, slash: EncodedSlash) -> Result<String, Bad> {
        let mut buf = path.as_bytes().to_vec();
        let len = canonicalise(&mut buf, slash)?;
        Ok(String::from_utf8(buf[..len].to_vec()).unwrap())
    }

    fn check(path: &str, wanted: &str) {
        assert_eq!(canonical(path, EncodedSlash::Keep).as_deref(), Ok(wanted), "{path}");
    }

    #[test]
    fn unreserved_bytes_are_decoded_and_others_upper_cased() {
        check("/%41%7a%2d%5F%7e", "/Az-_~");
        check("/a%2fb%5cc%20%c3%a9", "/a%2Fb%5Cc%20%C3%A9");
        check("/%252e%252e/a", "/%252e%252e/a");
        check("/plain", "/plain");
    }

    #[test]
    fn dot_segments_are_removed() {
        check("/a/./b", "/a/b");
        check("/a/../b", "/b");
        check("/a/b/..", "/a/");
        check("/a/b/.", "/a/b/");
        check("/.", "/");
        check("/a/..", "/");
        check("/a/%2e%2E/b", "/b");
        check("/a/.%2e/b", "/b");
        check("/a/..b/.c/...", "/a/..b/.c/...");
        check("/a//../b", "/a/b");
        check("//..", "/");
        check("/./././a/.", "/a/");
    }

    #[test]
    fn empty_segments_are_kept() {
        check("//a///b//", "//a///b//");
        check("/.//a", "//a");
    }

    #[test]
    fn path_above_root() {
        for path in ["/..", "/../a", "/a/../..", "/%2e%2e/", "/a/b/../../../c", "/./.."] {
            assert_eq!(canonical(path, EncodedSlash::Keep), Err(Bad::PathAboveRoot), "{path}");
        }
    }

    #[test]
    fn bad_percent() {
        for path in ["/%", "/%4", "/%4g", "/%g4", "/a%%41", "/%u0041"] {
            assert_eq!(canonical(path, EncodedSlash::Keep), Err(Bad::BadPercent), "{path}");
        }
    }

    #[test]
    fn encoded_nul() {
        assert_eq!(canonical("/a%00", EncodedSlash::Keep), Err(Bad::EncodedNul));
    }

    #[test]
    fn encoded_slash_by_policy() {
        assert_eq!(canonical("/a%2Fb", EncodedSlash::Reject), Err(Bad::EncodedSlash));
        assert_eq!(canonical("/a%2fb", EncodedSlash::Keep).as_deref(), Ok("/a%2Fb"));
        assert_eq!(canonical("/a%2fb", EncodedSlash::Decode).as_deref(), Ok("/a/b"));
        assert_eq!(canonical("/a%2f..%2fb", EncodedSlash::Decode).as_deref(), Ok("/b"));
        assert_eq!(canonical("/..%2fb", EncodedSlash::Decode), Err(Bad::PathAboveRoot));
        assert_eq!(canonical("/a%2f%2e%2e", EncodedSlash::Keep).as_deref(), Ok("/a%2F.."));
    }
}
