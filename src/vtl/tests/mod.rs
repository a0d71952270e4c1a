//! Tests: behaviour recorded from Velocity 1.7, Jayway JsonPath and the documentation.

use super::{Context, Overrides, Template, VtlError};

mod bounds;
mod lenient;
mod mapping;
mod recorded;

fn render(text: &str, context: &Context) -> Result<String, VtlError> {
    Template::parse(text)?.render(context).map(|rendered| rendered.body)
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn body(text: &str) -> Context {
    Context { body: text.to_owned(), ..Context::default() }
}
