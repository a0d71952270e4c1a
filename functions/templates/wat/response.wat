;; A hook for viewer-response: runs before the viewer is answered. In the flat world, one buffer in, one out (functions/wit/flat.md).
(module
  (memory (export "memory") 2)

  ;; The answer: version 1, then one operation. Numbers are little-endian; text is a length and its bytes.
  (data (i32.const 16)
    "\01"                                  ;; version
    "\03"                                  ;; set a field
    "\16\00\00\00" "x-content-type-options"  ;; its name
    "\07\00\00\00" "nosniff")              ;; its value

  ;; Where the host may write the next message. An instance serves one call at a time, so memory begins anew with each.
  (func (export "alloc") (param $length i32) (result i32)
    (local $missing i32)
    ;; Grow to hold it: 1024 bytes of our own, and the message.
    (local.set $missing
      (i32.sub (i32.shr_u (i32.add (local.get $length) (i32.const 66559)) (i32.const 16)) (memory.size)))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then (if (i32.eq (memory.grow (local.get $missing)) (i32.const -1)) (then (unreachable)))))
    (i32.const 1024))

  ;; The message is at $input. The answer's address is in the upper half of the result, its length in the lower.
  (func (export "flat") (param $input i32) (param $length i32) (result i64)
    (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const 39))))
