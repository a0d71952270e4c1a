//! Wat: functions written on the spot, as text modules of the flat world that always do the same.
//!
//! In: operations (functions/wit/flat.md). Out: a `.wat` file's text. Never: an input read; what needs that is a sample.

/// The answer of a flat function, operation by operation.
#[derive(Debug, Clone)]
pub struct Flat(Vec<u8>);

// === impl Flat ===
impl Flat {
    pub fn new() -> Self {
        Flat(vec![1])
    }

    pub fn uri(self, uri: &str) -> Self {
        self.op(1, &[uri.as_bytes()])
    }

    pub fn query(self, query: &str) -> Self {
        self.op(2, &[query.as_bytes()])
    }

    pub fn set(self, name: &str, value: &str) -> Self {
        self.op(3, &[name.as_bytes(), value.as_bytes()])
    }

    pub fn append(self, name: &str, value: &str) -> Self {
        self.op(4, &[name.as_bytes(), value.as_bytes()])
    }

    pub fn remove(self, name: &str) -> Self {
        self.op(5, &[name.as_bytes()])
    }

    pub fn body(self, body: &str) -> Self {
        self.op(6, &[body.as_bytes()])
    }

    pub fn status(mut self, status: u16) -> Self {
        self.0.push(7);
        self.0.extend(status.to_le_bytes());
        self
    }

    pub fn respond(mut self, status: u16, fields: &[(&str, &str)], body: &str) -> Self {
        self.0.push(8);
        self.0.extend(status.to_le_bytes());
        self.0.extend((fields.len() as u32).to_le_bytes());
        for (name, value) in fields {
            self.part(name.as_bytes());
            self.part(value.as_bytes());
        }
        self.part(body.as_bytes());
        self
    }

    pub fn fail(self, words: &str) -> Self {
        self.op(9, &[words.as_bytes()])
    }

    pub fn choose(self, origin: &str) -> Self {
        self.op(10, &[origin.as_bytes()])
    }

    /// A module that gives this answer to every call.
    pub fn wat(&self) -> String {
        let data: String = self.0.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let answer = (1024_u64 << 32) | self.0.len() as u64;
        module(&data, &format!("i64.const {answer}"))
    }

    fn op(mut self, code: u8, parts: &[&[u8]]) -> Self {
        self.0.push(code);
        parts.iter().for_each(|part| self.part(part));
        self
    }

    fn part(&mut self, bytes: &[u8]) {
        self.0.extend((bytes.len() as u32).to_le_bytes());
        self.0.extend(bytes);
    }
}

/// A flat module with this body of its handler; `data` lies at 1024.
pub fn module(data: &str, body: &str) -> String {
    format!(
        "(module\n  (memory (export \"memory\") 32)\n  (data (i32.const 1024) \"{data}\")\n  \
         (func (export \"alloc\") (param i32) (result i32) i32.const 131072)\n  \
         (func (export \"flat\") (param i32 i32) (result i64)\n    {body}))\n"
    )
}

/// A flat module that also imports a function of no arguments.
pub fn importing(interface: &str, name: &str) -> String {
    module("", "i64.const 0").replacen("(module", &format!("(module (import \"{interface}\" \"{name}\" (func))"), 1)
}

/// A function that gives the message back as it is, whatever it says.
pub fn idle() -> String {
    Flat::new().wat()
}
