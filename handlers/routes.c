#include "handlers/routes.h"

#include "core/api/verbs.h"
#include "core/content/download.h"
#include "core/content/upload.h"

const sf_api_route sf_routes[] = {
    { M_GET, "/Services", sf_verb_list, &sf_services },
    { M_POST, "/Services", sf_verb_create, &sf_services },
    { M_GET, "/Services/{ZS}", sf_verb_fetch, &sf_services },
    { M_POST, "/Services/{ZS}", sf_verb_update, &sf_services },
    { M_DELETE, "/Services/{ZS}", sf_verb_delete, &sf_services },

    { M_GET, "/Services/{ZS}/Functions", sf_verb_list, &sf_functions },
    { M_POST, "/Services/{ZS}/Functions", sf_verb_create, &sf_functions },
    { M_GET, "/Services/{ZS}/Functions/{ZH}", sf_verb_fetch, &sf_functions },
    { M_POST, "/Services/{ZS}/Functions/{ZH}", sf_verb_update, &sf_functions },
    { M_DELETE, "/Services/{ZS}/Functions/{ZH}", sf_verb_delete, &sf_functions },

    { M_GET, "/Services/{ZS}/Functions/{ZH}/Versions", sf_verb_list, &sf_function_versions },
    { M_POST, "/Services/{ZS}/Functions/{ZH}/Versions", sf_upload, &sf_function_versions },
    { M_GET, "/Services/{ZS}/Functions/{ZH}/Versions/{ZN}", sf_verb_fetch, &sf_function_versions },
    { M_GET, "/Services/{ZS}/Functions/{ZH}/Versions/{ZN}/Content", sf_verb_fetch,
      &sf_function_version_content },

    { M_GET, "/Services/{ZS}/Assets", sf_verb_list, &sf_assets },
    { M_POST, "/Services/{ZS}/Assets", sf_verb_create, &sf_assets },
    { M_GET, "/Services/{ZS}/Assets/{ZH}", sf_verb_fetch, &sf_assets },
    { M_POST, "/Services/{ZS}/Assets/{ZH}", sf_verb_update, &sf_assets },
    { M_DELETE, "/Services/{ZS}/Assets/{ZH}", sf_verb_delete, &sf_assets },

    { M_GET, "/Services/{ZS}/Assets/{ZH}/Versions", sf_verb_list, &sf_asset_versions },
    { M_POST, "/Services/{ZS}/Assets/{ZH}/Versions", sf_upload, &sf_asset_versions },
    { M_GET, "/Services/{ZS}/Assets/{ZH}/Versions/{ZN}", sf_verb_fetch, &sf_asset_versions },
    { M_GET, "/Services/{ZS}/Assets/{ZH}/Versions/{ZN}/Content", sf_content_send,
      &sf_asset_version_content },

    { M_GET, "/Services/{ZS}/Builds", sf_verb_list, &sf_builds },
    { M_POST, "/Services/{ZS}/Builds", sf_build_create, &sf_builds },
    { M_GET, "/Services/{ZS}/Builds/{ZB}", sf_verb_fetch, &sf_builds },
    { M_DELETE, "/Services/{ZS}/Builds/{ZB}", sf_verb_delete, &sf_builds },
    { M_GET, "/Services/{ZS}/Builds/{ZB}/Status", sf_verb_fetch, &sf_build_status },

    { M_GET, "/Services/{ZS}/Environments", sf_verb_list, &sf_environments },
    { M_POST, "/Services/{ZS}/Environments", sf_verb_create, &sf_environments },
    { M_GET, "/Services/{ZS}/Environments/{ZE}", sf_verb_fetch, &sf_environments },
    { M_DELETE, "/Services/{ZS}/Environments/{ZE}", sf_verb_delete, &sf_environments },

    { M_GET, "/Services/{ZS}/Environments/{ZE}/Deployments", sf_verb_list, &sf_deployments },
    { M_POST, "/Services/{ZS}/Environments/{ZE}/Deployments", sf_deployment_create,
      &sf_deployments },
    { M_GET, "/Services/{ZS}/Environments/{ZE}/Deployments/{ZD}", sf_verb_fetch, &sf_deployments },

    { M_GET, "/Services/{ZS}/Environments/{ZE}/Logs", sf_verb_list, &sf_logs },
    { M_GET, "/Services/{ZS}/Environments/{ZE}/Logs/{NO}", sf_verb_fetch, &sf_logs },

    { M_GET, "/Services/{ZS}/Environments/{ZE}/Variables", sf_verb_list, &sf_variables },
    { M_POST, "/Services/{ZS}/Environments/{ZE}/Variables", sf_variable_create, &sf_variables },
    { M_GET, "/Services/{ZS}/Environments/{ZE}/Variables/{ZV}", sf_verb_fetch, &sf_variables },
    { M_POST, "/Services/{ZS}/Environments/{ZE}/Variables/{ZV}", sf_variable_update,
      &sf_variables },
    { M_DELETE, "/Services/{ZS}/Environments/{ZE}/Variables/{ZV}", sf_verb_delete, &sf_variables },

    { 0, NULL, NULL, NULL },
};

/* requests are counted by route: 0 is none of them, and the last number is of requests to domains */
_Static_assert(sizeof(sf_routes) / sizeof(*sf_routes) <= SF_OPERATION_DOMAIN,
               "SF_OPERATIONS is too small");
