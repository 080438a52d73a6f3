/* httpd's tree of directives, for settings of modules that have no function to ask for them. The text of
 * <IfModule>, <IfDefine> and Include is in place in the tree. */
#ifndef SF_TREE_H
#define SF_TREE_H

#include <httpd.h>
#include <http_config.h>

/* Returns the last directive of this name in the list, or NULL. Sections are not searched. */
const ap_directive_t *sf_tree_last(const ap_directive_t *list, const char *name);

/* Returns the first argument of the last directive of this name in the list, or `otherwise`. */
const char *sf_tree_argument(apr_pool_t *pool, const ap_directive_t *list, const char *name,
                             const char *otherwise);

/* Returns a directive of this name in the list or in one of its sections, or NULL. Sections of virtual hosts are
 * not searched. */
const ap_directive_t *sf_tree_find(const ap_directive_t *list, const char *name);

/* Returns whether an argument of any directive in the list, in sections or not, has this text in it. */
int sf_tree_mentions(const ap_directive_t *list, const char *text);

/* Returns the directives of a server: those in its <VirtualHost>, or for the main server the whole tree. */
const ap_directive_t *sf_tree_of(const server_rec *s);

/* Returns the directives in the server's <VirtualHost>, or NULL for the main server. */
const ap_directive_t *sf_tree_virtual_host(const server_rec *s);

/* Returns whether the file of this <VirtualHost> is included more than once: its servers cannot be told apart in
 * the tree then. */
int sf_tree_is_ambiguous(const server_rec *s);

#endif
