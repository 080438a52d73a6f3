/* A section of the module in the page of mod_status. */
#ifndef SF_SERVER_STATUS_H
#define SF_SERVER_STATUS_H

/* Adds the section, where mod_status is loaded. Called when hooks are registered. */
void sf_server_status_register(void);

#endif
