//! Choice: values that may be written in more than one form.
//!
//! In: a word, a list, a table or a switch. Out: one enum per meaning. Never: header or method syntax (compile checks that).

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A table that may also be switched as a whole: `false` = off, `true` = on with its defaults.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Toggle<T> {
    Switch(bool),
    Table(T),
}

/// Which of a request's cookies or query parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Choice", into = "Choice")]
pub enum Selection {
    None,
    All,
    Only(Vec<String>),
    Except(Vec<String>),
}

/// Which of a request's headers go to the origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Choice", into = "Choice")]
pub enum HeaderSelection {
    Default,
    All,
    Only(Vec<String>),
    Except(Vec<String>),
}

/// Which methods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Choice", into = "Choice")]
pub enum Methods {
    All,
    Only(Vec<String>),
}

/// What the three selections have in common: a word, a list, or `{ except = […] }`.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Choice {
    Word(String),
    List(Vec<String>),
    Except { except: Vec<String> },
}

// === impl Toggle ===
impl<T: Default> Toggle<T> {
    /// The table, or its defaults, unless it is switched off.
    pub fn on(self) -> Option<T> {
        match self {
            Toggle::Switch(false) => None,
            Toggle::Switch(true) => Some(T::default()),
            Toggle::Table(table) => Some(table),
        }
    }
}

struct ToggleVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ToggleVisitor<T> {
    type Value = Toggle<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or a table")
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<Self::Value, E> {
        Ok(Toggle::Switch(on))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Toggle::Table)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Toggle<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ToggleVisitor(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Toggle<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Toggle{}", T::schema_name()).into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "boolean" }, schemas.subschema_for::<T>()] })
    }
}

// === impl Choice ===
impl Choice {
    /// Why a word was not one of ours.
    fn refuse(word: &str, words: &str) -> String {
        format!("'{word}' is no choice here: write {words}")
    }
}

struct ChoiceVisitor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Except {
    except: Vec<String>,
}

impl<'de> Visitor<'de> for ChoiceVisitor {
    type Value = Choice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word, a list of names, or { except = [names] }")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Choice, E> {
        Ok(Choice::Word(word.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Choice, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Choice::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Choice, A::Error> {
        Except::deserialize(MapAccessDeserializer::new(map)).map(|Except { except }| Choice::Except { except })
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ChoiceVisitor)
    }
}

/// The JSON Schema of a choice: its words, a list, and the exception table where it is allowed.
fn choice_schema(title: &str, words: &[&str], except: bool) -> Schema {
    let names = serde_json::json!({ "type": "array", "items": { "type": "string" } });
    let mut forms = vec![serde_json::json!({ "type": "string", "enum": words }), names.clone()];
    if except {
        let properties = serde_json::json!({ "except": names });
        forms.push(serde_json::json!({
            "type": "object", "properties": properties, "required": ["except"], "additionalProperties": false,
        }));
    }
    json_schema!({ "title": title, "anyOf": forms })
}

// === impl Selection ===
impl TryFrom<Choice> for Selection {
    type Error = String;

    fn try_from(choice: Choice) -> Result<Self, String> {
        match choice {
            Choice::Word(word) => match word.as_str() {
                "none" => Ok(Selection::None),
                "all" => Ok(Selection::All),
                _ => Err(Choice::refuse(&word, "\"none\", \"all\", [names] or { except = [names] }")),
            },
            Choice::List(names) => Ok(Selection::Only(names)),
            Choice::Except { except } => Ok(Selection::Except(except)),
        }
    }
}

impl From<Selection> for Choice {
    fn from(selection: Selection) -> Self {
        match selection {
            Selection::None => Choice::Word("none".into()),
            Selection::All => Choice::Word("all".into()),
            Selection::Only(names) => Choice::List(names),
            Selection::Except(except) => Choice::Except { except },
        }
    }
}

impl JsonSchema for Selection {
    fn schema_name() -> Cow<'static, str> {
        "Selection".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        choice_schema("selection", &["none", "all"], true)
    }
}

// === impl HeaderSelection ===
impl TryFrom<Choice> for HeaderSelection {
    type Error = String;

    fn try_from(choice: Choice) -> Result<Self, String> {
        match choice {
            Choice::Word(word) => match word.as_str() {
                "default" => Ok(HeaderSelection::Default),
                "all" => Ok(HeaderSelection::All),
                _ => Err(Choice::refuse(&word, "\"default\", \"all\", [names] or { except = [names] }")),
            },
            Choice::List(names) => Ok(HeaderSelection::Only(names)),
            Choice::Except { except } => Ok(HeaderSelection::Except(except)),
        }
    }
}

impl From<HeaderSelection> for Choice {
    fn from(selection: HeaderSelection) -> Self {
        match selection {
            HeaderSelection::Default => Choice::Word("default".into()),
            HeaderSelection::All => Choice::Word("all".into()),
            HeaderSelection::Only(names) => Choice::List(names),
            HeaderSelection::Except(except) => Choice::Except { except },
        }
    }
}

impl JsonSchema for HeaderSelection {
    fn schema_name() -> Cow<'static, str> {
        "HeaderSelection".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        choice_schema("header selection", &["default", "all"], true)
    }
}

// === impl Methods ===
impl TryFrom<Choice> for Methods {
    type Error = String;

    fn try_from(choice: Choice) -> Result<Self, String> {
        match choice {
            Choice::Word(word) if word == "all" => Ok(Methods::All),
            Choice::Word(word) => Err(Choice::refuse(&word, "\"all\" or a list, like [\"GET\", \"HEAD\"]")),
            Choice::List(names) => Ok(Methods::Only(names)),
            Choice::Except { .. } => Err("methods are \"all\" or a list, like [\"GET\", \"HEAD\"]".into()),
        }
    }
}

impl From<Methods> for Choice {
    fn from(methods: Methods) -> Self {
        match methods {
            Methods::All => Choice::Word("all".into()),
            Methods::Only(names) => Choice::List(names),
        }
    }
}

impl JsonSchema for Methods {
    fn schema_name() -> Cow<'static, str> {
        "Methods".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        choice_schema("methods", &["all"], false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Doc<T> {
        v: T,
    }

    fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
        toml::from_str::<Doc<T>>(text).map(|doc| doc.v).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn every_form_of_a_selection() {
        let names = || vec!["a".to_owned()];
        for (text, want) in [
            ("v = 'none'", Ok(Selection::None)),
            ("v = 'all'", Ok(Selection::All)),
            ("v = ['a']", Ok(Selection::Only(names()))),
            ("v = { except = ['a'] }", Ok(Selection::Except(names()))),
            ("v = 'some'", Err("'some' is no choice here: write \"none\", \"all\", [names] or { except = [names] }")),
        ] {
            assert_eq!(read::<Selection>(text), want.map_err(str::to_owned), "{text}");
        }
        assert_eq!(read("v = 'default'"), Ok(HeaderSelection::Default));
        assert_eq!(read("v = 'all'"), Ok(Methods::All));
        assert!(read::<Methods>("v = { except = ['GET'] }").is_err());
    }
}
