//! Api: `$input`, `$util`, `$context` and `$stageVariables` ("API Gateway mapping template and access logging variable reference").
//!
//! In: a context, calls. Out: values; what was overridden. Never: Java's own methods (`methods` has those).

use std::sync::Arc;

use super::path::Path;
use super::render::Machine;
use super::syntax::At;
use super::value::{Map, Value};
use super::{Overrides, VtlError, escape, json};

/// Gives a template its names.
pub(super) fn offer(machine: &mut Machine<'_>) -> Result<(), VtlError> {
    let given = machine.context;
    let context = from_json(machine, &given.context)?;
    let context = match context {
        Value::Map(_) => context,
        _ => machine.heap.map(Map::soft()),
    };
    let request = &given.overrides.request;
    let groups = [("path", &request.path), ("querystring", &request.querystring), ("header", &request.header)];
    let request = group(machine, &groups);
    let response = group(machine, &[("header", &given.overrides.response.header)]);
    if let Value::Map(id) = context {
        let map = &mut machine.heap.maps[id];
        map.put("requestOverride".into(), request);
        map.put("responseOverride".into(), response);
    }
    let stage = machine.heap.texts(&given.stage_variables, true, false);
    for (name, value) in
        [("context", context), ("stageVariables", stage), ("input", Value::Input), ("util", Value::Util)]
    {
        machine.names.insert(name.into(), value);
    }
    Ok(())
}

fn group(machine: &mut Machine<'_>, groups: &[(&str, &Vec<(String, String)>)]) -> Value {
    let mut map = Map::soft();
    for (name, pairs) in groups {
        let value = machine.heap.texts(pairs, true, *name == "header");
        map.put((*name).into(), value);
    }
    machine.heap.map(map)
}

/// `$context` is an object whose missing parts print as nothing, at every level.
fn from_json(machine: &mut Machine<'_>, value: &serde_json::Value) -> Result<Value, VtlError> {
    machine.budget.step(1)?;
    machine.budget.enter()?;
    let made = match value {
        serde_json::Value::Null => Value::Missing,
        serde_json::Value::Bool(bool) => Value::Bool(*bool),
        serde_json::Value::Number(number) => {
            super::number::Number::read(&number.to_string()).map_or(Value::Missing, Value::Number)
        }
        serde_json::Value::String(text) => Value::text(text.as_str()),
        serde_json::Value::Array(all) => {
            let items = all.iter().map(|one| from_json(machine, one)).collect::<Result<_, _>>()?;
            machine.heap.list(items, true)
        }
        serde_json::Value::Object(all) => {
            let mut map = Map::soft();
            for (name, one) in all {
                map.put(name.as_str().into(), from_json(machine, one)?);
            }
            machine.heap.map(map)
        }
    };
    machine.budget.leave();
    Ok(made)
}

/// Reads back what the template set below `$context`.
pub(super) fn overrides(machine: &mut Machine<'_>) -> Result<Overrides, VtlError> {
    let mut overrides = Overrides { request: Default::default(), response: machine.context.overrides.response.clone() };
    let Some(context @ Value::Map(_)) = machine.names.get("context").cloned() else { return Ok(overrides) };
    let request = get(machine, &context, "requestOverride");
    overrides.request.path = pairs(machine, &request, "path")?;
    overrides.request.querystring = pairs(machine, &request, "querystring")?;
    overrides.request.header = pairs(machine, &request, "header")?;
    let response = get(machine, &context, "responseOverride");
    overrides.response.header = pairs(machine, &response, "header")?;
    if let Some(status) = Machine::as_int(&get(machine, &response, "status"))
        && (100..=599).contains(&status)
    {
        overrides.response.status = u16::try_from(status).ok();
    }
    Ok(overrides)
}

fn get(machine: &Machine<'_>, holder: &Value, name: &str) -> Value {
    match holder {
        Value::Map(id) => machine.heap.maps[*id].get(name),
        _ => Value::Missing,
    }
}

fn pairs(machine: &mut Machine<'_>, holder: &Value, name: &str) -> Result<Vec<(String, String)>, VtlError> {
    let Value::Map(id) = get(machine, holder, name) else { return Ok(Vec::new()) };
    let entries = machine.heap.maps[id].entries().to_vec();
    entries.into_iter().map(|(name, value)| Ok((name.to_string(), machine.text(&value)?.to_string()))).collect()
}

// === impl Machine ===
impl Machine<'_> {
    /// `$input.body`: an empty one reads `{}` (recorded from the service by LocalStack).
    pub(super) fn raw_body(&mut self) -> Value {
        let text = if self.context.body.is_empty() { "{}" } else { self.context.body.as_str() };
        Value::Text(Arc::clone(self.raw.get_or_insert_with(|| text.into())))
    }

    /// The body as JSON; an empty body has no parts.
    fn root(&mut self) -> Result<Value, VtlError> {
        if let Some(root) = &self.body {
            return Ok(root.clone());
        }
        let text = &self.context.body;
        let root = match text.trim().is_empty() {
            true => Value::Missing,
            false => json::read(&mut self.heap, &mut self.budget, text)?,
        };
        self.body = Some(root.clone());
        Ok(root)
    }

    fn select(&mut self, path: Option<&Value>, at: At) -> Result<Value, VtlError> {
        let text = match path {
            Some(path) => self.text(path)?,
            None => "$".into(),
        };
        let path = Path::parse(&text).map_err(|message| VtlError::Call { at, message })?;
        let root = self.root()?;
        if let Value::Missing = root {
            return Ok(root);
        }
        path.select(&mut self.heap, &mut self.budget, &root)
    }

    pub(super) fn input(&mut self, name: &str, arguments: &[Value], at: At) -> Result<Value, VtlError> {
        match (name, arguments) {
            ("path", [path]) => self.select(Some(path), at),
            ("json", [] | [_]) => {
                let found = self.select(arguments.first(), at)?;
                let mut out = String::new();
                json::write(&self.heap, &found, &mut self.budget, &mut out)?;
                Ok(Value::text(out))
            }
            ("body" | "getBody", []) => Ok(self.raw_body()),
            ("params", []) => {
                let given = self.context;
                Ok(group(
                    self,
                    &[("path", &given.path), ("querystring", &given.querystring), ("header", &given.header)],
                ))
            }
            ("params", [name]) => {
                let name = self.text(name)?;
                let given = self.context;
                let found = find(&given.path, |key| key == &*name)
                    .or_else(|| find(&given.querystring, |key| key == &*name))
                    .or_else(|| find(&given.header, |key| key.eq_ignore_ascii_case(&name)));
                Ok(found.map_or(Value::Missing, Value::text))
            }
            _ => Ok(Value::Null),
        }
    }

    pub(super) fn util(&mut self, name: &str, arguments: &[Value]) -> Result<Value, VtlError> {
        let [argument] = arguments else { return Ok(Value::Null) };
        if argument.is_null() {
            return Ok(Value::Null);
        }
        let text: Arc<str> = self.text(argument)?;
        let coded = match name {
            "escapeJavaScript" => escape::java_script(&text),
            "urlEncode" => escape::url_encode(&text),
            "urlDecode" => escape::url_decode(&text),
            "base64Encode" => escape::base64_encode(&text),
            "base64Decode" => escape::base64_decode(&text),
            "parseJson" => return json::read(&mut self.heap, &mut self.budget, &text),
            _ => return Ok(Value::Null),
        };
        self.budget.make(coded.len())?;
        Ok(Value::text(coded))
    }
}

fn find(pairs: &[(String, String)], is: impl Fn(&str) -> bool) -> Option<&str> {
    pairs.iter().rev().find(|(name, _)| is(name)).map(|(_, value)| value.as_str())
}
