#include <stdint.h>

/// Calls of malloc and its kin in this process so far, by any thread; a realloc counts as one.
uint64_t allocations_count(void);

/// Bytes that those calls asked for.
uint64_t allocations_bytes(void);
