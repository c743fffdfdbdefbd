//! Questions about who calls that take more than a look into memory: control answers them, and the
//! request waits without keeping its core. What was answered lately is looked at first.

use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::io::{self, Inbox, Questions};
use crate::limits::{
    INQUIRIES_OPEN, PASSWORD_BAD_S, PASSWORD_GOOD_S, PASSWORD_WAIT, PASSWORDS_REMEMBERED,
};
use crate::policy::auth::introspection::Said;
use crate::policy::auth::{Digest, NoAnswer, PasswordQuestion, Remembered, Service, forward_auth};

/// What is asked.
pub enum Question {
    /// Whether a password is a user's.
    Password(Box<PasswordQuestion>),
    /// What a service outside knows.
    Errand(Errand),
}

impl Question {
    /// Who is asked.
    fn whom(&self) -> &str {
        match self {
            Self::Password(_) => "password",
            Self::Errand(errand) => &errand.service.name,
        }
    }
}

/// A question to a service outside.
pub struct Errand {
    /// What it is known by: those who ask the same at the same time get the same answer.
    pub digest: Digest,
    /// Who is asked.
    pub service: Arc<Service>,
    /// Asks, once it is polled, where waiting keeps nobody; or says, for the log, why there is no answer.
    pub work: Work,
}

/// What an errand takes.
pub type Work = Pin<Box<dyn Future<Output = Result<Answer, String>> + Send>>;

/// A question on its way to control.
pub struct Inquiry {
    /// Which core asks.
    pub worker: usize,
    /// The question's number.
    pub number: u64,
    /// What is asked.
    pub question: Question,
}

/// What control says.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Whether the password is the user's.
    Password(bool),
    /// What a server says of a token.
    Token(Arc<Said>),
    /// What a service says of a request.
    Judged(Arc<forward_auth::Answer>),
    /// Others are asked about first, and they are too many.
    Overloaded,
    /// The service did not answer, or not so that it could be understood.
    Failed,
}

/// A question's number and its answer.
pub type Reply = (u64, Answer);

/// Takes a question to control without waiting; `false`: there is no room for it.
pub type Asker = Arc<dyn Fn(Inquiry) -> bool + Send + Sync>;

/// A core's way to ask control.
pub struct Line {
    /// Where questions go.
    pub asker: Asker,
    /// Where answers come in.
    pub replies: Inbox<Reply>,
}

/// A core's questions, and what it remembers of answers.
pub struct Inquiries {
    worker: usize,
    asker: Asker,
    questions: Rc<Questions<Answer>>,
    /// By who is asked. Whoever waits holds one more of them.
    places: HashMap<Box<str>, Rc<()>>,
    right: Remembered<()>,
    wrong: Remembered<()>,
}

impl Inquiries {
    /// Questions of this worker.
    pub fn new(worker: usize, asker: Asker) -> Self {
        let (right, wrong) = (Remembered::default(), Remembered::default());
        let (questions, places) = (Rc::default(), HashMap::new());
        Self { worker, asker, questions, places, right, wrong }
    }

    /// Which core asks.
    pub(super) fn worker(&self) -> usize {
        self.worker
    }

    /// The open questions, for who answers them.
    pub fn questions(&self) -> Rc<Questions<Answer>> {
        self.questions.clone()
    }

    /// What was said of a password lately.
    pub(super) fn password(&mut self, digest: &Digest, now_s: u64) -> Option<bool> {
        let is_in =
            |kept: &mut Remembered<()>| kept.get(digest, now_s, PASSWORDS_REMEMBERED).is_some();
        match is_in(&mut self.right) {
            true => Some(true),
            false => is_in(&mut self.wrong).then_some(false),
        }
    }

    /// Remembers what was said of a password. Many wrong ones never drive out a right one.
    pub(super) fn remember(&mut self, digest: Digest, is_right: bool, now_s: u64) {
        let (kept, for_s) = match is_right {
            true => (&mut self.right, PASSWORD_GOOD_S),
            false => (&mut self.wrong, PASSWORD_BAD_S),
        };
        kept.put(digest, ((), 1), now_s + for_s, PASSWORDS_REMEMBERED);
    }

    /// Asks, and waits so long at most. Not while this is borrowed.
    fn ask(
        &mut self,
        question: Question,
        within: Duration,
    ) -> impl Future<Output = Result<Answer, NoAnswer>> + use<> {
        let place = self.place(question.whom());
        let asked = place.map(|place| (place, self.questions.ask())).filter(|(_, answer)| {
            let (worker, number) = (self.worker, answer.number());
            (self.asker)(Inquiry { worker, number, question })
        });
        async move {
            let (_place, answer) = asked.ok_or(NoAnswer::Overloaded)?;
            match io::timeout(within, answer).await {
                Some(Answer::Overloaded) => Err(NoAnswer::Overloaded),
                Some(Answer::Failed) => Err(NoAnswer::Failed),
                Some(answer) => Ok(answer),
                None => Err(NoAnswer::Late),
            }
        }
    }

    /// A place to wait for an answer in, where more are free than wait for one of the same.
    fn place(&mut self, whom: &str) -> Option<Rc<()>> {
        let free = INQUIRIES_OPEN.saturating_sub(self.questions.open());
        if !self.places.contains_key(whom) {
            // Of those that nobody waits for, some may not even be there any more.
            self.places.retain(|_, places| Rc::strong_count(places) > 1);
            self.places.insert(whom.into(), Rc::default());
        }
        let places = self.places.get(whom)?;
        (Rc::strong_count(places) <= free).then(|| places.clone())
    }

    /// Asks whether a password is a user's.
    pub(super) fn ask_password(
        &mut self,
        question: Box<PasswordQuestion>,
    ) -> impl Future<Output = Result<bool, NoAnswer>> + use<> {
        let answer = self.ask(Question::Password(question), PASSWORD_WAIT);
        async move {
            match answer.await? {
                Answer::Password(is_right) => Ok(is_right),
                _ => Err(NoAnswer::Failed),
            }
        }
    }

    /// Has a service asked.
    pub(super) fn ask_service(
        &mut self,
        errand: Errand,
    ) -> impl Future<Output = Result<Answer, NoAnswer>> + use<> {
        let patience = errand.service.patience();
        self.ask(Question::Errand(errand), patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_service_leaves_places_for_others() {
        let mut inquiries = Inquiries::new(0, Arc::new(|_| true));
        let mut wait = |name: &str| {
            let service = Arc::new(Service::new(name, Duration::ZERO, [0; 32], 1));
            let work = Box::pin(std::future::pending());
            let question = Question::Errand(Errand { digest: [0; 32], service, work });
            inquiries.place(question.whom())?;
            Some(inquiries.ask(question, Duration::ZERO))
        };
        let mut fill = |name: &str| std::iter::from_fn(|| wait(name)).collect::<Vec<_>>();
        let slow = fill("slow");
        assert_eq!(slow.len(), INQUIRIES_OPEN / 2);
        let others = ["a", "b", "c"].map(&mut fill);
        assert!(others.iter().all(|waiting| !waiting.is_empty()));
        // Who leaves, leaves a place.
        drop((slow, others));
        assert_eq!(fill("a").len(), INQUIRIES_OPEN / 2);
    }

    #[test]
    fn wrong_passwords_drive_out_no_right_one() {
        let mut inquiries = Inquiries::new(0, Arc::new(|_| false));
        inquiries.remember([255; 32], true, 100);
        for n in 0..PASSWORDS_REMEMBERED as u64 * 2 {
            inquiries.remember(*blake3::hash(&n.to_le_bytes()).as_bytes(), false, 100);
        }
        assert_eq!(inquiries.password(&[255; 32], 101), Some(true));
        assert_eq!(inquiries.password(&[255; 32], 100 + PASSWORD_GOOD_S), None);
        inquiries.remember([254; 32], false, 100);
        assert_eq!(inquiries.password(&[254; 32], 101), Some(false));
        assert_eq!(inquiries.password(&[254; 32], 100 + PASSWORD_BAD_S), None);
    }
}
