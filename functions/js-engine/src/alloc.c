// Memory of the JavaScript heap: blocks by size, cut one after another from large pieces. A call that begins at a snapshot then
// touches few pages, and none that the snapshot filled: each costs a copy.
#include <stdlib.h>
#include <string.h>
#include "engine.h"

#define STEP 16
#define SMALL 512
#define PIECE (64 << 10)
#define OPENED (32 << 10)

// Before each block. The size is the block's, without this.
typedef struct Head {
  uint32_t size;
  uint32_t unused;
} Head;

typedef struct Free {
  struct Free *next;
} Free;

static Free *lists[SMALL / STEP + 1];
static uint8_t *fresh, *fresh_end;

static Head *head_of(const void *p) { return (Head *)p - 1; }

static void *cut(size_t size) {
  size_t whole = size + sizeof(Head);
  if ((size_t)(fresh_end - fresh) < whole) {
    uint8_t *piece = malloc(PIECE);
    if (!piece) return NULL;
    fresh = piece, fresh_end = piece + PIECE;
  }
  Head *head = (Head *)fresh;
  fresh += whole;
  head->size = (uint32_t)size;
  return head + 1;
}

static void *heap_malloc(void *opaque, size_t size) {
  size = (size + STEP - 1) & ~(size_t)(STEP - 1);
  if (size <= SMALL) {
    Free **list = &lists[size / STEP];
    Free *block = *list;
    if (!block) return cut(size);
    *list = block->next;
    return block;
  }
  if (size > 0x7FFFFFFF) return NULL;
  Head *head = malloc(size + sizeof(Head));
  if (!head) return NULL;
  head->size = (uint32_t)size;
  return head + 1;
}

static void heap_free(void *opaque, void *p) {
  if (!p) return;
  size_t size = head_of(p)->size;
  if (size > SMALL) {
    free(head_of(p));
    return;
  }
  Free *block = p;
  block->next = lists[size / STEP];
  lists[size / STEP] = block;
}

static void *heap_calloc(void *opaque, size_t count, size_t size) {
  if (size && count > 0x7FFFFFFF / size) return NULL;
  void *p = heap_malloc(opaque, count * size);
  if (p) memset(p, 0, count * size);
  return p;
}

static void *heap_realloc(void *opaque, void *p, size_t size) {
  if (!p) return heap_malloc(opaque, size);
  size_t had = head_of(p)->size;
  if (size <= had && had - size < SMALL) return p;
  if (had > SMALL && size > SMALL && size <= 0x7FFFFFF0) {
    size = (size + STEP - 1) & ~(size_t)(STEP - 1);
    Head *head = realloc(head_of(p), size + sizeof(Head));
    if (!head) return NULL;
    head->size = (uint32_t)size;
    return head + 1;
  }
  void *q = heap_malloc(opaque, size);
  if (!q) return NULL;
  memcpy(q, p, had < size ? had : size);
  heap_free(opaque, p);
  return q;
}

static size_t heap_size(const void *p) { return p ? head_of(p)->size : 0; }

const JSMallocFunctions heap_functions = {heap_calloc, heap_malloc, heap_free, heap_realloc, heap_size};

// What was freed while the snapshot was made lies scattered between what was kept: it is left alone, and calls begin on pages of
// their own.
void heap_settle(void) {
  memset(lists, 0, sizeof lists);
  fresh = fresh_end = NULL;
  uint8_t *piece = aligned_alloc(4096, PIECE);
  if (piece) fresh = piece, fresh_end = piece + PIECE;
  // The C library takes memory from the host by size class: each is opened now, so that no ordinary call has to grow the memory.
  for (size_t size = 8; size <= OPENED; size *= 2) {
    void *volatile p = malloc(size); // volatile: the pair would be left out
    free(p);
  }
}
