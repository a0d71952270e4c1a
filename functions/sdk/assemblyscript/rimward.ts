// Edge functions for Rimward, in AssemblyScript: the flat world (functions/wit/flat.md) and `config` beside it.
//
//   import { Answer, Message, run } from "../../sdk/assemblyscript/rimward";
//   export { alloc } from "../../sdk/assemblyscript/rimward";
//
//   function hook(m: Message, out: Answer): void {
//     if (m.uri.endsWith("/")) out.setUri(m.uri + "index.html");
//   }
//
//   export function flat(input: usize, length: u32): u64 {
//     return run(input, length, hook);
//   }
//
// Field values are shown as text; one that is not UTF-8 has U+FFFD where it is not. Compile: functions/sdk/assemblyscript/build.sh.

export namespace Event {
  export const ViewerRequest: u8 = 1;
  export const OriginRequest: u8 = 2;
  export const OriginResponse: u8 = 3;
  export const ViewerResponse: u8 = 4;
}

export class Field {
  constructor(public name: string, public value: string) {}
}

/** What the function is given. Names of fields are lower case. */
export class Message {
  event: u8 = 0;
  requestId: string = "";
  clientIp: string = "";
  method: string = "";
  uri: string = "";
  /** Without "?". */
  query: string = "";
  request: Field[] = [];
  /** null unless the association has `include_body`. */
  body: Uint8Array | null = null;
  /** There is more of the body than this. */
  truncated: bool = false;
  /** 0 at request events. */
  status: u16 = 0;
  response: Field[] = [];

  /** The first request field of that name. */
  header(name: string): string | null {
    return valueOf(this.request, name);
  }

  /** The value of a cookie of the request. */
  cookie(name: string): string | null {
    for (let f = 0; f < this.request.length; f++) {
      if (this.request[f].name != "cookie") continue;
      const pairs = this.request[f].value.split(";");
      for (let p = 0; p < pairs.length; p++) {
        const pair = pairs[p].trim();
        if (pair.startsWith(name + "=")) return pair.substring(name.length + 1);
      }
    }
    return null;
  }
}

/** The first field of that name. */
export function valueOf(fields: Field[], name: string): string | null {
  for (let f = 0; f < fields.length; f++) {
    if (fields[f].name == name) return fields[f].value;
  }
  return null;
}

/** ASCII letters in lower case; the standard library's own brings 12 KB of Unicode tables. */
export function lower(text: string): string {
  let out = "";
  for (let at = 0; at < text.length; at++) {
    const c = text.charCodeAt(at);
    out += String.fromCharCode(c >= 0x41 && c <= 0x5a ? c | 0x20 : c);
  }
  return out;
}

/** The edits, in order. */
export class Answer {
  private data: Uint8Array = new Uint8Array(512);
  length: i32 = 0;

  setUri(uri: string): void {
    this.op(1, uri);
  }

  setQuery(query: string): void {
    this.op(2, query);
  }

  /** Of the request at request events, of the response at response events. */
  setHeader(name: string, value: string): void {
    this.op(3, name);
    this.text(value);
  }

  appendHeader(name: string, value: string): void {
    this.op(4, name);
    this.text(value);
  }

  removeHeader(name: string): void {
    this.op(5, name);
  }

  setBody(body: string): void {
    this.op(6, body);
  }

  setStatus(status: u16): void {
    this.u8(7);
    this.u16(status);
  }

  /** Answers instead of going on. */
  respond(status: u16, fields: Field[], body: string): void {
    this.u8(8);
    this.u16(status);
    this.u32(<u32>fields.length);
    for (let f = 0; f < fields.length; f++) {
      this.text(fields[f].name);
      this.text(fields[f].value);
    }
    this.text(body);
  }

  /** Fails the call with these words. */
  fail(words: string): void {
    this.op(9, words);
  }

  /** Goes to another origin of the configuration. */
  chooseOrigin(name: string): void {
    this.op(10, name);
  }

  /** `level`: 0 debug, 1 info, 2 warn, 3 error. */
  log(level: u8, words: string): void {
    this.u8(11);
    this.u8(level);
    this.text(words);
  }

  get start(): usize {
    return this.data.dataStart;
  }

  u8(n: u8): void {
    store<u8>(this.room(1), n);
  }

  private op(code: u8, operand: string): void {
    this.u8(code);
    this.text(operand);
  }

  private u16(n: u16): void {
    store<u16>(this.room(2), n);
  }

  private u32(n: u32): void {
    store<u32>(this.room(4), n);
  }

  private text(text: string): void {
    const bytes = String.UTF8.encode(text);
    this.u32(<u32>bytes.byteLength);
    memory.copy(this.room(bytes.byteLength), changetype<usize>(bytes), bytes.byteLength);
  }

  /** Where `count` more bytes go. */
  private room(count: i32): usize {
    if (this.length + count > this.data.length) {
      const larger = new Uint8Array((this.length + count) * 2);
      larger.set(this.data);
      this.data = larger;
    }
    const at = this.data.dataStart + this.length;
    this.length += count;
    return at;
  }
}

// --- Host calls: what is used here has to be granted. The layout is the canonical ABI's. ---

@external("rimward:edge/config@0.1.0", "get")
declare function configGet(key: usize, length: usize, option: usize): void;

/** What the operator wrote under `config`. */
export function config(key: string): string | null {
  const bytes = String.UTF8.encode(key);
  const option = memory.data(12, 4);
  configGet(changetype<usize>(bytes), bytes.byteLength, option);
  if (load<u8>(option) == 0) return null;
  return String.UTF8.decodeUnsafe(load<u32>(option, 4), load<u32>(option, 8));
}

// --- The module's exports ---

/** What the host was given in this call, and in the one before. */
let blocks: usize[] = [];
let stale: usize[] = [];
/** Held until the next call: the host reads it after `flat` returned. */
let answer: Answer | null = null;

/** For the host: where the input goes, and what its calls answer with. */
export function alloc(length: usize): usize {
  const block = heap.alloc(length);
  blocks.push(block);
  return block;
}

/** Runs a hook on the input the host wrote, whose lengths can be trusted; gives what `flat` has to return. */
export function run(input: usize, length: u32, hook: (m: Message, out: Answer) => void): u64 {
  for (let b = 0; b < stale.length; b++) heap.free(stale[b]);
  if (answer != null) {
    answer = null;
    __collect();
  }
  const out = new Answer();
  out.u8(1);
  hook(new Reader(input).message(), out);
  answer = out;
  stale = blocks;
  blocks = [];
  return ((<u64>out.start) << 32) | out.length;
}

class Reader {
  constructor(private at: usize) {}

  message(): Message {
    const m = new Message();
    m.event = load<u8>(this.at, 1);
    this.at += 2;
    m.requestId = this.text();
    m.clientIp = this.text();
    m.method = this.text();
    m.uri = this.text();
    m.query = this.text();
    m.request = this.fields();
    const body = load<u8>(this.at++);
    m.truncated = body == 2;
    if (body != 0) {
      const data = new Uint8Array(load<u32>(this.at));
      memory.copy(data.dataStart, this.at + 4, data.length);
      this.at += 4 + data.length;
      m.body = data;
    }
    if (m.event >= Event.OriginResponse) {
      m.status = load<u16>(this.at);
      this.at += 2;
      m.response = this.fields();
    }
    return m;
  }

  private fields(): Field[] {
    const count = load<u32>(this.at);
    this.at += 4;
    const fields: Field[] = [];
    for (let f: u32 = 0; f < count; f++) {
      const name = this.text();
      fields.push(new Field(name, this.text()));
    }
    return fields;
  }

  private text(): string {
    const length = load<u32>(this.at);
    const text = String.UTF8.decodeUnsafe(this.at + 4, length);
    this.at += 4 + length;
    return text;
  }
}
