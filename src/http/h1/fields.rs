//! Field lines (RFC 9112 section 5): the part requests, responses and trailers share.

use super::Bad;
use super::stop::{Stop, line_end};
use crate::config::HttpBounds;
use crate::http::bytes::{is_blank, token_end, value_end};
use crate::http::head::{Field, Known, Span};
use crate::http::known::{HOP_BY_HOP, KnownSet, known, poses_as_known};

/// Which known names a field section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::http) struct Presence {
    /// At least once.
    pub(super) once: KnownSet,
    /// More than once.
    pub(super) repeated: KnownSet,
}

impl Presence {
    #[inline(always)]
    fn add(&mut self, known: Known) {
        if self.once.contains(known) {
            self.repeated.insert(known);
        }
        self.once.insert(known);
    }
}

/// What becomes of fields whose name has a `_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Underscores {
    /// They stay.
    Keep,
    /// They stay, but for those whose name stands for a known one (see [`poses_as_known`]).
    KeepHarmless,
    /// They are left out.
    Drop,
}

impl Underscores {
    /// In requests.
    pub(in crate::http) fn of(bounds: &HttpBounds) -> Self {
        if bounds.underscores_in_headers { Self::KeepHarmless } else { Self::Drop }
    }

    /// A known name has no `_`, so few names are looked at.
    #[inline(always)]
    fn drop(self, buf: &[u8], field: &Field) -> bool {
        if self == Self::Keep || field.known != Known::Other {
            return false;
        }
        let name = field.name.of(buf);
        name.contains(&b'_') && (self == Self::Drop || poses_as_known(name))
    }
}

/// Parses field lines from `at` to the empty line; returns what follows it.
///
/// `fields` is filled in order, without those that `underscores` leaves out. More than `max` are
/// [`Bad::TooManyFields`].
pub(super) fn parse_fields(
    buf: &[u8],
    start: usize,
    max: usize,
    underscores: Underscores,
    fields: &mut Vec<Field>,
) -> Result<(usize, Presence), Stop> {
    let mut at = start;
    let mut presence = Presence::default();
    while let Some(&byte) = buf.get(at) {
        if byte == b'\r' {
            return Ok((line_end(buf, at)?, presence));
        }
        if fields.len() == max {
            return Err(Bad::TooManyFields.into());
        }
        let (field, next) = parse_line(buf, at, at == start)?;
        at = next;
        add(buf, field, underscores, &mut presence, fields);
    }
    Err(Stop::Incomplete)
}

/// Puts a field to the others, unless `underscores` leaves it out.
#[inline(always)]
pub(in crate::http) fn add(
    buf: &[u8],
    field: Field,
    underscores: Underscores,
    presence: &mut Presence,
    fields: &mut Vec<Field>,
) {
    if !underscores.drop(buf, &field) {
        presence.add(field.known);
        fields.push(field);
    }
}

#[inline(always)]
fn parse_line(buf: &[u8], at: usize, first: bool) -> Result<(Field, usize), Stop> {
    let colon = token_end(buf, at);
    if colon == at || buf.get(colon) != Some(&b':') {
        return Err(name_refused(buf, at, colon, first));
    }
    let mut start = colon + 1;
    while start < buf.len() && is_blank(buf[start]) {
        start += 1;
    }
    let stop = value_end(buf, start);
    let next = line_end(buf, stop)?;
    let mut end = stop;
    while end > start && is_blank(buf[end - 1]) {
        end -= 1;
    }
    let known = known(&buf[at..colon]);
    let (name, value) = (Span::new(at, colon), Span::new(start, end));
    Ok((Field { name, value, known, hop: HOP_BY_HOP.contains(known) }, next))
}

/// Says what is wrong with a line whose name does not end in a colon.
#[cold]
fn name_refused(buf: &[u8], at: usize, end: usize, first: bool) -> Stop {
    let Some(&byte) = buf.get(end) else { return Stop::Incomplete };
    let bad = match byte {
        b' ' | b'\t' if end > at => Bad::WhitespaceBeforeColon,
        b' ' | b'\t' if first => Bad::WhitespaceBeforeFields,
        b' ' | b'\t' => Bad::ObsFold,
        b':' => Bad::EmptyFieldName,
        b'\r' => match line_end(buf, end) {
            Ok(_) => Bad::MissingColon,
            Err(stop) => return stop,
        },
        b'\n' => Bad::BareLf,
        0 => Bad::NulByte,
        _ => Bad::BadFieldName,
    };
    Stop::Bad(bad)
}

/// The value of the first field of a known name.
pub(super) fn value<'a>(fields: &[Field], buf: &'a [u8], known: Known) -> &'a [u8] {
    fields.iter().find(|f| f.known == known).map_or(&[], |f| f.value.of(buf))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<Vec<Field>, Stop> {
        let mut fields = Vec::new();
        parse_fields(text, 0, 4, Underscores::Keep, &mut fields).map(|_| fields)
    }

    fn refused(text: &[u8], why: Bad) {
        assert_eq!(parse(text), Err(Stop::Bad(why)), "{}", text.escape_ascii());
    }

    #[test]
    fn values_lose_the_white_space_around_them_only() {
        for text in [&b"a: b c\r\n\r\n"[..], b"a:\t b c \t\r\n\r\n", b"a:b c\r\n\r\n"] {
            let fields = parse(text).unwrap();
            assert_eq!(fields[0].name.of(text), b"a");
            assert_eq!(fields[0].value.of(text), b"b c");
        }
        for text in [&b"a:\r\n\r\n"[..], b"a: \t \r\n\r\n"] {
            assert!(parse(text).unwrap()[0].value.is_empty());
        }
        let text = b"a: caf\xe9\tx\r\n\r\n";
        assert_eq!(parse(text).unwrap()[0].value.of(text), b"caf\xe9\tx");
    }

    #[test]
    fn whitespace_before_colon() {
        refused(b"a : b\r\n\r\n", Bad::WhitespaceBeforeColon);
        refused(b"Content-Length\t: 5\r\n\r\n", Bad::WhitespaceBeforeColon);
    }

    #[test]
    fn whitespace_before_fields() {
        refused(b" a: b\r\n\r\n", Bad::WhitespaceBeforeFields);
        refused(b"\ta: b\r\n\r\n", Bad::WhitespaceBeforeFields);
    }

    #[test]
    fn obs_fold() {
        refused(b"a: b\r\n c\r\n\r\n", Bad::ObsFold);
        refused(b"a: b\r\n\tc: d\r\n\r\n", Bad::ObsFold);
        refused(b"a: b\r\n \r\n\r\n", Bad::ObsFold);
    }

    #[test]
    fn empty_field_name() {
        refused(b": b\r\n\r\n", Bad::EmptyFieldName);
    }

    #[test]
    fn bad_field_name() {
        for name in ["a(b", "a\"", "caf\u{e9}", "a/b", "{", "a\x01", "a\x7f"] {
            refused(format!("{name}: c\r\n\r\n").as_bytes(), Bad::BadFieldName);
        }
    }

    #[test]
    fn missing_colon() {
        refused(b"abc\r\n\r\n", Bad::MissingColon);
    }

    #[test]
    fn bare_lf() {
        refused(b"a: b\n\r\n", Bad::BareLf);
        refused(b"a\n", Bad::BareLf);
        refused(b"a: b\r\n\n", Bad::BareLf);
        refused(b"\n", Bad::BareLf);
    }

    #[test]
    fn bare_cr() {
        refused(b"a: b\rc: d\r\n\r\n", Bad::BareCr);
        refused(b"a: b\r\r\n\r\n", Bad::BareCr);
        refused(b"a: b\r\n\rx", Bad::BareCr);
        refused(b"a\rb: c\r\n\r\n", Bad::BareCr);
    }

    #[test]
    fn nul_byte() {
        refused(b"a: b\0c\r\n\r\n", Bad::NulByte);
        refused(b"a\0: b\r\n\r\n", Bad::NulByte);
    }

    #[test]
    fn control_byte() {
        for byte in (1..32u8).chain([127]).filter(|b| !b"\t\r\n".contains(b)) {
            refused(&[b"a: b", &[byte][..], b"\r\n\r\n"].concat(), Bad::ControlByte);
        }
    }

    #[test]
    fn too_many_fields() {
        assert!(parse(b"a:\r\nb:\r\nc:\r\nd:\r\n\r\n").is_ok());
        refused(b"a:\r\nb:\r\nc:\r\nd:\r\ne:\r\n\r\n", Bad::TooManyFields);
    }

    #[test]
    fn names_with_underscores() {
        let text = b"X_Forwarded_For: a\r\nHost: b\r\nmy_field: c\r\nx-my: d_e\r\n\r\n";
        let names = |underscores| {
            let mut fields = Vec::new();
            parse_fields(text, 0, 4, underscores, &mut fields).unwrap();
            let name = |f: &Field| String::from_utf8(f.name.of(text).to_vec()).unwrap();
            fields.iter().map(name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(Underscores::Keep), "X_Forwarded_For Host my_field x-my");
        assert_eq!(names(Underscores::KeepHarmless), "Host my_field x-my");
        assert_eq!(names(Underscores::Drop), "Host x-my");
    }

    #[test]
    fn a_line_after_one_left_out_is_not_the_first() {
        let mut fields = Vec::new();
        let text = b"a_b: c\r\n d\r\n\r\n";
        let parsed = parse_fields(text, 0, 4, Underscores::Drop, &mut fields);
        assert_eq!(parsed, Err(Stop::Bad(Bad::ObsFold)));
    }

    #[test]
    fn incomplete_at_every_place() {
        let text = b"Host: a\r\nb: c\r\n\r\n";
        for len in 0..text.len() {
            assert_eq!(parse(&text[..len]), Err(Stop::Incomplete), "{len}");
        }
    }
}
