//! TypeScript: where an error is shown. Runs where esbuild is installed.

use crate::{Desk, toolchains};

/// What TypeScript throws is shown where it was written, while it runs and while it is built.
#[test]
fn typescript_fails_at_its_own_lines() {
    let desk = Desk::new();
    std::fs::create_dir_all(desk.at("f/lib")).unwrap();
    desk.write(
        "f/index.ts",
        "import { pick } from \"./lib/pick\";\n\ninterface Event {\n  Records: unknown[];\n}\n\n\
         export const handler = async (event: Event): Promise<unknown> => pick(event.Records.length);\n",
    );
    desk.write(
        "f/lib/pick.ts",
        "type Step = (left: number) => never;\n\nexport function pick(left: number): never {\n  \
         const step: Step = (left) => {\n    if (left > 0) return step(left - 1);\n    \
         throw new RangeError(\"no way\");\n  };\n  return step(left);\n}\n",
    );
    desk.write(
        "f/early.ts",
        "import { pick } from \"./lib/pick\";\n\ntype None = never;\nexport const found: None = pick(0);\n",
    );
    let (code, out, err) = desk.run(&["fn", "test", "f/index.ts"]);
    if err.contains("TypeScript needs esbuild") {
        assert!(code == 1 && toolchains().is_empty(), "{err}");
        return;
    }
    let stack = "  error  at step (lib/pick.ts:6:15)\n         at step (lib/pick.ts:5:38)\n         \
                 at pick (lib/pick.ts:8:15)\n         at handler (index.ts:7:85)\n";
    assert!(code == 1 && out.contains(stack), "{out}{err}");
    let (code, _, err) = desk.run(&["fn", "build", "f/early.ts"]);
    let place = "lib/pick.ts:6:15: RangeError: no way\n  6 |     throw new RangeError(\"no way\");\n    |               ^\n    \
                 at pick (lib/pick.ts:8:15)\n    at early.ts:4:28";
    assert!(code == 1 && err.contains(place), "{err}");
    // The same from wherever it is built.
    desk.done(&["fn", "build", "f/index.ts", "-o", "a.wasm"]);
    desk.done(&["fn", "build", desk.at("f/index.ts").to_str().unwrap(), "-o", "b.wasm"]);
    assert!(std::fs::read(desk.at("a.wasm")).unwrap() == std::fs::read(desk.at("b.wasm")).unwrap());
    desk.done(&["fn", "inspect", "a.wasm"]);
}
