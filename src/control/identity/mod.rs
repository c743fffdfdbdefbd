//! Answers questions about who calls that workers can't answer from memory.
//!
//! One task takes all questions: passwords ([`passwords`]) are verified here, services outside are asked
//! ([`errands`]). The same question is asked once, however many requests wait for it on whichever worker.
//!
//! Invariants:
//! - What is asked at once, and what waits, is bounded; beyond that the answer comes at once, and is
//!   that there is none.
//! - A service that is slow holds up nobody who asks another.
//! - A password is in memory only until its question is answered, and nowhere else.

mod errands;
mod passwords;
mod told;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::io::inbox::inbox;
use crate::io::{Inbox, Mailer};
use crate::limits::{INQUIRIES_QUEUED, INQUIRY_ANSWERS, PASSWORD_THREADS, SERVICE_AT_ONCE};
use crate::policy::auth::{Digest, Service};
use crate::session::inquiry::{Answer, Asker, Inquiry, Question, Reply};

use errands::{Done, Errands};
use passwords::{Passwords, Taken, Verdict};
use told::Asked;
pub use told::{Counts, Told};

/// The owner's end.
pub struct Identity {
    asker: Asker,
    told: Arc<Told>,
}

impl Identity {
    /// Starts the task; with inboxes for the answers to each worker.
    ///
    /// # Errors
    /// Where no sockets can be had.
    pub fn start(workers: usize) -> io::Result<(Self, Vec<Inbox<Reply>>)> {
        let mails = (0..workers).map(|_| inbox(INQUIRY_ANSWERS)).collect::<io::Result<Vec<_>>>()?;
        let (mailers, inboxes) = mails.into_iter().unzip();
        let (inquiries, asked) = mpsc::channel(INQUIRIES_QUEUED);
        let (verdicts, found) = mpsc::channel(PASSWORD_THREADS);
        let (done, ends) = mpsc::channel(SERVICE_AT_ONCE);
        let told = Arc::new(Told::default());
        let desk = Desk {
            mailers,
            told: told.clone(),
            waiting: HashMap::new(),
            passwords: Passwords::new(verdicts),
            errands: Errands::new(done),
        };
        tokio::spawn(desk.serve(asked, found, ends));
        let refused = told.clone();
        let asker: Asker = Arc::new(move |inquiry| match inquiries.try_send(inquiry) {
            Ok(()) => true,
            Err(TrySendError::Full(inquiry) | TrySendError::Closed(inquiry)) => {
                match inquiry.question {
                    Question::Password(_) => refused.passwords.overloaded(),
                    Question::Errand(errand) => refused.of(&errand.service).overloaded(),
                }
                false
            }
        });
        Ok((Self { asker, told }, inboxes))
    }

    /// Where workers ask.
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// These services are asked, and no others.
    pub fn serve(&self, services: impl Iterator<Item = Arc<Service>>) {
        self.told.keep(services);
    }

    /// For who looks at it.
    pub fn told(&self) -> Arc<Told> {
        self.told.clone()
    }
}

/// The task's state.
struct Desk {
    mailers: Vec<Mailer<Reply>>,
    told: Arc<Told>,
    /// Who waits for the answer to which question: worker and number.
    waiting: HashMap<Digest, Vec<(usize, u64)>>,
    passwords: Passwords,
    errands: Errands,
}

impl Desk {
    async fn serve(
        mut self,
        mut inquiries: mpsc::Receiver<Inquiry>,
        mut verdicts: mpsc::Receiver<Verdict>,
        mut ends: mpsc::Receiver<Done>,
    ) {
        loop {
            tokio::select! {
                Some(inquiry) = inquiries.recv() => self.asked(inquiry),
                Some((digest, is_right)) = verdicts.recv() => {
                    self.told.passwords.answered();
                    self.answer(&digest, &Answer::Password(is_right));
                    self.passwords.next();
                }
                Some(done) = ends.recv() => self.done(done),
                else => break,
            }
        }
    }

    fn asked(&mut self, inquiry: Inquiry) {
        let who = (inquiry.worker, inquiry.number);
        match inquiry.question {
            Question::Password(question) => {
                let digest = question.digest;
                let ask = |desk: &mut Self| desk.passwords.ask(question);
                let told = self.told.clone();
                self.ask(who, digest, &told.passwords, ask);
            }
            Question::Errand(errand) => {
                let (digest, told) = (errand.digest, self.told.of(&errand.service));
                self.ask(who, digest, &told, |desk| desk.errands.ask(errand));
            }
        }
    }

    fn ask(
        &mut self,
        who: (usize, u64),
        digest: Digest,
        told: &Asked,
        ask: impl FnOnce(&mut Self) -> Taken,
    ) {
        if let Some(waiting) = self.waiting.get_mut(&digest) {
            told.joined();
            return waiting.push(who);
        }
        match ask(self) {
            Taken::Yes => {
                told.asked();
                self.waiting.insert(digest, vec![who]);
            }
            Taken::No => {
                told.overloaded();
                self.reply(who, Answer::Overloaded);
            }
        }
    }

    fn done(&mut self, Done { service, digest, result }: Done) {
        let told = self.told.of(&service);
        let answer = match result {
            Ok(answer) => {
                told.answered();
                answer
            }
            Err(why) => {
                told.failed(&service.name, &why);
                Answer::Failed
            }
        };
        self.answer(&digest, &answer);
        for late in self.errands.next(&service) {
            told.overloaded();
            self.answer(&late, &Answer::Overloaded);
        }
    }

    fn answer(&mut self, digest: &Digest, answer: &Answer) {
        for who in self.waiting.remove(digest).unwrap_or_default() {
            self.reply(who, answer.clone());
        }
    }

    fn reply(&self, (worker, number): (usize, u64), answer: Answer) {
        // A worker that takes no more answers lets its request wait until its time is over.
        let _ = self.mailers[worker].send((number, answer));
    }
}
