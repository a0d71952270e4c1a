//! Guests of the tests: core modules as text, written from the host calls they make.

use std::fmt::Write;

/// Where results of host calls are returned to; constants begin behind.
const CONSTANTS: usize = 1024;

/// A module in the making.
pub struct Guest {
    imports: String,
    data: String,
    /// Functions and globals of its own.
    pub items: String,
    next: usize,
}

impl Default for Guest {
    fn default() -> Self {
        Guest { imports: String::new(), data: String::new(), items: String::new(), next: CONSTANTS }
    }
}

impl Guest {
    /// Pointer and length of a constant.
    pub fn text(&mut self, text: &str) -> String {
        let at = self.next;
        self.next += text.len() + 1;
        let escaped: String = text.bytes().map(|b| format!("\\{b:02x}")).collect();
        writeln!(self.data, "(data (i32.const {at}) \"{escaped}\")").unwrap();
        format!("(i32.const {at}) (i32.const {})", text.len())
    }

    /// Imports a host call; its name in the module is `$interface.function`.
    pub fn import(&mut self, interface: &str, function: &str, signature: &str) -> String {
        let name = format!("${interface}.{function}");
        if !self.imports.contains(&format!("{name} ")) {
            let from = format!("\"rimward:edge/{interface}@0.1.0\" \"{function}\"");
            writeln!(self.imports, "(import {from} (func {name} {signature}))").unwrap();
        }
        name
    }

    /// Code that sets a request header; traps when that is refused.
    pub fn set_header(&mut self, name: &str, value: &str) -> String {
        let value = self.text(value);
        self.set_header_to(name, &value)
    }

    /// The same, with the value's pointer and length computed.
    pub fn set_header_to(&mut self, name: &str, value: &str) -> String {
        let name = self.text(name);
        let set = self.import("request", "set-header", "(param i32 i32 i32 i32 i32)");
        format!("(call {set} {name} {value} (i32.const 512)) (if (i32.load8_u (i32.const 512)) (then (unreachable)))\n")
    }

    /// A module whose four handlers run `code`.
    pub fn module(self, code: &str) -> Vec<u8> {
        self.text_of(&format!("{code} (i32.const 256)"), "").into_bytes()
    }

    /// The same with a start function.
    pub fn starting(self, start: &str) -> Vec<u8> {
        self.text_of("(i32.const 256)", &format!("(func $start {start}) (start $start)")).into_bytes()
    }

    /// The handlers return a pointer to `result<_, string>`: 256 is all zero, `ok`.
    fn text_of(self, handler: &str, start: &str) -> String {
        let Guest { imports, data, items, .. } = self;
        format!(
            r#"(module {imports}
              (memory (export "memory") 2)
              (global $next (mut i32) (i32.const 65536))
              (func $alloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.set $next (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
              {items} {start}
              (func $handler (result i32) {handler})
              (export "on-viewer-request" (func $handler))
              (export "on-origin-request" (func $handler))
              (export "on-viewer-response" (func $handler))
              (export "on-origin-response" (func $handler))
              {data})"#
        )
    }
}
