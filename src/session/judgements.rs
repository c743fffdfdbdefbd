//! What services said of requests lately, as one core remembers it.

use std::sync::Arc;

use crate::limits::{FORWARD_AUTH_ALLOWED, FORWARD_AUTH_DENIED};
use crate::policy::auth::forward_auth::{Answer, Verdict};
use crate::policy::auth::{Digest, Remembered};

/// Answers by their questions.
#[derive(Default)]
pub(super) struct Judgements {
    allowed: Remembered<Arc<Answer>>,
    denied: Remembered<Arc<Answer>>,
}

impl Judgements {
    /// What was said. Times are nanoseconds of the core's clock.
    pub(super) fn of(&mut self, digest: &Digest, now_ns: u64) -> Option<Arc<Answer>> {
        let allowed = self.allowed.get(digest, now_ns, FORWARD_AUTH_ALLOWED);
        allowed.or_else(|| self.denied.get(digest, now_ns, FORWARD_AUTH_DENIED))
    }

    /// Remembers an answer for as long as it holds. The last one counts, whatever was said before.
    pub(super) fn remember(&mut self, digest: Digest, answer: &Arc<Answer>, now_ns: u64) {
        let Some(holds) = answer.holds else { return };
        let holds_ns = u64::try_from(holds.as_nanos()).unwrap_or(u64::MAX);
        let (ends_at, weighed) =
            (now_ns.saturating_add(holds_ns), (answer.clone(), answer.weight()));
        match answer.verdict {
            Verdict::Passes(_) => {
                self.denied.forget(&digest);
                self.allowed.put(digest, weighed, ends_at, FORWARD_AUTH_ALLOWED);
            }
            Verdict::Refuses(_) => {
                self.allowed.forget(&digest);
                self.denied.put(digest, weighed, ends_at, FORWARD_AUTH_DENIED);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::auth::forward_auth::Refused;

    fn answer(verdict: Verdict, holds_ns: Option<u64>) -> Arc<Answer> {
        Arc::new(Answer { number: 1, verdict, holds: holds_ns.map(Duration::from_nanos) })
    }

    fn refused(content: usize) -> Verdict {
        let (content_type, content) = (String::new(), vec![0; content]);
        Verdict::Refuses(Refused { status: 401, content_type, fields: Vec::new(), content })
    }

    #[test]
    fn the_last_answer_counts_for_as_long_as_it_holds() {
        let mut kept = Judgements::default();
        let (yes, no) =
            (answer(Verdict::Passes(Vec::new()), Some(10)), answer(refused(0), Some(5)));
        kept.remember([1; 32], &yes, 100);
        assert_eq!(kept.of(&[1; 32], 109).as_ref(), Some(&yes));
        assert_eq!((kept.of(&[1; 32], 110), kept.of(&[2; 32], 100)), (None, None));
        kept.remember([1; 32], &yes, 100);
        kept.remember([1; 32], &no, 101);
        assert_eq!(kept.of(&[1; 32], 105).as_ref(), Some(&no));
        assert_eq!(kept.of(&[1; 32], 106), None);
        kept.remember([1; 32], &no, 101);
        kept.remember([1; 32], &yes, 101);
        assert_eq!(kept.of(&[1; 32], 105).as_ref(), Some(&yes));
        kept.remember([3; 32], &answer(refused(0), None), 100);
        assert_eq!(kept.of(&[3; 32], 100), None);
    }

    #[test]
    fn who_is_refused_drives_out_nobody_who_passes() {
        let mut kept = Judgements::default();
        kept.remember([255; 32], &answer(Verdict::Passes(Vec::new()), Some(100)), 0);
        let large = answer(refused(60_000), Some(100));
        for n in 0..1000u64 {
            kept.remember(*blake3::hash(&n.to_le_bytes()).as_bytes(), &large, 0);
        }
        assert!(kept.of(&[255; 32], 1).is_some());
    }
}
