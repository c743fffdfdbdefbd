//! How far an incomplete head was looked at, so that a trickle of bytes costs linear time.

use super::stop::{Stop, line_end};
use crate::http::bad::Bad;
use crate::http::bytes::value_end;

/// Progress over one incomplete head. Starts as the default with each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scan {
    /// Bytes known to be lines without a control character.
    checked: u32,
    /// Where the line that holds `checked` starts.
    line: u32,
    /// Empty lines before the first line.
    blank: u8,
    /// Whether a line that is not empty has ended.
    begun: bool,
    /// Whether the parser has had its try.
    tried: bool,
}

/// What may stand at the start of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FirstLine {
    /// Empty lines before it.
    pub(super) max_blank: usize,
    /// Bytes of it after which the parser is asked.
    pub(super) max_len: usize,
}

/// What a head looks like before it is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// No end in sight, nothing wrong.
    Open,
    /// Complete, or too long in its first line: the parser is to decide.
    Ripe,
    /// This is wrong; the parser may have found something before it.
    Wrong(Bad),
}

impl Scan {
    /// Whether this is the message's first look, on which parsing is worth a try.
    pub(super) fn first_look(&mut self) -> bool {
        !std::mem::replace(&mut self.tried, true)
    }

    /// Looks at the bytes that are new. `first` bounds what comes first.
    pub(super) fn advance(&mut self, buf: &[u8], first: FirstLine) -> Sight {
        let mut at = self.checked as usize;
        loop {
            let stop = value_end(buf, at);
            match line_end(buf, stop) {
                Ok(next) if self.end_line(stop, next, first) => return Sight::Ripe,
                Ok(next) => at = next,
                Err(Stop::Bad(bad)) => return Sight::Wrong(bad),
                Err(Stop::Incomplete) => {
                    self.checked = stop as u32;
                    let too_long = !self.begun && stop - self.line as usize > first.max_len;
                    return if too_long { Sight::Ripe } else { Sight::Open };
                }
            }
        }
    }

    /// Notes a line's end; true where it ends the head or is one empty line too many.
    fn end_line(&mut self, stop: usize, next: usize, first: FirstLine) -> bool {
        let empty = stop == self.line as usize;
        self.line = next as u32;
        if !empty {
            self.begun = true;
            return false;
        }
        self.blank = self.blank.saturating_add(1);
        self.begun || usize::from(self.blank) > first.max_blank
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: FirstLine = FirstLine { max_blank: 2, max_len: 30 };

    #[test]
    fn a_trickle_sees_what_one_look_sees() {
        for (head, wanted) in [
            (&b"GET / HTTP/1.1\r\na: b\r\n\r\n"[..], Sight::Ripe),
            (b"\r\n\r\nGET /\r\n\r\n", Sight::Ripe),
            (b"\r\n\r\n\r\n", Sight::Ripe),
            (b"GET / HTTP/1.1\r\na: b\n", Sight::Wrong(Bad::BareLf)),
            (b"GET / HTTP/1.1\ra", Sight::Wrong(Bad::BareCr)),
            (b"GET / HTTP/1.1\r\na:\0", Sight::Wrong(Bad::NulByte)),
            (b"GET /aaaaaaaaaaaaaaaaaaaaaaaaaa", Sight::Ripe),
            (b"GET / HTTP/1.1\r\na: b\r\n\r", Sight::Open),
        ] {
            assert_eq!(Scan::default().advance(head, FIRST), wanted);
            let mut scan = Scan::default();
            for len in 0..head.len() {
                assert_eq!(
                    scan.advance(&head[..len], FIRST),
                    Sight::Open,
                    "{}",
                    head.escape_ascii()
                );
            }
            assert_eq!(scan.advance(head, FIRST), wanted, "{}", head.escape_ascii());
        }
    }
}
