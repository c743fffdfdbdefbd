//! Trailer sections (RFC 9112 section 7.1.2).

use super::Bad;
use super::fields::{Underscores, parse_fields};
use super::stop::Stop;
use crate::http::head::{Field, Span};
use crate::http::known::is_forbidden_trailer;
use crate::limits::{MAX_TRAILER_FIELDS, MAX_TRAILERS};

/// A trailer section that is not empty, as it comes in, then its fields.
#[derive(Debug, Clone, Default)]
pub(super) struct Trailers {
    text: Vec<u8>,
    fields: Vec<Field>,
}

impl Trailers {
    /// Takes one byte; true when it ended the section.
    pub(super) fn push(&mut self, byte: u8) -> Result<bool, Bad> {
        match (self.text.last(), byte) {
            (Some(b'\r'), b'\n') => {}
            (Some(b'\r'), _) => return Err(Bad::BareCr),
            (_, b'\n') => return Err(Bad::BareLf),
            _ => {}
        }
        if self.text.len() == MAX_TRAILERS {
            return Err(Bad::TrailersTooLarge);
        }
        self.text.push(byte);
        if !self.text.ends_with(b"\r\n\r\n") {
            return Ok(false);
        }
        self.parse()?;
        Ok(true)
    }

    /// The fields that may be passed on, and the bytes they stand in.
    pub(super) fn fields(&self) -> (&[Field], &[u8]) {
        (&self.fields, &self.text)
    }

    /// Leaves out fields whose name is withheld.
    pub(super) fn withhold(&mut self, withheld: impl Fn(&[u8]) -> bool) {
        let text = &self.text;
        self.fields.retain(|field| !withheld(Span::of(field.name, text)));
    }

    fn parse(&mut self) -> Result<(), Bad> {
        match parse_fields(&self.text, 0, MAX_TRAILER_FIELDS, Underscores::Keep, &mut self.fields) {
            Ok(_) => {}
            Err(Stop::Bad(Bad::TooManyFields)) => return Err(Bad::TooManyTrailers),
            Err(Stop::Bad(bad)) => return Err(bad),
            Err(Stop::Incomplete) => return Err(Bad::Truncated),
        }
        let text = &self.text;
        self.fields.retain(|f| !is_forbidden_trailer(f.known, Span::of(f.name, text)));
        Ok(())
    }
}
