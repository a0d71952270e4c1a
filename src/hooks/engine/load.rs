//! Load: from a wasm file to a function that can be called.
//!
//! In: the file, the grants. Out: a pre-linked component. Never: an import that was not granted: it fails here, by name.

use std::borrow::Cow;
use std::sync::Arc;

use aws_lc_rs::digest;
use wasmparser::{Parser, Payload};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use crate::config::compiled::{self, Flavor, Grants};
use crate::crypto;
use crate::hooks::event::Event;
use crate::hooks::failure::Api;
use crate::hooks::host::{Identity, Services};
use crate::hooks::lines::{self, Lines};

use super::function::{Function, Handlers, Parts};
use super::pool::{Pool, Size};
use super::shape::Shape;
use super::store::Data;
use super::{EngineError, Shared, outline, wrap};

/// The package of the contract; its versions 0.1.x are one.
const PACKAGE: &str = "rimward:edge/";
const LINE: &str = "0.1.";
/// A core module this large is an interpreter with its snapshot, or a runtime.
pub(super) const BIG: usize = 1 << 20;
const WEB: &str = "a wasi:http component is an origin (`[[origin]] function`), not a hook";
/// Hex digits of a function's version.
pub(super) const VERSION: usize = 12;

/// Compiles or loads it, and looks up what it exports.
pub fn load(
    shared: &Arc<Shared>,
    wasm: &[u8],
    spec: &compiled::Function,
    services: &Arc<Services>,
) -> Result<Function, EngineError> {
    let mut version = crypto::hex(digest::digest(&digest::SHA256, wasm).as_ref());
    version.truncate(VERSION);
    let (binary, shape) = component(wasm)?;
    let web = shape.exports.iter().any(|export| export.starts_with(super::web::HANDLER));
    for import in &shape.imports {
        let hint =
            if web && import.starts_with("wasi:") { Some(WEB.to_owned()) } else { refused(import, &spec.grants) };
        if let Some(hint) = hint {
            return Err(EngineError::Import { function: spec.name.clone(), import: import.clone(), hint });
        }
    }
    let size = if shape.made.is_some() || shape.largest > BIG { Size::Big } else { Size::Small };
    let pool = shared.pool(size);
    if shape.memory > spec.memory as u64 {
        return Err(EngineError::Memory { function: spec.name.clone(), needs: shape.memory, limit: spec.memory });
    }
    let pre = linked(shared, pool, &binary, size)?;
    let component = pre.component();
    let handlers = handlers(component, &shape);
    if !Event::ALL.iter().any(|&event| handlers.handles(event)) {
        return Err(EngineError::Handler { function: spec.name.clone() });
    }
    let api = api(&handlers, &shape, spec.flavor);
    // Here rather than in the first call.
    component.initialize_copy_on_write_image().map_err(|error| EngineError::Start(format!("{error:#}")))?;
    let (grants, fetch) = (spec.grants.clone(), services.fetch.share());
    let lines = if shape.made.is_some() { map_of(&binary) } else { Lines::default() };
    let identity = Identity { name: spec.name.clone(), version, grants, fetch, lines };
    let (services, shared) = (services.clone(), shared.clone());
    Ok(Function::new(Parts { identity, services, shared, size, pre, handlers, api }, spec))
}

/// Compiled and linked: the code that many functions share apart from the rest, where there is such code.
fn linked(shared: &Shared, pool: &Pool, component: &[u8], size: Size) -> Result<InstancePre<Data>, EngineError> {
    let outlined = if size == Size::Big { outline::outline(component) } else { None };
    if let Some(outlined) = outlined {
        match shared.apart(pool, &outlined) {
            Ok(pre) => return Ok(pre),
            Err(error) => log::debug!("compiled whole: {error}"),
        }
    }
    let component = shared.artifacts.code::<Component>(&pool.engine, component)?;
    pool.linker.instantiate_pre(&component).map_err(|error| EngineError::Invalid(format!("{error:#}")))
}

/// Why `file` is neither WebAssembly nor its text, when it is not even said to be: what a parser of text says of other bytes helps nobody.
pub fn no_wasm(file: &[u8]) -> Option<&'static str> {
    match file.trim_ascii_start() {
        [] => Some("it is empty"),
        // UTF-8's, and those of UTF-16.
        [0xef, 0xbb, 0xbf, ..] | [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            Some("it begins with a byte order mark: save it as UTF-8 without one")
        }
        // Of text, a list or a comment.
        [b'(' | b';', ..] | [0, b'a', b's', b'm', ..] => None,
        _ => Some(
            "it is neither WebAssembly, which begins with \\0asm, nor its text, which begins with (module or (component",
        ),
    }
}

/// The component that a file is, or is made into, and its shape.
pub fn component(wasm: &[u8]) -> Result<(Cow<'_, [u8]>, Shape), EngineError> {
    if let Some(why) = no_wasm(wasm) {
        return Err(EngineError::Invalid(why.to_owned()));
    }
    let binary = wat::parse_bytes(wasm).map_err(|error| EngineError::Invalid(error.to_string()))?;
    let given = Shape::of(&binary)?;
    if given.component {
        return Ok((binary, given));
    }
    let wrapped = wrap::component(&binary, &given)?;
    let shape = Shape::of(&wrapped)?;
    Ok((wrapped.into(), shape))
}

/// The map that a component carries, as it is: no error of its own.
fn map_of(component: &[u8]) -> Lines {
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload {
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(Payload::CustomSection(section)) if depth == 0 && section.name() == lines::SECTION => {
                return Lines::new(section.data());
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Lines::default()
}

/// Why a function may not import this.
fn refused(import: &str, grants: &Grants) -> Option<String> {
    let Some((interface, version)) = import.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@')) else {
        let why = match import {
            _ if import.starts_with("wasi:http/") => WEB,
            _ if import.starts_with("wasi:") => {
                "WASI is not offered; build it as a WASI preview 1 module, or with WASI stubbed out"
            }
            _ => "there is no such interface; functions/wit/edge.wit has all there are",
        };
        return Some(why.to_owned());
    };
    if !version.starts_with(LINE) {
        return Some(format!("this host offers {LINE}x"));
    }
    let (granted, key) = match interface {
        "call" | "who" | "request" | "origin" | "answer" | "response" | "types" | "log" | "config" | "crypto"
        | "clock" | "dynamic" | "preview1" => return None,
        "secrets" => (!grants.secrets.is_empty(), "secrets = { name = \"env:NAME\" }"),
        "kv" => (!grants.kv.is_empty(), "kv = [\"store\"]"),
        "geo" => (grants.geo, "geo = true"),
        "fetch" => (grants.fetch.is_some(), "fetch = { allow = [\"host\"] }"),
        _ => return Some("there is no such interface; functions/wit/edge.wit has all there are".to_owned()),
    };
    // Of `fn test`, options by the same names.
    let option = if interface == "secrets" { "secret" } else { interface };
    (!granted).then(|| format!("it was not granted; add `grants.{key}` to the function, or --{option} to `fn test`"))
}

fn handlers(component: &Component, shape: &Shape) -> Handlers {
    let root = |name: &str| component.get_export_index(None, name);
    let lambda = shape.exports.iter().find(|name| {
        let version = name.strip_prefix(PACKAGE).and_then(|name| name.strip_prefix("lambda-edge@"));
        version.is_some_and(|version| version.starts_with(LINE))
    });
    let lambda: Option<ComponentExportIndex> = lambda.and_then(|name| {
        let interface = component.get_export_index(None, name)?;
        component.get_export_index(Some(&interface), "handle")
    });
    Handlers { native: Event::ALL.map(|event| root(event.export())), flat: root("flat"), lambda }
}

fn api(handlers: &Handlers, shape: &Shape, flavor: Flavor) -> Api {
    let cloudfront = match &shape.made {
        Some(made) => made.api == "cloudfront",
        None => matches!(flavor, Flavor::CloudFront1 | Flavor::CloudFront2),
    };
    match handlers.lambda {
        None => Api::Native,
        Some(_) if cloudfront => Api::CloudFront,
        Some(_) => Api::LambdaEdge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_even_said_to_be_webassembly() {
        for (file, want) in [
            (b"\0asm\x01\0\0\0".as_slice(), None),
            (b"  (module)", None),
            (b";; a comment\n(module)", None),
            (b" \n", Some("it is empty")),
            (b"\xef\xbb\xbf(module)", Some("it begins with a byte order mark: ")),
            (b"\xff\xfe(\0m\0", Some("it begins with a byte order mark: ")),
            (b"hello", Some("it is neither WebAssembly, ")),
        ] {
            let why = no_wasm(file);
            let says = want.is_none_or(|want| why.is_some_and(|why| why.starts_with(want)));
            assert!(why.is_some() == want.is_some() && says, "{file:?}: {why:?}");
        }
    }
}
