//! Access records of one core on their way to the writer.

use crate::limits::JOURNAL_BYTES;

/// Where a core's full buffers of records go: gives back an empty one to go on with.
pub type Sink = Box<dyn Fn(Vec<u8>, u32) -> Option<Vec<u8>>>;

/// Access records of one core on their way out.
pub struct Journal {
    sink: Sink,
    pending: Vec<u8>,
    records: u32,
}

impl Journal {
    /// Records go to `sink` in pieces of some `limits::JOURNAL_BYTES`.
    pub fn new(sink: Sink) -> Self {
        Self { sink, pending: Vec::new(), records: 0 }
    }

    /// Hands over what there is.
    pub fn flush(&mut self) {
        if self.records > 0 {
            let full = std::mem::take(&mut self.pending);
            self.pending = (self.sink)(full, self.records).unwrap_or_default();
            self.records = 0;
        }
    }

    pub(super) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.pending);
        self.records += 1;
        if self.pending.len() >= JOURNAL_BYTES {
            self.flush();
        }
    }
}
