//! Edge functions for Rimward, in Zig: the flat world (functions/wit/flat.md) and the host calls beside it.
//!
//!     const rw = @import("rimward");
//!
//!     fn hook(m: *const rw.Message, out: *rw.Answer) !void {
//!         if (std.mem.endsWith(u8, m.uri, "/")) try out.setUri(try rw.concat(&.{ m.uri, "index.html" }));
//!     }
//!
//!     comptime {
//!         rw.exportHook(hook);
//!     }
//!
//! A module has one thread and serves one call at a time. Memory comes from one arena and is free again when the next call begins,
//! so nothing is freed and nothing outlives its call. An error of the hook fails the call with the error's name in the log.
//!
//! Compile: functions/sdk/zig/build.sh.

const std = @import("std");

pub const Event = enum(u8) { viewer_request = 1, origin_request, origin_response, viewer_response };

pub const Field = struct { name: []const u8, value: []const u8 };

/// What the function is given. Names of fields are lower case.
pub const Message = struct {
    event: Event,
    request_id: []const u8,
    client_ip: []const u8,
    method: []const u8,
    uri: []const u8,
    /// Without '?'.
    query: []const u8,
    request: []const Field,
    /// null unless the association has `include_body`.
    body: ?[]const u8,
    /// There is more of the body than this.
    truncated: bool,
    /// 0 at request events.
    status: u16,
    response: []const Field,

    /// The first request field of that name.
    pub fn header(m: *const Message, name: []const u8) ?[]const u8 {
        return valueOf(m.request, name);
    }

    /// The value of a cookie of the request.
    pub fn cookie(m: *const Message, name: []const u8) ?[]const u8 {
        for (m.request) |field| {
            if (!std.mem.eql(u8, field.name, "cookie")) continue;
            var pairs = std.mem.splitScalar(u8, field.value, ';');
            while (pairs.next()) |pair| {
                const trimmed = std.mem.trim(u8, pair, " ");
                if (trimmed.len > name.len and trimmed[name.len] == '=' and std.mem.startsWith(u8, trimmed, name))
                    return trimmed[name.len + 1 ..];
            }
        }
        return null;
    }
};

pub fn valueOf(fields: []const Field, name: []const u8) ?[]const u8 {
    for (fields) |field| if (std.mem.eql(u8, field.name, name)) return field.value;
    return null;
}

/// The edits, in order.
pub const Answer = struct {
    data: []u8,
    len: usize = 0,

    pub fn setUri(out: *Answer, uri: []const u8) !void {
        try out.op(1, &.{uri});
    }

    pub fn setQuery(out: *Answer, query: []const u8) !void {
        try out.op(2, &.{query});
    }

    /// Of the request at request events, of the response at response events.
    pub fn setHeader(out: *Answer, name: []const u8, value: []const u8) !void {
        try out.op(3, &.{ name, value });
    }

    pub fn appendHeader(out: *Answer, name: []const u8, value: []const u8) !void {
        try out.op(4, &.{ name, value });
    }

    pub fn removeHeader(out: *Answer, name: []const u8) !void {
        try out.op(5, &.{name});
    }

    pub fn setBody(out: *Answer, body: []const u8) !void {
        try out.op(6, &.{body});
    }

    pub fn setStatus(out: *Answer, status: u16) !void {
        try out.raw(&.{7});
        try out.number(u16, status);
    }

    /// Answers instead of going on.
    pub fn respond(out: *Answer, status: u16, fields: []const Field, body: []const u8) !void {
        try out.raw(&.{8});
        try out.number(u16, status);
        try out.number(u32, @intCast(fields.len));
        for (fields) |field| {
            try out.bytes(field.name);
            try out.bytes(field.value);
        }
        try out.bytes(body);
    }

    /// Fails the call with these words.
    pub fn fail(out: *Answer, words: []const u8) !void {
        try out.op(9, &.{words});
    }

    /// Goes to another origin of the configuration.
    pub fn chooseOrigin(out: *Answer, name: []const u8) !void {
        try out.op(10, &.{name});
    }

    pub fn log(out: *Answer, level: enum(u8) { debug, info, warn, err }, words: []const u8) !void {
        try out.raw(&.{ 11, @intFromEnum(level) });
        try out.bytes(words);
    }

    fn op(out: *Answer, code: u8, operands: []const []const u8) !void {
        try out.raw(&.{code});
        for (operands) |operand| try out.bytes(operand);
    }

    fn bytes(out: *Answer, data: []const u8) !void {
        try out.number(u32, @intCast(data.len));
        try out.raw(data);
    }

    fn number(out: *Answer, comptime T: type, n: T) !void {
        var le: [@sizeOf(T)]u8 = undefined;
        std.mem.writeInt(T, &le, n, .little);
        try out.raw(&le);
    }

    fn raw(out: *Answer, data: []const u8) !void {
        if (out.data.len - out.len < data.len) {
            const larger = try alloc(u8, (out.data.len + data.len) * 2);
            @memcpy(larger[0..out.len], out.data[0..out.len]);
            out.data = larger;
        }
        @memcpy(out.data[out.len..][0..data.len], data);
        out.len += data.len;
    }
};

// --- Memory ---

const page = 64 << 10;
extern var __heap_base: u8;
var top: usize = 0;
var answered = false;

/// Memory until the next call begins.
pub fn alloc(comptime T: type, count: usize) error{OutOfMemory}![]T {
    if (top == 0) top = @intFromPtr(&__heap_base);
    const start = std.mem.alignForward(usize, top, 8);
    const size = std.math.mul(usize, count, @sizeOf(T)) catch return error.OutOfMemory;
    const end = std.math.add(usize, start, size) catch return error.OutOfMemory;
    const have = @wasmMemorySize(0) * page;
    if (end > have and @wasmMemoryGrow(0, (end - have + page - 1) / page) < 0) return error.OutOfMemory;
    top = end;
    const block: [*]T = @ptrFromInt(start);
    return block[0..count];
}

pub fn concat(parts: []const []const u8) error{OutOfMemory}![]const u8 {
    var len: usize = 0;
    for (parts) |part| len += part.len;
    const whole = try alloc(u8, len);
    var at: usize = 0;
    for (parts) |part| {
        @memcpy(whole[at..][0..part.len], part);
        at += part.len;
    }
    return whole;
}

// --- Host calls: what is used here has to be granted. The layouts are the canonical ABI's. ---

const abi = struct {
    const Bytes = extern struct { ptr: [*]const u8, len: usize };
    const Option = extern struct { some: u8, value: Bytes };

    extern "rimward:edge/config@0.1.0" fn get(ptr: [*]const u8, len: usize, out: *Option) void;
};

/// What the operator wrote under `config`.
pub fn config(key: []const u8) ?[]const u8 {
    var option: abi.Option = undefined;
    abi.get(key.ptr, key.len, &option);
    return if (option.some != 0) option.value.ptr[0..option.value.len] else null;
}

// --- The module's exports ---

/// Exports a hook as the flat world's function. Once a module.
pub fn exportHook(comptime hook: fn (*const Message, *Answer) anyerror!void) void {
    const exports = struct {
        fn allocate(len: usize) callconv(.c) [*]u8 {
            if (answered) {
                // A new call: what the last one used is free.
                answered = false;
                top = 0;
            }
            return (alloc(u8, len) catch @trap()).ptr;
        }

        fn flat(input: [*]const u8, len: usize) callconv(.c) u64 {
            const out = run(input[0..len]) catch @trap();
            answered = true;
            return @as(u64, @intFromPtr(out.data.ptr)) << 32 | out.len;
        }

        fn run(input: []const u8) !Answer {
            var out = Answer{ .data = try alloc(u8, 512) };
            try out.raw(&.{1});
            var reader = Reader{ .rest = input };
            const message = try reader.message();
            hook(&message, &out) catch |err| try out.fail(@errorName(err));
            return out;
        }
    };
    @export(&exports.allocate, .{ .name = "alloc" });
    @export(&exports.flat, .{ .name = "flat" });
}

/// Reads the input, which the host wrote: its lengths can be trusted.
const Reader = struct {
    rest: []const u8,

    fn message(r: *Reader) !Message {
        _ = r.take(1);
        const event: Event = @enumFromInt(r.take(1)[0]);
        var m = Message{
            .event = event,
            .request_id = r.bytes(),
            .client_ip = r.bytes(),
            .method = r.bytes(),
            .uri = r.bytes(),
            .query = r.bytes(),
            .request = try r.fields(),
            .body = null,
            .truncated = false,
            .status = 0,
            .response = &.{},
        };
        const body = r.take(1)[0];
        if (body != 0) m.body = r.bytes();
        m.truncated = body == 2;
        if (event == .origin_response or event == .viewer_response) {
            m.status = r.number(u16);
            m.response = try r.fields();
        }
        return m;
    }

    fn fields(r: *Reader) ![]const Field {
        const list = try alloc(Field, r.number(u32));
        for (list) |*field| field.* = .{ .name = r.bytes(), .value = r.bytes() };
        return list;
    }

    fn bytes(r: *Reader) []const u8 {
        return r.take(r.number(u32));
    }

    fn number(r: *Reader, comptime T: type) T {
        return std.mem.readInt(T, r.take(@sizeOf(T))[0..@sizeOf(T)], .little);
    }

    fn take(r: *Reader, count: usize) []const u8 {
        defer r.rest = r.rest[count..];
        return r.rest[0..count];
    }
};
