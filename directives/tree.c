#include "directives/tree.h"

#include <string.h>

#define VIRTUAL_HOST "<VirtualHost"

const ap_directive_t *sf_tree_last(const ap_directive_t *list, const char *name)
{
    const ap_directive_t *last = NULL;

    for (; list; list = list->next) {
        if (ap_cstr_casecmp(list->directive, name) == 0) {
            last = list;
        }
    }
    return last;
}

const char *sf_tree_argument(apr_pool_t *pool, const ap_directive_t *list, const char *name,
                             const char *otherwise)
{
    const ap_directive_t *last = sf_tree_last(list, name);
    const char *rest = last ? last->args : NULL;

    return last ? ap_getword_conf(pool, &rest) : otherwise;
}

const ap_directive_t *sf_tree_find(const ap_directive_t *list, const char *name)
{
    for (; list; list = list->next) {
        const ap_directive_t *inside = NULL;

        if (ap_cstr_casecmp(list->directive, name) == 0) {
            return list;
        }
        if (ap_cstr_casecmp(list->directive, VIRTUAL_HOST) != 0) {
            inside = sf_tree_find(list->first_child, name);
        }
        if (inside) {
            return inside;
        }
    }
    return NULL;
}

int sf_tree_mentions(const ap_directive_t *list, const char *text)
{
    for (; list; list = list->next) {
        if ((list->args && strstr(list->args, text)) || sf_tree_mentions(list->first_child, text)) {
            return 1;
        }
    }
    return 0;
}

/* Returns whether this node of the tree is the <VirtualHost> of the server. */
static int is_definition(const ap_directive_t *node, const server_rec *s)
{
    return s->is_virtual && s->defn_name && ap_cstr_casecmp(node->directive, VIRTUAL_HOST) == 0
           && (unsigned)node->line_num == s->defn_line_number
           && strcmp(node->filename, s->defn_name) == 0;
}

const ap_directive_t *sf_tree_virtual_host(const server_rec *s)
{
    const ap_directive_t *node;

    for (node = ap_conftree; node; node = node->next) {
        if (is_definition(node, s)) {
            return node->first_child;
        }
    }
    return NULL;
}

const ap_directive_t *sf_tree_of(const server_rec *s)
{
    return s->is_virtual ? sf_tree_virtual_host(s) : ap_conftree;
}

int sf_tree_is_ambiguous(const server_rec *s)
{
    const ap_directive_t *node;
    int definitions = 0;

    for (node = ap_conftree; node; node = node->next) {
        if (is_definition(node, s)) {
            definitions++;
        }
    }
    return definitions > 1;
}
