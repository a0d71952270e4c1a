//go:build wasm

package edge

import "unsafe"

// Held so that the collector keeps them: what the host wrote in this call, and the answer, which it reads after flat returned.
var (
	blocks   [][]byte
	answered []byte
)

//go:wasmexport alloc
func alloc(length uint32) unsafe.Pointer {
	block := make([]byte, max(length, 1))
	blocks = append(blocks, block)
	return unsafe.Pointer(unsafe.SliceData(block))
}

//go:wasmexport flat
func flat(input unsafe.Pointer, length uint32) uint64 {
	answered = answer(unsafe.Slice((*byte)(input), length))
	blocks = nil
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(answered))))<<32 | uint64(len(answered))
}
