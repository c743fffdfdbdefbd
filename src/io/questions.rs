//! Questions of a core's tasks that are answered elsewhere: each has a number under which its answer
//! comes back, and wakes the task that waits for it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The questions of a core that are open.
pub struct Questions<A> {
    next: Cell<u64>,
    open: RefCell<HashMap<u64, Open<A>>>,
}

enum Open<A> {
    /// Nobody has looked yet.
    Asked,
    Waiting(Waker),
    Answered(A),
}

/// The answer to one, when it is there. Dropped: nobody wants it any more.
pub struct Answer<A> {
    questions: Rc<Questions<A>>,
    number: u64,
}

impl<A> Default for Questions<A> {
    fn default() -> Self {
        Self { next: Cell::new(0), open: RefCell::default() }
    }
}

impl<A> Questions<A> {
    /// Opens one.
    pub fn ask(self: &Rc<Self>) -> Answer<A> {
        let number = self.next.get();
        self.next.set(number + 1);
        self.open.borrow_mut().insert(number, Open::Asked);
        Answer { questions: self.clone(), number }
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.borrow().len()
    }

    /// Answers one; what nobody wants any more is dropped.
    pub fn answer(&self, number: u64, answer: A) {
        let mut open = self.open.borrow_mut();
        let Some(question) = open.get_mut(&number) else { return };
        if let Open::Waiting(waker) = std::mem::replace(question, Open::Answered(answer)) {
            drop(open);
            waker.wake();
        }
    }
}

impl<A> Answer<A> {
    /// The question's number.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl<A> Future for Answer<A> {
    type Output = A;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A> {
        let mut open = self.questions.open.borrow_mut();
        match open.remove(&self.number) {
            Some(Open::Answered(answer)) => Poll::Ready(answer),
            _ => {
                open.insert(self.number, Open::Waiting(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl<A> Drop for Answer<A> {
    fn drop(&mut self) {
        self.questions.open.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn answers_go_to_whom_they_are_for() {
        let questions = Rc::new(Questions::default());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let (mut first, mut second) = (pin!(questions.ask()), pin!(questions.ask()));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        questions.answer(second.number(), "two");
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        assert_eq!(second.as_mut().poll(&mut cx), Poll::Ready("two"));
        questions.answer(first.number(), "one");
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(first.as_mut().poll(&mut cx), Poll::Ready("one"));
    }

    #[test]
    fn what_nobody_waits_for_is_forgotten() {
        let questions = Rc::new(Questions::default());
        let gone = questions.ask();
        let number = gone.number();
        drop(gone);
        questions.answer(number, ());
        assert!(questions.open.borrow().is_empty());
    }
}
