//! What other threads send to one that waits: a worker, or a thread of control's.
//!
//! The runtime here can't be woken from outside, so whoever sends writes a byte to a socket that the
//! receiver reads, as any connection is read, on either driver. Bytes are saved: while one is on its
//! way nobody writes another. Neither end takes a lock or waits for the other.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::buffer::Buffer;
use super::raw::RawStream;

/// The sender's end; clone it for each sender.
#[derive(Debug)]
pub struct Mailer<T> {
    items: SyncSender<T>,
    bell: Arc<Bell>,
}

/// Wakes a receiver that has nothing to receive.
#[derive(Debug, Clone)]
pub struct Waker(Arc<Bell>);

/// The receiver's end, on its way to its thread.
#[derive(Debug)]
pub struct Inbox<T> {
    items: Receiver<T>,
    ear: Ear,
}

/// The receiver's end on a worker.
pub struct WorkerInbox<T> {
    items: Receiver<T>,
    wire: RawStream,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Bell {
    /// A byte is on its way.
    rung: AtomicBool,
    wire: UnixStream,
}

#[derive(Debug)]
struct Ear {
    bell: Arc<Bell>,
    wire: UnixStream,
}

/// An inbox of so many places.
///
/// # Errors
/// Where no sockets can be had.
pub fn inbox<T>(places: usize) -> io::Result<(Mailer<T>, Inbox<T>)> {
    let (sender, receiver) = UnixStream::pair()?;
    sender.set_nonblocking(true)?;
    let bell = Arc::new(Bell { rung: AtomicBool::new(false), wire: sender });
    let (items, received) = sync_channel(places);
    let ear = Ear { bell: bell.clone(), wire: receiver };
    Ok((Mailer { items, bell }, Inbox { items: received, ear }))
}

impl<T> Clone for Mailer<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), bell: self.bell.clone() }
    }
}

impl<T> Mailer<T> {
    /// Sends an item and wakes the receiver, without waiting.
    ///
    /// # Errors
    /// The item: every place is taken, or the receiver is gone.
    pub fn send(&self, item: T) -> Result<(), T> {
        self.leave(item)?;
        self.bell.ring();
        Ok(())
    }

    /// Sends an item that the receiver finds when it looks next.
    ///
    /// # Errors
    /// As above.
    pub fn leave(&self, item: T) -> Result<(), T> {
        self.items.try_send(item).map_err(|error| match error {
            TrySendError::Full(item) | TrySendError::Disconnected(item) => item,
        })
    }
}

impl<T> Mailer<T> {
    /// Wakes the receiver.
    pub fn waker(&self) -> Waker {
        Waker(self.bell.clone())
    }
}

impl Waker {
    /// Lets the receiver look, whether or not there is an item.
    pub fn wake(&self) {
        self.0.ring();
    }
}

impl Bell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Nobody hears it who is gone; a full wire is heard.
            let _ = (&self.wire).write(&[1]);
        }
    }

    /// To be called before the items are looked for: what is sent from now on rings again.
    fn heard(&self) {
        // Exchanged, not stored: so the items of those who found it rung are seen.
        self.rung.swap(false, Ordering::AcqRel);
    }
}

impl<T> Inbox<T> {
    /// Waits until an item may be there, so long at most. Blocks the thread.
    pub fn wait(&mut self, within: Duration) {
        // A timeout of nothing would be none.
        let within = within.max(Duration::from_millis(1));
        let waited = self.ear.wire.set_read_timeout(Some(within));
        if waited.is_ok() && self.ear.wire.read(&mut [0; 16]).is_ok() {
            self.ear.bell.heard();
        }
    }

    /// The next item that is there.
    pub fn take(&mut self) -> Option<T> {
        self.items.try_recv().ok()
    }

    /// Takes it to this thread's driver.
    ///
    /// # Errors
    /// Where the driver does not take the socket.
    pub fn on_worker(self) -> io::Result<WorkerInbox<T>> {
        let Self { items, ear: Ear { bell, wire } } = self;
        wire.set_nonblocking(monoio::utils::is_legacy())?;
        let wire = RawStream::from_unix(wire)?;
        Ok(WorkerInbox { items, wire, bell })
    }
}

impl<T> WorkerInbox<T> {
    /// Waits until an item may be there. `false`: no more will come.
    pub async fn wait(&mut self) -> bool {
        // Without a buffer, so that a silent gateway holds none.
        if self.wire.readable().await.is_err() {
            return false;
        }
        let (result, _) = self.wire.read(Buffer::small()).await;
        self.bell.heard();
        result.is_ok_and(|n| n > 0)
    }

    /// The next item that is there.
    pub fn take(&mut self) -> Option<T> {
        self.items.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::io::{Driver, driver};

    #[test]
    fn a_thread_is_woken_by_what_is_sent() {
        let (mailer, mut inbox) = inbox(4).unwrap();
        assert_eq!(inbox.take(), None);
        mailer.send(1).unwrap();
        mailer.send(2).unwrap();
        inbox.wait(Duration::from_secs(10));
        assert_eq!((inbox.take(), inbox.take(), inbox.take()), (Some(1), Some(2), None));
        mailer.waker().wake();
        let begun = Instant::now();
        inbox.wait(Duration::from_secs(10));
        assert!(begun.elapsed() < Duration::from_secs(9) && inbox.take().is_none());
        let begun = Instant::now();
        inbox.wait(Duration::from_millis(20));
        assert!(begun.elapsed() >= Duration::from_millis(15));
        mailer.leave(3).unwrap();
        assert_eq!(inbox.take(), Some(3));
    }

    #[test]
    fn what_does_not_fit_comes_back() {
        let (mailer, inbox) = inbox(2).unwrap();
        assert!(mailer.send(1).is_ok() && mailer.send(2).is_ok());
        assert_eq!(mailer.send(3), Err(3));
        drop(inbox);
        assert_eq!(mailer.send(4), Err(4));
    }

    #[test]
    fn a_worker_is_woken_on_both_drivers() {
        for chosen in [driver::choose(crate::config::DriverChoice::Auto).unwrap().0, Driver::Epoll]
        {
            let (mailer, inbox) = inbox(8).unwrap();
            let sending = std::thread::spawn(move || {
                for n in 0..10_000u32 {
                    let mut item = n;
                    while let Err(back) = mailer.send(item) {
                        item = back;
                        std::thread::yield_now();
                    }
                }
            });
            let got = driver::block_on(chosen, async move {
                let mut inbox = inbox.on_worker().unwrap();
                let mut got = Vec::new();
                while got.len() < 10_000 && inbox.wait().await {
                    got.extend(std::iter::from_fn(|| inbox.take()));
                }
                got
            });
            sending.join().unwrap();
            assert_eq!(got.unwrap(), (0..10_000).collect::<Vec<_>>());
        }
    }
}
