//! Parameters of a query, as forms encode them (application/x-www-form-urlencoded).

/// Each parameter as it stands there, cut into name and value, both still encoded.
pub(super) fn parameters(query: &[u8]) -> impl DoubleEndedIterator<Item = Parameter<'_>> {
    query.split(|&byte| byte == b'&').map(|whole| match memchr::memchr(b'=', whole) {
        Some(at) => Parameter { whole, name: &whole[..at], value: &whole[at + 1..] },
        None => Parameter { whole, name: whole, value: &whole[whole.len()..] },
    })
}

/// A parameter; encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter<'a> {
    /// All of it, without the `&` around it.
    pub(super) whole: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

impl Parameter<'_> {
    /// Whether it has this name.
    pub(super) fn is(&self, name: &[u8]) -> bool {
        stands_for(self.name, name)
    }
}

/// Whether an encoded text stands for this one.
pub(super) fn stands_for(encoded: &[u8], plain: &[u8]) -> bool {
    encoded == plain || is_encoded(encoded) && decoded(encoded).eq(plain.iter().copied())
}

/// Whether a text is another once it is decoded.
pub(super) fn is_encoded(text: &[u8]) -> bool {
    memchr::memchr2(b'%', b'+', text).is_some()
}

/// Decodes; a `%` without two hex digits stands for itself.
pub(super) fn decoded(text: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        let (byte, after) = match (first, after) {
            (b'+', after) => (b' ', after),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', rest.get(1..)?),
            },
            (byte, after) => (byte, after),
        };
        rest = after;
        Some(byte)
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_leaves_broken_escapes() {
        let text = |encoded: &str| decoded(encoded.as_bytes()).collect::<Vec<u8>>();
        assert_eq!(text("%41%zz%4"), b"A%zz%4");
        assert_eq!(text("%"), b"%");
    }

    #[test]
    fn names_are_compared_by_what_they_stand_for() {
        let names = |query: &'static str| -> Vec<bool> {
            parameters(query.as_bytes()).map(|parameter| parameter.is(b"a key")).collect()
        };
        assert_eq!(names("a+key=1&a%20key&a key=&akey"), [true, true, true, false]);
        assert_eq!(parameters(b"a=b=c").next().unwrap().value, b"b=c");
    }
}
