// Memory: one heap for JavaScript and for C, cut off one end of the module's memory, block after block, and given again by size. A call
// that begins at a snapshot touches few pages, side by side, and none that the snapshot filled: each costs a copy, and every page that
// is there at all costs a look.
#include <stdlib.h>
#include <string.h>
#include "engine.h"

#define STEP 16
#define SMALL 512
#define SMALL_CLASSES (SMALL / STEP)
// Above SMALL each class is a power of two.
#define CLASSES (SMALL_CLASSES + 1 + (31 - 9))
#define LARGEST 0x40000000u
#define PAGE 4096
#define WASM_PAGE 65536
// By what the memory grows, if it may; and what a snapshot leaves for its calls, so that no ordinary one has to grow it.
#define GROWTH (256 << 10)
#define SPARE (512 << 10)

// Before each block. The size is the block's, without this.
typedef struct __attribute__((may_alias)) Head {
  uint32_t size;
  uint32_t class;
} Head;

typedef struct __attribute__((may_alias)) Free {
  struct Free *next;
} Free;

extern uint8_t __heap_base;
static Free *lists[CLASSES];
static uint8_t *fresh, *fresh_end;

static inline Head *head_of(const void *p) { return (Head *)p - 1; }

// The class of a size, which is rounded up to the largest of its class.
static inline uint32_t class_of(uint32_t *size) {
  if (*size <= SMALL) {
    *size = *size ? (*size + STEP - 1) & ~(STEP - 1u) : STEP;
    return *size / STEP;
  }
  uint32_t power = 32 - (uint32_t)__builtin_clz(*size - 1);
  *size = 1u << power;
  return SMALL_CLASSES + 1 + (power - 10);
}

static bool grow_memory(size_t by) {
  if (!fresh) fresh = &__heap_base, fresh_end = (uint8_t *)(__builtin_wasm_memory_size(0) * WASM_PAGE);
  if ((size_t)(fresh_end - fresh) >= by) return true;
  size_t missing = by - (size_t)(fresh_end - fresh), tries[2] = {missing > GROWTH ? missing : GROWTH, missing};
  for (int i = 0; i < 2; i++) {
    size_t pages = (tries[i] + WASM_PAGE - 1) / WASM_PAGE;
    if (__builtin_wasm_memory_grow(0, pages) != (size_t)-1) return fresh_end += pages * WASM_PAGE, true;
  }
  return false;
}

static void *cut(uint32_t size, uint32_t class) {
  size_t whole = size + sizeof(Head);
  if ((size_t)(fresh_end - fresh) < whole && !grow_memory(whole)) return NULL;
  Head *head = (Head *)fresh;
  fresh += whole;
  head->size = size, head->class = class;
  return head + 1;
}

static inline void *heap_malloc(void *opaque, size_t asked) {
  if (asked > LARGEST) return NULL;
  uint32_t size = (uint32_t)asked, class = class_of(&size);
  Free *block = lists[class];
  if (!block) return cut(size, class);
  lists[class] = block->next;
  return block;
}

static inline void heap_free(void *opaque, void *p) {
  if (!p) return;
  Free *block = p;
  uint32_t class = head_of(p)->class;
  block->next = lists[class];
  lists[class] = block;
}

static void *heap_calloc(void *opaque, size_t count, size_t size) {
  if (size && count > LARGEST / size) return NULL;
  void *p = heap_malloc(opaque, count * size);
  if (p) memset(p, 0, count * size);
  return p;
}

static void *heap_realloc(void *opaque, void *p, size_t size) {
  if (!p) return heap_malloc(opaque, size);
  Head *head = head_of(p);
  size_t had = head->size;
  if (size <= had && (had - size < SMALL || size >= had / 2)) return p;
  if (size > had && size <= LARGEST && (uint8_t *)p + had == fresh) {
    // The last one grows where it is, unless another is free: no class gets more blocks than were in use at once.
    uint32_t whole = (uint32_t)size, class = class_of(&whole);
    if (!lists[class] && ((size_t)(fresh_end - fresh) >= whole - had || grow_memory(whole - had))) {
      fresh += whole - had;
      head->size = whole, head->class = class;
      return p;
    }
  }
  void *q = heap_malloc(opaque, size);
  if (!q) return NULL;
  memcpy(q, p, had < size ? had : size);
  heap_free(opaque, p);
  return q;
}

static inline size_t heap_size(const void *p) { return p ? head_of(p)->size : 0; }

const JSMallocFunctions heap_functions = {heap_calloc, heap_malloc, heap_free, heap_realloc, heap_size};

// The C library's.
void *malloc(size_t size) { return heap_malloc(NULL, size); }
void *calloc(size_t count, size_t size) { return heap_calloc(NULL, count, size); }
void *realloc(void *p, size_t size) { return heap_realloc(NULL, p, size); }
void free(void *p) { heap_free(NULL, p); }

// What was freed while the snapshot was made lies scattered between what was kept: it is left alone, and calls begin on a page of
// their own.
void heap_settle(void) {
  memset(lists, 0, sizeof lists);
  fresh = (uint8_t *)(((size_t)fresh + PAGE - 1) & ~(size_t)(PAGE - 1));
  grow_memory(SPARE);
}
