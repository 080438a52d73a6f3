/* Asks for the Dependencies of a Build before the Build is created. */
#ifndef SF_DEPENDENCY_CHECK_H
#define SF_DEPENDENCY_CHECK_H

#include "core/caller.h"

#include <json-c/json.h>

/* Asks the registry, through the runner, whether it has the versions (sf_dependency_versions()). Waits for
 * ServerlessDependencyCheck at most; the caller holds no database connection meanwhile. Returns why the Dependencies cannot be
 * had, a sentence for the owner of the Build. NULL: the registry has them, or is not asked (there is no runner, or the runner
 * is at work on other Builds), or has not answered in time. */
const char *sf_dependency_check(const sf_caller *caller, const char *runtime,
                                json_object *versions);

#endif
