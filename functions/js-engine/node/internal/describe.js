// What was thrown, as Lambda's JSON: type, message, the frames of the user's own code, cause.
const FRAME = /^\s*at (?:(.*) \()?((?:[^()]|\([^)]*\))*?):(-?\d+)(?::(\d+))?\)?$/;

// The user's frames, as Node words them. The engine's own are left out.
function frames(stack) {
  const out = [];
  for (const line of String(stack ?? '').split('\n')) {
    const m = FRAME.exec(line);
    if (!m || m[2].startsWith('node:boot') || m[2].startsWith('node:internal/loop') || +m[3] < 1) continue;
    out.push({ name: m[1], file: m[2], line: +m[3], column: +(m[4] ?? 1) });
  }
  return out;
}

function describe(error) {
  const thrown = error !== null && typeof error === 'object';
  const type = thrown ? String(error.name ?? error.constructor?.name ?? 'Error') : typeof error;
  let message = thrown ? error.message : error;
  if (thrown && message === undefined) {
    try {
      message = JSON.stringify(error);
    } catch {
      message = String(error);
    }
  }
  const at = frames(thrown ? error.stack : '');
  const lines = at.map((f) => `at ${f.name && f.name !== '<anonymous>' ? `${f.name} (${f.file}:${f.line}:${f.column})` : `${f.file}:${f.line}:${f.column}`}`);
  const cause = thrown && error.cause !== undefined ? describe(error.cause) : undefined;
  const first = at.find((f) => !f.file.startsWith('node:'));
  const out = { errorType: type, errorMessage: String(message), stackTrace: lines };
  if (cause) out.cause = JSON.parse(cause);
  if (first) Object.assign(out, { file: first.file, line: first.line, column: first.column });
  return JSON.stringify(out);
}

module.exports = describe;
