// Serves the best image format that the browser takes, from files that lie beside the originals.
//
// Events: viewer-request and viewer-response. Grants: none. /img/cat.jpg becomes /img/cat.avif or /img/cat.webp when `Accept` has
// that type; the new path is in the cache key, so each format is stored once. The response says `Vary: Accept` for the caches
// behind this one.

import { Answer, Event, Message, lower, run, valueOf } from "../../sdk/assemblyscript/rimward";
export { alloc } from "../../sdk/assemblyscript/rimward";

const FORMATS: string[] = ["avif", "webp"];
const ORIGINALS: string[] = [".jpg", ".jpeg", ".png"];

function hook(m: Message, out: Answer): void {
  if (m.event == Event.ViewerRequest) {
    const stem = original(m.uri);
    const format = best(m.header("accept"));
    if (stem != null && format != null) out.setUri(stem + "." + format);
  } else if (m.event == Event.ViewerResponse) {
    const type = valueOf(m.response, "content-type");
    if (type != null && type.startsWith("image/")) out.appendHeader("vary", "Accept");
  }
}

/** The path without its extension; null when it is no image that may have others beside it. */
function original(uri: string): string | null {
  for (let o = 0; o < ORIGINALS.length; o++) {
    if (uri.endsWith(ORIGINALS[o])) return uri.substring(0, uri.length - ORIGINALS[o].length);
  }
  return null;
}

/** The first of FORMATS that is named and not refused with q=0. Wildcards do not count: browsers send them for any image. */
function best(accept: string | null): string | null {
  if (accept == null) return null;
  const ranges = accept.split(",");
  for (let f = 0; f < FORMATS.length; f++) {
    for (let r = 0; r < ranges.length; r++) {
      const parts = ranges[r].split(";");
      if (lower(parts[0].trim()) != "image/" + FORMATS[f]) continue;
      if (parts.length == 1 || !refused(parts[1].trim())) return FORMATS[f];
    }
  }
  return null;
}

/** Whether a weight is zero: "q=0", "q=0.", "q=0.000" (RFC 9110 §12.4.2). */
function refused(weight: string): bool {
  if (!weight.startsWith("q=0")) return false;
  for (let at = 3; at < weight.length; at++) {
    const digit = weight.charCodeAt(at);
    if (digit >= 0x31 && digit <= 0x39) return false;
  }
  return true;
}

export function flat(input: usize, length: u32): u64 {
  return run(input, length, hook);
}
