//! The access log's writer: one thread that appends what workers hand over.
//!
//! Workers never wait for it. They offer whole records in chunks; when as many bytes as
//! `access_log.queue` allows are waiting, further chunks are dropped and their records counted.
//! When the disk is full the writer drops and counts too, and says so once a minute.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::limits::{LOG_QUEUE_CHUNKS, LOG_RECYCLED_BUFFERS, LOG_RECYCLED_CAPACITY};

/// How often a write error is told in the gateway's own log.
const ERROR_EVERY: Duration = Duration::from_secs(60);
/// How long the writer sleeps when nothing waits. It looks instead of being woken, so that a worker
/// that hands over records pays for neither a system call nor the channel's lock of sleepers.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogDestination {
    /// Standard output.
    Stdout,
    /// A file, appended to; created with mode 0640.
    File(PathBuf),
}

/// What became of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogCounts {
    /// Records written.
    pub written: u64,
    /// Records dropped because the queue was full.
    pub dropped: u64,
    /// Records lost to write errors.
    pub failed: u64,
    /// Bytes waiting to be written.
    pub queued_bytes: usize,
    /// Times the file was opened again on request.
    pub reopened: u64,
}

struct Chunk {
    bytes: Vec<u8>,
    records: u32,
}

/// What sinks, the writer and its owner share. Nothing here is locked by a worker.
#[derive(Debug)]
struct Shared {
    /// Bytes that may wait.
    queue: AtomicUsize,
    queued: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    reopened: AtomicU64,
    reopen: AtomicBool,
    stop: AtomicBool,
    done: AtomicBool,
    /// Where to from the next reopen on.
    destination: Mutex<LogDestination>,
}

impl Shared {
    fn counts(&self) -> LogCounts {
        LogCounts {
            written: self.written.load(Acquire),
            dropped: self.dropped.load(Relaxed),
            failed: self.failed.load(Acquire),
            queued_bytes: self.queued.load(Relaxed),
            reopened: self.reopened.load(Relaxed),
        }
    }
}

/// A worker's end: clone it for each worker.
#[derive(Debug, Clone)]
pub struct LogSink {
    chunks: SyncSender<Chunk>,
    recycled: Arc<Recycled>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chunk({} records, {} bytes)", self.records, self.bytes.len())
    }
}

impl LogSink {
    /// Hands over `bytes`, which hold `records` whole records, without ever waiting. Gives an
    /// empty buffer back where one is at hand: a used one, or `bytes` itself, cleared, when it had
    /// to be dropped.
    pub fn offer(&self, mut bytes: Vec<u8>, records: u32) -> Option<Vec<u8>> {
        let len = bytes.len();
        let waiting = self.shared.queued.fetch_add(len, Relaxed);
        let fits = waiting.saturating_add(len) <= self.shared.queue.load(Relaxed);
        if fits {
            match self.chunks.try_send(Chunk { bytes, records }) {
                Ok(()) => return self.recycled.take(),
                Err(TrySendError::Full(chunk) | TrySendError::Disconnected(chunk)) => {
                    bytes = chunk.bytes;
                }
            }
        }
        self.shared.queued.fetch_sub(len, Relaxed);
        self.shared.dropped.fetch_add(u64::from(records), Relaxed);
        bytes.clear();
        Some(bytes)
    }
}

/// Empty buffers on their way back. Taken and put with `try_lock` by workers, so nobody waits.
#[derive(Debug, Default)]
struct Recycled(Mutex<Vec<Vec<u8>>>);

impl Recycled {
    fn take(&self) -> Option<Vec<u8>> {
        self.0.try_lock().ok()?.pop()
    }

    fn put(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let Ok(mut buffers) = self.0.try_lock() else { return };
        if buffers.len() < LOG_RECYCLED_BUFFERS && buffer.capacity() <= LOG_RECYCLED_CAPACITY {
            buffers.push(buffer);
        }
    }
}

/// The owner's end of the writer thread.
#[derive(Debug)]
pub struct LogWriter {
    sink: LogSink,
    thread: JoinHandle<()>,
}

impl LogWriter {
    /// Opens the destination and starts the thread. `queue`: bytes that may wait.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread not started.
    pub fn start(destination: LogDestination, queue: usize) -> io::Result<Self> {
        let output = Output::open(&destination)?;
        let (sender, receiver) = sync_channel(LOG_QUEUE_CHUNKS);
        let shared = Arc::new(Shared {
            queue: AtomicUsize::new(queue),
            queued: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            reopened: AtomicU64::new(0),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            done: AtomicBool::new(false),
            destination: Mutex::new(destination),
        });
        let recycled = Arc::new(Recycled::default());
        let mut run = Run {
            output,
            recycled: Arc::clone(&recycled),
            shared: Arc::clone(&shared),
            torn: false,
            told: None,
        };
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || run.until_stopped(&receiver))?;
        Ok(Self { sink: LogSink { chunks: sender, recycled, shared }, thread })
    }

    /// A sink for a worker.
    pub fn sink(&self) -> LogSink {
        self.sink.clone()
    }

    /// Has the file opened again (SIGUSR1 after it was rotated away). What waits in the queue goes
    /// to the new file.
    pub fn reopen(&self) {
        self.sink.shared.reopen.store(true, Relaxed);
    }

    /// Takes over settings that a reload changed; an unchanged destination stays open.
    pub fn change(&self, destination: LogDestination, queue: usize) {
        self.sink.shared.queue.store(queue, Relaxed);
        let mut current = lock(&self.sink.shared.destination);
        if *current != destination {
            *current = destination;
            self.reopen();
        }
    }

    /// What became of the records so far.
    pub fn counts(&self) -> LogCounts {
        self.sink.shared.counts()
    }

    /// The same for somebody who may outlive the writer.
    pub fn counter(&self) -> impl Fn() -> LogCounts + Send + Sync + 'static {
        let shared = Arc::clone(&self.sink.shared);
        move || shared.counts()
    }

    /// Writes what waits and ends the thread. `false` when that took longer than `deadline`: the
    /// thread (stuck in a write) is then left behind.
    pub fn finish(self, deadline: Duration) -> bool {
        let shared = Arc::clone(&self.sink.shared);
        shared.stop.store(true, Relaxed);
        let until = Instant::now() + deadline;
        while !shared.done.load(Relaxed) {
            if Instant::now() >= until {
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        self.thread.join().is_ok()
    }
}

fn lock(destination: &Mutex<LogDestination>) -> MutexGuard<'_, LogDestination> {
    destination.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open destination.
enum Output {
    Stdout(io::Stdout),
    File(File),
}

impl Output {
    fn open(destination: &LogDestination) -> io::Result<Self> {
        match destination {
            LogDestination::Stdout => Ok(Self::Stdout(io::stdout())),
            LogDestination::File(path) => open_file(path).map(Self::File),
        }
    }

    /// Writes all of it; when that fails, also says how many bytes went out.
    fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut out = 0;
        while out < bytes.len() {
            match self.write_some(&bytes[out..]) {
                Ok(0) => return Err((out, io::ErrorKind::WriteZero.into())),
                Ok(n) => out += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((out, error)),
            }
        }
        Ok(())
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            // Flushed, so that nothing of ours waits in its line buffer.
            Self::Stdout(stdout) => {
                let mut stdout = stdout.lock();
                let n = stdout.write(bytes)?;
                stdout.flush().map(|()| n)
            }
            Self::File(file) => file.write(bytes),
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// The thread's state.
struct Run {
    output: Output,
    recycled: Arc<Recycled>,
    shared: Arc<Shared>,
    /// The last line written has no end.
    torn: bool,
    /// When an error was last told.
    told: Option<Instant>,
}

impl Run {
    fn until_stopped(&mut self, chunks: &Receiver<Chunk>) {
        loop {
            let stop = self.shared.stop.load(Relaxed);
            self.write_what_waits(chunks);
            if stop {
                break;
            }
            self.reopen_if_asked();
            std::thread::sleep(LOOK_EVERY);
        }
        self.shared.done.store(true, Relaxed);
    }

    /// Writes what waits, a whole queue at most: then a reopen or a stop is looked for.
    fn write_what_waits(&mut self, chunks: &Receiver<Chunk>) {
        for _ in 0..LOG_QUEUE_CHUNKS {
            let Ok(chunk) = chunks.try_recv() else { break };
            self.write(chunk);
        }
    }

    fn write(&mut self, chunk: Chunk) {
        let records = u64::from(chunk.records);
        let result = self.mend().and_then(|()| self.output.write(&chunk.bytes));
        if let Err((out, error)) = &result {
            self.torn |= *out > 0 && chunk.bytes[out - 1] != b'\n';
            self.tell("cannot write to the access log", error);
        }
        self.shared.queued.fetch_sub(chunk.bytes.len(), Relaxed);
        self.recycled.put(chunk.bytes);
        // Counted last: whoever sees the count sees the chunk gone and its buffer back.
        let count = if result.is_ok() { &self.shared.written } else { &self.shared.failed };
        count.fetch_add(records, Release);
    }

    /// Ends the line that a failed write left unfinished, so that it spoils no record after it.
    fn mend(&mut self) -> Result<(), (usize, io::Error)> {
        if self.torn {
            self.output.write(b"\n").map_err(|(_, error)| (0, error))?;
            self.torn = false;
        }
        Ok(())
    }

    /// Opens the destination again where that was asked for; keeps the old one when it fails.
    fn reopen_if_asked(&mut self) {
        if !self.shared.reopen.swap(false, Relaxed) {
            return;
        }
        let destination = lock(&self.shared.destination).clone();
        match Output::open(&destination) {
            Ok(output) => {
                self.output = output;
                self.torn = false;
                self.shared.reopened.fetch_add(1, Relaxed);
            }
            Err(error) => self.tell("cannot open the access log", &error),
        }
    }

    fn tell(&mut self, what: &str, error: &io::Error) {
        if self.told.is_none_or(|told| told.elapsed() >= ERROR_EVERY) {
            self.told = Some(Instant::now());
            let lost = self.shared.failed.load(Relaxed);
            tracing::error!(%error, lost, "{what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const SOON: Duration = Duration::from_secs(10);

    fn wait(what: impl Fn() -> bool) {
        let until = Instant::now() + SOON;
        while !what() {
            assert!(Instant::now() < until, "in time");
            std::thread::yield_now();
        }
    }

    #[test]
    fn records_reach_the_file_in_order_and_buffers_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let writer = LogWriter::start(LogDestination::File(path.clone()), 1 << 20).unwrap();
        let sink = writer.sink();
        assert!(sink.offer(b"one\n".to_vec(), 1).is_none());
        wait(|| writer.counts().written == 1);
        let back = sink.offer(b"two\nthree\n".to_vec(), 2);
        assert!(back.is_some_and(|b| b.is_empty() && b.capacity() >= 4));
        assert!(writer.finish(SOON));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
    }

    #[test]
    fn beyond_its_bytes_the_queue_drops_and_counts() {
        let dir = tempfile::tempdir().unwrap();
        let destination = LogDestination::File(dir.path().join("access.log"));
        let writer = LogWriter::start(destination, 8).unwrap();
        let sink = writer.sink();
        let back = sink.offer(vec![b'x'; 9], 3);
        assert_eq!(back.map(|b| b.len()), Some(0));
        assert_eq!(writer.counts(), LogCounts { dropped: 3, ..LogCounts::default() });
        sink.offer(vec![b'x'; 8], 1);
        wait(|| writer.counts().written == 1);
        assert_eq!(writer.counts().queued_bytes, 0);
        assert!(writer.finish(SOON));
    }

    #[test]
    fn a_rotated_file_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let writer = LogWriter::start(LogDestination::File(path.clone()), 1 << 20).unwrap();
        let sink = writer.sink();
        sink.offer(b"before\n".to_vec(), 1);
        wait(|| writer.counts().written == 1);
        let old = dir.path().join("access.log.1");
        std::fs::rename(&path, &old).unwrap();
        writer.reopen();
        wait(|| writer.counts().reopened == 1);
        sink.offer(b"after\n".to_vec(), 1);
        let other = dir.path().join("other.log");
        wait(|| writer.counts().written == 2);
        writer.change(LogDestination::File(other.clone()), 1 << 20);
        wait(|| writer.counts().reopened == 2);
        sink.offer(b"elsewhere\n".to_vec(), 1);
        assert!(writer.finish(SOON));
        assert_eq!(std::fs::read_to_string(old).unwrap(), "before\n");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "after\n");
        assert_eq!(std::fs::read_to_string(other).unwrap(), "elsewhere\n");
    }

    #[test]
    fn a_full_disk_is_counted_and_stops_nobody() {
        let destination = LogDestination::File("/dev/full".into());
        let writer = LogWriter::start(destination, 1 << 20).unwrap();
        let sink = writer.sink();
        sink.offer(b"lost\n".to_vec(), 1);
        sink.offer(b"lost\nlost\n".to_vec(), 2);
        wait(|| writer.counts().failed == 3);
        assert!(writer.finish(SOON));
    }

    #[test]
    fn a_sink_that_outlives_the_writer_drops() {
        let dir = tempfile::tempdir().unwrap();
        let destination = LogDestination::File(dir.path().join("access.log"));
        let writer = LogWriter::start(destination, 1 << 20).unwrap();
        let (sink, counts) = (writer.sink(), writer.counter());
        assert!(writer.finish(SOON));
        assert!(sink.offer(b"late\n".to_vec(), 1).is_some());
        assert_eq!(counts().dropped, 1);
        assert!(LogWriter::start(LogDestination::File(dir.path().into()), 1).is_err());
    }
}
