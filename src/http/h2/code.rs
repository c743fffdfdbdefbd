//! Why a stream or a connection ends before its time.

/// What a peer did wrong: its connection is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault(pub Code);

/// An error code (RFC 9113 section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    /// Nothing is wrong.
    pub const NO_ERROR: Self = Self(0);
    /// A rule without a code of its own was broken.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// Whoever says this failed.
    pub const INTERNAL_ERROR: Self = Self(2);
    /// More was sent than a window allows.
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    /// A frame came on a stream that its sender had ended.
    pub const STREAM_CLOSED: Self = Self(5);
    /// A frame has a length that it can't have.
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    /// Nothing was done with the request.
    pub const REFUSED_STREAM: Self = Self(7);
    /// The stream is not wanted any more.
    pub const CANCEL: Self = Self(8);
    /// A field block can't be decoded.
    pub const COMPRESSION_ERROR: Self = Self(9);
    /// The peer makes more work than it should.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);
}

/// What breaks a rule that has no code of its own.
pub const WRONG: Fault = Fault(Code::PROTOCOL_ERROR);
