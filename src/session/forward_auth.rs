//! Asks the service that a route names whether a request may pass. The request waits, its core does
//! not.

use std::sync::Arc;

use crate::io::clock;
use crate::policy::auth::NoAnswer;
use crate::policy::auth::forward_auth::{Answer, Asked, Gatekeeper, Question, Verdict};
use crate::respond::failure::Failure;

use super::core::Core;
use super::inquiry::{self, Errand};
use super::scratch::Scratch;
use super::task::Request;

/// The service that is asked about a request.
pub(super) fn gatekeeper<'a>(r: &Request<'a>) -> Option<&'a Arc<Gatekeeper>> {
    let route = &r.snapshot.routes[r.route.unwrap_or_default()];
    route.gatekeeper()
}

/// Lets a request pass of which the service says so; it has the answer then, or where the service
/// refused it.
pub(super) async fn ask(
    r: &mut Request<'_>,
    s: &Scratch,
    keeper: &Arc<Gatekeeper>,
) -> Result<(), Failure> {
    let question = question(r, s, keeper);
    let core = &r.connection.core;
    let known = match keeper.remembers() {
        true => core.judgements.borrow_mut().of(&question.digest, clock::coarse_ns()),
        false => None,
    };
    let answer = match known {
        Some(answer) => {
            keeper.service.was_remembered(core.inquiries.borrow().worker());
            Ok(answer)
        }
        None => own_answer(core, keeper, question).await,
    };
    match answer {
        Ok(answer) => {
            let verdict = match &answer.verdict {
                Verdict::Passes(_) => Ok(()),
                Verdict::Refuses(refused) => Err(Failure::ForwardAuthDenied(refused.status)),
            };
            r.judged = Some(answer);
            verdict
        }
        // That it was too much to ask here is no fault of the service's, and opens no doors.
        Err(NoAnswer::Failed) if keeper.is_open() => Ok(()),
        Err(NoAnswer::Failed) => Err(Failure::ForwardAuthFailed),
        Err(NoAnswer::Overloaded | NoAnswer::Late) => Err(Failure::IdentityOverloaded),
    }
}

fn question(r: &Request<'_>, s: &Scratch, keeper: &Gatekeeper) -> Question {
    let (head, buf) = (&s.head, s.input.data());
    let asked = Asked {
        head,
        buf,
        query: r.query_for_upstreams(head, buf, &s.words.query),
        client: r.client.addr,
        hop: &r.hop(&s.words.request_id),
    };
    let number = r.connection.core.random.borrow_mut().u128(..);
    Question::new(keeper, &asked, number)
}

/// An answer that counts for this request. One to the same question of another request may be for that
/// one only.
async fn own_answer(
    core: &Core,
    keeper: &Arc<Gatekeeper>,
    question: Question,
) -> Result<Arc<Answer>, NoAnswer> {
    let answer = answer(core, keeper, &question).await?;
    if answer.number == question.number || answer.holds.is_some() {
        core.judgements.borrow_mut().remember(question.digest, &answer, clock::coarse_ns());
        return Ok(answer);
    }
    self::answer(core, keeper, &question.alone(keeper)).await
}

async fn answer(
    core: &Core,
    keeper: &Arc<Gatekeeper>,
    question: &Question,
) -> Result<Arc<Answer>, NoAnswer> {
    let asking = (keeper.ask)(&question.lines, question.number);
    let work = async move { Ok(inquiry::Answer::Judged(Arc::new(asking.await?))) };
    let errand =
        Errand { digest: question.digest, service: keeper.service.clone(), work: Box::pin(work) };
    let answer = core.inquiries.borrow_mut().ask_service(errand);
    match answer.await? {
        inquiry::Answer::Judged(answer) => Ok(answer),
        _ => Err(NoAnswer::Failed),
    }
}
