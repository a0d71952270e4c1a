//! Wrap: makes a component of a core module.
//!
//! In: a module that carries its WIT world, exports handlers by their canonical names, or has the flat world's three exports; WASI
//! preview 1 imports in any. Out: a component. Never: anything behind preview 1 but the function's own log, config, clock and
//! randomness.

use wasm_encoder::{Encode, ExportKind, ExportSection, Function, Module, RawSection, SectionId};
use wasmparser::{BinaryReader, ExternalKind, Parser, Payload, TypeRef};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::hooks::event::Event;

use super::EngineError;
use super::shape::Shape;

/// The contract, for what is wrapped here.
const WIT: &str = include_str!("../../../functions/wit/edge.wit");
const AWS: &str = "rimward:edge/lambda-edge@0.1.0";
const PREVIEW1: &str = "wasi_snapshot_preview1";
const ADAPTER: &str = include_str!("preview1.wat");

/// A component that does what `module` does.
pub fn component(module: &[u8], shape: &Shape) -> Result<Vec<u8>, EngineError> {
    let module = match handlers(shape) {
        _ if shape.world => module.to_vec(),
        Some(world) => embed(module.to_vec(), &world, "guest")?,
        None => embed(bridge(module, shape)?, "", "flat")?,
    };
    let encoder = ComponentEncoder::default().module(&module).map_err(wrong)?;
    let mut encoder = match shape.imports.iter().any(|import| import == PREVIEW1) {
        true => {
            let adapter = wat::parse_str(ADAPTER).map_err(|error| EngineError::Invalid(error.to_string()))?;
            encoder.adapter(PREVIEW1, &embed(adapter, "", "preview1-adapter")?).map_err(wrong)?
        }
        false => encoder,
    };
    encoder.encode().map_err(wrong)
}

/// The world of a module that exports handlers by their canonical names and does not say so itself.
fn handlers(shape: &Shape) -> Option<String> {
    let exported = Event::ALL.iter().map(|event| event.export()).filter(|name| shape.exports(name));
    let mut exports: String = exported.map(|name| format!("export {name}: func() -> result<_, string>; ")).collect();
    if shape.exports(&format!("{AWS}#handle")) {
        exports.push_str(&format!("export {AWS};"));
    }
    let world = format!("package rimward:guest; world guest {{ include rimward:edge/imports@0.1.0; {exports} }}");
    (!exports.is_empty()).then_some(world)
}

/// Writes into a module which world it is made for: one of ours, or one of `more`.
fn embed(mut module: Vec<u8>, more: &str, world: &str) -> Result<Vec<u8>, EngineError> {
    let mut resolve = Resolve::default();
    let mut package = resolve.push_source("edge.wit", WIT).map_err(wrong)?;
    if !more.is_empty() {
        package = resolve.push_source("guest.wit", more).map_err(wrong)?;
    }
    let world = resolve.select_world(&[package], Some(world)).map_err(wrong)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(wrong)?;
    Ok(module)
}

fn wrong(error: impl std::fmt::Display) -> EngineError {
    EngineError::Invalid(format!("no component can be made of this module: {error:#}"))
}

/// What the bridge has to know of a module.
#[derive(Default)]
struct Known {
    types: u32,
    functions: u32,
    alloc: Option<u32>,
    flat: Option<u32>,
}

/// Adds the canonical ABI's two functions to a module that has `alloc` and `flat`.
fn bridge(module: &[u8], shape: &Shape) -> Result<Vec<u8>, EngineError> {
    if !["memory", "alloc", "flat"].iter().all(|name| shape.exports(name)) {
        return Err(EngineError::Invalid(
            "a core module must export memory, and a handler (on-viewer-request, …) or alloc and flat \
             (functions/wit/flat.md)"
                .to_owned(),
        ));
    }
    let known = survey(module).map_err(wrong)?;
    let (Some(alloc), Some(flat)) = (known.alloc, known.flat) else {
        return Err(EngineError::Invalid("alloc and flat must be functions".to_owned()));
    };
    let types = [[0x60, 4, I32, I32, I32, I32, 1, I32].as_slice(), [0x60, 2, I32, I32, 1, I32].as_slice()].concat();
    let mut functions = Vec::new();
    known.types.encode(&mut functions);
    (known.types + 1).encode(&mut functions);
    let mut code = Vec::new();
    realloc(alloc).encode(&mut code);
    lifted(alloc, flat).encode(&mut code);

    let mut out = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(wrong)?;
        if let Payload::ExportSection(section) = payload {
            let mut exports = ExportSection::new();
            for export in section {
                let export = export.map_err(wrong)?;
                if !matches!(export.name, "flat" | "cabi_realloc") {
                    exports.export(export.name, kind(export.kind)?, export.index);
                }
            }
            exports.export("cabi_realloc", ExportKind::Func, known.functions);
            exports.export("flat", ExportKind::Func, known.functions + 1);
            out.section(&exports);
            continue;
        }
        let Some((id, range)) = payload.as_section() else { continue };
        let data = &module[range];
        match SectionId::Type as u8 {
            _ if id == SectionId::Type as u8 => append(&mut out, id, data, &types)?,
            _ if id == SectionId::Function as u8 => append(&mut out, id, data, &functions)?,
            _ if id == SectionId::Code as u8 => append(&mut out, id, data, &code)?,
            _ => {
                out.section(&RawSection { id, data });
            }
        }
    }
    Ok(out.finish())
}

const I32: u8 = 0x7f;

fn survey(module: &[u8]) -> wasmparser::Result<Known> {
    let mut known = Known::default();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::TypeSection(section) => {
                for group in section {
                    known.types += group?.types().count() as u32;
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    known.functions += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::FunctionSection(section) => known.functions += section.count(),
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    match (export.kind, export.name) {
                        (ExternalKind::Func, "alloc") => known.alloc = Some(export.index),
                        (ExternalKind::Func, "flat") => known.flat = Some(export.index),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(known)
}

/// A section with two more entries.
fn append(out: &mut Module, id: u8, data: &[u8], entries: &[u8]) -> Result<(), EngineError> {
    let mut reader = BinaryReader::new(data, 0);
    let count = reader.read_var_u32().map_err(wrong)?;
    let mut section = Vec::with_capacity(data.len() + entries.len() + 1);
    (count + 2).encode(&mut section);
    section.extend_from_slice(&data[reader.original_position()..]);
    section.extend_from_slice(entries);
    out.section(&RawSection { id, data: &section });
    Ok(())
}

fn kind(kind: ExternalKind) -> Result<ExportKind, EngineError> {
    Ok(match kind {
        ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
        ExternalKind::Table => ExportKind::Table,
        ExternalKind::Memory => ExportKind::Memory,
        ExternalKind::Global => ExportKind::Global,
        ExternalKind::Tag => ExportKind::Tag,
    })
}

/// `cabi_realloc(old, old_size, align, size)`: always a new, aligned block.
fn realloc(alloc: u32) -> Function {
    let mut function = Function::new([(1, wasm_encoder::ValType::I32)]);
    let mut code = function.instructions();
    // (alloc(size + align - 1) + align - 1) & -align
    code.local_get(3).local_get(2).i32_add().i32_const(1).i32_sub().call(alloc);
    code.local_get(2).i32_add().i32_const(1).i32_sub();
    code.i32_const(0).local_get(2).i32_sub().i32_and().local_tee(4);
    code.local_get(0).local_get(1).memory_copy(0, 0);
    code.local_get(4).end();
    function
}

/// `flat(ptr, len)` as the canonical ABI has it: the answer's pointer and length are in memory.
fn lifted(alloc: u32, flat: u32) -> Function {
    let at = |offset| wasm_encoder::MemArg { offset, align: 2, memory_index: 0 };
    let mut function = Function::new([(1, wasm_encoder::ValType::I64), (1, wasm_encoder::ValType::I32)]);
    let mut code = function.instructions();
    code.local_get(0).local_get(1).call(flat).local_set(2);
    code.i32_const(11).call(alloc).i32_const(3).i32_add().i32_const(-4).i32_and().local_tee(3);
    code.local_get(2).i64_const(32).i64_shr_u().i32_wrap_i64().i32_store(at(0));
    code.local_get(3).local_get(2).i32_wrap_i64().i32_store(at(4));
    code.local_get(3).end();
    function
}
