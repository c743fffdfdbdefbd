//! Frames of HTTP/2 (RFC 9113 section 4): read one by one out of what came, written as bytes.

/// What a client says first (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's head.
pub const HEAD: usize = 9;
/// Nobody here announces that it takes longer frames: this is the default of both sides.
const LONGEST: usize = 16 * 1024;

/// DATA.
pub const DATA: u8 = 0;
/// HEADERS.
pub const HEADERS: u8 = 1;
/// RST_STREAM.
pub const RST_STREAM: u8 = 3;
/// SETTINGS.
pub const SETTINGS: u8 = 4;
/// PING.
pub const PING: u8 = 6;
/// GOAWAY.
pub const GOAWAY: u8 = 7;
/// WINDOW_UPDATE.
pub const WINDOW_UPDATE: u8 = 8;
/// CONTINUATION.
pub const CONTINUATION: u8 = 9;

/// END_STREAM, of DATA and HEADERS.
pub const END_STREAM: u8 = 0x1;
/// ACK, of SETTINGS and PING.
pub const ACK: u8 = 0x1;
/// END_HEADERS.
pub const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// SETTINGS_HEADER_TABLE_SIZE.
pub const HEADER_TABLE_SIZE: u16 = 1;
/// SETTINGS_ENABLE_PUSH.
pub const ENABLE_PUSH: u16 = 2;
/// SETTINGS_MAX_CONCURRENT_STREAMS.
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
/// SETTINGS_INITIAL_WINDOW_SIZE.
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// The window that every connection and stream has at first (RFC 9113 section 6.9.2).
pub const FIRST_WINDOW: i64 = 65_535;
/// What [`open`] and [`Received`] make of a connection's window.
const WIDE: u32 = 1 << 30;

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0: the connection.
    pub stream: u32,
    /// What is in it.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first frame of `bytes`; `None` while it is incomplete.
    pub fn read(bytes: &'a [u8]) -> Result<Option<Self>, &'static str> {
        let Some((head, rest)) = bytes.split_at_checked(HEAD) else { return Ok(None) };
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        if length > LONGEST {
            return Err("a frame of HTTP/2 is too long");
        }
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let frame = |payload| Self { kind: head[3], flags: head[4], stream, payload };
        Ok(rest.get(..length).map(frame))
    }

    /// Bytes of all of it.
    pub fn len(&self) -> usize {
        HEAD + self.payload.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Content without padding and priority, of DATA and HEADERS.
    pub fn content(&self) -> Result<&'a [u8], &'static str> {
        let mut content = self.payload;
        let mut padding = 0;
        if self.has(PADDED) {
            let (&length, rest) = content.split_first().ok_or("padding without its length")?;
            (padding, content) = (usize::from(length), rest);
        }
        if self.kind == HEADERS && self.has(PRIORITY) {
            content = content.get(5..).ok_or("a priority that is cut off")?;
        }
        let end = content.len().checked_sub(padding).ok_or("more padding than content")?;
        Ok(&content[..end])
    }

    /// The settings in a SETTINGS frame.
    pub fn settings(&self) -> impl Iterator<Item = (u16, u32)> + use<'a> {
        self.payload.chunks_exact(6).map(|setting| {
            let value = [setting[2], setting[3], setting[4], setting[5]];
            (u16::from_be_bytes([setting[0], setting[1]]), u32::from_be_bytes(value))
        })
    }

    /// The number that a WINDOW_UPDATE or RST_STREAM consists of.
    pub fn number(&self) -> Result<u32, &'static str> {
        let bytes = self.payload.try_into().map_err(|_| "a frame that is no number")?;
        Ok(u32::from_be_bytes(bytes) & 0x7fff_ffff)
    }
}

/// Appends a frame.
pub fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Appends what either side says at first: its settings, and a wide window for the connection.
pub fn open(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let mut payload = Vec::new();
    for (name, value) in settings {
        payload.extend_from_slice(&name.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    write(out, SETTINGS, 0, 0, &payload);
    write(out, WINDOW_UPDATE, 0, 0, &WIDE.to_be_bytes());
}

/// Content that was received and for which the window is not open again.
#[derive(Debug, Default)]
pub struct Received(u32);

impl Received {
    /// Counts a DATA frame; opens the window again before it is used up.
    pub fn count(&mut self, frame: &Frame, out: &mut Vec<u8>) {
        self.0 += frame.payload.len() as u32;
        if self.0 >= WIDE / 2 {
            write(out, WINDOW_UPDATE, 0, 0, &self.0.to_be_bytes());
            self.0 = 0;
        }
    }
}

/// Appends the answer to a SETTINGS or PING that wants one.
pub fn acknowledge(frame: &Frame, out: &mut Vec<u8>) {
    if !frame.has(ACK) {
        let echoed = if frame.kind == PING { frame.payload } else { &[] };
        write(out, frame.kind, ACK, 0, echoed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        write(&mut bytes, DATA, END_STREAM, 5, b"hello");
        bytes.push(0);
        for end in 0..HEAD + 5 {
            assert_eq!(Frame::read(&bytes[..end]), Ok(None));
        }
        let frame = Frame::read(&bytes).unwrap().unwrap();
        assert_eq!((frame.kind, frame.stream, frame.payload), (DATA, 5, &b"hello"[..]));
        assert!(frame.has(END_STREAM) && !frame.has(END_HEADERS));
        assert_eq!(frame.len(), bytes.len() - 1);
    }

    #[test]
    fn long_frames_are_refused() {
        assert!(Frame::read(&[0, 0x40, 1, 0, 0, 0, 0, 0, 1]).is_err());
    }

    #[test]
    fn padding_and_priority_are_no_content() {
        let frame = |kind, flags, payload| Frame { kind, flags, stream: 1, payload };
        assert_eq!(frame(DATA, PADDED, b"\x02abcde").content(), Ok(&b"abc"[..]));
        assert_eq!(frame(HEADERS, PADDED | PRIORITY, b"\x01....!abx").content(), Ok(&b"ab"[..]));
        assert!(frame(DATA, PADDED, b"\x03ab").content().is_err());
        assert!(frame(HEADERS, PRIORITY, b"....").content().is_err());
        assert_eq!(frame(DATA, 0, b"abc").content(), Ok(&b"abc"[..]));
    }

    #[test]
    fn settings_and_windows_are_read() {
        let mut bytes = Vec::new();
        open(&mut bytes, &[(INITIAL_WINDOW_SIZE, 70_000), (ENABLE_PUSH, 0)]);
        let settings = Frame::read(&bytes).unwrap().unwrap();
        let found: Vec<_> = settings.settings().collect();
        assert_eq!(found, [(INITIAL_WINDOW_SIZE, 70_000), (ENABLE_PUSH, 0)]);
        let window = Frame::read(&bytes[settings.len()..]).unwrap().unwrap();
        assert_eq!((window.kind, window.number()), (WINDOW_UPDATE, Ok(WIDE)));
    }

    #[test]
    fn the_window_opens_again() {
        let (mut received, mut out) = (Received::default(), Vec::new());
        let payload = vec![0; LONGEST];
        let frame = Frame { kind: DATA, flags: 0, stream: 1, payload: &payload };
        let needed = WIDE as usize / 2 / LONGEST;
        (1..needed).for_each(|_| received.count(&frame, &mut out));
        assert!(out.is_empty());
        received.count(&frame, &mut out);
        let update = Frame::read(&out).unwrap().unwrap();
        assert_eq!((update.kind, update.stream, update.number()), (WINDOW_UPDATE, 0, Ok(WIDE / 2)));
    }
}
