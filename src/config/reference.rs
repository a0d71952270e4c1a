//! Reference: the schema for editors (JSON Schema) and for readers (a Markdown table).
//!
//! In: the schema's types with their doc comments and defaults. Out: JSON, Markdown. Never: text of its own about a key.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::diagnose::forms;
use super::schema::File;

/// The JSON Schema (draft 2020-12) of the configuration, for editors.
pub fn schema_json() -> Value {
    let mut schema = schemars::schema_for!(File).to_value();
    drop_null_defaults(&mut schema);
    schema
}

/// Every key with its default, unit and effect, as config/reference.md has it.
pub fn reference_markdown() -> String {
    let schema = schema_json();
    let mut page = String::from(
        "# Every key of the configuration\n\n\
         Generated from the types that read it (`src/config/schema`); do not edit. To renew it after a change:\n\
         `RIMWARD_WRITE_REFERENCE=1 cargo test --lib config::reference`.\n\n\
         Durations are numbers with `ms`, `s`, `m`, `h`, `d` (`\"1h30m\"`); sizes are numbers with `B`, `KB`, `MB`, `GB`, `TB`\n\
         (thousands) or `KiB`, `MiB`, `GiB`, `TiB` (1024s). A `–` in the default column means: none, or as the text says.\n",
    );
    let reader = Reader { root: &schema };
    for (name, table) in properties(&schema) {
        let (form, list) = reader.table(table);
        let heading = if list { format!("[[{name}]]") } else { format!("[{name}]") };
        let _ = write!(page, "\n## `{heading}`\n\n{}\n", text(table));
        if let Some(form) = form {
            page.push_str("\n| key | type | default | |\n|---|---|---|---|\n");
            reader.rows("", form, &mut page);
        }
    }
    page
}

struct Reader<'s> {
    root: &'s Value,
}

// === impl Reader ===
impl<'s> Reader<'s> {
    /// One row per key; the keys of tables inside follow theirs, dotted.
    fn rows(&self, prefix: &str, form: &'s Value, page: &mut String) {
        for (name, key) in properties(form) {
            let full = format!("{prefix}{name}");
            let (inner, list) = self.table(key);
            let required = form
                .get("required")
                .and_then(Value::as_array)
                .is_some_and(|names| names.contains(&Value::from(name.as_str())));
            let default = match key.get("default") {
                Some(default) => shown(default),
                None => if required { "required" } else { "–" }.to_owned(),
            };
            let kind = self.kind(key);
            let _ =
                writeln!(page, "| `{full}` | {kind} | {default} | {} |", text(key).trim_start_matches("Required. "));
            self.choices(&full, key, page);
            if let Some(inner) = inner {
                self.rows(&format!("{full}{}.", if list { "[]" } else { "" }), inner, page);
            }
        }
    }

    /// One row per form of a key that is a word, or a table with one of several keys. What a form holds in turn follows it, but for such choices
    /// again: rules hold rules.
    fn choices(&self, full: &str, key: &'s Value, page: &mut String) {
        for form in self.choice(key) {
            let what = text(form);
            if let Some(word) = form.get("const") {
                let _ = writeln!(page, "| `{full} = {word}` | word | – | {what} |");
            }
            for (name, inside) in properties(form) {
                let (full, kind) = (format!("{full}.{name}"), self.kind(inside));
                let _ = writeln!(page, "| `{full}` | {kind} | – | {what} |");
                if let (Some(inner), list) = self.table(inside) {
                    self.rows(&format!("{full}{}.", if list { "[]" } else { "" }), inner, page);
                }
            }
        }
    }

    /// The forms of which a key's value is one, each with a text of its own.
    fn choice(&self, key: &'s Value) -> Vec<&'s Value> {
        let forms = self.forms(key);
        let each = forms.into_iter().filter_map(|form| form.get("oneOf")?.as_array()).flatten();
        each.filter(|form| form.get("description").is_some()).collect()
    }

    /// The table a key holds, if it holds one, and whether it holds a list of them.
    fn table(&self, key: &'s Value) -> (Option<&'s Value>, bool) {
        let find = |key: &'s Value| {
            // One of several keys is a choice.
            let choice = self.choice(key);
            let table = |form: &&Value| form.get("properties").is_some() && !choice.iter().any(|one| one == form);
            self.forms(key).into_iter().find(table)
        };
        // A selection's `{ except = […] }` is a form of writing, not a table of keys.
        let find = |key: &'s Value| find(key).filter(|form| form.pointer("/properties/except").is_none());
        match self.forms(key).into_iter().find_map(|form| form.get("items")) {
            Some(items) => (find(items), true),
            None => (find(key), false),
        }
    }

    /// A word or two for what is written there.
    fn kind(&self, key: &'s Value) -> String {
        let forms = self.forms(key);
        let text_of = |form: &&'s Value, name: &str| form.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(title) = forms.iter().find_map(|form| text_of(form, "title")) {
            return title;
        }
        let mut kinds: Vec<String> = Vec::new();
        for form in &forms {
            if let Some(items) = form.get("items") {
                kinds.push(format!("list of {}", self.kind(items)));
            } else if form.get("enum").is_some() || form.get("const").is_some() {
                kinds.push("word".into());
            } else {
                let plain = |name: &str| match name {
                    "object" => Some("table"),
                    "string" => Some("text"),
                    "boolean" => Some("switch"),
                    "integer" => Some("number"),
                    _ => None,
                };
                match form.get("type") {
                    Some(Value::String(name)) => kinds.extend(plain(name).map(str::to_owned)),
                    Some(Value::Array(names)) => {
                        kinds.extend(names.iter().filter_map(Value::as_str).filter_map(plain).map(str::to_owned));
                    }
                    _ => {}
                }
            }
        }
        kinds.dedup();
        kinds.join(" or ")
    }

    fn forms(&self, schema: &'s Value) -> Vec<&'s Value> {
        forms(self.root, schema)
    }
}

fn properties(form: &Value) -> impl Iterator<Item = (&String, &Value)> {
    form.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// A key's description on one line, safe inside a Markdown table.
fn text(key: &Value) -> String {
    let text = key.get("description").and_then(Value::as_str).unwrap_or("");
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// A default as it would be written in TOML; whole tables and long lists only say what they are.
fn shown(default: &Value) -> String {
    match default {
        Value::Object(_) => "–".into(),
        Value::Array(list) if list.len() > 8 => format!("{} of them", list.len()),
        Value::Array(list) => format!("`{}`", Value::Array(list.clone())),
        value => format!("`{value}`"),
    }
}

/// `Option`s serialise as null, which is no value of theirs in TOML.
fn drop_null_defaults(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("default").is_some_and(Value::is_null) {
                map.remove("default");
            }
            map.values_mut().for_each(drop_null_defaults);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_null_defaults),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/reference.md");
        let page = reference_markdown();
        if std::env::var_os("RIMWARD_WRITE_REFERENCE").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == page,
            "config/reference.md is out of date: RIMWARD_WRITE_REFERENCE=1 cargo test --lib config::reference"
        );
    }

    #[test]
    fn every_form_of_a_choice_is_on_the_page() {
        let page = reference_markdown();
        for row in [
            "| `access = \"api_key\"` | word | – | A key in ",
            "| `access = \"authorizer_key\"` | word |",
            "| `access = \"certificate\"` | word |",
            "| `access.certificate_name` | list of text | – | A client certificate with one of these names",
            "| `access.jwt` | text or table | – | A token of this issuer",
            "| `access.jwt.issuer` | text | required | Name of a `[[jwt]]`. |",
            "| `access.jwt.scopes` | list of text |",
            "| `access.jwt.groups` | list of text |",
            "| `access.sigv4` | text |",
            "| `access.signed` | text |",
            "| `access.authorizer` | text |",
            "| `access.country` | list of text |",
            "| `access.address` | text |",
            "| `access.all` | list of word or table |",
            "| `access.any` | list of word or table |",
            "| `access.none` | list of word or table | – | None of these holds. |",
            "| `limit[].per = \"principal\"` | word |",
            "| `limit[].per.claim` | text |",
            "| `limit[].per.network.v4` | number |",
        ] {
            assert!(page.contains(&format!("\n{row}")), "{row}");
        }
    }

    #[test]
    fn every_key_is_described() {
        fn check(at: &str, schema: &Value) {
            for (name, key) in properties(schema) {
                let exempt = name == "except";
                assert!(exempt || !text(key).is_empty(), "{at}.{name} has no description");
            }
        }
        let schema = schema_json();
        check("", &schema);
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            check(name, definition);
        }
    }

    #[test]
    fn the_schema_has_every_key_of_the_page() {
        let schema = schema_json();
        let page = reference_markdown();
        for (definition, key) in [
            ("Pop", "code"),
            ("Pop", "drain"),
            ("Listener", "trusted_proxies"),
            ("ListenerTls", "client_ca"),
            ("Limits", "h2_reset_window"),
            ("Store", "purge_scopes"),
            ("Disk", "size"),
            ("Origin", "generated"),
            ("Origin", "eject"),
            ("Health", "statuses"),
            ("OriginGroup", "failover"),
            ("Behavior", "match"),
            ("CacheRules", "soft_timeout"),
            ("Key", "ignore_host"),
            ("Forward", "body_size"),
            ("Response", "security"),
            ("Cors", "override"),
            ("Compress", "types"),
            ("ErrorPage", "respond"),
            ("Admin", "token"),
            ("AccessLog", "sample_percent"),
            ("Traces", "endpoint"),
            ("Observe", "metric_hosts"),
        ] {
            assert!(schema["$defs"][definition]["properties"].get(key).is_some(), "{definition}.{key}");
            assert!(page.contains(&format!("{key}` |")), "{key} is not on the page");
        }
        assert_eq!(schema["$defs"]["Limits"]["properties"]["header_timeout"]["default"], "10s");
        assert_eq!(schema["$defs"]["Behavior"]["additionalProperties"], false);
    }
}
