//! serde over the checked tree.

use serde::de::value::{Error, MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::document::{Node, Value};

/// Wrapper that reads from a node.
#[derive(Clone, Copy)]
pub(super) struct FromNode<'de>(pub(super) &'de Node<'de>);

impl<'de> IntoDeserializer<'de, Error> for FromNode<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for FromNode<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.value {
            Value::Text { text, .. } => visitor.visit_borrowed_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Boolean(yes) => visitor.visit_bool(*yes),
            Value::Other(_) | Value::Refused => Err(Error::custom("has no usable value")),
            Value::Array(items) => {
                let nodes = items.iter().map(|item| FromNode(&item.node));
                visitor.visit_seq(SeqDeserializer::new(nodes))
            }
            Value::Table(entries) => {
                let usable = entries.iter().filter(|e| !matches!(e.node.value, Value::Refused));
                let pairs = usable.map(|e| (e.key.as_ref(), FromNode(&e.node)));
                visitor.visit_map(MapDeserializer::new(pairs))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Value::Text { text, .. } = &self.0.value else {
            return Err(Error::custom("is not a string"));
        };
        StrDeserializer::new(text).deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
