//! The rest of a large message's content, moved from socket to socket without copying.

use std::io::ErrorKind;

use crate::io::clock;
use crate::io::splice::{Nonblocking, Pipe};
use crate::limits::{PIPE_BYTES, SPLICE_MIN};

use super::pump::{Pace, Pump, Stop};

impl Pump<'_> {
    /// Whether what is left is better moved without copying.
    pub(super) fn can_splice(&self) -> bool {
        self.may_splice && self.left() > SPLICE_MIN
    }

    fn left(&self) -> u64 {
        self.announced.saturating_sub(self.passed)
    }

    /// Moves the rest. Only for content of a known length that is sent as it comes.
    pub(super) async fn splice(&mut self, mut pipe: Pipe) -> Result<(), Stop> {
        let nonblocking = Nonblocking::set([self.from.stream.fd(), self.to.stream.fd()]);
        let result = self.splice_through(&mut pipe).await;
        drop(nonblocking);
        pipe.give_back();
        result
    }

    async fn splice_through(&mut self, pipe: &mut Pipe) -> Result<(), Stop> {
        let mut reading = Pace::default();
        let mut writing = Pace::default();
        while self.left() > 0 {
            let max = usize::try_from(self.left()).unwrap_or(usize::MAX).min(PIPE_BYTES);
            let n = self.fill(pipe, max, &mut reading).await?;
            self.passed += n as u64;
            while pipe.held() > 0 {
                self.empty(pipe, &mut writing).await?;
            }
        }
        Ok(())
    }

    async fn fill(&self, pipe: &mut Pipe, max: usize, pace: &mut Pace) -> Result<usize, Stop> {
        loop {
            match pipe.fill(self.from.stream.fd(), max) {
                Ok(0) if self.from.guard.expired().is_some() => return Err(Stop::SenderSlow),
                Ok(0) => return Err(Stop::SenderClosed),
                Ok(n) => return Ok(n),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Err(Stop::SenderClosed),
            }
            self.from.arm(pace);
            let ready = self.from.stream.readable().await;
            if ready.is_err() || self.from.guard.expired().is_some() {
                return Err(Stop::SenderSlow);
            }
            self.from.guard.disarm();
        }
    }

    async fn empty(&mut self, pipe: &mut Pipe, pace: &mut Pace) -> Result<(), Stop> {
        let began = clock::coarse_ns();
        match pipe.empty(self.to.stream.fd(), self.left() > 0) {
            Ok(n) => {
                self.written += n as u64;
                pace.add(began, n);
                return Ok(());
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Err(Stop::ReaderClosed),
        }
        self.to.arm_write(pace);
        let ready = self.to.stream.writable().await;
        pace.add(began, 0);
        if ready.is_err() || self.to.guard.expired().is_some() {
            return Err(Stop::ReaderSlow);
        }
        self.to.guard.disarm();
        Ok(())
    }
}
