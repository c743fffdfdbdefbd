//! Which of the newest streams are over, and who ended them (RFC 9113 section 5.1). What comes of a
//! stream that was given up here was on its way; what comes of one that the peer ended breaks a rule.

/// Remembers the newest 128 streams.
#[derive(Debug, Default)]
pub(super) struct Past {
    newest: u32,
    /// The newest stream is the lowest bit.
    begun: u128,
    ended: u128,
}

/// What is known of a stream that is not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Not begun yet.
    Idle,
    /// Passed over by a newer one.
    Skipped,
    /// Its peer ended it.
    Ended,
    /// It was given up here, or too long ago to tell.
    GivenUp,
}

impl Past {
    /// The newest stream that was begun.
    pub(super) fn newest(&self) -> u32 {
        self.newest
    }

    /// A stream newer than all others begins.
    pub(super) fn begin(&mut self, stream: u32) {
        let by = (stream - self.newest).div_ceil(2);
        self.begun = self.begun.checked_shl(by).unwrap_or(0) | 1;
        self.ended = self.ended.checked_shl(by).unwrap_or(0);
        self.newest = stream;
    }

    /// Its peer has ended it.
    pub(super) fn end(&mut self, stream: u32) {
        self.ended |= self.bit(stream);
    }

    pub(super) fn of(&self, stream: u32) -> Known {
        let bit = self.bit(stream);
        match () {
            () if stream > self.newest => Known::Idle,
            () if stream % 2 != self.newest % 2 => Known::Idle,
            () if bit == 0 => Known::GivenUp,
            () if self.begun & bit == 0 => Known::Skipped,
            () if self.ended & bit != 0 => Known::Ended,
            () => Known::GivenUp,
        }
    }

    /// A stream's place; none for one that is idle or long past.
    fn bit(&self, stream: u32) -> u128 {
        let back = self.newest.checked_sub(stream).map(|n| n / 2);
        back.and_then(|n| 1u128.checked_shl(n)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_apart_for_as_long_as_they_are_remembered() {
        let mut past = Past::default();
        for stream in [1, 3, 7] {
            past.begin(stream);
        }
        past.end(1);
        let known = |past: &Past, all: &[u32]| all.iter().map(|s| past.of(*s)).collect::<Vec<_>>();
        let all = [Known::Ended, Known::GivenUp, Known::Skipped, Known::GivenUp, Known::Idle];
        assert_eq!(known(&past, &[1, 3, 5, 7, 9]), all);
        assert_eq!(known(&past, &[2, 6, 8]), [Known::Idle; 3]);
        past.begin(7 + 2 * 124);
        assert_eq!(past.of(1), Known::Ended);
        past.begin(7 + 2 * 125);
        assert_eq!(past.of(1), Known::GivenUp);
        past.begin(u32::MAX >> 1);
        assert_eq!(past.of(7), Known::GivenUp);
        assert_eq!(past.newest(), u32::MAX >> 1);
    }
}
