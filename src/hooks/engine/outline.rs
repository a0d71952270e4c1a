//! Outline: an interpreter's code and a function's snapshot, apart.
//!
//! In: a component whose largest module is code that many functions share, with its memory as it was when the snapshot was taken.
//! Out: that module with its memory imported, which is compiled once for all of them; and the component that imports it and has
//! the memory. Never: a change of what runs; a component that is not of this shape stays whole.

use aws_lc_rs::digest;
use wasm_encoder::reencode::{self, Reencode, ReencodeComponent};
use wasm_encoder::{
    Component, ComponentImportSection, ComponentSectionId, ComponentTypeRef, CoreTypeSection, Encode, EntityType,
    ExportKind, ExportSection, InstanceSection, MemoryType, Module, ModuleArg, ModuleType, RawSection,
};
use wasmparser::{BinaryReader, CompositeInnerType, DataKind, FuncType, Operator, Parser, Payload, TypeRef};

/// Under these names the code imports its memory.
const IMAGE: &str = "rimward:image";
const MEMORY: &str = "memory";
/// Hex digits of the code's hash that its import has in its name.
const DIGITS: usize = 40;

/// A component in two parts.
pub struct Outlined {
    /// Imports the code, as a core module of this name.
    pub component: Vec<u8>,
    pub code: Vec<u8>,
    pub name: String,
}

/// `None`: not of the shape.
pub fn outline(component: &[u8]) -> Option<Outlined> {
    let main = largest(component)?;
    let split = split(main.bytes)?;
    let mut hash = crate::crypto::hex(digest::digest(&digest::SHA256, &split.code).as_ref());
    hash.truncate(DIGITS);
    // Each word of such a name begins with a letter.
    let name = format!("code-x{hash}");
    let mut outliner = Outliner { main: main.index, seen: 0, depth: 0, name: &name, split: &split };
    let mut out = Component::new();
    outliner.parse_component(&mut out, Parser::new(0), component).ok()?;
    Some(Outlined { component: out.finish(), code: split.code, name })
}

struct Main<'a> {
    index: u32,
    bytes: &'a [u8],
}

/// The largest module of a component, if nothing was instantiated before it and no core type is in the way.
fn largest(component: &[u8]) -> Option<Main<'_>> {
    let (mut main, mut count, mut depth): (Option<Main<'_>>, u32, u32) = (None, 0, 0);
    let mut instances_before = false;
    for payload in Parser::new(0).parse_all(component) {
        match payload.ok()? {
            Payload::ModuleSection { unchecked_range, .. } => {
                if depth == 0 {
                    let bytes = component.get(unchecked_range)?;
                    if main.as_ref().is_none_or(|main| main.bytes.len() < bytes.len()) {
                        main = Some(Main { index: count, bytes });
                        instances_before = false;
                    }
                    count += 1;
                }
                depth += 1;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CoreTypeSection(_) if depth == 0 => return None,
            Payload::InstanceSection(_) if depth == 0 && main.is_none() => instances_before = true,
            _ => {}
        }
    }
    main.filter(|_| !instances_before)
}

/// A module's code, its memory, and its type as far as a component uses it.
struct Split {
    code: Vec<u8>,
    image: Vec<u8>,
    ty: ModuleType,
}

fn split(module: &[u8]) -> Option<Split> {
    let (mut code, mut image, mut ty) = (Module::new(), Module::new(), ModuleType::new());
    let (mut types, mut functions): (Vec<FuncType>, Vec<u32>) = (Vec::new(), Vec::new());
    let mut exported = ExportSection::new();
    exported.export(MEMORY, ExportKind::Memory, 0);
    let imported = MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None };
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.ok()?;
        let Some((id, range)) = payload.as_section() else { continue };
        let data = module.get(range)?;
        let raw = RawSection { id, data };
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    for sub in group.ok()?.into_types() {
                        let CompositeInnerType::Func(function) = sub.composite_type.inner else { return None };
                        types.push(function);
                    }
                }
                code.section(&raw);
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.ok()?;
                    let TypeRef::Func(index) = import.ty else { return None };
                    functions.push(index);
                    let index = function(&mut ty, types.get(index as usize)?)?;
                    ty.import(import.module, import.name, EntityType::Function(index));
                }
                ty.import(IMAGE, MEMORY, EntityType::Memory(imported));
                let mut entry = Vec::new();
                IMAGE.encode(&mut entry);
                MEMORY.encode(&mut entry);
                EntityType::Memory(imported).encode(&mut entry);
                code.section(&RawSection { id, data: &one_more(data, &entry)? });
            }
            Payload::FunctionSection(section) => {
                for index in section {
                    functions.push(index.ok()?);
                }
                code.section(&raw);
            }
            Payload::MemorySection(section) => {
                let [memory] = section.into_iter().collect::<Result<Vec<_>, _>>().ok()?[..] else { return None };
                if memory.shared || memory.memory64 {
                    return None;
                }
                image.section(&raw).section(&exported);
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.ok()?;
                    match export.kind {
                        wasmparser::ExternalKind::Func => {
                            let index = *functions.get(export.index as usize)?;
                            let index = function(&mut ty, types.get(index as usize)?)?;
                            ty.export(export.name, EntityType::Function(index));
                        }
                        wasmparser::ExternalKind::Memory => {
                            ty.export(export.name, EntityType::Memory(imported));
                        }
                        _ => {}
                    }
                }
                code.section(&raw);
            }
            // Code that uses a segment, and so needs this, is not compiled apart.
            Payload::DataCountSection { .. } => {}
            Payload::DataSection(section) => {
                for segment in section {
                    match segment.ok()?.kind {
                        DataKind::Active { memory_index: 0, offset_expr } => {
                            let at = offset_expr.get_operators_reader().read();
                            let Ok(Operator::I32Const { .. }) = at else { return None };
                        }
                        DataKind::Active { .. } => return None,
                        // Code that used it would need the count, and not validate without.
                        DataKind::Passive => {}
                    }
                }
                image.section(&raw);
            }
            _ => {
                code.section(&raw);
            }
        }
    }
    let complete = image.as_slice().len() > Module::new().as_slice().len() && ty.type_count() > 0;
    complete.then(|| Split { code: code.finish(), image: image.finish(), ty })
}

/// Writes a function's type into a module's, and returns its index there.
fn function(ty: &mut ModuleType, function: &FuncType) -> Option<u32> {
    let types = |types: &[wasmparser::ValType]| {
        types.iter().map(|&ty| reencode::RoundtripReencoder.val_type(ty).ok()).collect::<Option<Vec<_>>>()
    };
    let (params, results) = (types(function.params())?, types(function.results())?);
    let index = ty.type_count();
    ty.ty().function(params, results);
    Some(index)
}

/// A section with one more entry at its end.
fn one_more(data: &[u8], entry: &[u8]) -> Option<Vec<u8>> {
    let mut reader = BinaryReader::new(data, 0);
    let count = reader.read_var_u32().ok()?;
    let mut section = Vec::with_capacity(data.len() + entry.len() + 1);
    (count + 1).encode(&mut section);
    section.extend_from_slice(data.get(reader.original_position()..)?);
    section.extend_from_slice(entry);
    Some(section)
}

/// Rewrites the component: in the module's place its import, then the module with the memory, instantiated first of all.
struct Outliner<'a> {
    main: u32,
    /// Modules met so far.
    seen: u32,
    depth: u32,
    name: &'a str,
    split: &'a Split,
}

impl Reencode for Outliner<'_> {
    type Error = std::convert::Infallible;
}

impl ReencodeComponent for Outliner<'_> {
    fn push_depth(&mut self) {
        self.depth += 1;
    }

    fn pop_depth(&mut self) {
        self.depth -= 1;
    }

    fn module_index(&mut self, index: u32) -> u32 {
        index + u32::from(self.depth == 0 && index > self.main)
    }

    fn instance_index(&mut self, index: u32) -> u32 {
        index + u32::from(self.depth == 0)
    }

    fn parse_component_submodule(
        &mut self,
        component: &mut Component,
        _parser: Parser,
        module: &[u8],
    ) -> Result<(), reencode::Error<Self::Error>> {
        let main = self.depth == 0 && self.seen == self.main;
        self.seen += u32::from(self.depth == 0);
        let id = ComponentSectionId::CoreModule as u8;
        if !main {
            component.section(&RawSection { id, data: module });
            return Ok(());
        }
        let mut types = CoreTypeSection::new();
        types.ty().module(&self.split.ty);
        let mut imports = ComponentImportSection::new();
        imports.import(self.name, ComponentTypeRef::Module(0));
        let mut instances = InstanceSection::new();
        instances.instantiate::<_, &str>(self.main + 1, []);
        component.section(&types).section(&imports);
        component.section(&RawSection { id, data: &self.split.image });
        component.section(&instances);
        Ok(())
    }

    fn parse_instance(
        &mut self,
        instances: &mut InstanceSection,
        instance: wasmparser::Instance<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        match instance {
            wasmparser::Instance::Instantiate { module_index, args }
                if self.depth == 0 && module_index == self.main =>
            {
                let mut given: Vec<_> =
                    args.iter().map(|arg| (arg.name, ModuleArg::Instance(self.instance_index(arg.index)))).collect();
                given.push((IMAGE, ModuleArg::Instance(0)));
                instances.instantiate(module_index, given);
                Ok(())
            }
            other => reencode::component_utils::parse_instance(self, instances, other),
        }
    }
}
