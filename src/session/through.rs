//! The rest of a large message's content, moved from socket to socket without copying.

use std::io::ErrorKind;

use crate::io::splice::{Nonblocking, Pipe};
use crate::io::{Stream, clock};
use crate::limits::{PIPE_BYTES, SPLICE_MIN};

use super::pump::{Pace, Pump, Stop};

impl<'a> Pump<'a> {
    /// The connections, where what is left is better moved without copying.
    pub(super) fn can_splice(&self) -> Option<[&'a Stream; 2]> {
        self.may_splice.filter(|_| self.left() > SPLICE_MIN)
    }

    fn left(&self) -> u64 {
        self.announced.saturating_sub(self.passed)
    }

    /// Moves the rest. Only for content of a known length that is sent as it comes.
    pub(super) async fn splice(
        &mut self,
        [from, to]: [&Stream; 2],
        mut pipe: Pipe,
    ) -> Result<(), Stop> {
        let nonblocking = Nonblocking::set([from.fd(), to.fd()]);
        let result = self.splice_through(from, to, &mut pipe).await;
        drop(nonblocking);
        pipe.give_back();
        result
    }

    async fn splice_through(
        &mut self,
        from: &Stream,
        to: &Stream,
        pipe: &mut Pipe,
    ) -> Result<(), Stop> {
        let mut reading = Pace::default();
        let mut writing = Pace::default();
        while self.left() > 0 {
            let max = usize::try_from(self.left()).unwrap_or(usize::MAX).min(PIPE_BYTES);
            let n = self.fill(from, pipe, max, &mut reading).await?;
            self.passed += n as u64;
            while pipe.held() > 0 {
                self.empty(to, pipe, &mut writing).await?;
            }
        }
        Ok(())
    }

    async fn fill(
        &self,
        from: &Stream,
        pipe: &mut Pipe,
        max: usize,
        pace: &mut Pace,
    ) -> Result<usize, Stop> {
        loop {
            match pipe.fill(from.fd(), max) {
                Ok(0) if self.from.guard.expired().is_some() => return Err(Stop::SenderSlow),
                Ok(0) => return Err(Stop::SenderClosed),
                Ok(n) => return Ok(n),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Err(Stop::SenderClosed),
            }
            self.from.arm(pace);
            let ready = from.readable().await;
            if ready.is_err() || self.from.guard.expired().is_some() {
                return Err(Stop::SenderSlow);
            }
            self.from.guard.disarm();
        }
    }

    async fn empty(&mut self, to: &Stream, pipe: &mut Pipe, pace: &mut Pace) -> Result<(), Stop> {
        let began = clock::coarse_ns();
        match pipe.empty(to.fd(), self.left() > 0) {
            Ok(n) => {
                self.written += n as u64;
                pace.add(began, n);
                return Ok(());
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Err(Stop::ReaderClosed),
        }
        self.to.arm_write(pace);
        let ready = to.writable().await;
        pace.add(began, 0);
        if ready.is_err() || self.to.guard.expired().is_some() {
            return Err(Stop::ReaderSlow);
        }
        self.to.guard.disarm();
        Ok(())
    }
}
