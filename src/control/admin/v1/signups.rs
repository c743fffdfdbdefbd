//! `/v1/signups`: an account, its application and the application's key in one call.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::accounts::{self, AccountBody, AccountView};
use super::answer::Answer;
use super::applications::{self, ApplicationView, Wanted};
use super::change::Call;
use super::credential::NewKey;
use super::keys::{self, KeyMade};
use super::problem::Problem;

/// Who signs up, for what.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Signup {
    account: AccountBody,
    application: Wanted,
    credential: NewKey,
}

/// What a sign-up came to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignedUp {
    account: AccountView,
    /// `pending` where its plan wants approval: its key is good from then on.
    application: ApplicationView,
    credential: KeyMade,
}

/// Makes an account, an application and its credential: all of them or none. A key or password is
/// shown this once.
#[utoipa::path(post, path = "/signups", operation_id = "sign_up", tag = "signups",
    request_body = Signup, responses((status = 201, body = SignedUp)))]
pub(super) async fn create(State(api): State<Api>, call: Call) -> Result<Answer, Problem> {
    call.caller.operate()?;
    let Signup { account, application, credential } = call.json()?;
    if application.account.is_some() {
        let detail = "it belongs to the account that signs up";
        return Err(Problem::invalid("/application/account", detail));
    }
    api.change(call, move |change| {
        let account = accounts::insert(change, account, "/account")?;
        let (row, product) = applications::insert(change, account.id, application, "/application")?;
        let credential = keys::insert(change, &row, credential, "/credential")?;
        let application = ApplicationView::of(&row, &product);
        let location = format!("/v1/applications/{}", row.id);
        let account = AccountView::from(&account);
        let signed_up = SignedUp { account, application, credential };
        Answer::made(&signed_up, None, location)
    })
    .await
}
