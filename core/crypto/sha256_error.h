/* The error of an operation whose SHA-256 could not be made. */
#ifndef SF_SHA256_ERROR_H
#define SF_SHA256_ERROR_H

#include "core/caller.h"
#include "core/error.h"

/* Returns the error for a hash that could not be made: 500, and a line in the log. */
const sf_error *sf_sha256_failed(const sf_caller *caller);

#endif
