#include "handlers/routes.h"

const sf_route sf_routes[] = {
    { M_GET, "/Services", sf_service_list },
    { M_POST, "/Services", sf_service_create },
    { M_GET, "/Services/{ZS}", sf_service_fetch },
    { M_POST, "/Services/{ZS}", sf_service_update },
    { M_DELETE, "/Services/{ZS}", sf_service_delete },

    { M_GET, "/Services/{ZS}/Functions", sf_function_list },
    { M_POST, "/Services/{ZS}/Functions", sf_function_create },
    { M_GET, "/Services/{ZS}/Functions/{ZH}", sf_function_fetch },
    { M_POST, "/Services/{ZS}/Functions/{ZH}", sf_function_update },
    { M_DELETE, "/Services/{ZS}/Functions/{ZH}", sf_function_delete },

    { M_GET, "/Services/{ZS}/Functions/{ZH}/Versions", sf_function_version_list },
    { M_POST, "/Services/{ZS}/Functions/{ZH}/Versions", sf_function_version_create },
    { M_GET, "/Services/{ZS}/Functions/{ZH}/Versions/{ZN}", sf_function_version_fetch },
    { M_GET, "/Services/{ZS}/Functions/{ZH}/Versions/{ZN}/Content", sf_function_version_content },

    { M_GET, "/Services/{ZS}/Builds", sf_build_list },
    { M_POST, "/Services/{ZS}/Builds", sf_build_create },
    { M_GET, "/Services/{ZS}/Builds/{ZB}", sf_build_fetch },
    { M_DELETE, "/Services/{ZS}/Builds/{ZB}", sf_build_delete },
    { M_GET, "/Services/{ZS}/Builds/{ZB}/Status", sf_build_status },

    { M_GET, "/Services/{ZS}/Environments", sf_environment_list },
    { M_POST, "/Services/{ZS}/Environments", sf_environment_create },
    { M_GET, "/Services/{ZS}/Environments/{ZE}", sf_environment_fetch },
    { M_DELETE, "/Services/{ZS}/Environments/{ZE}", sf_environment_delete },

    { M_GET, "/Services/{ZS}/Environments/{ZE}/Deployments", sf_deployment_list },
    { M_POST, "/Services/{ZS}/Environments/{ZE}/Deployments", sf_deployment_create },
    { M_GET, "/Services/{ZS}/Environments/{ZE}/Deployments/{ZD}", sf_deployment_fetch },

    { 0, NULL, NULL },
};
