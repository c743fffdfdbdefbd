//! Two halves of one exchange, driven by one task.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// How [`until_second`] ended.
#[derive(Debug)]
pub struct Halves<A, B> {
    /// The first's output, if it finished.
    pub first: Option<A>,
    /// The second's output; `None` only where `stop` held of the first's.
    pub second: Option<B>,
}

/// Drives both until both are done.
pub async fn both(first: impl Future<Output = ()>, second: impl Future<Output = ()>) {
    let mut first = pin!(first);
    let mut second = pin!(second);
    let mut done = (false, false);
    poll_fn(move |cx| {
        done.0 = done.0 || first.as_mut().poll(cx).is_ready();
        done.1 = done.1 || second.as_mut().poll(cx).is_ready();
        if done == (true, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Drives both until both are done, or until one fails: then the other is dropped, and what it waits for
/// must be closed.
pub async fn either_fails<E>(
    first: impl Future<Output = Result<(), E>>,
    second: impl Future<Output = Result<(), E>>,
) -> Option<E> {
    let mut first = pin!(first);
    let mut second = pin!(second);
    let mut done = (false, false);
    poll_fn(move |cx| {
        if !done.0
            && let Poll::Ready(result) = first.as_mut().poll(cx)
        {
            match result {
                Ok(()) => done.0 = true,
                Err(error) => return Poll::Ready(Some(error)),
            }
        }
        if !done.1
            && let Poll::Ready(result) = second.as_mut().poll(cx)
        {
            match result {
                Ok(()) => done.1 = true,
                Err(error) => return Poll::Ready(Some(error)),
            }
        }
        if done == (true, true) { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

/// Drives both until the second is done, or until the first is done with an output for which
/// `stop` holds. What is unfinished then is dropped: its connection must be closed.
pub async fn until_second<A, B>(
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
    stop: impl Fn(&A) -> bool,
) -> Halves<A, B> {
    let mut first = pin!(first);
    let mut second = pin!(second);
    let mut done = None;
    poll_fn(move |cx| {
        if done.is_none()
            && let Poll::Ready(output) = first.as_mut().poll(cx)
        {
            let stopped = stop(&output);
            done = Some(output);
            if stopped {
                return Poll::Ready(Halves { first: done.take(), second: None });
            }
        }
        match second.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Halves { first: done.take(), second: Some(output) }),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
