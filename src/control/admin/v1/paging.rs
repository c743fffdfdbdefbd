//! Lists, a page at a time.
//!
//! A cursor names the last row that was seen, by its id: what comes and goes between two pages moves
//! no other row, so none is seen twice and none is left out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{Problem, rules};
use crate::limits::{ADMIN_PAGE_ROWS, ADMIN_PAGE_ROWS_MAX};

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct List<T> {
    /// What is on this page.
    pub(super) items: Vec<T>,
    /// `cursor` of the next page; not there on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub(super) next: Option<String>,
}

/// What a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    /// Rows with greater ids.
    pub(super) after: Option<u64>,
    /// At most so many.
    pub(super) limit: usize,
}

impl Wish {
    /// Of a call's `cursor` and `limit`; a cursor is of one kind of list.
    pub(super) fn of(
        list: &str,
        cursor: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(ADMIN_PAGE_ROWS);
        if !(1..=ADMIN_PAGE_ROWS_MAX).contains(&limit) {
            let detail = format!("limit: a number from 1 to {ADMIN_PAGE_ROWS_MAX} is needed");
            return Err(Problem::new(rules::BAD_REQUEST, detail));
        }
        let after = cursor.map(|cursor| parse(list, cursor)).transpose()?;
        Ok(Self { after, limit })
    }
}

impl<T> List<T> {
    /// A page, and the id of its last row where more follow.
    pub(super) fn new(list: &str, items: Vec<T>, more: Option<u64>) -> Self {
        let next = more.map(|last| BASE64.encode(format!("{list} {last}")));
        Self { items, next }
    }
}

fn parse(list: &str, cursor: &str) -> Result<u64, Problem> {
    let id = || {
        let text = String::from_utf8(BASE64.decode(cursor).ok()?).ok()?;
        text.strip_prefix(list)?.strip_prefix(' ')?.parse().ok()
    };
    let wrong = || Problem::new(rules::BAD_REQUEST, "cursor: this list gave none of the kind");
    // Ids are SQLite's, which are signed.
    id().filter(|id| i64::try_from(*id).is_ok()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_on_in_its_own_list_only() {
        let page = List::new("accounts", vec![7, 9], Some(9));
        let next = page.next.as_deref();
        assert_eq!(Wish::of("accounts", next, Some(2)), Ok(Wish { after: Some(9), limit: 2 }));
        assert_eq!(Wish::of("tokens", next, None).unwrap_err().status(), 400);
        assert_eq!(Wish::of("accounts", Some("!"), None).unwrap_err().status(), 400);
        assert_eq!(List::new("accounts", vec![1], None).next, None);
    }

    #[test]
    fn a_page_has_a_bound() {
        assert_eq!(Wish::of("a", None, None).unwrap().limit, ADMIN_PAGE_ROWS);
        for limit in [0, ADMIN_PAGE_ROWS_MAX + 1] {
            assert_eq!(Wish::of("a", None, Some(limit)).unwrap_err().status(), 400);
        }
    }
}
