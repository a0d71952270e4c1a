;; Finds the file behind a pretty URL: /docs/ and /docs become /docs/index.html, /logo.svg stays.
;;
;; Event: viewer-request. Grants: none. Reads the flat world's input (functions/wit/flat.md) as far as the path and answers with
;; one operation, or with none.
(module
  (memory (export "memory") 1)
  (data (i32.const 0) "\01")              ;; the answer "nothing changes": version 1 and the end
  (data (i32.const 16) "/index.html")
  (global $free (mut i32) (i32.const 32)) ;; everything behind this is free

  ;; `length` bytes, aligned to 4; traps when the host has no more memory.
  (func $alloc (export "alloc") (param $length i32) (result i32)
    (local $block i32) (local $missing i32)
    (local.set $block (global.get $free))
    (global.set $free
      (i32.and (i32.add (i32.add (local.get $block) (local.get $length)) (i32.const 3)) (i32.const -4)))
    (local.set $missing (i32.sub (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then
        (if (i32.eq (i32.const -1)
              (memory.grow (i32.shr_u (i32.add (local.get $missing) (i32.const 65535)) (i32.const 16))))
          (then unreachable))))
    (local.get $block))

  ;; The address behind the string at `at`: a u32 length and the bytes.
  (func $skip (param $at i32) (result i32)
    (i32.add (i32.add (local.get $at) (i32.const 4)) (i32.load align=1 (local.get $at))))

  (func (export "flat") (param $input i32) (param $length i32) (result i64)
    (local $uri i32) (local $size i32) (local $at i32) (local $byte i32) (local $from i32) (local $out i32)
    ;; The path is the fourth string: behind version, event, request id, client address and method.
    (local.set $uri (call $skip (call $skip (call $skip (i32.add (local.get $input) (i32.const 2))))))
    (local.set $size (i32.load align=1 (local.get $uri)))
    (local.set $uri (i32.add (local.get $uri) (i32.const 4)))

    ;; From the end to the last slash: a dot on the way makes it a file.
    (local.set $at (local.get $size))
    (block $slash
      (loop $back
        (br_if $slash (i32.eqz (local.get $at)))
        (local.set $at (i32.sub (local.get $at) (i32.const 1)))
        (local.set $byte (i32.load8_u (i32.add (local.get $uri) (local.get $at))))
        (br_if $slash (i32.eq (local.get $byte) (i32.const 0x2f)))
        (if (i32.eq (local.get $byte) (i32.const 0x2e))
          (then
            (global.set $free (i32.const 32))
            (return (i64.const 1)))) ;; one byte at address 0
        (br $back)))

    ;; A path that ends in a slash has the first byte of "/index.html" already.
    (local.set $from (i32.eq (i32.add (local.get $at) (i32.const 1)) (local.get $size)))

    ;; Version 1, operation 1 "set uri", length, path, rest of "/index.html".
    (local.set $out (call $alloc (i32.add (local.get $size) (i32.const 17))))
    (i32.store16 align=1 (local.get $out) (i32.const 0x0101))
    (i32.store offset=2 align=1 (local.get $out)
      (i32.sub (i32.add (local.get $size) (i32.const 11)) (local.get $from)))
    (memory.copy (i32.add (local.get $out) (i32.const 6)) (local.get $uri) (local.get $size))
    (memory.copy
      (i32.add (i32.add (local.get $out) (i32.const 6)) (local.get $size))
      (i32.add (i32.const 16) (local.get $from))
      (i32.sub (i32.const 11) (local.get $from)))
    ;; The next call begins at the bottom again; the answer stays until then, for it lies behind the input.
    (global.set $free (i32.const 32))
    (i64.or
      (i64.shl (i64.extend_i32_u (local.get $out)) (i64.const 32))
      (i64.extend_i32_u (i32.sub (i32.add (local.get $size) (i32.const 17)) (local.get $from))))))
