//! JSON of tokens and keys, read strictly: what two readers could understand differently is refused.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(Box<str>),
    /// An array.
    Array(Vec<Json>),
    /// An object, in which each name stands once.
    Object(Vec<(Box<str>, Json)>),
}

impl Json {
    /// Reads an object; `None`: it is none, a name stands in it twice (RFC 7515 section 4), it goes
    /// more than 128 deep, or something follows it.
    pub fn object(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|json| matches!(json, Self::Object(_)))
    }

    /// The member of this name.
    pub fn member(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(key, _)| **key == *name).map(|(_, value)| value)
    }

    /// The member of this name, or, where it begins with `/`, what that points to (RFC 6901):
    /// `/realm_access/roles`.
    pub fn at(&self, name: &str) -> Option<&Self> {
        let Some(path) = name.strip_prefix('/') else { return self.member(name) };
        path.split('/').try_fold(self, |json, step| {
            let step = step.replace("~1", "/").replace("~0", "~");
            match json {
                Self::Array(items) => items.get(step.parse::<usize>().ok()?),
                _ => json.member(&step),
            }
        })
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// What a string, number or boolean says.
    pub fn plain(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.to_string()),
            Self::Number(number) => Some(number.to_string()),
            Self::Boolean(value) => Some(value.to_string()),
            Self::Null | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// The items of an array, else the value itself as the only one.
    pub fn items(&self) -> &[Self] {
        if let Self::Array(items) = self { items } else { std::slice::from_ref(self) }
    }

    /// Seconds since 1970 (NumericDate, RFC 7519 section 2), which may have a fraction.
    pub fn date(&self) -> Option<f64> {
        if let Self::Number(number) = self { number.as_f64() } else { None }
    }

    /// Bytes of memory that it takes, about.
    pub fn weight(&self) -> usize {
        let below = match self {
            Self::Null | Self::Boolean(_) | Self::Number(_) => 0,
            Self::Text(text) => text.len(),
            Self::Array(items) => items.iter().map(Self::weight).sum(),
            Self::Object(members) => members.iter().map(|(k, v)| 16 + k.len() + v.weight()).sum(),
        };
        size_of::<Self>() + below
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Boolean(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("not finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Json, A::Error> {
        let mut members: Vec<(Box<str>, Json)> = Vec::new();
        while let Some((name, value)) = from.next_entry::<Box<str>, Json>()? {
            members.push((name, value));
        }
        // Sorted beside, since a hostile object may hold thousands.
        let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(A::Error::custom("a name stands twice"));
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_refused_at_any_depth() {
        assert!(Json::object(br#"{"a":1,"b":{"a":2}}"#).is_some());
        for wrong in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":[{"a":{"b":1,"b":2}}]}"#,
            r#"{"a":1} {}"#,
            r#"[1]"#,
            r#""text""#,
            r#"{"a":1e999}"#,
            r#"{"a":"\ud800"}"#,
            "{\"a\":\"\u{1}\"}",
            "{a:1}",
            "",
        ] {
            assert_eq!(Json::object(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(Json::object(&[b"{\"a\":".as_slice(), &[b'['; 400]].concat()), None);
        assert_eq!(Json::object(b"{\"a\":\"\xff\"}"), None);
    }

    #[test]
    fn pointers_reach_into_objects_and_arrays() {
        let json = Json::object(br#"{"a":{"b/c":["x","y"]},"/odd":1,"n":1.5,"t":true}"#).unwrap();
        assert_eq!(json.at("/a/b~1c/1").and_then(Json::text), Some("y"));
        assert_eq!(json.at("/a/none"), None);
        assert_eq!(json.at("/a/b~1c/7"), None);
        assert_eq!(json.at("a"), json.member("a"));
        assert_eq!(json.at("n").and_then(Json::plain).as_deref(), Some("1.5"));
        assert_eq!(json.at("t").and_then(Json::plain).as_deref(), Some("true"));
        assert_eq!(json.at("a").and_then(Json::plain), None);
    }
}
