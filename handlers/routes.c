#include "handlers/routes.h"

const sf_route sf_routes[] = {
    {M_GET, "/Services", sf_service_list},
    {M_POST, "/Services", sf_service_create},
    {M_GET, "/Services/{ZS}", sf_service_fetch},
    {M_POST, "/Services/{ZS}", sf_service_update},
    {M_DELETE, "/Services/{ZS}", sf_service_delete},

    {M_GET, "/Services/{ZS}/Functions", sf_function_list},
    {M_POST, "/Services/{ZS}/Functions", sf_function_create},
    {M_GET, "/Services/{ZS}/Functions/{ZH}", sf_function_fetch},
    {M_POST, "/Services/{ZS}/Functions/{ZH}", sf_function_update},
    {M_DELETE, "/Services/{ZS}/Functions/{ZH}", sf_function_delete},

    {0, NULL, NULL},
};
