//! Answers questions about who calls that workers can't answer from memory.
//!
//! One task takes all questions. The same question is asked once, however many requests wait for it.
//!
//! Invariants:
//! - What is asked at once, and what waits, is bounded; beyond that the answer comes at once, and is
//!   that there is none.
//! - A password is in memory only until its question is answered, and nowhere else.

mod passwords;
mod told;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::io::inbox::inbox;
use crate::io::{Inbox, Mailer};
use crate::limits::{INQUIRIES_QUEUED, INQUIRY_ANSWERS, PASSWORD_THREADS};
use crate::policy::auth::Digest;
use crate::session::inquiry::{Answer, Asker, Inquiry, Question, Reply};

use passwords::{Passwords, Taken, Verdict};
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
        let told = Arc::new(Told::default());
        let desk = Desk {
            mailers,
            told: told.clone(),
            waiting: HashMap::new(),
            passwords: Passwords::new(verdicts),
        };
        tokio::spawn(desk.serve(asked, found));
        let refused = told.clone();
        let asker: Asker = Arc::new(move |inquiry| {
            let taken = inquiries.try_send(inquiry).is_ok();
            if !taken {
                refused.passwords.overloaded();
            }
            taken
        });
        Ok((Self { asker, told }, inboxes))
    }

    /// Where workers ask.
    pub fn asker(&self) -> Asker {
        self.asker.clone()
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
}

impl Desk {
    async fn serve(
        mut self,
        mut inquiries: mpsc::Receiver<Inquiry>,
        mut verdicts: mpsc::Receiver<Verdict>,
    ) {
        loop {
            tokio::select! {
                Some(inquiry) = inquiries.recv() => self.asked(inquiry),
                Some((digest, is_right)) = verdicts.recv() => {
                    self.told.passwords.answered();
                    self.answer(&digest, &Answer::Password(is_right));
                    self.passwords.next();
                }
                else => break,
            }
        }
    }

    fn asked(&mut self, inquiry: Inquiry) {
        let Question::Password(question) = inquiry.question;
        let (who, digest) = ((inquiry.worker, inquiry.number), question.digest);
        if let Some(waiting) = self.waiting.get_mut(&digest) {
            return waiting.push(who);
        }
        match self.passwords.ask(question) {
            Taken::Yes => {
                self.told.passwords.asked();
                self.waiting.insert(digest, vec![who]);
            }
            Taken::No => {
                self.told.passwords.overloaded();
                self.reply(who, Answer::Overloaded);
            }
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
