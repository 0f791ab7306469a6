#ifndef CSPAWN_H
#define CSPAWN_H

#include <spawn.h>

// Extensions of glibc (2.29 and 2.34) that Swift does not import. Each returns an error code, 0 for none.

/// The working directory of the program.
int cspawn_add_directory(posix_spawn_file_actions_t *actions, const char *path);

/// Closes every descriptor from `first` on.
int cspawn_add_close_from(posix_spawn_file_actions_t *actions, int first);

#endif
