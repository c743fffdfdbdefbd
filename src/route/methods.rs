//! Sets of methods in one word.

use super::error::BuildProblem;
use crate::http::Method;
use crate::limits::MAX_CUSTOM_METHODS;

/// Standard methods by their bit, which is the enum's number.
const STANDARD: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];

/// A custom method that no route names: only in [`MethodSet::ANY`].
const UNNAMED: u32 = 62;

const _: () = assert!(STANDARD.len() == Method::Other as usize);
const _: () = assert!(STANDARD.len() + MAX_CUSTOM_METHODS <= UNNAMED as usize);

/// Methods a route takes. Bit 63 is free for the table's own use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MethodSet(u64);

impl MethodSet {
    /// Every method.
    pub(super) const ANY: Self = Self(u64::MAX >> 1);
    /// No method.
    pub(super) const NONE: Self = Self(0);

    /// Whether they have one in common.
    pub(super) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// All of both.
    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The methods that some routes would have taken, for the Allow field of a 405.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedMethods(pub(super) MethodSet);

/// The custom methods a table names; a request's text is compared with each.
#[derive(Default)]
pub(super) struct MethodNames {
    custom: Vec<Box<[u8]>>,
}

impl MethodNames {
    /// The set of these names, which are remembered. An empty list means any method; GET takes
    /// HEAD along (RFC 9110 section 9.3.2: wherever GET is, HEAD makes sense).
    pub(super) fn add(&mut self, names: &[String]) -> Result<MethodSet, BuildProblem> {
        if names.is_empty() {
            return Ok(MethodSet::ANY);
        }
        let mut set = MethodSet::NONE;
        for name in names {
            set = set.with(self.add_one(name)?);
        }
        if set.meets(bit(Method::Get as u32)) {
            set = set.with(bit(Method::Head as u32));
        }
        Ok(set)
    }

    fn add_one(&mut self, name: &str) -> Result<MethodSet, BuildProblem> {
        if let Some(known) = STANDARD.iter().position(|s| *s == name) {
            return Ok(bit(known as u32));
        }
        if let Some(set) = self.custom_bit(name.as_bytes()) {
            return Ok(set);
        }
        if self.custom.len() == MAX_CUSTOM_METHODS {
            return Err(BuildProblem::TooManyMethods);
        }
        self.custom.push(name.as_bytes().into());
        Ok(bit((STANDARD.len() + self.custom.len() - 1) as u32))
    }

    /// The set with just a request's method.
    pub(super) fn of(&self, method: Method, text: &[u8]) -> MethodSet {
        match method {
            Method::Other => self.custom_bit(text).unwrap_or(bit(UNNAMED)),
            known => bit(known as u32),
        }
    }

    fn custom_bit(&self, text: &[u8]) -> Option<MethodSet> {
        let at = self.custom.iter().position(|name| **name == *text)?;
        Some(bit((STANDARD.len() + at) as u32))
    }

    /// Appends the names in a set, separated by `, `.
    pub(super) fn write(&self, set: MethodSet, out: &mut Vec<u8>) {
        let standard = STANDARD.iter().map(|name| name.as_bytes());
        let all = standard.chain(self.custom.iter().map(|name| &**name)).zip(0..);
        let mut separator: &[u8] = b"";
        for (name, at) in all {
            if set.meets(bit(at)) {
                out.extend_from_slice(separator);
                out.extend_from_slice(name);
                separator = b", ";
            }
        }
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        self.custom.iter().map(|name| size_of_val(name) + name.len()).sum()
    }
}

fn bit(at: u32) -> MethodSet {
    MethodSet(1 << at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &mut MethodNames, list: &[&str]) -> MethodSet {
        names.add(&list.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    fn text(names: &MethodNames, set: MethodSet) -> String {
        let mut out = Vec::new();
        names.write(set, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_get_route_takes_head_along_and_nothing_implies_options() {
        let mut names = MethodNames::default();
        let get = set(&mut names, &["GET"]);
        assert!(get.meets(names.of(Method::Head, b"HEAD")));
        assert!(!get.meets(names.of(Method::Options, b"OPTIONS")));
        let post = set(&mut names, &["POST"]);
        assert!(!post.meets(names.of(Method::Head, b"HEAD")));
    }

    #[test]
    fn custom_methods_are_told_apart_by_text() {
        let mut names = MethodNames::default();
        let find = set(&mut names, &["PROPFIND"]);
        let lock = set(&mut names, &["LOCK", "GET"]);
        assert!(find.meets(names.of(Method::Other, b"PROPFIND")));
        assert!(!find.meets(names.of(Method::Other, b"propfind")));
        assert!(!lock.meets(names.of(Method::Other, b"PROPFIND")));
        assert!(!find.meets(names.of(Method::Other, b"MKCOL")));
        assert!(MethodSet::ANY.meets(names.of(Method::Other, b"MKCOL")));
        assert_eq!(text(&names, lock.with(find)), "GET, HEAD, PROPFIND, LOCK");
    }

    #[test]
    fn custom_methods_are_bounded() {
        let mut names = MethodNames::default();
        for n in 0..MAX_CUSTOM_METHODS {
            set(&mut names, &[&format!("M{n}")]);
        }
        assert_eq!(names.add(&["ONE-MORE".into()]), Err(BuildProblem::TooManyMethods));
        assert!(names.add(&["M0".into(), "GET".into()]).is_ok());
    }
}
