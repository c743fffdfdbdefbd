//! A read that is pending before anybody expects bytes.
//!
//! A kept upstream connection must be silent until its next request. A read that waits on it all
//! the while sees an end of file or stray bytes without a system call at reuse, and is then the
//! read that the answer needs anyway.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::buffer::Buffer;
use super::stream::Stream;

/// A pending read; dropping it cancels it, so the connection must then be closed.
pub struct ArmedRead {
    read: Pin<Box<dyn Future<Output = (io::Result<usize>, Buffer)>>>,
}

impl ArmedRead {
    /// Begins to read. `None`: there was something to read already.
    pub fn begin(stream: Rc<Stream>, buffer: Buffer) -> Option<Self> {
        let read = Box::pin(async move { stream.read(buffer).await });
        let mut armed = Self { read };
        armed.is_silent().then_some(armed)
    }

    /// Whether nothing has come. Where something has, the connection is of no more use.
    pub fn is_silent(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.read.as_mut().poll(&mut context).is_pending()
    }

    /// Waits for the bytes.
    pub async fn finish(mut self) -> (io::Result<usize>, Buffer) {
        poll_fn(|cx| match self.read.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}
