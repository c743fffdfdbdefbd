//! Kinds of frames, their flags and settings (RFC 9113 section 6).

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITIZED: u8 = 0x20;

/// SETTINGS_HEADER_TABLE_SIZE.
pub(super) const TABLE_SIZE: u16 = 1;
/// SETTINGS_ENABLE_PUSH.
pub(super) const PUSH: u16 = 2;
/// SETTINGS_MAX_CONCURRENT_STREAMS.
pub(super) const STREAMS: u16 = 3;
/// SETTINGS_INITIAL_WINDOW_SIZE.
pub(super) const WINDOW: u16 = 4;
/// SETTINGS_MAX_FRAME_SIZE.
pub(super) const FRAME_SIZE: u16 = 5;
/// SETTINGS_MAX_HEADER_LIST_SIZE.
pub(super) const HEAD_SIZE: u16 = 6;
/// SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441).
pub(super) const TUNNELS: u16 = 8;
