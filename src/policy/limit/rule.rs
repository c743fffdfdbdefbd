//! A limit compiled for judging.

use crate::config::{ClientAttribute, Limit, LimitKey};

use super::bucket::Terms;
use super::member;

/// What a rule's buckets are kept for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RuleKey {
    ClientIp,
    Header(Box<[u8]>),
    Query(Box<[u8]>),
    PathParameter(usize),
    ClientCertificate(ClientAttribute),
    /// The application, or the client's address where none calls.
    Application,
    Claim(Box<str>),
    Scope,
}

/// One limit of a listener, a route or the gateway.
#[derive(Debug, Clone)]
pub struct Rule {
    id: u64,
    name: Box<str>,
    pub(super) key: RuleKey,
    pub(super) terms: Terms,
    pub(super) burst: u64,
    /// `"orders";q=100;w=1`
    pub(super) policy: Box<[u8]>,
    /// `"orders"`
    pub(super) quoted_name: Box<[u8]>,
    /// Of the policy: tokens per window.
    pub(super) quota: u64,
}

/// A rule that is to be asked, and how much of its bucket.
#[derive(Debug, Clone, Copy)]
pub struct Charge<'r> {
    /// The rule.
    pub rule: &'r Rule,
    /// Tokens. 0: takes none and asks that there be one, for what an answer costs is only known later
    /// (see [`Local::owe`](super::Local::owe)).
    pub amount: u32,
}

impl<'r> Charge<'r> {
    /// A token of each rule in all these scopes.
    pub fn one_of_each<'s>(scopes: &'s [&'r [Rule]]) -> impl Iterator<Item = Self> + Clone + 's
    where
        'r: 's,
    {
        scopes.iter().flat_map(|rules| rules.iter()).map(Self::one)
    }

    /// A token.
    pub fn one(rule: &'r Rule) -> Self {
        Self { rule, amount: 1 }
    }
}

impl Rule {
    /// Compiles `limit`. `scope` names where it stands and must differ between any two places
    /// (`"route orders"`, `"listener web"`, `"gateway"`): a rule's buckets are found by scope and
    /// limit name, so they survive a reload and a changed rate holds at once.
    /// `path_parameter`: where [`LimitKey::PathParameter`]'s name stands among the route's
    /// parameters; without it the whole scope shares one bucket.
    pub fn new(scope: &str, limit: &Limit, path_parameter: Option<usize>) -> Self {
        let key = match &limit.key {
            LimitKey::ClientIp => RuleKey::ClientIp,
            LimitKey::Header(name) => RuleKey::Header(name.as_bytes().into()),
            LimitKey::Query(name) => RuleKey::Query(name.as_bytes().into()),
            LimitKey::PathParameter(_) => {
                path_parameter.map_or(RuleKey::Scope, RuleKey::PathParameter)
            }
            LimitKey::ClientCertificate(attribute) => RuleKey::ClientCertificate(*attribute),
            LimitKey::Application => RuleKey::Application,
            LimitKey::Claim(name) => RuleKey::Claim(name.as_str().into()),
            LimitKey::Route => RuleKey::Scope,
        };
        let (quota, window) = member::quota(limit);
        Self {
            id: stable_id(scope, &limit.name),
            name: limit.name.as_str().into(),
            key,
            terms: Terms::new(limit),
            burst: limit.burst.max(1),
            policy: member::policy_item(&limit.name, quota, window),
            quoted_name: member::quoted(&limit.name),
            quota,
        }
    }

    /// The same for the same scope and name, in every process and at every rate.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The limit's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bucket size in tokens.
    pub fn burst(&self) -> u64 {
        self.burst
    }
}

/// FNV-1a with 64 bits over both texts: no secret is needed here, only stability.
fn stable_id(scope: &str, name: &str) -> u64 {
    let text = scope.bytes().chain([0xFF]).chain(name.bytes());
    text.fold(0xCBF2_9CE4_8422_2325, |id, byte| {
        (id ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

#[cfg(test)]
pub(super) fn test_limit(rate: u64, burst: u64, key: LimitKey) -> Limit {
    Limit { name: "orders".into(), rate, per: std::time::Duration::from_secs(1), burst, key }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_depends_on_scope_and_name_only() {
        let limit = test_limit(100, 200, LimitKey::Route);
        let slower = test_limit(1, 1, LimitKey::ClientIp);
        let id = Rule::new("route a", &limit, None).id();
        assert_eq!(id, Rule::new("route a", &slower, None).id());
        assert_ne!(id, Rule::new("route b", &limit, None).id());
        let other = Limit { name: "other".into(), ..limit };
        assert_ne!(id, Rule::new("route a", &other, None).id());
    }

    #[test]
    fn scope_and_name_do_not_run_into_each_other() {
        assert_ne!(stable_id("ab", "c"), stable_id("a", "bc"));
    }
}
