//! A set of field names, asked for each field of a message.

/// Names of fields that must not pass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldNames {
    /// Lower-case, with `-` for `_`.
    names: Vec<Box<[u8]>>,
    /// A bit for the mark of each: most other names are told by this alone.
    marks: u64,
}

impl FieldNames {
    /// Adds a name, in any case; `false`: it was there.
    pub fn add(&mut self, name: &[u8]) -> bool {
        let name: Box<[u8]> = name.iter().map(plain).collect();
        let new = !self.names.contains(&name);
        if new {
            self.marks |= mark(&name);
            self.names.push(name);
        }
        new
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.marks == 0
    }

    /// Whether a field's name is one of these, in any case, or poses as one.
    #[inline]
    pub fn has(&self, name: &[u8]) -> bool {
        self.marks & mark(name) != 0 && self.names.iter().any(|known| passes_for(name, known))
    }
}

/// Whether a name is this one, in any case, or poses as it: CGI and its like show a service `X_Tier` and
/// `X-Tier` under one name.
fn passes_for(name: &[u8], known: &[u8]) -> bool {
    name.len() == known.len() && name.iter().zip(known).all(|(a, b)| plain(a) == *b)
}

/// A letter as names are compared by it.
#[inline]
fn plain(letter: &u8) -> u8 {
    if *letter == b'_' { b'-' } else { letter.to_ascii_lowercase() }
}

/// One of 64 bits by a name's length and first letter.
#[inline]
fn mark(name: &[u8]) -> u64 {
    let first = name.first().map_or(0, |byte| usize::from(plain(byte)));
    1 << ((name.len() * 7 + first) & 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_spelling() {
        let mut names = FieldNames::default();
        assert!(names.is_empty() && !names.has(b"x-tier"));
        assert!(names.add(b"X-Tier") && !names.add(b"x-tier"));
        assert!(!names.is_empty());
        for name in ["x-tier", "X-TIER", "X_Tier"] {
            assert!(names.has(name.as_bytes()), "{name}");
        }
        // The twin by which CGI knows both.
        names.add(b"X_Region");
        assert!(names.has(b"X-Region") && names.has(b"x_region") && !names.add(b"X-Region"));
        for name in ["x-tie", "x-tiers", "y-tier", ""] {
            assert!(!names.has(name.as_bytes()), "{name}");
        }
    }
}
