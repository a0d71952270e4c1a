// The WASI calls that the C library would make, answered here: the engine imports nothing but the host's `dynamic.call`.
// There are no files, no arguments and no environment; time and randomness come from host.c where they are wanted.
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include "engine.h"

#define BADF 8
#define WASI(name) __imported_wasi_snapshot_preview1_##name

int32_t WASI(fd_fdstat_get)(int32_t fd, int32_t out) { return BADF; }
int32_t WASI(fd_read)(int32_t fd, int32_t iovs, int32_t n, int32_t out) { return BADF; }
int32_t WASI(fd_seek)(int32_t fd, int64_t offset, int32_t whence, int32_t out) { return BADF; }
int32_t WASI(fd_write)(int32_t fd, int32_t iovs, int32_t n, int32_t out) { return BADF; }
int32_t WASI(clock_time_get)(int32_t id, int64_t precision, int32_t out) {
  *(uint64_t *)(uintptr_t)out = (uint64_t)(host_now() * 1e6);
  return 0;
}
_Noreturn void WASI(proc_exit)(int32_t code) { __builtin_trap(); }

// `__stdio_close` calls this; its import is not overridden by a definition as the others are.
int close(int fd) {
  errno = EBADF;
  return -1;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
  double now = host_now();
  tv->tv_sec = (time_t)(now / 1000);
  tv->tv_usec = (suseconds_t)((now - (double)tv->tv_sec * 1000) * 1000);
  return 0;
}

int clock_gettime(clockid_t id, struct timespec *ts) {
  double now = host_now();
  ts->tv_sec = (time_t)(now / 1000);
  ts->tv_nsec = (long)((now - (double)ts->tv_sec * 1000) * 1e6);
  return 0;
}
