//! docs/ERRORS.md against the code: every failure and every refusal has its row, and each row says
//! what the code does.

use std::collections::BTreeMap;

use tollgate::http::Bad;
use tollgate::policy::auth::jwt::{Fault, Refusal};
use tollgate::respond::failure::{Blame, Failure};
use tollgate::upstream::Cause;

const DOCUMENT: &str = include_str!("../docs/ERRORS.md");

/// All failures, the two kinds of bad requests with an example each. The match makes the compiler
/// ask for a new one.
fn failures() -> Vec<Failure> {
    use Failure as F;
    let bad = Bad::ObsFold;
    let all = vec![
        F::BadRequest(bad),
        F::BadRequestBody(bad),
        F::HeaderTimeout,
        F::BodyTimeout,
        F::BodyTooLarge,
        F::ClientGone,
        F::ConnectMethod,
        F::TraceMethod,
        F::PlainHttp,
        F::Misdirected,
        F::NoRoute,
        F::MethodNotAllowed,
        F::AddressDenied,
        F::ForwardAuthDenied(403),
        F::ForwardAuthFailed,
        F::NoCredential,
        F::BadCredential,
        F::ApplicationSuspended,
        F::ApplicationExpired,
        F::MethodNotInPlan,
        F::NoMappingRule,
        F::ProductRetired,
        F::InvalidToken(Refusal::Expired),
        F::InvalidProof(Fault::Used),
        F::InsufficientToken(Refusal::Scope),
        F::NoTokenKeys,
        F::IntrospectionFailed,
        F::IdentityOverloaded,
        F::RateLimited,
        F::QuotaExceeded,
        F::LedgerUnavailable,
        F::ClientConcurrency,
        F::RouteConcurrency,
        F::LimitState,
        F::Overloaded,
        F::BadRewrite,
        F::NoTarget,
        F::ConnectFailed(Cause::ENDED),
        F::BadCertificate(Cause::ENDED),
        F::NoTls(Cause::ENDED),
        F::NoHttp2,
        F::NoTunnel,
        F::ConnectTimeout,
        F::NoDescriptors(Cause::ENDED),
        F::ClosedEarly,
        F::BadResponse(bad),
        F::ResponseIncomplete,
        F::FirstByteTimeout,
        F::ResponseTimeout,
        F::TotalTimeout,
        F::TunnelTimeout,
        F::HelloTimeout,
        F::NoForward,
    ];
    for failure in &all {
        match failure {
            F::BadRequest(_) | F::BadRequestBody(_) | F::HeaderTimeout | F::BodyTimeout => {}
            F::BodyTooLarge | F::ClientGone | F::ConnectMethod | F::NoRoute => {}
            F::TraceMethod | F::PlainHttp | F::Misdirected => {}
            F::BadCertificate(_) | F::NoTls(_) | F::NoHttp2 | F::NoTunnel => {}
            F::ForwardAuthDenied(_) | F::ForwardAuthFailed => {}
            F::AddressDenied | F::NoCredential | F::BadCredential => {}
            F::ApplicationSuspended | F::ApplicationExpired | F::MethodNotInPlan => {}
            F::NoMappingRule | F::ProductRetired => {}
            F::QuotaExceeded | F::LedgerUnavailable => {}
            F::InvalidToken(_) | F::InvalidProof(_) | F::InsufficientToken(_) | F::NoTokenKeys => {}
            F::IntrospectionFailed | F::IdentityOverloaded => {}
            F::MethodNotAllowed | F::RateLimited | F::ClientConcurrency => {}
            F::RouteConcurrency | F::LimitState | F::Overloaded | F::BadRewrite => {}
            F::NoTarget | F::ConnectFailed(_) | F::ConnectTimeout | F::NoDescriptors(_) => {}
            F::ClosedEarly | F::BadResponse(_) | F::ResponseIncomplete => {}
            F::FirstByteTimeout | F::ResponseTimeout | F::TotalTimeout => {}
            F::TunnelTimeout | F::HelloTimeout | F::NoForward => {}
        }
    }
    all
}

/// The rows of the table whose header begins so, by their name; cells without backquotes.
fn table(header: &str) -> BTreeMap<String, Vec<String>> {
    let mut lines = DOCUMENT.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    let mut rows = BTreeMap::new();
    for line in lines.by_ref().take_while(|line| line.starts_with('|')) {
        let cells: Vec<String> =
            line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
        let before = rows.insert(cells[1].clone(), cells);
        assert_eq!(before, None, "a row twice");
    }
    assert!(!rows.is_empty(), "no table begins with {header}");
    rows
}

#[test]
fn every_failure_is_documented_as_it_is() {
    let mut rows = table("| status | name | when |");
    for failure in failures() {
        let meaning = failure.meaning();
        let name = Failure::KINDS[failure.kind()];
        let row = rows.remove(name).unwrap_or_else(|| panic!("{name} has no row"));
        // Each rule of HTTP has a status and a text of its own, in the other table.
        let by_rule = matches!(failure, Failure::BadRequest(_) | Failure::BadRequestBody(_));
        let (status, title) = match by_rule {
            true => ("below".to_owned(), "below"),
            false => (meaning.status.to_string(), meaning.title),
        };
        if !by_rule {
            assert_eq!(meaning.name, name, "its kind is counted under another name");
        }
        let blame = match meaning.blame {
            Blame::Client => "client",
            Blame::Gateway => "gateway",
            Blame::Upstream => "upstream",
        };
        let fate = if meaning.close { "closed" } else { "kept" };
        let wanted = [&status, name, &row[2], title, meaning.proxy_status, blame, fate];
        assert_eq!(row, wanted, "{name}");
        assert!(!row[2].is_empty(), "{name} does not say when");
    }
    assert!(rows.is_empty(), "rows without a failure: {:?}", rows.keys());
}

#[test]
fn every_failure_has_the_documented_grpc_status() {
    let rows = table("| grpc-status | code | for |");
    let listing = |what: &str| {
        let lists = |row: &&Vec<String>| row[2].split(", ").any(|listed| listed == what);
        rows.values().find(lists).map(|row| row[0].clone())
    };
    let bad = Bad::ALL.iter().map(|bad| Failure::BadRequest(*bad));
    for failure in failures().into_iter().chain(bad) {
        let meaning = failure.meaning();
        let wanted = listing(meaning.name).or_else(|| listing(&meaning.status.to_string()));
        assert_eq!(Some(failure.grpc().number().to_string()), wanted, "{}", meaning.name);
    }
}

#[test]
fn all_kinds_are_looked_at() {
    let kinds: Vec<usize> = failures().into_iter().map(Failure::kind).collect();
    assert_eq!(kinds, (0..Failure::KINDS.len()).collect::<Vec<_>>());
}

#[test]
fn every_rule_of_http_is_documented_as_it_is() {
    let mut rows = table("| status | name | text |");
    for bad in Bad::ALL {
        let row = rows.remove(bad.name()).unwrap_or_else(|| panic!("{} has no row", bad.name()));
        assert_eq!(row, [&bad.status().to_string(), bad.name(), bad.detail()]);
        let meaning = Failure::BadRequest(*bad).meaning();
        assert_eq!((meaning.status, meaning.name), (bad.status(), bad.name()));
        assert_eq!(Failure::BadResponse(*bad).meaning().status, 502);
    }
    assert!(rows.is_empty(), "rows without a rule: {:?}", rows.keys());
}
