//! Tokens that a server outside is asked about (RFC 7662), by way of control: the request waits, its
//! worker does not.

use std::rc::Rc;
use std::sync::Arc;

use crate::config::file::OnError;
use crate::io::clock;
use crate::policy::auth::introspection::{Introspector, Said};
use crate::policy::auth::jwt::{Refusal, Verified};
use crate::policy::auth::{Digest, NoAnswer};

use super::core::Core;
use super::inquiry::{Answer, Errand};

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is not to be.
    Refused(Refusal),
    /// It is not known whether it is to be.
    Unknown(NoAnswer),
    /// Nor that; and the request passes all the same.
    Open,
}

/// What becomes of a token. What the server said lately is believed, else it is asked, once by all
/// workers for all requests that show the token meanwhile.
pub(super) async fn introspect(
    core: &Core,
    (index, introspector): (usize, &Arc<Introspector>),
    token: &[u8],
) -> Result<Rc<Verified>, Doubt> {
    let digest = introspector.digest(token).map_err(Doubt::Refused)?;
    let remembered =
        || core.introspected.borrow_mut().token((index, introspector), &digest, now(core));
    if let Some(known) = remembered() {
        introspector.service.was_remembered(core.inquiries.borrow().worker());
        return known.map_err(Doubt::Refused);
    }
    let said = ask(core, introspector, digest, token).await?;
    // Of those who waited together the first has judged it already.
    let known = remembered().unwrap_or_else(|| {
        let (judged, until) = introspector.judge(&said, now(core));
        let known = judged.map(Rc::new);
        core.introspected.borrow_mut().keep((index, introspector), digest, &known, until);
        known
    });
    known.map_err(Doubt::Refused)
}

async fn ask(
    core: &Core,
    introspector: &Arc<Introspector>,
    digest: Digest,
    token: &[u8],
) -> Result<Arc<Said>, Doubt> {
    let asking = (introspector.asks)(token.into());
    let work = Box::pin(async move { asking.await.map(Answer::Token) });
    let errand = Errand { digest, service: introspector.service.clone(), work };
    let answer = core.inquiries.borrow_mut().ask_service(errand);
    match answer.await {
        Ok(Answer::Token(said)) => Ok(said),
        // Whoever floods the gateway with questions opens no doors by it.
        Err(why @ (NoAnswer::Overloaded | NoAnswer::Late)) => Err(Doubt::Unknown(why)),
        Ok(_) | Err(NoAnswer::Failed) => Err(match introspector.rules.on_error {
            OnError::Refuse => Doubt::Unknown(NoAnswer::Failed),
            OnError::Allow => Doubt::Open,
        }),
    }
}

/// Seconds since 1970.
fn now(core: &Core) -> u64 {
    core.wall.of(clock::coarse_ns()) / 1_000_000_000
}
