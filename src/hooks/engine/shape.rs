//! Shape: what a wasm file is, read from its outermost layer.
//!
//! In: the bytes. Out: module or component, the names it imports and exports, what it says of itself. Never: its code; the
//! compiler validates that.

use serde::Deserialize;
use wasmparser::{Encoding, Parser, Payload};

use super::EngineError;

/// The custom section in which `rimward fn build` says what a component was made from.
pub const SECTION: &str = "rimward";

/// Bytes of a page of linear memory.
const PAGE: u64 = 64 << 10;

/// A wasm file from outside.
#[derive(Debug, Default)]
pub struct Shape {
    pub component: bool,
    /// For a component the names of its imports, for a module the names of the modules it imports from; each once.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    /// A module that carries the WIT world it was made for.
    pub world: bool,
    pub made: Option<Made>,
    /// Bytes of the largest core module.
    pub largest: usize,
    /// Bytes of linear memory that it begins with, all modules together.
    pub memory: u64,
}

/// What a component was made from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Made {
    /// "lambda-edge" or "cloudfront".
    pub api: String,
    pub runtime: Option<String>,
    pub source: Option<String>,
    pub engine: Option<String>,
}

// === impl Shape ===
impl Shape {
    pub fn of(wasm: &[u8]) -> Result<Shape, EngineError> {
        let mut shape = Shape::default();
        let mut depth = 0usize;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(invalid)? {
                Payload::Version { encoding, .. } if depth == 0 => shape.component = encoding == Encoding::Component,
                Payload::ModuleSection { unchecked_range, .. } => {
                    depth += 1;
                    shape.largest = shape.largest.max(unchecked_range.len());
                }
                Payload::ComponentSection { .. } => depth += 1,
                Payload::MemorySection(section) => {
                    for memory in section {
                        shape.memory =
                            shape.memory.saturating_add(memory.map_err(invalid)?.initial.saturating_mul(PAGE));
                    }
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                payload if depth == 0 => shape.add(payload)?,
                _ => {}
            }
        }
        if !shape.component {
            shape.largest = wasm.len();
        }
        Ok(shape)
    }

    fn add(&mut self, payload: Payload<'_>) -> Result<(), EngineError> {
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section {
                    self.imports.push(import.map_err(invalid)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    self.exports.push(export.map_err(invalid)?.name.name.to_owned());
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let module = import.map_err(invalid)?.module;
                    if !self.imports.iter().any(|known| known == module) {
                        self.imports.push(module.to_owned());
                    }
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    self.exports.push(export.map_err(invalid)?.name.to_owned());
                }
            }
            Payload::CustomSection(section) if section.name() == SECTION => {
                let made = serde_json::from_slice(section.data());
                self.made = Some(made.map_err(|error| EngineError::Invalid(format!("section {SECTION}: {error}")))?);
            }
            Payload::CustomSection(section) if section.name().starts_with("component-type") => self.world = true,
            _ => {}
        }
        Ok(())
    }

    pub fn exports(&self, name: &str) -> bool {
        self.exports.iter().any(|export| export == name)
    }
}

fn invalid(error: wasmparser::BinaryReaderError) -> EngineError {
    EngineError::Invalid(error.to_string())
}
