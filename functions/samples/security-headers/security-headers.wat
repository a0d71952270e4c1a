;; Adds the security headers that a site of today has.
;;
;; Event: viewer-response. Grants: none. The smallest function there is: its answer is the same for every response, so it lies
;; ready in memory as the flat world's operations (functions/wit/flat.md) and the input is not even read.
(module
  (memory (export "memory") 1)

  ;; Version 1, then operation 3 five times: "set a field", two strings, each a length (u32, little-endian) and its bytes.
  (data (i32.const 0) "\01"
    "\03" "\19\00\00\00" "strict-transport-security" "\2c\00\00\00" "max-age=63072000; includeSubDomains; preload"
    "\03" "\16\00\00\00" "x-content-type-options" "\07\00\00\00" "nosniff"
    "\03" "\0f\00\00\00" "x-frame-options" "\0a\00\00\00" "SAMEORIGIN"
    "\03" "\0f\00\00\00" "referrer-policy" "\1f\00\00\00" "strict-origin-when-cross-origin"
    "\03" "\17\00\00\00" "content-security-policy" "\40\00\00\00"
      "default-src 'self'; object-src 'none'; upgrade-insecure-requests")
  (global $length i32 (i32.const 302))

  ;; Where the host writes the input: behind the answer, in a memory that grows when it has to.
  (func (export "alloc") (param $length i32) (result i32)
    (local $missing i32)
    (local.set $missing
      (i32.sub (i32.add (i32.const 1024) (local.get $length)) (i32.mul (memory.size) (i32.const 65536))))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then
        (if (i32.eq (i32.const -1)
              (memory.grow (i32.shr_u (i32.add (local.get $missing) (i32.const 65535)) (i32.const 16))))
          (then unreachable))))
    (i32.const 1024))

  ;; Pointer in the upper half, length in the lower.
  (func (export "flat") (param $input i32) (param $length i32) (result i64)
    (i64.extend_i32_u (global.get $length))))
