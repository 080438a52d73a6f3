#include "worker/claimed_build.h"

#include "core/db/db.h"
#include "core/log.h"
#include "core/metrics.h"

#include <http_log.h>

APLOG_USE_MODULE(serverless_functions);

void sf_claimed_build_finish(const sf_claimed_build *build)
{
    const char *values[] = { build->service, build->id, build->lease,
                             build->failure ? "failed" : "completed", build->failure };
    sf_rows *rows;

    if (build->failure) {
        sf_log(&build->caller, APLOG_NOTICE, "SF0010", "Build %s failed", build->sid);
    }
    if (sf_db_run(&build->caller, SF_STATEMENT_BUILD_FINISH, values, &rows)) {
        return;
    }
    if (sf_rows_count(rows) > 0) {
        sf_metrics_add(build->failure ? SF_METRIC_BUILDS_FAILED : SF_METRIC_BUILDS_COMPLETED);
    }
    else {
        sf_log(&build->caller, APLOG_NOTICE, "SF0011", "Build %s was deleted or taken over",
               build->sid);
    }
}

int sf_claimed_build_extend(const sf_claimed_build *build, const char *seconds)
{
    const char *values[] = { build->service, build->id, build->lease, seconds };
    sf_rows *rows;

    return !sf_db_run(&build->caller, SF_STATEMENT_BUILD_EXTEND, values, &rows)
           && sf_rows_count(rows) > 0;
}

void sf_claimed_build_release(const sf_claimed_build *build)
{
    const char *values[] = { build->service, build->id, build->lease };
    sf_rows *rows;

    sf_db_run(&build->caller, SF_STATEMENT_BUILD_RELEASE, values, &rows);
    sf_log(&build->caller, APLOG_NOTICE, "SF0013", "Build %s is given back, because httpd stops",
           build->sid);
}
