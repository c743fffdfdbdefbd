//! What a peer sends beside content, weighed: each frame that makes work and carries nothing runs
//! up a debt, which time, messages, content and what we send pay off (gRPC's clients ping with every
//! message). A peer in too deep is not listened to any more.
//!
//! Messages and content may pay in advance, within bounds: a hundred requests that were begun are
//! reset all at once when a page is left. The reset of a stream that is not young any more is no
//! attack, only its end: somebody waited, and then left.
//!
//! This stands in front of the protocol's own machine, which answers each such frame as it comes:
//! resets of streams that were just opened (CVE-2023-44487), PING, SETTINGS, empty DATA, PRIORITY,
//! CONTINUATION without end, windows opened byte by byte.

use h2::Reason;

use super::kinds::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
};
use super::rules::Rules;
use crate::limits::{
    H2_COST_CONTROL, H2_COST_RESET, H2_COST_SMALL, H2_CREDIT_MAX, H2_DEBT_MAX, H2_PAID_PER_SECOND,
    H2_YOUNG_NS,
};

/// Nanoseconds that pay for one point.
const POINT_NS: u64 = 1_000_000_000 / H2_PAID_PER_SECOND;

const HEADER: usize = 9;

/// Follows the frames of one direction of a connection, however they are cut into reads.
#[derive(Debug)]
pub struct Frames {
    /// Bytes of the connection preface still to come.
    preface: usize,
    header: [u8; HEADER],
    /// How much of it has come.
    have: usize,
    /// Bytes of the frame's payload still to come.
    left: usize,
    /// Within a field block.
    block: bool,
    /// Below zero: paid in advance.
    debt: i64,
    /// What resets of young streams cost, on a ledger of their own: only new streams and time pay it, or a
    /// byte of content would pay for each.
    resets: i64,
    paid_at_ns: u64,
    ages: Ages,
    /// A client's are held against more than what they cost.
    rules: Option<Rules>,
    fault: Option<Reason>,
}

/// Which streams are not young any more: those up to a number that was the highest a while ago.
#[derive(Debug, Default)]
struct Ages {
    old: u32,
    highest: u32,
    highest_at_ns: u64,
    newest: u32,
}

impl Frames {
    /// At the start of a connection, behind `preface` bytes of another form.
    pub fn new(preface: usize, now_ns: u64) -> Self {
        Self {
            preface,
            header: [0; HEADER],
            have: 0,
            left: 0,
            block: false,
            debt: 0,
            resets: 0,
            paid_at_ns: now_ns,
            ages: Ages::default(),
            rules: None,
            fault: None,
        }
    }

    /// The same, and what breaks a rule that has a code of its own is refused, too.
    pub fn strict(preface: usize, now_ns: u64) -> Self {
        Self { rules: Some(Rules::default()), ..Self::new(preface, now_ns) }
    }

    /// Why what came last is not to be heeded.
    pub fn fault(&self) -> Reason {
        self.fault.unwrap_or(Reason::ENHANCE_YOUR_CALM)
    }

    /// Takes what has come. `sent` are the bytes that we sent since the last time. Gives how many of the
    /// bytes are to be heeded: fewer than all where the debt gets too deep, or a rule is broken.
    pub fn take(&mut self, all: &[u8], sent: u64, now_ns: u64) -> usize {
        self.pay(sent, now_ns);
        self.ages.pass(now_ns);
        let skipped = self.preface.min(all.len());
        self.preface -= skipped;
        let mut bytes = &all[skipped..];
        while !bytes.is_empty() {
            let before = all.len() - bytes.len();
            if self.left > 0 {
                bytes = self.pass(bytes);
                if self.fault.is_some() {
                    return before;
                }
                continue;
            }
            let n = (HEADER - self.have).min(bytes.len());
            self.header[self.have..self.have + n].copy_from_slice(&bytes[..n]);
            self.have += n;
            bytes = &bytes[n..];
            if self.have == HEADER {
                self.begin();
                if self.debt.max(self.resets) > H2_DEBT_MAX || self.fault.is_some() {
                    return before;
                }
            }
        }
        all.len()
    }

    /// Whether something has begun and not ended that comes at once from those who mean well: a
    /// frame without content, or a field block.
    pub fn is_within(&self) -> bool {
        let content = self.header[3] == DATA;
        self.preface > 0 || self.have > 0 || self.left > 0 && !content || self.block
    }

    /// A byte sent pays a point. Neither that nor time pays in advance.
    fn pay(&mut self, sent: u64, now_ns: u64) {
        let earned = now_ns.saturating_sub(self.paid_at_ns) / POINT_NS;
        self.paid_at_ns += earned * POINT_NS;
        let paid = |points: u64| i64::try_from(points).unwrap_or(i64::MAX);
        let less = |debt: i64, paid: i64| debt.min(debt.saturating_sub(paid).max(0));
        self.debt = less(self.debt, paid(earned.saturating_add(sent)));
        self.resets = less(self.resets, paid(earned));
    }

    /// Passes over what has come of a payload, and gives what is behind it.
    fn pass<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let (payload, rest) = bytes.split_at(self.left.min(bytes.len()));
        if let Some(rules) = &mut self.rules {
            self.fault = rules.payload(payload, self.left).err();
        }
        self.left -= payload.len();
        rest
    }

    fn begin(&mut self) {
        let [a, b, c, kind, flags, stream @ ..] = self.header;
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        self.have = 0;
        self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        // What comes between the pieces of a block is a fault of another kind.
        if let Some(rules) = self.rules.as_mut().filter(|_| !self.block) {
            self.fault = rules.frame(kind, flags, stream, self.left).err();
        }
        match kind {
            HEADERS | CONTINUATION => self.block = flags & END_HEADERS == 0,
            _ => {}
        }
        let cost = match kind {
            HEADERS => {
                if stream > self.ages.newest {
                    self.resets = (self.resets - H2_COST_CONTROL).max(-H2_CREDIT_MAX);
                }
                self.ages.newest = self.ages.newest.max(stream);
                -H2_COST_CONTROL
            }
            DATA if self.left > 0 => -H2_COST_CONTROL,
            DATA if flags & END_STREAM != 0 => 0,
            RST_STREAM if stream <= self.ages.old => H2_COST_SMALL,
            RST_STREAM => {
                self.resets = self.resets.saturating_add(H2_COST_RESET);
                H2_COST_RESET
            }
            PING | SETTINGS | GOAWAY | CONTINUATION | DATA => H2_COST_CONTROL,
            // A kind that nobody knows is to be overlooked, which costs little.
            _ => H2_COST_SMALL,
        };
        self.debt = self.debt.saturating_add(cost).max(-H2_CREDIT_MAX);
    }
}

impl Ages {
    fn pass(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.highest_at_ns) >= H2_YOUNG_NS {
            self.old = self.highest;
            self.highest = self.newest;
            self.highest_at_ns = now_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::{PRIORITY, WINDOW_UPDATE};
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let len = u32::try_from(payload).expect("small").to_be_bytes();
        let mut bytes = vec![len[1], len[2], len[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(HEADER + payload, 0xff);
        bytes
    }

    /// The same frame on another stream.
    fn on(frame: &[u8], stream: u32) -> Vec<u8> {
        let mut frame = frame.to_vec();
        frame[5..HEADER].copy_from_slice(&stream.to_be_bytes());
        frame
    }

    /// How many of a frame are taken at once, in pieces of `step` bytes.
    fn taken(frame: &[u8], step: usize) -> usize {
        let mut frames = Frames::new(0, 0);
        let one = |_: &usize| frame.chunks(step).all(|piece| all(&mut frames, piece, 0, 0));
        (0..1_000_000).take_while(one).count()
    }

    fn all(frames: &mut Frames, bytes: &[u8], sent: u64, now_ns: u64) -> bool {
        frames.take(bytes, sent, now_ns) == bytes.len()
    }

    fn within(cost: i64) -> std::ops::RangeInclusive<usize> {
        1..=usize::try_from((H2_DEBT_MAX + H2_CREDIT_MAX) / cost).expect("small") + 1
    }

    #[test]
    fn floods_are_noticed_however_they_are_cut() {
        for step in [1, 7, 9, 1000] {
            assert!(within(H2_COST_CONTROL).contains(&taken(&frame(PING, 0, 8), step)));
            assert!(within(H2_COST_CONTROL).contains(&taken(&frame(SETTINGS, 0, 0), step)));
            assert!(within(H2_COST_CONTROL).contains(&taken(&frame(GOAWAY, 0, 8), step)));
            assert!(within(H2_COST_CONTROL).contains(&taken(&frame(DATA, 0, 0), step)));
            assert!(within(H2_COST_RESET).contains(&taken(&frame(RST_STREAM, 0, 4), step)));
            assert!(within(H2_COST_SMALL).contains(&taken(&frame(PRIORITY, 0, 5), step)));
            assert!(within(H2_COST_SMALL).contains(&taken(&frame(WINDOW_UPDATE, 0, 4), step)));
            assert!(within(H2_COST_SMALL).contains(&taken(&frame(0x77, 0, 0), step)));
        }
    }

    #[test]
    fn requests_and_content_run_up_no_debt() {
        for bytes in
            [frame(HEADERS, END_HEADERS, 20), frame(DATA, 0, 1), frame(DATA, END_STREAM, 0)]
        {
            assert_eq!(taken(&bytes, 64), 1_000_000);
        }
    }

    #[test]
    fn time_and_what_is_sent_pay() {
        let ping = frame(PING, 0, 8);
        let mut frames = Frames::new(0, 0);
        let cost = u64::try_from(H2_COST_CONTROL).expect("positive");
        assert!((0..10_000).all(|n| all(&mut frames, &ping, 0, n * cost * POINT_NS)));
        let mut frames = Frames::new(0, 0);
        assert!((0..10_000).all(|_| all(&mut frames, &ping, cost, 0)));
    }

    #[test]
    fn neither_time_nor_what_is_sent_pays_in_advance() {
        let mut frames = Frames::new(0, 0);
        let ping = frame(PING, 0, 8);
        assert!(all(&mut frames, &ping, 1 << 30, 1 << 50));
        let more = (0..1_000_000).take_while(|_| all(&mut frames, &ping, 0, 1 << 50)).count();
        assert_eq!(more, usize::try_from(H2_DEBT_MAX / H2_COST_CONTROL).expect("small") - 1);
    }

    #[test]
    fn requests_begun_pay_for_their_resets_later() {
        let mut frames = Frames::new(0, 0);
        let streams = || (0..100u32).map(|n| 2 * n + 1);
        let head = frame(HEADERS, END_HEADERS, 20);
        assert!(streams().all(|stream| all(&mut frames, &on(&head, stream), 0, 0)));
        let reset = frame(RST_STREAM, 0, 4);
        assert!(streams().all(|stream| all(&mut frames, &on(&reset, stream), 0, 0)));
    }

    #[test]
    fn content_does_not_pay_for_resets() {
        let mut frames = Frames::new(0, 0);
        let each = [frame(HEADERS, END_HEADERS, 20), frame(DATA, 0, 1), frame(RST_STREAM, 0, 4)];
        let mut stream =
            |stream: u32| each.iter().all(|frame| all(&mut frames, &on(frame, stream), 0, 0));
        let most = u32::try_from(H2_DEBT_MAX / (H2_COST_RESET - H2_COST_CONTROL)).expect("small");
        assert!((0..=most + 1).any(|n| !stream(2 * n + 1)), "a byte must not pay for a reset");
    }

    #[test]
    fn who_waited_and_then_left_is_no_attacker() {
        let mut frames = Frames::new(0, 0);
        let both = [frame(HEADERS, END_HEADERS, 20), frame(RST_STREAM, 0, 4)];
        for round in 0..10u64 {
            let now = |seconds| (4 * round + seconds) * H2_YOUNG_NS;
            assert!(all(&mut frames, &both[0], 0, now(1)));
            assert!(all(&mut frames, &both[0], 0, now(2)));
            assert!(all(&mut frames, &both[1].repeat(100), 0, now(3)));
        }
    }

    #[test]
    fn what_is_heeded_ends_before_the_frame_that_is_too_much() {
        let ping = frame(PING, 0, 8);
        let mut frames = Frames::new(24, 0);
        let bytes = [vec![b'P'; 24], ping.repeat(500)].concat();
        let heeded = frames.take(&bytes, 0, 0);
        let most = usize::try_from(H2_DEBT_MAX / H2_COST_CONTROL).expect("small");
        assert_eq!(heeded, 24 + most * ping.len());
    }

    #[test]
    fn a_request_does_not_pay_for_its_reset() {
        let both = [frame(HEADERS, END_HEADERS, 20), frame(RST_STREAM, 0, 4)].concat();
        let most = H2_DEBT_MAX / (H2_COST_RESET - H2_COST_CONTROL) + 1;
        assert!(taken(&both, 64) <= usize::try_from(most).expect("small") + 1);
    }

    #[test]
    fn a_broken_rule_ends_what_is_heeded_however_it_is_cut() {
        let good = frame(PING, 0, 8);
        let settings = [&frame(SETTINGS, 0, 6)[..HEADER], &[0, 4, 0x80, 0, 0, 0]].concat();
        for (bad, fault) in
            [(frame(PING, 0, 6), Reason::FRAME_SIZE_ERROR), (settings, Reason::FLOW_CONTROL_ERROR)]
        {
            let all = [&good[..], &bad, &good].concat();
            for step in [1, 7, 100] {
                let mut frames = Frames::strict(0, 0);
                let heeds = |piece: &&[u8]| frames.take(piece, 0, 0) == piece.len();
                let whole = all.chunks(step).take_while(heeds).count() * step;
                assert!((good.len() / step * step..good.len() + bad.len()).contains(&whole));
                assert_eq!(frames.fault(), fault);
            }
        }
    }

    #[test]
    fn a_block_without_end_is_within() {
        let mut frames = Frames::new(3, 0);
        assert!(frames.is_within());
        assert!(all(&mut frames, b"PRI", 0, 0) && !frames.is_within());
        assert!(all(&mut frames, &frame(HEADERS, 0, 4), 0, 0) && frames.is_within());
        assert!(
            all(&mut frames, &frame(CONTINUATION, END_HEADERS, 4), 0, 0) && !frames.is_within()
        );
        assert!(all(&mut frames, &frame(DATA, 0, 9)[..12], 0, 0) && !frames.is_within());
        assert!(all(&mut frames, &[0; 8], 0, 0) && frames.is_within());
    }
}
