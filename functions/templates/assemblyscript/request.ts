// A hook for viewer-request: runs before the cache is asked.

import { Answer, Field, Message, run } from "./rimward/rimward";
export { alloc } from "./rimward/rimward";

const OLD = "/old/";

function hook(m: Message, out: Answer): void {
  // Answer by itself: nothing further is asked.
  if (m.uri.startsWith(OLD)) {
    out.respond(301, [new Field("location", "/new/" + m.uri.substring(OLD.length))], "");
    return;
  }

  // Or go on with a changed request.
  if (m.uri.endsWith("/")) out.setUri(m.uri + "index.html");
  out.setHeader("x-function", "NAME");
}

export function flat(input: usize, length: u32): u64 {
  return run(input, length, hook);
}
