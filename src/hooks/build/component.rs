//! Component: the snapshot of a function as a component of world `aws`, with a note of what it was made from.

use serde::Serialize;
use wasm_encoder::{ComponentSection, CustomSection};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::config::compiled::Flavor;
use crate::hooks::failure::Api;
use crate::hooks::lines;

use super::BuildError;
use super::bundle::Bundle;

/// The contract, at build time.
const WIT: &str = include_str!("../../../functions/wit/edge.wit");
const WORLD: &str = "aws";
/// The custom section that says what a component was made from; `engine` reads it.
const SECTION: &str = "rimward";

#[derive(Serialize)]
struct Made<'a> {
    api: &'a str,
    runtime: &'a str,
    source: &'a str,
    /// SHA-256 of the engine module.
    engine: &'a str,
}

/// The component of a snapshot of this bundle.
pub fn write(
    mut module: Vec<u8>,
    api: Api,
    flavor: Flavor,
    bundle: &Bundle,
    engine: &str,
) -> Result<Vec<u8>, BuildError> {
    let failed = |error: String| BuildError::Component(error);
    let mut resolve = Resolve::default();
    let package = resolve.push_source("edge.wit", WIT).map_err(|error| failed(format!("{error:#}")))?;
    let world = resolve.select_world(&[package], Some(WORLD)).map_err(|error| failed(format!("{error:#}")))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .map_err(|error| failed(format!("{error:#}")))?;
    let mut component = ComponentEncoder::default()
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| failed(format!("{error:#}")))?;
    let made = Made {
        api: if api == Api::CloudFront { "cloudfront" } else { "lambda-edge" },
        runtime: match (api, flavor) {
            (Api::CloudFront, Flavor::CloudFront1) => "cloudfront-js-1.0",
            (Api::CloudFront, _) => "cloudfront-js-2.0",
            _ => "nodejs",
        },
        source: &bundle.name,
        engine: engine.split_whitespace().next().unwrap_or_default(),
    };
    let data = serde_json::to_vec(&made).map_err(|error| failed(error.to_string()))?;
    CustomSection { name: SECTION.into(), data: data.into() }.append_to_component(&mut component);
    if !bundle.lines.is_empty() {
        CustomSection { name: lines::SECTION.into(), data: (&bundle.lines).into() }.append_to_component(&mut component);
    }
    Ok(component)
}
